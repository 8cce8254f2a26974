//! What a submission leaves behind, and what is said of a bad one.

mod callback_url;

use std::collections::BTreeMap;

use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::call::{AddressNeed, ChannelFacts};
use crate::clock::ManualClock;
use crate::domain::{CallbackUrl, DeliveryState, EventBody, NotificationId, PluginName, Priority, Waiting};
use crate::queue::WindowLimits;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{CommitListener, Committed, Durability, NotificationRecord};

const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);
const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// `console`, which needs no address; `mail` and `pager` (high), which need an `email`; `broken`, which is not ready.
struct Channels(BTreeMap<&'static str, Arc<ChannelFacts>>);

impl Channels {
    fn new() -> Self {
        let facts = |address: Option<&str>, priority| {
            let pattern = Regex::new("[^@ ]+@[^@ ]+").expect("a pattern");
            let address = address.map(|kind| AddressNeed { kind: kind.to_owned(), pattern: Some(pattern) });
            Arc::new(ChannelFacts {
                plugin: PluginName::new("plugin").expect("a name"),
                address,
                priority,
                has_fallback: false,
            })
        };
        Self(BTreeMap::from([
            ("console", facts(None, None)),
            ("mail", facts(Some("email"), Some(Priority::Low))),
            ("pager", facts(Some("email"), Some(Priority::High))),
        ]))
    }
}

impl ChannelDirectory for Channels {
    fn channel(&self, name: &ChannelName) -> Result<Arc<ChannelFacts>, ChannelUnavailable> {
        match name.as_str() {
            "broken" => Err(ChannelUnavailable::NotReady { name: name.clone(), reason: "no such plugin".to_owned() }),
            known if self.0.contains_key(known) => Ok(Arc::clone(&self.0[known])),
            _ => Err(ChannelUnavailable::Unknown {
                name: name.to_string(),
                nearest: Some("mail".to_owned()),
                section: Some("[channels.slack]\nplugin = \"slack\"\n".to_owned()),
                known: vec!["console".to_owned(), "mail".to_owned()],
            }),
        }
    }
}

/// `welcome`, which needs `name`.
struct Templates;

#[async_trait]
impl TemplatePins for Templates {
    async fn pin(&self, name: &TemplateName, data: Option<&str>) -> Result<TemplateUse, PinError> {
        if name.as_str() != "welcome" {
            return Err(PinError::Unknown { name: name.clone(), nearest: Some("welcome".to_owned()) });
        }
        if !data.unwrap_or_default().contains("\"name\"") {
            return Err(PinError::MissingData { name: name.clone(), variables: vec!["name".to_owned()] });
        }
        Ok(TemplateUse { name: name.clone(), version: [7; 32] })
    }
}

/// Calls nobody but `hooks.example.com`.
struct Called;

impl CallbackUrls for Called {
    fn permits(&self, url: &CallbackUrl) -> Result<(), CallbackUrlRefusal> {
        match url.place().as_str() {
            "hooks.example.com:443" => Ok(()),
            "off.example.com:443" => Err(CallbackUrlRefusal::Off),
            _ => {
                let (message, hint) = ("is not called".to_owned(), Some("take another".to_owned()));
                Err(CallbackUrlRefusal::NotPermitted { message, hint })
            }
        }
    }
}

/// Listens to commits.
struct Nobody;

impl CommitListener for Nobody {
    fn committed(&self, _: Committed) {}
}

fn intake() -> Intake {
    let options = SqliteOptions { path: "intake".into(), durability: Durability::Memory, listener: Arc::new(Nobody) };
    Intake {
        store: SqliteStore::open(options).expect("a store in memory opens"),
        channels: Arc::new(Channels::new()),
        templates: Arc::new(Templates),
        clock: Arc::new(ManualClock::at(NOW)),
        entropy: Arc::new(Entropy::fixed(1)),
        metrics: Metrics::new(),
        queue: QueueHandle::new(WindowLimits::default(), Arc::new(ManualClock::at(NOW))),
        dedupe_window: 5 * MINUTE,
        callback_urls: Arc::new(Called),
    }
}

fn to_console() -> Submission {
    Submission { channels: vec!["console".to_owned()], body: Some("hi".to_owned()), ..Submission::default() }
}

fn to_mail(addresses: &[&str]) -> Submission {
    let to = addresses.iter().map(|address| To::from(*address)).collect();
    Submission { to, channels: vec!["mail".to_owned()], ..to_console() }
}

async fn record(intake: &Intake, id: NotificationId) -> NotificationRecord {
    intake.store.notification(id).await.expect("the store reads").expect("it is there")
}

async fn is_empty(intake: &Intake) -> bool {
    let counts = intake.store.count().await.expect("the store counts");
    let events = intake.store.outbox(0, 1).await.expect("the store reads");
    counts == Default::default() && events.is_empty()
}

/// Places and codes of everything that is wrong; asserts that nothing was stored.
async fn problems(submission: Submission) -> Vec<(String, &'static str)> {
    let intake = intake();
    let Err(SubmitError::Invalid(problems)) = intake.submit(submission).await else { panic!("it was taken") };
    assert!(is_empty(&intake).await);
    problems.as_slice().iter().map(|problem| (problem.at.clone(), problem.code.as_str())).collect()
}

fn places(expected: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    expected.iter().map(|(at, code)| ((*at).to_owned(), *code)).collect()
}

#[tokio::test]
async fn what_was_accepted_is_in_the_store_with_its_defaults() {
    let intake = intake();
    let acceptance = intake.submit(to_mail(&["a@b", "c@d"])).await.expect("it is taken");
    let addresses: Vec<&str> = acceptance.deliveries.iter().map(|delivery| &*delivery.address).collect();
    assert_eq!(addresses, ["a@b", "c@d"]);
    let record = record(&intake, acceptance.id).await;
    let notification = &record.notification;
    assert_eq!((&*notification.kind, notification.priority), ("info", Priority::Low));
    assert_eq!((notification.created_at, notification.scheduled_at), (NOW, None));
    assert_eq!(record.deliveries[1].id, acceptance.deliveries[1].id);
    assert_eq!(record.deliveries[1].state, DeliveryState::Waiting(Waiting::fresh(NOW)));
    assert!(intake.metrics.encode().contains("campanile_notifications_accepted_total{priority=\"low\"} 1"));
}

#[tokio::test]
async fn the_priority_is_the_callers_else_the_most_urgent_of_the_channels_else_normal() {
    let intake = intake();
    let both = Submission { channels: vec!["mail".to_owned(), "pager".to_owned()], ..to_mail(&["a@b"]) };
    let cases = [
        (Submission { priority: Some(Priority::Normal), ..both.clone() }, Priority::Normal),
        (both, Priority::High),
        (to_console(), Priority::Normal),
    ];
    for (submission, expected) in cases {
        let id = intake.submit(submission).await.expect("it is taken").id;
        assert_eq!(record(&intake, id).await.notification.priority, expected);
    }
}

#[tokio::test]
async fn a_schedule_in_the_future_is_kept_and_one_of_yesterday_means_now() {
    let intake = intake();
    let at = NOW.after(HOUR);
    let later = intake.submit(Submission { scheduled_at: Some(at), ..to_console() }).await.expect("taken");
    let later = record(&intake, later.id).await;
    assert_eq!(later.notification.scheduled_at, Some(at));
    assert_eq!(later.deliveries[0].state, DeliveryState::Waiting(Waiting::fresh(at)));

    let yesterday = Timestamp::from_millis(NOW.as_millis() - 24 * 3_600_000);
    let now = intake.submit(Submission { scheduled_at: Some(yesterday), ..to_console() }).await.expect("taken");
    let now = record(&intake, now.id).await;
    assert_eq!(now.notification.scheduled_at, None);
    assert_eq!(now.deliveries[0].state, DeliveryState::Waiting(Waiting::fresh(NOW)));

    let older = Timestamp::from_millis(yesterday.as_millis() - 1);
    let refused = problems(Submission { scheduled_at: Some(older), ..to_console() }).await;
    assert_eq!(refused, places(&[("/scheduled_at", "too-old")]));
}

#[tokio::test]
async fn something_that_expires_before_it_can_be_sent_is_refused() {
    for (scheduled_at, expires_at) in [(None, NOW), (Some(NOW.after(HOUR)), NOW.after(HOUR))] {
        let submission = Submission { scheduled_at, expires_at: Some(expires_at), ..to_console() };
        assert_eq!(problems(submission).await, places(&[("/expires_at", "bad-value")]));
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let submission = Submission {
        to: vec!["a@b".into(), "nobody".into()],
        channels: vec!["mial".to_owned(), "Slack!".to_owned(), "broken".to_owned()],
        kind: Some("très urgent".to_owned()),
        title: Some("two\nlines".to_owned()),
        template: Some("welcom".to_owned()),
        data: Some("[1]".to_owned()),
        metadata: vec![("a/b".to_owned(), "x".repeat(2_000))],
        actions: vec![SubmittedAction { url: Some("javascript:alert(1)".to_owned()), ..SubmittedAction::default() }],
        expires_at: Some(NOW),
        ..to_console()
    };
    let expected = [
        ("/kind", "bad-value"),
        ("/title", "bad-value"),
        ("/body", "conflict"),
        ("/data", "wrong-type"),
        ("/actions/0/label", "empty"),
        ("/actions/0/url", "bad-value"),
        ("/expires_at", "bad-value"),
        ("/metadata/a~1b", "too-long"),
        ("/channels/0", "unknown-channel"),
        ("/channels/1", "unknown-channel"),
        ("/channels/2", "channel-not-ready"),
    ];
    assert_eq!(problems(submission).await, places(&expected));
}

#[tokio::test]
async fn an_unknown_channel_is_answered_with_the_nearest_name_and_what_to_paste() {
    let submission = Submission { channels: vec!["slack".to_owned()], ..to_console() };
    let Err(SubmitError::Invalid(problems)) = intake().submit(submission).await else { panic!("it was taken") };
    let hint = problems.as_slice()[0].hint.as_deref().expect("a hint");
    assert!(hint.starts_with("did you mean `mail`?\nadd this to the configuration:\n\n[channels.slack]\n"), "{hint}");
}

#[tokio::test]
async fn nobody_to_tell_and_nothing_to_say_are_told() {
    let nothing = problems(Submission::default()).await;
    assert_eq!(nothing, places(&[("/body", "missing"), ("/channels", "missing")]));
    assert_eq!(problems(to_mail(&[])).await, places(&[("/to", "missing")]));
    assert_eq!(problems(to_mail(&["a@b", "nobody"])).await, places(&[("/to/1", "unreachable-recipient")]));
    assert_eq!(problems(to_mail(&["a@b", ""])).await, places(&[("/to/1", "empty")]));
}

#[tokio::test]
async fn a_template_is_pinned_and_takes_the_place_of_the_body() {
    let with = |data: Option<&str>| Submission {
        body: None,
        template: Some("welcome".to_owned()),
        data: data.map(str::to_owned),
        ..to_console()
    };
    let intake = intake();
    let id = intake.submit(with(Some("{\"name\": \"Ada\"}"))).await.expect("it is taken").id;
    let record = record(&intake, id).await;
    assert_eq!(record.notification.template.as_ref().map(|template| template.version), Some([7; 32]));
    assert_eq!(problems(with(None)).await, places(&[("/data", "missing-data")]));
    let unknown = Submission { template: Some("welcom".to_owned()), ..with(None) };
    assert_eq!(problems(unknown).await, places(&[("/template", "unknown-template")]));
}

#[tokio::test]
async fn data_that_is_nested_too_deep_is_refused_before_it_is_parsed() {
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let with = |data: String| Submission { data: Some(data), ..to_console() };
    intake().submit(with(deep(limits::DATA_DEPTH_MAX))).await.expect("the limit is allowed");
    let over = problems(with(deep(limits::DATA_DEPTH_MAX + 1))).await;
    assert_eq!(over, places(&[("/data", "too-deep")]));
}

/// One whose channel is held is told to be, with its accept; of what is for later, and of other channels, nothing is told.
#[tokio::test]
async fn what_is_accepted_for_a_held_channel_is_told_to_be_held() {
    let intake = intake();
    let name = |name: &str| ChannelName::new(name).expect("a name");
    for channel in ["console", "mail"] {
        intake.queue.set_gates([(name(channel), crate::queue::GateSettings::default())]);
    }
    intake.queue.pause(&name("mail"));
    intake.submit(to_console()).await.expect("it is taken");
    let both = Submission { channels: vec!["console".to_owned(), "mail".to_owned()], ..to_mail(&["a@b", "c@d"]) };
    let id = intake.submit(both.clone()).await.expect("it is taken").id;
    intake.submit(Submission { scheduled_at: Some(NOW.after(HOUR)), ..both.clone() }).await.expect("it is taken");
    intake.queue.resume(&name("mail"));
    intake.submit(both).await.expect("it is taken");
    let events = intake.store.outbox(0, 100).await.expect("the store reads");
    let held = events.into_iter().filter_map(|event| match event.event.body {
        EventBody::DeliveryHeld { delivery, channel, by } => Some((delivery, channel.to_string(), by)),
        _ => None,
    });
    let record = record(&intake, id).await;
    let of_mail = record.deliveries.iter().filter(|delivery| delivery.channel == name("mail"));
    let expected: Vec<_> = of_mail.map(|one| (one.id, "mail".to_owned(), HeldBy::Pause)).collect();
    assert_eq!((expected.len(), held.collect::<Vec<_>>()), (2, expected));
}

#[tokio::test]
async fn a_batch_takes_the_good_ones_in_one_commit_and_names_the_others() {
    let intake = intake();
    let before = intake.store.stats().commits;
    let batch = vec![to_console(), Submission::default(), to_mail(&["a@b"])];
    let answers = intake.submit_batch(batch).await.expect("the batch is looked at");
    let taken: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(taken, [true, false, true]);
    assert_eq!(intake.store.stats().commits - before, 1);
    assert_eq!(intake.store.count().await.expect("counted").open, 2);
}

#[tokio::test]
async fn a_batch_over_its_limit_is_refused_whole() {
    let intake = intake();
    let batch = vec![to_console(); limits::BATCH_MAX + 1];
    assert!(matches!(intake.submit_batch(batch).await, Err(SubmitError::Invalid(_))));
    assert!(is_empty(&intake).await);
}

#[tokio::test]
async fn a_store_that_is_closed_is_unavailable_and_not_the_callers_fault() {
    let intake = intake();
    intake.store.close().await;
    let error = intake.submit(to_console()).await.expect_err("nothing can be stored");
    assert!(error.is_transient(), "{error:?}");
}

fn any_text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("\\PC{0,12}|[a-z]{1,8}|console|mail|a@b|\\{\\}|welcome")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_submitted_is_stored_whole_or_leaves_nothing(
        to in proptest::collection::vec(any_text(), 0..4),
        channels in proptest::collection::vec("console|mail|pager|broken|[a-z!]{0,4}", 0..3),
        texts in proptest::array::uniform8(any_text()),
        times in proptest::array::uniform2(proptest::option::of(NOW.as_millis() - 90_000_000..NOW.as_millis() + 9_000)),
    ) {
        let [kind, title, body, html, template, data, correlation_id, meta] = texts;
        let [scheduled_at, expires_at] = times.map(|at| at.map(Timestamp::from_millis));
        let submission = Submission {
            to: to.into_iter().map(|text| To::Address(text.unwrap_or_default())).collect(),
            channels, kind, title, body, html, template, data, correlation_id, scheduled_at, expires_at,
            metadata: meta.into_iter().map(|text| (text.clone(), text)).collect(),
            ..Submission::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let intake = intake();
            match intake.submit(submission).await {
                Ok(acceptance) => {
                    let record = record(&intake, acceptance.id).await;
                    assert_eq!(record.deliveries.len(), acceptance.deliveries.len());
                    assert!(!record.deliveries.is_empty());
                }
                Err(SubmitError::Invalid(problems)) => {
                    assert!(!problems.is_empty());
                    assert!(is_empty(&intake).await);
                }
                Err(error) => panic!("the store is well: {error:?}"),
            }
        });
    }
}

