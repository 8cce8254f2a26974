"""Reply → outcome. Pure.

https://docs.ntfy.sh/publish/#limitations
"""

import json
from typing import Optional

from wit_world.imports import http
from wit_world.imports.types import (
    Blame,
    Outcome,
    Outcome_RateLimited,
    Outcome_Rejected,
    Outcome_Retry,
    Outcome_Sent,
    RateLimit,
    Receipt,
    Rejection,
    Retry,
    Scope,
    Trouble,
)

REASON_MAX = 200


def judge(response: http.Response) -> Outcome:
    status = response.status
    told = parsed(response.body)
    if 200 <= status < 300:
        identifier = told.get("id")
        return Outcome_Sent(Receipt(identifier if isinstance(identifier, str) else None, []))
    code = str(told["code"]) if "code" in told else None
    reason = f"ntfy answered {status}"
    if "error" in told:
        reason += f": {told['error']}"[:REASON_MAX]
    after_ms = retry_after_ms(response)
    if status == 429:
        # Limits are those of a visitor, an account or an address, whatever the topic.
        return Outcome_RateLimited(RateLimit(after_ms, Scope.ACCOUNT, code, reason))
    if status >= 500:
        return Outcome_Retry(Retry(after_ms, Trouble.SERVER, code, reason))
    if status == 408:
        return Outcome_Retry(Retry(after_ms, Trouble.TIMEOUT, code, reason))
    # 400 and 413 are about this message; 401, 403 and the rest about the channel.
    blame = Blame.MESSAGE if status in (400, 413) else Blame.CHANNEL
    return Outcome_Rejected(Rejection(blame, code, reason))


def unanswered(error: http.Error) -> Outcome:
    """There was no answer. `denied` and `invalid` stay so until somebody changes the configuration."""
    match error:
        case http.Error_Denied(reason):
            return Outcome_Rejected(Rejection(Blame.CHANNEL, "denied", reason))
        case http.Error_Invalid(reason):
            return Outcome_Rejected(Rejection(Blame.CHANNEL, "invalid", reason))
        case http.Error_Exhausted(reason):
            return Outcome_Retry(Retry(None, Trouble.OTHER, "exhausted", reason))
        case http.Error_Timeout(reason):
            return Outcome_Retry(Retry(None, Trouble.TIMEOUT, "timeout", reason))
        case http.Error_Unreachable(reason):
            return Outcome_Retry(Retry(None, Trouble.UNREACHABLE, "unreachable", reason))
        case http.Error_Interrupted(reason):
            return Outcome_Retry(Retry(None, Trouble.UNREACHABLE, "interrupted", reason))


def parsed(body: bytes) -> dict:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def retry_after_ms(response: http.Response) -> Optional[int]:
    """`Retry-After` in seconds, as a proxy before the server may send it."""
    for name, value in response.headers:
        if name == "retry-after" and value.isdecimal():
            return min(int(value) * 1000, 2**32 - 1)
    return None
