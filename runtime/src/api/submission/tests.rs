//! JSON in, a submission or all of its problems out.

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::domain::Actor;

fn read_text(text: &str) -> (Submission, Problems) {
    let raw: &RawValue = serde_json::from_str(text).expect("JSON");
    let mut problems = Problems::default();
    (read(raw, &mut problems), problems)
}

#[track_caller]
fn well(value: &Value) -> Submission {
    let (submission, problems) = read_text(&value.to_string());
    assert!(problems.is_empty(), "{problems:?}");
    submission
}

/// Each problem as `place code`.
fn ill(value: &Value) -> Vec<String> {
    told(&read_text(&value.to_string()).1)
}

fn told(problems: &Problems) -> Vec<String> {
    problems.as_slice().iter().map(|problem| format!("{} {}", problem.at, problem.code.as_str())).collect()
}

#[test]
fn every_field_has_its_place() {
    let submission = well(&json!({
        "to": ["ada", {"email": "bob@example.com", "phone": "+491", "name": "Bob", "locale": "de"}],
        "channels": ["email", "ops-slack"], "kind": "warning", "priority": "high", "title": "t", "body": "b",
        "html": "<b>", "markdown": "*b*", "parts": {"slack-blocks": "[]"}, "template": "w", "data": {"host": "db-3"},
        "actions": [{"label": "Open", "url": "https://example.com", "style": "danger"}],
        "scheduled_at": "2030-01-31T09:30:00Z", "expires_at": "2030-01-31T11:30:00+01:00",
        "correlation_id": "c", "group_key": "g", "metadata": {"team": "infra"},
        "dedupe_key": "d", "idempotency_key": "i", "callback_url": "https://example.com/done",
    }));
    let bob = Contact {
        addresses: vec![("email".into(), "bob@example.com".into()), ("phone".into(), "+491".into())],
        name: Some("Bob".into()),
        locale: Some("de".into()),
        time_zone: None,
    };
    let at = Timestamp::from_millis(1_896_082_200_000);
    let expected = Submission {
        to: vec!["ada".into(), To::Contact(bob)],
        channels: vec!["email".into(), "ops-slack".into()],
        kind: Some("warning".into()),
        priority: Some(Priority::High),
        title: Some("t".into()),
        body: Some("b".into()),
        html: Some("<b>".into()),
        markdown: Some("*b*".into()),
        parts: vec![Part { name: "slack-blocks".into(), value: "[]".into() }],
        template: Some("w".into()),
        data: Some("{\"host\":\"db-3\"}".into()),
        actions: vec![SubmittedAction {
            id: None,
            label: "Open".into(),
            url: Some("https://example.com".into()),
            style: ActionStyle::Danger,
        }],
        scheduled_at: Some(at),
        expires_at: Some(at.after(std::time::Duration::from_hours(1))),
        correlation_id: Some("c".into()),
        group_key: Some("g".into()),
        metadata: vec![("team".into(), "infra".into())],
        dedupe_key: Some("d".into()),
        idempotency_key: Some("i".into()),
        callback_url: Some("https://example.com/done".into()),
        by: Actor::default(),
    };
    assert_eq!(submission, expected);
}

#[test]
fn null_and_what_says_nothing_are_as_good_as_absent() {
    let submission = well(&json!({
        "to": null, "title": null, "data": null, "metadata": null, "topic": null, "attachments": [], "dedupe_key": null,
    }));
    assert_eq!(submission, Submission::default());
}

#[test]
fn data_is_handed_on_as_it_was_written() {
    let text = r#"{"data": {"big": 123456789012345678901234567890, "small": 1e400, "a":1, "a":2}}"#;
    let (submission, problems) = read_text(text);
    assert!(problems.is_empty());
    let expected = r#"{"big": 123456789012345678901234567890, "small": 1e400, "a":1, "a":2}"#;
    assert_eq!(submission.data.as_deref(), Some(expected));
}

