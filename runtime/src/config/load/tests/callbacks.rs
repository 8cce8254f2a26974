//! What `[callbacks]` takes, and what it says of what it does not.

use super::*;
use crate::config::{CallbacksConfig, WhenFull};

#[test]
fn every_key_of_callbacks_is_read() {
    let text = "
[callbacks]
workers = 3
queue = 7
when_full = 'drop-oldest'
wait = '1s'
timeout = '5s'
retry = 'standard'
retention = '2d'
dead_letters_max = 9
";
    let expected = CallbacksConfig {
        workers: 3,
        queue: 7,
        when_full: WhenFull::DropOldest,
        wait: Duration::from_secs(1),
        timeout: Duration::from_secs(5),
        retry: "standard".to_owned(),
        retention: Duration::from_hours(48),
        dead_letters_max: 9,
    };
    assert_eq!(load(text).expect("all of it is good").callbacks, expected);
    for way in WhenFull::ALL {
        let text = format!("[callbacks]\nwhen_full = '{}'", way.as_str());
        assert_eq!(load(&text).expect("good").callbacks.when_full, way);
    }
}

#[test]
fn an_executor_that_cannot_be_is_refused_with_its_limits() {
    let text = "
[callbacks]
workers = 0
queue = 200000
when_full = 'drop-oldst'
wait = '2m'
timeout = '0s'
retry = 'calback'
retention = '1m'
dead_letters_max = -1
worker = 1
";
    assert_snapshot!(complaint(load(text)), @"
    the configuration has 9 problems:
      campanile.toml:3: `callbacks.workers` is `0`, the limits are `1` to `1000`
      campanile.toml:4: `callbacks.queue` is `200000`, the limits are `1` to `100000`
      campanile.toml:5: `callbacks.when_full` is `drop-oldst`, expected one of `wait`, `drop-oldest`, `refuse`; did you mean `drop-oldest`?
      campanile.toml:6: `callbacks.wait` is `2m`, the limits are `0s` to `1m`
      campanile.toml:7: `callbacks.timeout` is `0s`, the limits are `1ms` to `1h`
      campanile.toml:8: `callbacks.retry` names the policy `calback`, which does not exist; did you mean `callback`?
      campanile.toml:9: `callbacks.retention` is `1m`, the limits are `1h` to `3650d`
      campanile.toml:10: `callbacks.dead_letters_max` is `-1`, which is negative
      campanile.toml:11: `callbacks.worker` is not a known key; did you mean `workers`?
    ");
}

#[test]
fn what_calls_of_a_notifications_own_url_take_is_read() {
    let text = "
[callbacks]
secret = ['env:NEW', 'file:/run/secrets/old']
events = ['notification.completed']
allow_networks = ['10.0.0.0/8']
";
    let config = load(text).expect("all of it is good");
    let urls = &config.callback_urls;
    assert_eq!(urls.secrets.iter().map(ToString::to_string).collect::<Vec<_>>(), ["env:NEW", "file:/run/secrets/old"]);
    assert_eq!(urls.events.iter().map(ToString::to_string).collect::<Vec<_>>(), ["notification.completed"]);
    assert_eq!((urls.allow_networks.as_slice(), urls.is_on()), (&["10.0.0.0/8".to_owned()][..], true));
    assert_eq!(load(&config.to_toml(Secrets::Shown)), Ok(config));
    let plain = load("").expect("good").callback_urls;
    let events: Vec<_> = plain.events.iter().map(ToString::to_string).collect();
    assert_eq!(events, ["delivery.sent", "delivery.failed", "notification.completed"]);
    assert!(!plain.is_on());
    assert_eq!(load("[callbacks]\nsecret = 'env:ONE'").expect("good").callback_urls.secrets.len(), 1);
}

#[test]
fn what_calls_of_a_notifications_own_url_cannot_have_is_refused() {
    let text = "
[callbacks]
secret = ['env:A', 'env:B', 'env:C']
events = []
allow_networks = ['localhost']

[[callbacks.webhook]]
name = 'callback-url'
url = 'https://hooks.example.com/'
secret = 'env:A'
";
    let said = load(text).expect_err("bad").to_string();
    for part in [
        "names 3 signing keys, expected 1, or 2 while keys are changed",
        "is empty, so that no `callback_url` would ever be called",
        "has `localhost`, expected an address or a range",
        "is `callback-url`, the name under which each `callback_url` is called",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let written = load("[callbacks]\nsecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'").expect_err("bad").to_string();
    assert!(written.contains("is no reference to a secret") && !written.contains("MfKQ9"), "{written}");
}
