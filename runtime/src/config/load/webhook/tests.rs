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
    assert_snapshot!(error, @"");
    assert_snapshot!(load("[callbacks]\nwebhook = 1\n").expect_err("bad"), @"");
}
