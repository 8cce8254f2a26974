//! Keys that do not go together.

use insta::assert_snapshot;

use super::{complaint, load};

#[test]
fn relations_between_keys_are_checked() {
    let text = "
[server]
batch_body_max = '1MiB'
[plugins]
cache_dir = 'plugins-enabled'
[plugins.defaults]
memory = '512KiB'
[workers]
max = 4000
per_worker = 4000
[retry.default]
max_interval = '10ms'
[channels.a]
plugin = 'null'
[channels.b]
plugin = 'null'
response_max = '2MiB'
";
    assert_snapshot!(complaint(load(text)), @r#"
    the configuration has 6 problems:
      campanile.toml:3: `server.batch_body_max` is `1MiB`, less than `body_max`, which is `4MiB`
      campanile.toml:5: `plugins.cache_dir` is a folder that plugins are loaded from, and what is compiled is never loaded from there; name a folder of its own
      campanile.toml:6: `plugins.defaults.response_max` is `1MiB`, more than `memory`, which is `512KiB`
      campanile.toml:10: `workers.per_worker` is `4000`, with `max` at `4000` that is 16000000 in flight, the limit is 100000
      campanile.toml:12: `retry.default.max_interval` is `10ms`, less than `initial`, which is `1s`
      campanile.toml:17: `channels.b.response_max` is `2MiB`, more than `memory`, which is `512KiB`
    "#);
}

/// A stop that does not wait for a call sends it again after the next start.
#[test]
fn a_stop_waits_for_every_call() {
    assert_snapshot!(complaint(load("[server]\nshutdown_timeout = '9s'")), @r#"
    the configuration has a problem:
      campanile.toml:2: `server.shutdown_timeout` is `9s`, less than `timeout` in [plugins.defaults], which is `10s`: a stop would cut such a call short, and the next start would make it again; set `shutdown_timeout = "10s"`, or `timeout = "9s"` in [plugins.defaults]
    "#);
    let text = "
[channels.slow]
plugin = 'null'
timeout = '2m'
[channels.quick]
plugin = 'null'
timeout = '1m'
";
    assert_snapshot!(complaint(load(text)), @r#"
    the configuration has 2 problems:
      campanile.toml:4: `channels.slow.timeout` is `2m`, more than `shutdown_timeout` in [server], which is `30s`: a stop would cut such a call short, and the next start would make it again; set `shutdown_timeout = "2m"` in [server], or `timeout = "30s"`
      campanile.toml:7: `channels.quick.timeout` is `1m`, more than `shutdown_timeout` in [server], which is `30s`: a stop would cut such a call short, and the next start would make it again; set `shutdown_timeout = "1m"` in [server], or `timeout = "30s"`
    "#);
    assert!(load(&format!("[server]\nshutdown_timeout = '2m'{text}")).is_ok());
    let all_quick = "[server]\nshutdown_timeout = '0s'\n[plugins.defaults]\ntimeout = '0s'";
    assert!(complaint(load(all_quick)).contains("`plugins.defaults.timeout` is `0s`"), "it is a call's own limit then");
}

#[test]
fn what_no_call_takes_is_not_slow() {
    assert_snapshot!(complaint(load("[breaker]\nslow_after = '11s'")), @r"
    the configuration has a problem:
      campanile.toml:2: `breaker.slow_after` is `11s`, and no call takes that long: by their `timeout` they end within `10s`; set it below the `timeout` of the channels
    ");
    assert!(load("[breaker]\nslow_after = '10s'").is_ok());
}