fn with_key(key: &str) -> Submission {
    Submission { idempotency_key: Some(key.to_owned()), ..to_mail(&["ada@example.com"]) }
}

#[tokio::test]
async fn the_same_key_and_content_give_the_first_answer_again() {
    let intake = intake();
    let first = intake.submit(with_key("order-7")).await.expect("good");
    let again = intake.submit(with_key("order-7")).await.expect("good");
    assert_eq!(again, Acceptance { replayed: true, ..first.clone() });
    assert_eq!(intake.store.count().await.expect("counts").open, 1, "it was accepted once");
    let other = intake.submit(with_key("order-8")).await.expect("good");
    assert_ne!(other.id, first.id);
    let batch = intake.submit_batch(vec![with_key("order-7"), with_key("order-9"), with_key("order-9")]).await;
    let told: Vec<_> = batch.expect("good").into_iter().map(|one| one.expect("good").replayed).collect();
    assert_eq!(told, [true, false, true]);
}

#[tokio::test]
async fn the_first_answer_is_given_even_where_the_same_would_be_refused_now() {
    let mut intake = intake();
    let first = intake.submit(with_key("order-7")).await.expect("good");
    intake.channels = Arc::new(Channels(BTreeMap::new()));
    let again = intake.submit(with_key("order-7")).await.expect("it was accepted then");
    assert_eq!((again.id, again.replayed), (first.id, true));
}

