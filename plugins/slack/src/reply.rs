//! Reply → outcome. Pure.
//!
//! Slack answers a text: `ok`, or the name of an error.
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors>,
//! <https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks>

use campanile_plugin_sdk::{Failure, Outcome, Sent, Trouble, http::Reply};

/// What Slack's answer means.
///
/// # Errors
///
/// Everything but `ok`.
pub fn judge(reply: &Reply) -> Outcome {
    let text = reply.text();
    let code = text.trim();
    match (reply.status(), code) {
        (200, "ok") => Ok(Sent::now()),
        // Workflow and trigger webhooks answer JSON: `{"ok":true}`, or `ok: false` and why.
        (200, other) if other.starts_with('{') => judge_json(reply),
        (200, _) => {
            let reason = "answered 200 without `ok`: this is hardly Slack; check the url";
            Err(Failure::channel("unexpected-body", reason))
        }
        (400..=499, _) => explain(code).map_or_else(|| reply.judge(), Err),
        _ => reply.judge(),
    }
}

fn judge_json(reply: &Reply) -> Outcome {
    let answer: campanile_plugin_sdk::Value = reply.json()?;
    if answer["ok"] == true {
        return Ok(Sent::now());
    }
    match answer["error"].as_str() {
        Some(code) => Err(explain(code).unwrap_or_else(|| Failure::channel(code, "slack refused the message"))),
        None => Err(Failure::retry(Trouble::Other, "slack answered 200 with unexpected json").code("unexpected-body")),
    }
}

/// What an error of Slack's means; none: not one that is documented.
fn explain(code: &str) -> Option<Failure> {
    let message = |reason| Some(Failure::message(code, reason));
    let channel = |reason| Some(Failure::channel(code, reason));
    match code {
        "invalid_payload" => message("slack cannot understand the message"),
        "invalid_blocks" | "invalid_blocks_format" => message("slack cannot understand the message's blocks"),
        "no_text" | "missing_text_or_fallback_or_attachments" => message("slack finds no text in the message"),
        "too_many_attachments" => message("slack allows 100 attachments in a message"),
        "msg_too_long" => message("the message is too long for slack"),
        "user_not_found" => channel("the user this webhook posts to does not exist"),
        "channel_not_found" => channel("the slack channel does not exist any more"),
        "channel_is_archived" => channel("the slack channel is archived"),
        "action_prohibited" => channel("an admin of the workspace forbids posting here"),
        "posting_to_general_channel_denied" => channel("this webhook may not post to the general channel"),
        "no_service" | "no_service_id" | "no_active_hooks" => channel("the webhook is disabled, removed or invalid"),
        "no_team" | "team_disabled" => channel("the workspace is gone or disabled"),
        "invalid_token" => channel("the webhook's token is wrong or expired"),
        _ => None,
    }
}
