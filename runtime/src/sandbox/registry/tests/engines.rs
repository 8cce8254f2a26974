//! Template engines that fail too often.

use std::sync::Arc;

use super::rig::{Rig, edition, table};
use super::*;
use crate::call::{RenderCall, RenderFailure, TemplateCaller, TemplateCheckError};
use crate::domain::{Actor, AttemptEnd, NotificationId, PluginName, Timestamp};

fn name() -> PluginName {
    "parrot".parse().expect("a name")
}

fn template(data: &str) -> RenderCall {
    RenderCall {
        engine: name(),
        template: "greeting".to_owned(),
        parts: Arc::new(vec![("text".to_owned(), "hello".to_owned())]),
        includes: Arc::default(),
        data: data.to_owned(),
        locale: None,
        time_zone: None,
        strict: true,
        now: Timestamp::from_millis(0),
    }
}

/// Renders for notifications of these numbers; a word for how each ended.
async fn render(registry: &Registry, data: &str, numbers: impl IntoIterator<Item = u8>) -> Vec<&'static str> {
    let mut ends = Vec::new();
    for number in numbers {
        let id = NotificationId::from_bytes([number; 16]);
        ends.push(match registry.render(id, &template(data)).await {
            Ok(_) => "rendered",
            Err(RenderFailure::Problem(_)) => "problem",
            Err(RenderFailure::End(AttemptEnd::Fault { .. }, _)) => "fault",
            Err(RenderFailure::End(..)) => "end",
            Err(RenderFailure::Held { engine }) if engine == name() => "held",
            Err(RenderFailure::Held { .. }) => "another is held",
        });
    }
    ends
}

#[tokio::test]
async fn a_template_engine_that_fails_too_often_is_held_until_it_is_released() {
    let rig = Rig::new();
    rig.put(&rig.own("parrot.wasm"), &edition("parrot", 1));
    let registry = rig.open().await;
    assert_eq!(render(&registry, "fall off", [1, 1, 1, 1, 2, 2]).await, ["fault"; 6], "two poisonous messages");
    assert_eq!(render(&registry, "{}", [3]).await, ["rendered"]);
    assert_eq!(render(&registry, "fall off", [3]).await, ["fault"]);
    assert_eq!((rig.waiting_engines(), rig.waiting()), (vec!["parrot".to_owned()], Vec::new()));
    assert_eq!(render(&registry, "{}", [4]).await, ["held"]);
    let Err(TemplateCheckError::Engine { reason, .. }) = registry.check(&template("{}")).await else { panic!() };
    assert_eq!(reason, "it is quarantined; `campanile plugins release parrot` lets it be called");
    let quarantined = "parrot@1.2.3 own/parrot.wasm quarantined: 7 of 8 calls within 60 s ended by its own fault; the \
                       limit is 5 on 3 notifications and 50 % of the calls; put another version there, or let this one \
                       be called again with `campanile plugins release parrot`";
    assert_eq!(table(&registry), quarantined);
    drop(registry);

    let registry = rig.open().await;
    assert_eq!((table(&registry).as_str(), rig.waiting_engines().len()), (quarantined, 1), "it is remembered");
    assert_eq!(render(&registry, "{}", [4]).await, ["held"]);
    registry.release(&name(), None, Actor::Cli).await.expect("it is quarantined");
    assert_eq!((render(&registry, "{}", [4]).await, rig.waiting_engines()), (vec!["rendered"], Vec::new()));
    assert!(registry.check(&template("{}")).await.is_ok());
}

#[tokio::test]
async fn a_fresh_template_engine_that_fails_too_often_gives_way_to_the_one_before() {
    let mut rig = Rig::new();
    rig.put(&rig.own("parrot.wasm"), &edition("parrot", 1));
    let registry = rig.open().await;
    rig.put(&rig.own("parrot.wasm"), &edition("parrot", 2));
    rig.look(&registry).await;
    assert_eq!(render(&registry, "fall off", 1..=5).await, ["fault"; 5]);
    assert_eq!((render(&registry, "{}", [6]).await, rig.waiting_engines()), (vec!["rendered"], Vec::new()));
    let told = rig.told();
    assert!(told.ends_with("and 50 % of the calls; version 1.2.3 serves again"), "{told}");
}

#[tokio::test]
async fn problems_of_templates_are_no_faults_of_their_engine() {
    let rig = Rig::new();
    rig.put(&rig.own("parrot.wasm"), &edition("parrot", 1));
    let registry = rig.open().await;
    for number in 1..=10 {
        let call = RenderCall { parts: Arc::new(vec![("text".to_owned(), "problem".to_owned())]), ..template("{}") };
        let rendered = registry.render(NotificationId::from_bytes([number; 16]), &call).await;
        assert!(matches!(rendered, Err(RenderFailure::Problem(_))), "{rendered:?}");
    }
    assert_eq!(render(&registry, "{}", [1]).await, ["rendered"]);
}
