//! What a receiver's answer means: pure.

use std::time::Duration;

use crate::callback::Failure;
use crate::capability::http::{HttpError, HttpReply};
use crate::domain::Timestamp;

/// What a call came to; `limit` is how long it could take, in words. Replies are judged by their status alone: what a receiver writes is read and never repeated.
pub(super) fn judge(answer: &Result<HttpReply, HttpError>, limit: &str, now: Timestamp) -> Result<(), Failure> {
    let reply = match answer {
        Ok(reply) => reply,
        Err(HttpError::Timeout(_)) => {
            return retry(format!("no complete answer within {limit}"));
        }
        // Nothing of this event will ever be sent.
        Err(HttpError::Invalid(reason)) => return Err(Failure::GiveUp { reason: reason.clone() }),
        Err(error) => return retry(error.to_string()),
    };
    let status = reply.status;
    match status {
        200..=299 => Ok(()),
        300..=399 => retry(format!("the receiver answered {status}, and redirects are not followed")),
        410 => Err(Failure::Disable { reason: "the receiver answered 410: it wants to hear no more".to_owned() }),
        429 | 502 | 503 | 504 => {
            Err(Failure::Retry { reason: format!("the receiver answered {status}"), after: asked_wait(reply, now) })
        }
        _ => retry(format!("the receiver answered {status}")),
    }
}

fn retry(reason: String) -> Result<(), Failure> {
    Err(Failure::Retry { reason, after: None })
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3).
fn asked_wait(reply: &HttpReply, now: Timestamp) -> Option<Duration> {
    let (_, text) = reply.headers.iter().find(|(name, _)| name == "retry-after")?;
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let at = u64::try_from(at.as_millisecond()).ok()?;
    Some(Timestamp::from_millis(at).since(now))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(784_111_770_000);
    const LIMIT: &str = "15s, the webhook's `timeout`";

    fn of(status: u16, retry_after: Option<&str>) -> Result<(), Failure> {
        let headers = retry_after.map(|text| ("retry-after".to_owned(), text.to_owned())).into_iter().collect();
        judge(&Ok(HttpReply { status, headers, body: Bytes::from_static(b"canary"), truncated: false }), LIMIT, NOW)
    }

    #[test]
    fn only_2xx_is_done_and_only_410_disables() {
        for status in 100..600 {
            match of(status, None) {
                Ok(()) => assert!((200..300).contains(&status), "{status}"),
                Err(Failure::Disable { .. }) => assert_eq!(status, 410),
                Err(Failure::Retry { reason, after: None }) => {
                    assert!(reason.contains(&status.to_string()) && !reason.contains("canary"), "{reason}");
                }
                Err(other) => panic!("{status}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_busy_receiver_says_when_to_come_again_in_seconds_or_by_date() {
        let wait = |status, text| match of(status, Some(text)) {
            Err(Failure::Retry { after, .. }) => after,
            other => panic!("{other:?}"),
        };
        for status in [429, 502, 503, 504] {
            assert_eq!(wait(status, "120"), Some(Duration::from_secs(120)), "{status}");
        }
        // The example of RFC 9110: seven seconds after `NOW`.
        assert_eq!(wait(429, "Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(wait(429, "Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait(429, "soon"), None);
        assert_eq!(wait(500, "120"), None, "it does not say that it is busy");
    }

    #[test]
    fn what_never_left_is_tried_again_unless_it_never_can() {
        let judged = |error| judge(&Err(error), LIMIT, NOW).expect_err("an error");
        let refused = judged(HttpError::Unreachable("no connection".into()));
        assert_eq!(refused, Failure::Retry { reason: "unreachable: no connection".into(), after: None });
        assert_eq!(
            judged(HttpError::Timeout("x".into())).to_string(),
            "no complete answer within 15s, the webhook's `timeout`"
        );
        assert!(matches!(judged(HttpError::Invalid("the body is too long".into())), Failure::GiveUp { .. }));
    }
}
