//! What keeps a webhook from being used is told before anything is sent.

use super::super::open;
use super::rig::{KEY, Rig};
use crate::config::{SecretRef, WebhookConfig};

/// What is said of a webhook with this address and these keys, in one text.
fn said(rig: &Rig, url: &str, networks: &[&str], keys: Vec<SecretRef>) -> String {
    let mut webhook = WebhookConfig::new("crm".parse().expect("a name"), url);
    webhook.secrets = keys;
    webhook.allow_networks = networks.iter().map(ToString::to_string).collect();
    match open(&[webhook], &rig.way()) {
        Ok(_) => "good".to_owned(),
        Err(problems) => {
            let told = problems.into_iter().map(|(number, problem)| {
                let hint = problem.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                format!("{number} {} {}{hint}", problem.key, problem.message)
            });
            told.collect::<Vec<_>>().join("\n")
        }
    }
}

#[tokio::test]
async fn an_address_that_is_not_public_takes_a_line_that_allows_it() {
    let rig = Rig::new();
    let of = |url: &str, networks: &[&str]| said(&rig, url, networks, vec![rig.key("key", KEY)]);
    let refused = |what: &str, networks: &str| {
        format!(
            "0 url leads to an address that is not public ({what}); write `allow_networks = [{networks}]` under \
             `[[callbacks.webhook]]` with `name = \"crm\"` to allow it"
        )
    };
    let private = of("http://10.1.2.3:8080/in?token=canary", &["192.168.0.0/16"]);
    assert_eq!(private, refused("private", r#""192.168.0.0/16", "10.1.2.3/32""#));
    let metadata = of("http://[::ffff:169.254.169.254]/latest", &[]);
    assert_eq!(metadata, refused("link-local, where cloud metadata is served", r#""169.254.169.254/32""#));
    assert_eq!(of("http://localhost:9/", &[]), refused("loopback", r#""127.0.0.1/32""#));
    for (url, network) in
        [("http://10.1.2.3/", "10.0.0.0/8"), ("http://localhost/", "::1/128"), ("http://127.0.0.1:1/", "127.0.0.1/32")]
    {
        assert_eq!(of(url, &[network]), "good", "{url}");
    }
    assert_eq!(of("https://hooks.example.com/in", &[]), "good");
}

#[tokio::test]
async fn a_key_that_is_too_short_or_none_is_refused_and_never_shown() {
    let rig = Rig::new();
    let of = |text: &str| {
        let said = said(&rig, "https://hooks.example.com/", &[], vec![rig.key("key", text)]);
        assert!(!said.contains("MfKQ9") && !said.contains("c2hvcnQ"), "{said}");
        said.replace(&rig.key("key", text).to_string(), "file:KEY")
    };
    let refused = |why: &str| {
        format!(
            "0 secret names `file:KEY`, whose key {why}; write one there: `whsec_` and the base64 of 24 to 64 random \
             bytes, as `openssl rand -base64 32` prints them, or `whsk_` and the base64 of an Ed25519 key"
        )
    };
    for (text, why) in [
        ("whsec_c2hvcnQ=", "is too short: 5 bytes, the least is 24"),
        (KEY.trim_start_matches("whsec_"), "starts with neither `whsec_` nor `whsk_`"),
        ("whsec_***", "has something other than base64 after its prefix"),
        ("whsk_c2hvcnQ=", "is no Ed25519 key: 32 bytes of its seed, or 64 with the public key after them"),
    ] {
        assert_eq!(of(text), refused(why));
    }
    let long = format!("whsec_{}", "QUFB".repeat(22));
    assert!(of(&long).contains("is too long: 66 bytes, the most is 64"), "{}", of(&long));
    let both = vec![rig.key("key", "whsec_c2hvcnQ="), SecretRef::Env("CAMPANILE_TEST_NEVER_SET".to_owned())];
    let all = said(&rig, "http://127.0.0.1/", &[], both);
    assert_eq!(all.lines().count(), 3, "each problem is told: {all}");
}

#[test]
fn every_type_of_event_that_is_published_can_be_asked_for() {
    for kind in crate::domain::EVENT_TYPES {
        assert!(crate::domain::EVENT_TYPES.contains(&kind), "{kind}");
    }
}
