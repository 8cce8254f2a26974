//! What a file, the environment and flags make of a configuration, and every complaint about them.

mod callbacks;
mod relations;
mod waits;
mod workers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use insta::assert_snapshot;

use crate::config::{Balance, Config, ConfigError, Durability, Secrets, Source};
use crate::domain::{Backoff, ChannelName, Jitter, Priority, RetryPolicy};

fn load(text: &str) -> Result<Config, ConfigError> {
    Source::new().text("campanile.toml", text).load().map(|loaded| loaded.config)
}

fn with_variables(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let source = Source::new().text("campanile.toml", text).variables(variables.iter().copied());
    source.load().map(|loaded| loaded.config)
}

fn complaint(result: Result<Config, ConfigError>) -> String {
    result.expect_err("this configuration has problems").to_string()
}

#[test]
fn nothing_written_is_all_defaults() {
    assert_eq!(load(""), Ok(Config::default()));
    assert_eq!(Config::default().check(), Ok(()));
    assert_eq!(Config::default().retry["default"], RetryPolicy::default());
}

const EVERY_KEY: &str = r#"
[server]
listen = "[::1]:8080"
body_max = "1MiB"
batch_body_max = "2MiB"
shutdown_timeout = "1m30s"

[store]
url = "sqlite:///var/lib/campanile/state.db"
durability = "os"

[plugins]
dir = "own"
bundled_dir = "/opt/plugins"
watch = false
cache_dir = "cache"
trust = "require"
trusted_keys = ["ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="]
[plugins.defaults]
cpu_time = "50ms"
memory = "32MiB"
timeout = "5s"
egress_calls = 2
response_max = "64KiB"
log_max = "1KiB"

[templates]
dir = "letters"
strict = false

[workers]
min = 2
max = 3
per_worker = 4
target_load = 0.8
scale_up_after = "2s"
scale_down_load = 0.25
scale_down_after = "1m"
idle_after = "2m"
health_check = "5s"
batch = 5
strategy = "affinity"

[retry.slow]
strategy = "exponential"
initial = "30s"
factor = 3
max_interval = "1h"
max_retries = 8
jitter = 0.25
max_age = "7d"

[channels.ops-slack]
plugin = "slack"
config = { url = "https://hooks.example.com/T", nested = { n = 1, on = true, many = ["a", 2.5] } }
allow_hosts = ["*.example.com"]
allow_networks = ["127.0.0.1/32"]
retry = "slow"
priority = "high"
timeout = "3s"
fuel = 1000000
"#;

#[test]
fn every_key_is_read() {
    let config = load(EVERY_KEY).expect("all of it is good");
    assert_eq!(config.server.listen.to_string(), "[::1]:8080");
    assert_eq!((config.server.body_max, config.server.batch_body_max), (1 << 20, 2 << 20));
    assert_eq!(config.server.shutdown_timeout, Duration::from_secs(90));
    assert_eq!(config.store.path, PathBuf::from("/var/lib/campanile/state.db"));
    assert_eq!(config.store.durability, Durability::Os);
    assert_eq!(config.plugins.bundled_dir.as_deref(), Some(Path::new("/opt/plugins")));
    assert!(!config.plugins.watch && !config.templates.strict);
    assert_eq!((config.workers.batch, config.workers.strategy), (5, Balance::Affinity));
    let slow = RetryPolicy {
        backoff: Backoff::Exponential {
            initial: Duration::from_secs(30),
            factor: 3.0,
            max_interval: Duration::from_hours(1),
        },
        max_retries: 8,
        jitter: Jitter::Plus(0.25),
        max_age: Duration::from_hours(7 * 24),
    };
    assert_eq!(config.retry["slow"], slow);
    let channel = &config.channels["ops-slack"];
    assert_eq!((channel.plugin.as_str(), channel.priority), ("slack", Some(Priority::High)));
    assert_eq!(channel.limits.timeout, Duration::from_secs(3));
    assert_eq!(channel.limits.fuel, Some(1_000_000));
    assert_eq!(channel.limits.memory, config.plugins.defaults.memory, "what a channel does not set is inherited");
    let nested = serde_json::json!({ "n": 1, "on": true, "many": ["a", 2.5] });
    assert_eq!(channel.config["nested"], nested);
}

#[test]
fn what_is_printed_loads_back_to_the_same() {
    for config in [Config::default(), load(EVERY_KEY).expect("good")] {
        assert_eq!(load(&config.to_toml(Secrets::Shown)), Ok(config));
    }
}

