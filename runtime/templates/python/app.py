"""Posts every notification to a webhook."""

import json
import re
from datetime import datetime, timezone
from math import ceil
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
        return judge(response, context.now_ms)


def judge(response: http.Response, now_ms: int) -> Outcome:
    """What a status means where the provider says nothing better: the table of the SDK for Rust."""
    status = response.status
    if 200 <= status < 300:
        return Outcome_Sent(Receipt(None, []))
    code, reason = f"http-{status}", f"provider answered {status}"
    after = next((value for name, value in response.headers if name == "retry-after"), None)
    after_ms = None if after is None else retry_after_ms(after.strip(), now_ms)
    if status == 429:
        return Outcome_RateLimited(RateLimit(after_ms, Scope.CHANNEL, code, reason))
    if status in (408, 504):
        return Outcome_Retry(Retry(after_ms, Trouble.TIMEOUT, code, reason))
    if status in (409, 423, 425):
        return Outcome_Retry(Retry(after_ms, Trouble.OTHER, code, reason))
    if 500 <= status < 600 and status not in (501, 505):
        return Outcome_Retry(Retry(after_ms, Trouble.SERVER, code, reason))
    # What is wrong with this message alone, and what would be wrong with every other.
    blame = Blame.MESSAGE if status in (400, 413, 414, 422, 431) else Blame.CHANNEL
    return Outcome_Rejected(Rejection(blame, code, reason))


def unanswered(error: http.Error) -> Outcome:
    """There was no answer. `denied` and `invalid` stay so until somebody changes the configuration."""
    code = type(error).__name__.removeprefix("Error_").lower()
    if code in ("denied", "invalid"):
        return Outcome_Rejected(Rejection(Blame.CHANNEL, code, error.value))
    troubles = {"timeout": Trouble.TIMEOUT, "exhausted": Trouble.OTHER}
    return Outcome_Retry(Retry(None, troubles.get(code, Trouble.UNREACHABLE), code, error.value))


MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
SECONDS = re.compile(r"\d{1,19}(\.\d*)?", re.ASCII)
DATE = re.compile(r"[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT", re.ASCII)


def retry_after_ms(value: str, now_ms: int) -> Optional[int]:
    """`Retry-After` has seconds or a date; anything else says nothing."""
    if SECONDS.fullmatch(value):
        return min(ceil(float(value)) * 1000, 2**32 - 1)
    date = DATE.fullmatch(value)
    if date is None:
        return None
    day, month, year, hour, minute, second = date.groups()
    try:
        # Not `strptime`, which imports a module on its first use: there are no files when the plugin runs.
        numbers = (int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
        at = datetime(*numbers, tzinfo=timezone.utc)
    except ValueError:
        return None
    return min(max(int(at.timestamp()) * 1000 - now_ms, 0), 2**32 - 1)
