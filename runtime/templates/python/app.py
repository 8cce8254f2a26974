"""Posts every notification to a webhook."""

import json
from typing import Optional

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.channel import Descriptor, Limits
from wit_world.imports import http
from wit_world.imports.types import (
    About,
    Blame,
    Context,
    Delivery,
    Need,
    Outcome,
    Outcome_RateLimited,
    Outcome_Rejected,
    Outcome_Retry,
    Outcome_Sent,
    Piece_Text,
    RateLimit,
    Receipt,
    Rejection,
    Retry,
    Scope,
    Trouble,
)

SCHEMA = {
    "type": "object",
    "properties": {
        "url": {"type": "string", "format": "uri", "pattern": "^https?://", "description": "Where to post to."}
    },
    "required": ["url"],
    "additionalProperties": False,
}


class Channel(exports.Channel):
    def describe(self) -> Descriptor:
        about = About(
            name="{{name}}",
            version="0.1.0",
            summary="Posts every notification to a webhook",
            homepage=None,
            license=None,
            config_schema=json.dumps(SCHEMA),
            secrets=[],
            needs=[Need("http", ["config:/url"], True, "posts every notification to the URL in its config")],
            extra=[],
        )
        return Descriptor(about, None, [], Limits(None, None, None, None, None, None), None)

    def send(self, context: Context, delivery: Delivery) -> Outcome:
        content = delivery.notification.content
        body = json.dumps({"title": content.title, "text": content.text})
        try:
            response = http.send(
                http.Request(
                    method="POST",
                    url=json.loads(context.config)["url"],
                    headers=[("content-type", "application/json"), ("idempotency-key", delivery.id)],
                    body=[Piece_Text(body)],
                    auth=http.Auth_None_(),
                    redirects=0,
                    timeout_ms=None,
                )
            )
        except Err as error:
            return unanswered(error.value)
        return judge(response)


def judge(response: http.Response) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return Outcome_Sent(Receipt(None, []))
    code, reason = f"http-{status}", f"provider answered {status}"
    after_ms = retry_after_ms(response)
    if status == 429:
        return Outcome_RateLimited(RateLimit(after_ms, Scope.CHANNEL, code, reason))
    if status >= 500:
        return Outcome_Retry(Retry(after_ms, Trouble.SERVER, code, reason))
    if status in (408, 425):
        return Outcome_Retry(Retry(after_ms, Trouble.TIMEOUT, code, reason))
    # What is wrong with this message alone, and what would be wrong with every other.
    blame = Blame.MESSAGE if status in (400, 413, 422) else Blame.CHANNEL
    return Outcome_Rejected(Rejection(blame, code, reason))


def unanswered(error: http.Error) -> Outcome:
    """There was no answer. `denied` and `invalid` stay so until somebody changes the configuration."""
    code = type(error).__name__.removeprefix("Error_").lower()
    if code in ("denied", "invalid"):
        return Outcome_Rejected(Rejection(Blame.CHANNEL, code, error.value))
    troubles = {"timeout": Trouble.TIMEOUT, "exhausted": Trouble.OTHER}
    return Outcome_Retry(Retry(None, troubles.get(code, Trouble.UNREACHABLE), code, error.value))


def retry_after_ms(response: http.Response) -> Optional[int]:
    for name, value in response.headers:
        if name == "retry-after" and value.isdecimal():
            return min(int(value) * 1000, 2**32 - 1)
    return None
