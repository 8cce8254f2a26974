//! What a plugin is told, what it can be asked, and what is no plugin at all.

use std::sync::Arc;

use super::rig::{self, Rig, call};
use crate::call::{RenderCall, RenderFailure, TemplateCheckError, TemplateProblem};
use crate::config::CallLimits;
use crate::domain::{AttemptEnd, Blame, Fault, Interruption, Outcome, PluginName, Timestamp};
use crate::sandbox::{Health, PrepareError, Role};

#[tokio::test]
async fn a_plugin_is_told_everything_about_its_call() {
    let rig = Rig::unruly().await;
    let AttemptEnd::Outcome(Outcome::Sent(receipt)) = rig.send("context").await.end else { panic!("it is sent") };
    let told: Vec<String> = receipt.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    channel: belfry
    config: {"tone":"c"}
    now: 1000
    has-time: true
    delivery: dlv_01010101010101010101010101010101_3
    attempt: 2
    recipient: Recipient { address: "", id: None, name: None, locale: None, time-zone: None, attributes: [("mood", "calm")] }
    notification: ntf_01010101010101010101010101010101 info Priority::High
    content: Content { title: Some("Bells"), text: "context", html: None, markdown: Some("**Bells**"), parts: [Part { name: "preheader", value: "ding" }] }
    actions: [Action { id: "open", label: "Open", url: Some("https://example.com/"), style: ActionStyle::Primary }]
    metadata: [("team", "infra")]
    "#);
}

#[tokio::test]
async fn a_call_reports_what_it_cost_and_who_was_called() {
    let rig = Rig::unruly().await;
    let report = rig.send("hello").await;
    assert_eq!(report.end.as_str(), "sent");
    assert_eq!(report.plugin.as_deref().map(ToString::to_string).as_deref(), Some("unruly@0.1.0"));
    assert!((1_000..10_000_000).contains(&report.fuel), "{}", report.fuel);
    assert!(report.memory_bytes > 0 && report.memory_bytes % (64 << 10) == 0, "{}", report.memory_bytes);
    assert!(!report.duration.is_zero());
}

#[tokio::test]
async fn a_recipient_that_the_plugin_does_not_support_is_rejected_before_send() {
    let rig = Rig::unruly().await;
    let report = rig.plugin.send(&rig.channel, &call("panic", "nobody")).await;
    let rejected = Outcome::Rejected {
        blame: Blame::Message,
        code: Some("unsupported-recipient".to_owned()),
        reason: "nobody has no bell".to_owned(),
    };
    assert_eq!(report.end, AttemptEnd::Outcome(rejected));
}

#[tokio::test]
async fn a_configuration_is_judged_with_nothing_granted() {
    let rig = Rig::unruly().await;
    let limits = CallLimits::default();
    assert_eq!(rig.plugin.configure("{}", &limits).await, Ok(Vec::new()));
    let problems = rig.plugin.configure(r#"{"shape":"crooked"}"#, &limits).await.expect("it answers");
    assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), ["`/shape`: it is crooked"]);
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_denied_and_the_guest_goes_on() {
    let rig = Rig::unruly().await;
    let report = rig.plugin.send(&rig.channel, &call("ask", "http://127.0.0.1:9/")).await;
    let AttemptEnd::Outcome(Outcome::Rejected { reason, .. }) = report.end else { panic!("{:?}", report.end) };
    assert!(reason.contains("Denied"), "{reason}");
}

#[tokio::test]
async fn a_plugin_can_be_asked_for_its_health() {
    let rig = Rig::unruly().await;
    let health = rig.plugin.health(&rig.channel, Timestamp::from_millis(1)).await;
    assert_eq!(health, Ok(Some(Health::Degraded("belfry is tired".to_owned()))));
    assert_eq!(rig.plugin.optional_exports(), ["configure", "supports", "health"]);
}

#[tokio::test]
async fn a_component_of_another_world_is_refused_with_what_it_exports() {
    let error = rig::prepare("stranger").await.expect_err("it is no plugin");
    assert!(matches!(error, PrepareError::WrongWorld { .. }));
    insta::assert_snapshot!(error, @r"
    it exports neither `campanile:plugin/channel@0.1.1` nor `campanile:plugin/template-engine@0.1.1`, it exports `greet`; build it against a world of `campanile:plugin`
    ");
}

#[tokio::test]
async fn what_does_not_compile_is_refused() {
    let (sandbox, _) = rig::sandbox(1);
    let error = sandbox.compile(b"\0asm and more".to_vec(), [0; 32]).await.expect_err("it is no component");
    assert!(matches!(error, PrepareError::Compile { .. }), "{error}");
}

fn template(source: &str) -> RenderCall {
    RenderCall {
        engine: PluginName::new("parrot").expect("it is a name"),
        template: "greeting".to_owned(),
        parts: Arc::new(vec![("text".to_owned(), source.to_owned())]),
        includes: Arc::new(Vec::new()),
        data: r#"{"name":"Ada"}"#.to_owned(),
        locale: Some("de-AT".to_owned()),
        time_zone: None,
        strict: true,
        now: Timestamp::from_millis(5),
    }
}

#[tokio::test]
async fn a_template_engine_checks_and_renders() {
    let parrot = rig::prepare("parrot").await.expect("it is a plugin");
    let limits = CallLimits::default();
    let Role::TemplateEngine(role) = &parrot.descriptor().role else { panic!("it is an engine") };
    assert_eq!(role.extensions, ["txt"]);

    let variables = parrot.check(&template("hello"), &limits).await.expect("nothing is wrong with it");
    assert_eq!(variables.iter().map(|v| (v.name.as_str(), v.required)).collect::<Vec<_>>(), [("name", true)]);
    let rendered = parrot.render(&template("hello"), &limits).await.expect("nothing is wrong with it");
    let seen = r#"{"name":"Ada"} Some("de-AT") None 5 true"#;
    assert_eq!(rendered, [("text", "hello"), ("seen", seen)].map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[tokio::test]
async fn a_problem_in_a_template_is_told_apart_from_a_fault_of_the_engine() {
    let parrot = rig::prepare("parrot").await.expect("it is a plugin");
    let limits = CallLimits::default();
    let problem = TemplateProblem { part: "text".to_owned(), line: 3, column: 7, message: "no such word".to_owned() };
    let Err(RenderFailure::Problem(found)) = parrot.render(&template("problem"), &limits).await else { panic!() };
    assert_eq!(found, problem);
    let Err(TemplateCheckError::Problems(found)) = parrot.check(&template("problem"), &limits).await else { panic!() };
    assert_eq!(found, [problem]);

    let Err(RenderFailure::End(end, plugin)) = parrot.render(&template("panic"), &limits).await else { panic!() };
    let AttemptEnd::Fault { fault: Fault::Trap, message } = end else { panic!("{end:?}") };
    assert!(message.contains("the parrot fell off its perch"), "{message}");
    assert_eq!(plugin.as_deref().map(ToString::to_string).as_deref(), Some("parrot@1.2.3"));
}

#[tokio::test]
async fn an_engine_delivers_nothing() {
    let parrot = rig::prepare("parrot").await.expect("it is a plugin");
    let rig = Rig::unruly().await;
    let report = parrot.send(&rig.channel, &call("hello", "")).await;
    let AttemptEnd::Interrupted { interruption, message } = report.end else { panic!("{:?}", report.end) };
    assert_eq!(interruption, Interruption::NoPlugin);
    assert_eq!(message, "plugin `parrot@1.2.3` is not a channel");
}
