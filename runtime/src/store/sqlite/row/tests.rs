//! Every value survives its row.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

/// Puts, takes, and takes from every shorter blob, which must be an error.
fn survives<T: PartialEq + std::fmt::Debug>(
    value: &T,
    put: impl Fn(&mut Vec<u8>, &T),
    take: impl Fn(&[u8]) -> Result<T, Damaged>,
) {
    let mut bytes = Vec::new();
    put(&mut bytes, value);
    assert_eq!(take(&bytes).as_ref(), Ok(value));
    for length in 0..bytes.len() {
        assert!(take(&bytes[..length]).is_err(), "cut at {length} of {}", bytes.len());
    }
    bytes.push(0);
    assert!(take(&bytes).is_err(), "something is left over");
}

fn states() -> Vec<DeliveryState> {
    let at = Timestamp::MAX;
    let text = || Some("ü 504".to_owned());
    let mut reasons = vec![
        FailReason::RecipientGone { code: text(), reason: "gone".into() },
        FailReason::Exhausted { last: "busy".into() },
        FailReason::TooOld { last: String::new() },
        FailReason::Expired,
    ];
    for blame in [Blame::Message, Blame::Channel] {
        reasons.push(FailReason::Rejected { blame, code: None, reason: "no".into() });
    }
    reasons.extend(Fault::ALL.map(|fault| FailReason::Fault { fault, last: "boom".into() }));
    let mut states: Vec<_> =
        reasons.into_iter().map(|reason| DeliveryState::Failed { at, attempts: 300, reason }).collect();
    for unconfirmed in [false, true] {
        let receipt = Receipt { provider_id: text(), facts: vec![("cost".into(), "3".into())] };
        states.push(DeliveryState::Sent { at, attempts: 1, receipt, unconfirmed });
        states.push(DeliveryState::Sent { at, attempts: 1, receipt: Receipt::default(), unconfirmed });
    }
    states.push(DeliveryState::Cancelled { at, attempts: u32::MAX });
    let awaited = |receipt| Some(Arc::new(Awaited { receipt, since: at, polls: 77 }));
    let receipt = Receipt { provider_id: text(), facts: vec![("cost".into(), "3".into())] };
    for (run_began, accepted) in
        [(None, None), (Some(at), None), (None, awaited(Receipt::default())), (Some(at), awaited(receipt))]
    {
        let (attempts, retries_used, faults, interrupted) = (5, 4, 3, u32::MAX);
        states.push(DeliveryState::Waiting(Waiting {
            due: at,
            attempts,
            retries_used,
            faults,
            interrupted,
            run_began,
            accepted,
        }));
    }
    states
}

#[test]
fn every_state_survives_its_row() {
    for state in states() {
        survives(&state, put_state, super::state);
    }
}

#[test]
fn every_priority_and_action_style_survives_its_row() {
    for priority in Priority::DESCENDING {
        assert_eq!(priority_of(priority_number(priority)), Ok(priority));
    }
    for style in [ActionStyle::Plain, ActionStyle::Primary, ActionStyle::Danger] {
        let action = Action { id: "a".into(), label: "Open".into(), url: None, style };
        let mut bytes = Vec::new();
        put_action(&mut bytes, &action);
        assert_eq!(super::action(&mut Reader::new("action", &bytes)), Ok(action));
    }
}

#[test]
fn a_later_format_is_not_guessed_at() {
    let mut bytes = Vec::new();
    put_recipient(&mut bytes, &Recipient::default());
    bytes[0] = FORMAT_OTHERS + 1;
    assert_eq!(recipient(&bytes), Err(Damaged("recipient")));
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((".{0,4}", ".{0,4}"), 0..3)
}

fn text() -> impl Strategy<Value = Option<String>> {
    option::of(".{0,8}")
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (0..=Timestamp::MAX.as_millis()).prop_map(Timestamp::from_millis)
}

fn contents() -> impl Strategy<Value = Content> {
    (text(), ".{0,20}", text(), text(), pairs()).prop_map(|(title, text, html, markdown, parts)| Content {
        title,
        text,
        html,
        markdown,
        parts: parts.into_iter().map(|(name, value)| Part { name, value }).collect(),
    })
}

fn notifications() -> impl Strategy<Value = Notification> {
    let links = vec((".{0,4}", text()), 0..3);
    let times = (instant(), option::of(instant()), option::of(instant()));
    let words = (".{0,8}", text(), text(), text());
    let template = option::of(any::<[u8; 32]>());
    (contents(), links, pairs(), words, times, template).prop_map(
        |(content, links, metadata, (kind, data, correlation_id, group_key), times, template)| Notification {
            id: NotificationId::from_bytes([3; 16]),
            kind,
            priority: Priority::High,
            content: content.into(),
            actions: links
                .into_iter()
                .map(|(label, url)| Action { id: label.clone(), label, url, style: ActionStyle::Primary })
                .collect(),
            template: template.map(|version| TemplateUse { name: TemplateName::new("welcome.v2").unwrap(), version }),
            data,
            metadata,
            correlation_id,
            group_key,
            created_at: times.0,
            scheduled_at: times.1,
            expires_at: times.2,
        },
    )
}

proptest! {
    #[test]
    fn any_notification_survives_its_row(notification in notifications()) {
        survives(&notification, put_notification, |bytes| super::notification(notification.id, bytes));
    }

    #[test]
    fn any_recipient_survives_its_row(
        address in ".{0,8}", others in pairs(), id in text(), name in text(), locale in text(), time_zone in text(),
        attributes in pairs()
    ) {
        survives(&Recipient { address, others, id, name, locale, time_zone, attributes }, put_recipient, recipient);
    }

    #[test]
    fn any_attempt_survives_its_row(
        number: u32, started_at in instant(), nanos: u64, texts in (".{0,8}", text(), text(), text(), ".{0,8}"),
        fuel: u64, memory_bytes: u64
    ) {
        let (end, code, reason, provider_id, plugin) = texts;
        let duration = Duration::from_nanos(nanos);
        let attempt =
            Attempt { number, started_at, duration, end, code, reason, provider_id, plugin, fuel, memory_bytes };
        survives(&attempt, put_attempt, |bytes| super::attempt(number, bytes));
    }

    #[test]
    fn any_template_survives_its_row(version: [u8; 32], engine in ".{0,8}", parts in pairs()) {
        survives(&TemplateSource { version, engine, parts }, put_template, |bytes| template(version, bytes));
    }

    #[test]
    fn foreign_bytes_are_an_error_and_no_panic(bytes: Vec<u8>) {
        let _ = notification(NotificationId::from_bytes([0; 16]), &bytes);
        let _ = state(&bytes);
        let _ = attempt(1, &bytes);
    }
}