#[tokio::test]
async fn an_answer_that_is_given_again_names_who_was_skipped() {
    let intake = intake();
    let addresses: Vec<String> = (0..120).map(|n| format!("{n}@example.com")).collect();
    let mut to: Vec<&str> = addresses.iter().map(String::as_str).collect();
    to.extend(["nobody", "ada@example.com", "nowhere"]);
    let submission = Submission { idempotency_key: Some("order-7".to_owned()), ..to_mail(&to) };
    let first = intake.submit(submission.clone()).await.expect("good");
    assert_eq!((first.skipped.as_slice(), first.delivery_count), (&[120, 122][..], 121));
    let again = intake.submit(submission).await.expect("good");
    assert_eq!(again, Acceptance { replayed: true, ..first });
}

#[tokio::test]
async fn the_same_key_for_other_content_is_refused_and_keeps_nothing() {
    let intake = intake();
    intake.submit(with_key("order-7")).await.expect("good");
    let other = Submission { body: Some("another text".to_owned()), ..with_key("order-7") };
    let Err(SubmitError::Invalid(problems)) = intake.submit(other.clone()).await else { panic!("it was taken") };
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!((problem.at.as_str(), problem.code), ("/idempotency_key", ProblemCode::KeyReused));
    let batch = intake.submit_batch(vec![other]).await.expect("each is told");
    assert!(matches!(&batch[..], [Err(problems)] if problems.any_under("/idempotency_key")), "{batch:?}");
    assert_eq!(intake.store.count().await.expect("counts").open, 1);
}

