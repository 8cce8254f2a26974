//! The table of status codes, line by line.

use std::time::Duration;

use serde_json::json;

use super::{Failure, Outcome, Scope, Trouble, from_status};
use crate::{
    http::{Error, Reply},
    testing::render_outcome,
};

fn judged(status: u16) -> String {
    let outcome = render_outcome(&from_status(&Reply::new(status, "")));
    let (variant, fields) = outcome.as_object().and_then(|object| object.iter().next()).expect("one variant");
    let detail = fields["trouble"].as_str().or(fields["blame"].as_str()).or(fields["scope"].as_str());
    detail.map_or_else(|| variant.clone(), |detail| format!("{variant} {detail}"))
}

#[test]
fn every_status_means_what_the_table_says() {
    let table: [(&[u16], &str); 9] = [
        (&[200, 201, 202, 204, 299], "sent"),
        (&[408, 504], "retry timeout"),
        (&[409, 423, 425], "retry other"),
        (&[500, 502, 503, 507, 599], "retry server"),
        (&[429], "rate_limited channel"),
        (&[400, 413, 414, 422, 431], "rejected message"),
        (&[401, 402, 403, 404, 405, 406, 410, 415, 451], "rejected channel"),
        (&[100, 301, 302, 304, 307, 308], "rejected channel"),
        (&[501, 505, 600, 999], "rejected channel"),
    ];
    for (statuses, meaning) in table {
        for &status in statuses {
            assert_eq!(judged(status), meaning, "{status}");
        }
    }
}

#[test]
fn the_code_names_the_status_and_the_reason_quotes_one_line() {
    let reply = Reply::new(422, "\n  amount must be positive\u{7}  \nsecond line");
    let failure = from_status(&reply).expect_err("422 is a failure");
    assert_eq!(failure.code.as_deref(), Some("http-422"));
    assert_eq!(failure.reason, "provider answered 422: amount must be positive");
}

#[test]
fn a_page_of_markup_is_not_quoted_and_a_long_line_is_cut() {
    let page = Reply::new(502, "<html>Bad Gateway").with_header("Content-Type", "text/html; charset=utf-8");
    assert_eq!(from_status(&page).expect_err("a failure").reason, "provider answered 502");

    let long = Reply::new(502, "é".repeat(1000));
    assert_eq!(
        from_status(&long).expect_err("a failure").reason,
        format!("provider answered 502: {}", "é".repeat(300))
    );
}

#[test]
fn retry_after_counts_for_every_kind_of_coming_back() {
    for status in [408, 409, 425, 429, 500, 503] {
        let outcome = from_status(&Reply::new(status, "").with_header("Retry-After", "7"));
        let rendered = render_outcome(&outcome).to_string();
        assert!(rendered.contains(r#""after_ms":7000"#), "{status}: {rendered}");
    }
}

#[test]
fn without_an_answer_the_kind_of_silence_decides() {
    let meaning = |error: Error| {
        let outcome: Outcome = Err(error.into());
        render_outcome(&outcome)
    };
    assert_eq!(
        meaning(Error::Denied("add a grant".into())),
        json!({ "rejected": { "blame": "channel", "code": "denied", "reason": "add a grant" } }),
    );
    assert_eq!(
        meaning(Error::Unreachable("refused".into())),
        json!({ "retry": { "trouble": "unreachable", "code": "unreachable", "reason": "refused" } }),
    );
    assert_eq!(
        meaning(Error::Timeout("10 s".into())),
        json!({ "retry": { "trouble": "timeout", "code": "timeout", "reason": "10 s" } }),
    );
    assert!(Error::Interrupted(String::new()).may_have_acted());
    assert!(!Error::Unreachable(String::new()).may_have_acted());
}

#[test]
fn a_setting_that_means_nothing_for_a_failure_changes_nothing() {
    let failure = Failure::message("too_long", "text is too long");
    let set = failure.clone().after(Duration::from_secs(1)).scope(Scope::Account).new_address("x");
    assert_eq!(set, failure);
    let retry = Failure::retry(Trouble::Other, "locked");
    assert_eq!(retry.clone().scope(Scope::Account), retry);
}
