//! `[[callbacks.webhook]]` as people write it, and as they should not.

use std::time::Duration;

use insta::assert_snapshot;

use crate::config::{Config, ConfigError, Secrets, Source};

fn load(text: &str) -> Result<Config, ConfigError> {
    Source::new().text("campanile.toml", text).load().map(|loaded| loaded.config)
}

const GOOD: &str = r#"
[[callbacks.webhook]]
name = "crm"
url = "https://hooks.example.com/in?token=canary"
secret = ["env:CRM_NEW", "file:/run/secrets/crm"]
events = ["delivery.*", "notification.completed"]
timeout = "5s"
retry = "webhook"
allow_networks = ["10.0.0.0/8"]
concurrency = 2

[[callbacks.webhook]]
name = "audit"
url = "https://audit.example.com/"
secret = "env:AUDIT"
"#;

#[test]
fn every_key_is_read_and_what_is_left_out_has_its_default() {
    let config = load(GOOD).expect("good");
    let [crm, audit] = config.webhooks.as_slice() else { panic!("{:?}", config.webhooks) };
    assert_eq!((crm.name.as_str(), crm.secrets.len(), crm.concurrency), ("crm", 2, 2));
    assert_eq!((crm.timeout, crm.retry.as_str()), (Duration::from_secs(5), "webhook"));
    assert_eq!((audit.timeout, audit.retry.as_str()), (Duration::from_secs(15), "standard-webhooks"));
    let kinds: Vec<_> = audit.events.iter().map(ToString::to_string).collect();
    assert_eq!(kinds, ["delivery.sent", "delivery.failed", "notification.completed"]);
    assert_eq!((audit.secrets.len(), audit.concurrency), (1, 8));
    assert_eq!(load(&config.to_toml(Secrets::Shown)), Ok(config));
}

#[test]
fn what_may_be_a_secret_is_not_printed() {
    let config = load(GOOD).expect("good");
    let printed = config.to_toml(Secrets::Masked);
    assert!(!printed.contains("canary") && !format!("{config:?}").contains("canary"), "{printed}");
    let webhooks = printed.find("[[callbacks").map(|start| &printed[start..]).expect("webhooks");
    assert_snapshot!(webhooks, @r#"
    [[callbacks.webhook]]
    name = "crm"
    url = "https://hooks.example.com/***"
    secret = ["env:CRM_NEW", "file:/run/secrets/crm"]
    events = ["delivery.*", "notification.completed"]
    timeout = "5s"
    retry = "webhook"
    allow_networks = ["10.0.0.0/8"]
    concurrency = 2

    [[callbacks.webhook]]
    name = "audit"
    url = "https://audit.example.com/"
    secret = ["env:AUDIT"]
    events = ["delivery.sent", "delivery.failed", "notification.completed"]
    timeout = "15s"
    retry = "standard-webhooks"
    allow_networks = []
    concurrency = 8
    "#);
}

#[test]
fn everything_that_is_wrong_is_told_with_its_line_and_no_secret() {
    let text = r#"
[[callbacks.webhook]]
url = "ftp://user:canary@hooks.example.com/"
secret = "whsec_canary"
events = ["delivery.snet", "delivery"]
timeout = "5m"
retry = "standard-webhook"
allow_networks = ["private"]
concurrency = 0
colour = "red"

[[callbacks.webhook]]
name = "crm"
url = "https://hooks.example.com/#part"
secret = ["env:A", "env:B", "env:C"]

[[callbacks.webhook]]
name = "crm"
url = "https://u:p@hooks.example.com/"
secret = []
events = []
"#;
    let error = load(text).expect_err("bad").to_string();
    assert!(!error.contains("canary"), "{error}");
    for (line, key, what) in [
        (3, "0.url", "is no http or https URL with a host; write `url = \"https://HOST/PATH\"`"),
        (4, "0.secret", "is no reference to a secret: write `env:NAME`"),
        (5, "0.events", "has a bad value: `delivery.snet` is no type of event"),
        (5, "0.events", "has a bad value: `delivery` is no type of event"),
        (6, "0.timeout", "is `5m`, the limits are `100ms` to `1m`"),
        (7, "0.retry", "names the policy `standard-webhook`, which does not exist; did you mean `standard-webhooks`?"),
        (8, "0.allow_networks", "has `private`, expected an address or a range"),
        (9, "0.concurrency", "is `0`, the limits are `1` to `256`"),
        (10, "0.colour", "is not a known key"),
        (14, "1.url", "has a fragment, which is never sent"),
        (15, "1.secret", "names 3 signing keys, expected 1, or 2 while keys are changed"),
        (18, "2.name", "is `crm`, which is the name of `callbacks.webhook.1` already"),
        (19, "2.url", "carries credentials, which are not sent: requests are signed"),
        (20, "2.secret", "names 0 signing keys"),
        (21, "2.events", "is empty, so that it would never be called"),
    ] {
        let told = format!("campanile.toml:{line}: `callbacks.webhook.{key}` {what}");
        assert!(error.contains(&told), "{told}\n{error}");
    }
    assert!(error.contains("`callbacks.webhook.0.name` is missing; name it: `name = \"crm\"`"), "{error}");
    assert_eq!(error.lines().count(), 17, "each is told once: {error}");
    let no_list = load("[callbacks]\nwebhook = 1\n").expect_err("bad").to_string();
    let told = "campanile.toml:2: `callbacks.webhook` is no list of sections, expected `[[callbacks.webhook]]`";
    assert!(no_list.contains(told), "{no_list}");
}
