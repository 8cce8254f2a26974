//! A mock host that says nothing when it should would be worse than none.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;

use super::{Expect, MockHost};
use crate::{http, log, print_line};

const URL: &str = "https://example.com/";

fn complaint(host: MockHost, code: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| host.run(code))).expect_err("the host complains");
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_request_nobody_expects_is_named() {
    let said = complaint(MockHost::new(), || drop(http::get(URL).send()));
    assert_eq!(said, "an unexpected request: GET https://example.com/");
}

#[test]
fn an_expected_request_that_does_not_come_is_named() {
    let said = complaint(MockHost::new().expect(Expect::post(URL)), || {});
    assert_eq!(said, "a request was expected and did not come: POST https://example.com/");
}

#[test]
fn every_difference_is_shown() {
    let host = MockHost::new().expect(Expect::post(URL).header("a", "1").json(json!({ "x": 1, "y": 2 })));
    let said = complaint(host, || drop(http::put(URL).header("A", "2").json(&json!({ "y": 2 })).send()));
    for part in ["method", "expected: POST", "got: PUT", "header `a`", "json body", r#"{"x":1,"y":2}"#] {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
}

#[test]
fn after_a_complaint_the_next_test_starts_afresh() {
    complaint(MockHost::new(), || drop(http::get(URL).send()));
    let (reply, record) = MockHost::new().expect(Expect::get(URL)).run(|| http::get(URL).send());
    assert_eq!(reply.map(|reply| reply.status()), Ok(200));
    assert_eq!(record.requests.len(), 1);
}

#[test]
fn what_a_plugin_says_is_kept() {
    let ((), record) = MockHost::new().run(|| {
        log::info("Sent.", &[("id", "1")]);
        print_line("a");
        print_line("b");
    });
    assert_eq!(record.stdout, "a\nb\n");
    assert_eq!(record.logs[0].fields, [("id".to_owned(), "1".to_owned())]);
}

#[test]
fn a_content_type_that_is_set_stays() {
    let host = MockHost::new().expect(Expect::post(URL).header("content-type", "application/problem+json"));
    let (_, record) =
        host.run(|| http::post(URL).header("Content-Type", "application/problem+json").json(&json!({})).send());
    assert_eq!(record.requests[0].headers.len(), 1);
}