#[tokio::test]
async fn a_key_holds_for_a_day() {
    let clock = ManualClock::at(NOW);
    let intake = Intake { clock: Arc::new(clock.clone()), ..intake() };
    let first = intake.submit(with_key("order-7")).await.expect("good");
    clock.advance(24 * HOUR);
    assert_eq!(intake.submit(with_key("order-7")).await.expect("good").id, first.id);
    clock.advance(Duration::from_millis(1));
    assert_ne!(intake.submit(with_key("order-7")).await.expect("good").id, first.id);
}

#[tokio::test]
async fn keys_that_are_none_are_told() {
    for key in ["", "with space", "ümlaut", "line\n", &"k".repeat(256)] {
        let found = problems(Submission { idempotency_key: Some(key.to_owned()), ..to_console() }).await;
        assert_eq!(found.len(), 1, "{key:?}: {found:?}");
        assert_eq!(found[0].0, "/idempotency_key");
    }
    let found = problems(Submission { dedupe_key: Some(" ".to_owned()), ..to_console() }).await;
    assert_eq!(found, [("/dedupe_key".to_owned(), "empty")]);
}

#[tokio::test]
async fn the_same_news_is_told_once_within_its_window() {
    let clock = ManualClock::at(NOW);
    let intake = Intake { clock: Arc::new(clock.clone()), ..intake() };
    let news = |addresses: &[&str]| Submission { dedupe_key: Some("disk-db-3".to_owned()), ..to_mail(addresses) };
    let first = intake.submit(news(&["ada@example.com"])).await.expect("good");
    let second = intake.submit(news(&["ada@example.com", "bob@example.com"])).await.expect("good");
    let made: Vec<_> = second.deliveries.iter().map(|one| one.address.as_str()).collect();
    assert_eq!(made, ["bob@example.com"]);
    let [left_out] = &second.deduplicated[..] else { panic!("{second:?}") };
    assert_eq!((left_out.address.as_str(), left_out.first), ("ada@example.com", first.deliveries[0].id));
    clock.advance(5 * MINUTE + Duration::from_millis(1));
    let later = intake.submit(news(&["ada@example.com"])).await.expect("good");
    assert_eq!((later.deliveries.len(), later.deduplicated.len()), (1, 0));
}

#[tokio::test]
async fn a_year_ahead_can_be_scheduled_and_much_more_cannot() {
    let at = |days: u32| Submission { scheduled_at: Some(NOW.after(HOUR * 24 * days)), ..to_console() };
    assert!(intake().submit(at(366)).await.is_ok());
    assert_eq!(problems(at(401)).await, [("/scheduled_at".to_owned(), "too-far-ahead")]);
}