#[test]
fn every_problem_is_told_at_once_with_its_line_and_the_nearest_key() {
    let text = r#"
[server]
listne = "127.0.0.1:1"
body_max = "4 MiB"
shutdown_timeout = 30
[store]
url = "postgres://user:password@host/db"
durability = "fast"
[workers]
batch = 20000
max = "2"
per_worker = -1
colour = "blue"
[retry.slow]
strategy = "doubling"
initial = "1h"
factor = 0.5
[channels.ops]
config = { url = 1 }
retry = "slwo"
priority = "urgent"
timeout = "0s"
allow_hosts = ["https://example.com"]
allow_networks = ["localhost"]
[channels.Bad]
plugin = "slack"
[channels]
flat = "slack"
[wrokers]
max = 2
"#;
    assert_snapshot!(complaint(load(text)), @r#"
    the configuration has 21 problems:
      campanile.toml:3: `server.listne` is not a known key; did you mean `listen`?
      campanile.toml:4: `server.body_max` has a bad value: `4 MiB` is not a size: write a number with a unit, such as `512B`, `16KiB` or `4MiB`
      campanile.toml:5: `server.shutdown_timeout` is an integer, expected a duration such as `"10s"`
      campanile.toml:7: `store.url` names the engine `postgres`, expected `sqlite://PATH`
      campanile.toml:8: `store.durability` is `fast`, expected one of `full`, `os`, `memory`
      campanile.toml:10: `workers.batch` is `20000`, the limits are `1` to `10000`
      campanile.toml:11: `workers.max` is a string, expected an integer
      campanile.toml:12: `workers.per_worker` is `-1`, which is negative
      campanile.toml:13: `workers.colour` is not a known key; known here: `min`, `max`, `per_worker`, `target_load`, `scale_up_after`, `scale_down_load`, `scale_down_after`, `idle_after`, `health_check`, `batch`, `strategy`
      campanile.toml:14: `retry.slow.max_interval` is `5m`, less than `initial`, which is `1h`
      campanile.toml:15: `retry.slow.strategy` is `doubling`, expected one of `exponential`, `linear`, `fibonacci`, `fixed`, `schedule`
      campanile.toml:17: `retry.slow.factor` is `0.5`, the limits are `1` to `100`
      campanile.toml:18: `channels.ops.plugin` is missing; name one: `plugin = "webhook"`
      campanile.toml:20: `channels.ops.retry` names the policy `slwo`, which does not exist; did you mean `slow`?
      campanile.toml:21: `channels.ops.priority` has a bad value: `urgent` is not a priority: one of `low`, `normal`, `high`, `critical`
      campanile.toml:22: `channels.ops.timeout` is `0s`, the limits are `1ms` to `1h`
      campanile.toml:23: `channels.ops.allow_hosts` has `https://example.com`, which is a URL: write the host alone, such as `hooks.example.com`
      campanile.toml:24: `channels.ops.allow_networks` has `localhost`, expected an address or a range, such as `127.0.0.1/32` or `fd00::/8`
      campanile.toml:25: `channels.Bad` has a bad name: `Bad` is not a channel name: it starts with a lower-case letter and goes on in `a-z`, `0-9`, `-`, `_`
      campanile.toml:28: `channels.flat` is a string, expected a section `[channels.flat]`
      campanile.toml:29: `wrokers` is not a known key; did you mean `workers`?
    "#);
}

#[test]
fn a_table_that_is_opened_again_and_bad_syntax_are_told_with_their_lines_and_without_the_text() {
    let text = "[channels.ops.config]\ntoken = canary-secret\n[server]\nlisten = \"127.0.0.1:1\"\n[server]\n";
    let complaint = complaint(load(text));
    assert!(!complaint.contains("canary"), "{complaint}");
    assert_snapshot!(complaint, @r#"
    the configuration has 3 problems:
      campanile.toml:1: `channels.ops.plugin` is missing; name one: `plugin = "webhook"`
      campanile.toml:2: string values must be quoted, expected literal string
      campanile.toml:5: duplicate key
    "#);
}

#[test]
fn a_notification_is_kept_for_as_long_as_its_key_holds() {
    assert_snapshot!(complaint(load("[store]\nretention = '23h'\n[events]\nretention = '59m'")), @r#"
    the configuration has 2 problems:
      campanile.toml:2: `store.retention` is `23h`, the limits are `1d` to `3650d`
      campanile.toml:4: `events.retention` is `59m`, the limits are `1h` to `3650d`
    "#);
}

#[test]
fn an_open_address_is_refused_with_the_reason() {
    assert_snapshot!(complaint(load("[server]\nlisten = \"0.0.0.0:7433\"")), @r#"
    the configuration has a problem:
      campanile.toml:2: `server.listen` is `0.0.0.0:7433`, open to other machines, and without API keys anybody there could send; listen on `127.0.0.1` or `[::1]`
    "#);
    assert!(load("[server]\nlisten = \"[::ffff:127.0.0.1]:0\"").is_ok(), "loopback in its mapped spelling");
}

#[test]
fn every_strategy_is_read_with_the_keys_that_are_its_own() {
    let text = "
[retry.line]
strategy = 'linear'
initial = '30s'
jitter = 'none'
[retry.rabbits]
strategy = 'fibonacci'
max_interval = '1m'
jitter = 'full'
[retry.same]
strategy = 'fixed'
initial = '1m'
jitter = '±20%'
[retry.plan]
strategy = 'schedule'
waits = ['5s', '1h']
jitter = 'equal'
[retry.webhook]
max_retries = 3
[retry.aggressive]
jitter = '+50%'
";
    let retry = load(text).expect("all of it is good").retry;
    let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
    let linear = Backoff::Linear { initial: 30 * second, max_interval: 5 * minute };
    assert_eq!(retry["line"], RetryPolicy { backoff: linear, jitter: Jitter::None, ..RetryPolicy::default() });
    let fibonacci = Backoff::Fibonacci { initial: second, max_interval: minute };
    assert_eq!(retry["rabbits"], RetryPolicy { backoff: fibonacci, jitter: Jitter::Full, ..RetryPolicy::default() });
    assert_eq!(retry["same"].backoff, Backoff::Fixed { interval: minute });
    assert_eq!(retry["same"].jitter, Jitter::PlusMinus(0.2));
    let plan = RetryPolicy::scheduled([5 * second, 60 * minute]);
    assert_eq!(retry["plan"], RetryPolicy { jitter: Jitter::Equal, ..plan });
    assert_eq!(retry["webhook"], RetryPolicy { max_retries: 3, ..RetryPolicy::webhook() }, "starts from its own");
    assert_eq!(retry["aggressive"], RetryPolicy { jitter: Jitter::Plus(0.5), ..RetryPolicy::aggressive() });
    assert_eq!(retry["email"], RetryPolicy::email(), "is there without being written");
}

#[test]
fn what_a_strategy_does_not_take_is_told() {
    let text = "
[retry.a]
strategy = 'fixed'
factor = 3
waits = ['1s']
[retry.b]
strategy = 'schedule'
[retry.c]
strategy = 'schedule'
waits = ['0s', '8d']
jitter = 'some'
[retry.d]
strategy = 'sometimes'
jitter = '±200%'
[retry.email]
initial = '1m'
[retry.f]
strategy = 'schedule'
waits = ['5']
";
    assert_snapshot!(complaint(load(text)), @r#"
    the configuration has 10 problems:
      campanile.toml:4: `retry.a.factor` has no meaning with `strategy = "fixed"`, which takes `initial`
      campanile.toml:5: `retry.a.waits` has no meaning with `strategy = "fixed"`, which takes `initial`
      campanile.toml:6: `retry.b.waits` is missing; write them: `waits = ["5s", "5m", "30m"]`
      campanile.toml:10: `retry.c.waits` is `0s`, the limits are `1ms` to `7d`
      campanile.toml:10: `retry.c.waits` is `8d`, the limits are `1ms` to `7d`
      campanile.toml:11: `retry.c.jitter` is `some`, expected a share such as `0.1`, or one of `"none"`, `"full"`, `"equal"`, `"+10%"`, `"±10%"`
      campanile.toml:13: `retry.d.strategy` is `sometimes`, expected one of `exponential`, `linear`, `fibonacci`, `fixed`, `schedule`
      campanile.toml:14: `retry.d.jitter` is `2`, the limits are `0` to `1`
      campanile.toml:16: `retry.email.initial` has no meaning with `strategy = "schedule"`, which takes `waits`
      campanile.toml:19: `retry.f.waits` has a bad value: `5` is not a duration: write numbers with units, the largest first, such as `200ms`, `10s` or `1h30m`
    "#);
}

#[test]
fn the_environment_goes_over_the_file_and_flags_over_both() {
    let text = "[server]\nlisten = '127.0.0.1:1'\n[workers]\nbatch = 2\nmax = 3";
    let source = Source::new()
        .text("campanile.toml", text)
        .variables([
            ("CAMPANILE__SERVER__LISTEN", "127.0.0.1:2"),
            ("CAMPANILE__WORKERS__BATCH", "20"),
            ("CAMPANILE__STORE__DURABILITY", "os"),
            ("CAMPANILE__PLUGINS__WATCH", "false"),
            ("CAMPANILE__RETRY__SLOW__JITTER", "0.5"),
            ("CAMPANILE_URL", "http://127.0.0.1:1"),
            ("PATH", "/bin"),
        ])
        .flag("--listen", "server.listen", "127.0.0.1:3");
    let config = source.load().expect("good").config;
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!((config.workers.batch, config.workers.max), (20, 3));
    assert_eq!(config.store.durability, Durability::Os);
    assert!(!config.plugins.watch);
    assert_eq!(config.retry["slow"].jitter, Jitter::Plus(0.5));
}

#[test]
fn a_variable_finds_a_channel_whose_name_has_a_hyphen_and_a_key_in_another_case() {
    let text = "[channels.ops-slack]\nplugin = 'slack'\nconfig = { webhookUrl = 'a', retries = 3, loud = false }";
    let config = with_variables(
        text,
        &[
            ("CAMPANILE__CHANNELS__OPS_SLACK__CONFIG__WEBHOOKURL", "b"),
            ("CAMPANILE__CHANNELS__OPS_SLACK__CONFIG__RETRIES", "4"),
            ("CAMPANILE__CHANNELS__OPS_SLACK__CONFIG__LOUD", "true"),
            ("CAMPANILE__CHANNELS__OPS_SLACK__ALLOW_HOSTS", "a.example, b.example:8443"),
            ("CAMPANILE__CHANNELS__SPARE__PLUGIN", "null"),
        ],
    );
    let config = config.expect("good");
    assert_eq!(config.channels.keys().map(ChannelName::as_str).collect::<Vec<_>>(), ["ops-slack", "spare"]);
    let ops = &config.channels["ops-slack"];
    let expected = serde_json::json!({ "webhookUrl": "b", "retries": 4, "loud": true });
    assert_eq!(serde_json::Value::Object(ops.config.clone()), expected);
    assert_eq!(ops.allow_hosts, ["a.example", "b.example:8443"]);
}

#[test]
fn a_secret_is_read_from_the_file_that_its_variable_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("token");
    std::fs::write(&secret, "s3cret\n").expect("written");
    let config = with_variables(
        "[channels.ops]\nplugin = 'slack'",
        &[("CAMPANILE__CHANNELS__OPS__CONFIG__TOKEN_FILE", secret.to_str().expect("UTF-8"))],
    );
    let config = config.expect("good");
    assert_eq!(config.channels["ops"].config["token"], "s3cret");
    assert!(!format!("{config:?}").contains("s3cret"), "a secret stands in no debug text");
    let printed = config.to_toml(Secrets::Masked);
    assert!(printed.contains("config = { token = \"***\" }"), "{printed}");
}

#[test]
fn a_bad_variable_is_named_in_place_of_a_line() {
    let variables = [
        ("CAMPANILE__WORKERS__BACH", "1"),
        ("CAMPANILE__WORKERS__BATCH", "many"),
        ("CAMPANILE__WORKERS", "4"),
        ("CAMPANILE__SERVER__LISTEN__PORT", "80"),
        ("CAMPANILE____BATCH", "1"),
        ("CAMPANILE__CHANNELS__OPS__CONFIG__TOKEN_FILE", "/nonexistent/token"),
    ];
    assert_snapshot!(complaint(with_variables("[server]\nlisten = '127.0.0.1:1'", &variables)), @r#"
    the configuration has 6 problems:
      CAMPANILE__CHANNELS__OPS__CONFIG__TOKEN_FILE: the file it names cannot be read: No such file or directory (os error 2)
      CAMPANILE__SERVER__LISTEN__PORT: `server.listen.port` needs a section, and a value stands at campanile.toml:2
      CAMPANILE__WORKERS: `workers` is a text, expected a section `[workers]`
      CAMPANILE__WORKERS__BACH: `workers.bach` needs a section, and a value stands at CAMPANILE__WORKERS
      CAMPANILE__WORKERS__BATCH: `workers.batch` needs a section, and a value stands at CAMPANILE__WORKERS
      CAMPANILE____BATCH: names no setting: write `CAMPANILE__SECTION__KEY`
    "#);
}

#[test]
fn no_value_of_a_channels_config_stands_in_a_complaint() {
    let text = "[channels.ops]\nplugin = 1\nconfig = { token = 'canary', n = nan, when = 1979-05-27 }\nretry = 'x'";
    let complaint = complaint(load(text));
    assert!(!complaint.contains("canary") && !complaint.contains("1979"), "{complaint}");
    assert_snapshot!(complaint, @r#"
    the configuration has 3 problems:
      campanile.toml:2: `channels.ops.plugin` is an integer, expected a name
      campanile.toml:3: `channels.ops.config` holds a number that JSON has no word for
      campanile.toml:4: `channels.ops.retry` names the policy `x`, which does not exist; write it as `[retry.x]`
    "#);
}

#[test]
fn a_file_that_is_missing_is_told() {
    assert_snapshot!(complaint(Source::new().file("/nonexistent.toml").load().map(|loaded| loaded.config)), @r#"
    the configuration has a problem:
      /nonexistent.toml: it cannot be read: No such file or directory (os error 2)
    "#);
}

#[test]
fn a_file_over_its_limit_is_refused_unread() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large.toml");
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).expect("written");
    let complaint = complaint(Source::new().file(path).load().map(|loaded| loaded.config));
    assert!(complaint.ends_with("it cannot be read: it is larger than the limit of 1MiB"), "{complaint}");
}

#[test]
fn every_bad_entry_of_a_list_is_named() {
    let text = r#"
[channels.ops]
plugin = "webhook"
allow_hosts = ["", "http://x"]
allow_networks = ["127.0.0.1/33", "10.0.0.0/8", ""]
"#;
    let told = complaint(load(text));
    for entry in ["allow_hosts` has ``,", "has `http://x`,", "has `127.0.0.1/33`,", "allow_networks` has ``,"] {
        assert!(told.contains(entry), "`{entry}` is missing: {told}");
    }
}

#[test]
fn every_bad_key_of_a_signer_is_named() {
    let good = "ed25519:PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";
    let text = format!("[plugins]\ntrust = 'warn'\ntrusted_keys = ['one', '{good}', 'ed25519:dHdv']");
    assert_snapshot!(complaint(load(&text)), @r#"
    the configuration has 2 problems:
      campanile.toml:3: `plugins.trusted_keys` has `one`, which is no public key: write `ed25519:` and its 32 bytes in base64, as `campanile plugins keygen` prints it
      campanile.toml:3: `plugins.trusted_keys` has `ed25519:dHdv`, which is no public key: write `ed25519:` and its 32 bytes in base64, as `campanile plugins keygen` prints it
    "#);
}

#[test]
fn a_time_beside_fuel_is_loaded_with_a_warning() {
    let warned = |text: &str| {
        let loaded = Source::new().text("campanile.toml", text).load().expect("it is good");
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let both =
        "[plugins.defaults]\nfuel = 5\ncpu_time = '1s'\n[channels.ops]\nplugin = 'null'\ncpu_time = '1s'\nfuel = 6\n";
    assert_snapshot!(warned(both), @r#"
    campanile.toml:3: `plugins.defaults.cpu_time` is of no use: `fuel` is set as well, and counts in its place; keep one of the two lines
    campanile.toml:6: `channels.ops.cpu_time` is of no use: `fuel` is set as well, and counts in its place; keep one of the two lines
    "#);
    let apart = "[plugins.defaults]\nfuel = 5\n[channels.ops]\nplugin = 'null'\ncpu_time = '1s'\n";
    assert_eq!(warned(apart), "", "the channel's time is what counts");
}

#[test]
fn the_places_of_a_channels_config_are_known_to_their_depth() {
    let text =
        "[channels.ops]\nplugin = 'x'\n[channels.ops.config]\nurl = 1\nlist = [\n  { a = 1 },\n  { a = 2 },\n]\n";
    let source = Source::new().text("campanile.toml", text);
    let examined = source.variables([("CAMPANILE__CHANNELS__OPS__CONFIG__MORE", "x")]).examine();
    let place = |key: &str| examined.places.of(&format!("channels.ops.{key}")).to_string();
    assert_eq!(place("config.url"), "campanile.toml:4");
    assert_eq!(place("config.list.1.a"), "campanile.toml:7");
    assert_eq!(place("config.missing.below"), "campanile.toml:3", "the nearest section that was written");
    assert_eq!(place("secrets"), "campanile.toml:1");
    assert_eq!(place("config.more"), "CAMPANILE__CHANNELS__OPS__CONFIG__MORE");
}