#[test]
fn every_problem_is_told_with_its_place() {
    let problems = ill(&json!({
        "to": ["ada", 7, {"email": null, "name": 1}], "channels": "email", "priority": "urgent", "title": 1, "data": [],
        "actions": [{}, {"label": "x", "colour": "red"}], "scheduled_at": "tomorrow", "metadata": {"a": true},
        "topic": "ops", "bodi": "b",
    }));
    let expected = [
        "/to/1 wrong-type",
        "/to/2/name wrong-type",
        "/to/2/email wrong-type",
        "/channels wrong-type",
        "/priority bad-value",
        "/title wrong-type",
        "/data wrong-type",
        "/actions/0/label missing",
        "/actions/1/colour unknown-field",
        "/scheduled_at bad-value",
        "/metadata/a wrong-type",
        "/topic unsupported",
        "/bodi unknown-field",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn an_unknown_field_is_answered_with_the_one_that_was_meant() {
    let hint = |field: &str| {
        let (_, problems) = read_text(&json!({ field: "x" }).to_string());
        problems.as_slice()[0].hint.clone()
    };
    assert_eq!(hint("bodi").as_deref(), Some("did you mean `body`?"));
    assert_eq!(hint("channel").as_deref(), Some("did you mean `channels`?"));
    assert_eq!(hint("message").as_deref(), Some("did you mean `body`?"));
    assert_eq!(hint("xylophone"), None);
}

#[test]
fn a_field_twice_is_a_problem_and_half_a_character_is_one() {
    assert_eq!(told(&read_text(r#"{"body": "a", "body": "b"}"#).1), ["/body duplicate-field"]);
    assert_eq!(told(&read_text(r#"{"body": "\ud800"}"#).1), ["/body bad-value"]);
}

#[test]
fn what_is_no_object_has_one_problem() {
    for text in ["[]", "7", "\"hi\"", "null", "true"] {
        let (_, problems) = read_text(text);
        assert_eq!(told(&problems), [" wrong-type"]);
        let mut checked = Problems::default();
        checked.add("/body", ProblemCode::Missing, "no body");
        assert_eq!(told(&merged(problems, &checked)), [" wrong-type"]);
    }
}

#[test]
fn what_could_not_be_read_is_not_also_missing() {
    let (_, read) = read_text(r#"{"body": 7, "to": [1], "bodi": "x"}"#);
    let mut checked = Problems::default();
    for at in ["/body", "/to", "/channels"] {
        checked.add(at, ProblemCode::Missing, "is missing");
    }
    let all = merged(read, &checked);
    assert_eq!(told(&all), ["/to/0 wrong-type", "/body wrong-type", "/bodi unknown-field", "/channels missing"]);
}

#[test]
fn a_long_list_is_cut_where_its_limit_is() {
    let text = json!({ "to": vec!["a@b"; RECIPIENTS_MAX + 5] }).to_string();
    let (submission, problems) = read_text(&text);
    assert_eq!(told(&problems), ["/to too-many"]);
    assert_eq!(submission.to.len(), RECIPIENTS_MAX);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof![proptest::sample::select(FIELDS.to_vec()).prop_map(str::to_owned), "\\PC{0,6}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..8).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_a_submission_or_has_problems_whose_places_are_pointers(value in any_json()) {
        let (_, problems) = read_text(&value.to_string());
        for problem in problems.as_slice() {
            prop_assert!(problem.at.is_empty() || problem.at.starts_with('/'));
            prop_assert!(!problem.message.is_empty());
        }
        prop_assert!(value.is_object() || !problems.is_empty());
    }
}

#[test]
fn an_offset_that_no_clock_has_is_no_instant() {
    let at = |text: &str| instant(text).map(Timestamp::as_millis);
    assert_eq!(at("2030-01-31T09:30:00+23:59"), at("2030-01-30T09:31:00Z"));
    assert_eq!(at("2030-01-31T09:30:00-23:59"), at("2030-02-01T09:29:00Z"));
    for text in ["2030-01-31T09:30:00+24:00", "2030-01-31T09:30:00.5-25:00", "2030-01-31 09:30:00+25:00"] {
        assert!(at(text).is_err_and(|message| message.contains("23:59")), "{text}");
    }
}
