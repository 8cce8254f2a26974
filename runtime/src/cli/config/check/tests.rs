//! What a check tells, with plugins that were really asked.

use std::path::PathBuf;

use insta::assert_snapshot;

use super::*;
use crate::config::Source;

fn guests() -> PathBuf {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/wasm32-wasip2/release"));
    std::env::var_os("CAMPANILE_GUESTS").map_or_else(default, PathBuf::from)
}

/// The check of a file with this text, in which the built guests are the bundled plugins. They are set by variables, so
/// that every line of the text is its own.
async fn checked(text: &str) -> Verdict {
    let own = tempfile::tempdir().expect("a folder");
    let folders = [("CAMPANILE__PLUGINS__DIR", own.path().to_owned()), ("CAMPANILE__PLUGINS__BUNDLED_DIR", guests())];
    let examined = Source::new().text("campanile.toml", text).variables(folders).examine();
    check(&examined, None).await.expect("the plugins can be asked")
}

const WRONG: &str = r#"[workers]
batch = 20000

[channels.ops]
plugin = "slack"
timeout = "2h"
[channels.ops.config]
usrename = "bell"
url = "hunter2"

[channels.site]
plugin = "webhook"
allow_hosts = ["api.example.com"]
secrets = { ky = "env:NOWHERE" }
config.method = "GET"
config.headers = { "a b" = "hunter2" }

[channels.inner]
plugin = "webhook"
allow_networks = ["10.0.0.0/8"]
config = { url = "http://127.0.0.1:8080/hunter2" }

[channels.fax]
plugin = "fax"

[channels.unread]
plugin = "null"
allow_hosts = ["https://x.example"]
"#;

#[tokio::test]
async fn a_check_tells_every_problem_of_file_and_plugins_with_its_line() {
    let verdict = checked(WRONG).await;
    let text = verdict.text();
    assert_snapshot!(text, @r#"
    campanile.toml: 10 problems
      campanile.toml:2: `workers.batch` is `20000`, the limits are `1` to `10000`
      campanile.toml:6: `channels.ops.timeout` is `2h`, the limits are `1ms` to `1h`
      campanile.toml:8: channel `ops`: `config.usrename`: is not a known key; did you mean `username`?
      campanile.toml:9: channel `ops`: `config.url` is a secret, and stands in the configuration itself; write `secrets = { url = "env:NAME" }` or `"file:/path"`
      campanile.toml:14: channel `site`: `secrets.ky`: plugin `webhook` has no such secret; did you mean `key`?
      campanile.toml:15: channel `site`: `config.method`: value is not one of `POST`, `PUT` or `PATCH`
      campanile.toml:15: channel `site`: `config.url`: is missing (Where to post); write `url = "…"` there
      campanile.toml:21: channel `inner`: the host in `config.url` is an address that is not public (loopback); write `allow_networks = ["10.0.0.0/8", "127.0.0.1/32"]` under [channels.inner] to allow it
      campanile.toml:24: channel `fax`: there is no plugin `fax`; put its file `fax.wasm` into the folder that `dir` in [plugins] names, or name another plugin under [channels.fax]; `campanile plugins list` shows all
      campanile.toml:28: `channels.unread.allow_hosts` has `https://x.example`, which is a URL: write the host alone, such as `hooks.example.com`

    not asked, because of these problems: the plugin of channel `unread`
    "#);
    assert!(!text.contains("hunter2"), "what may be a secret is not quoted");
    assert_eq!(verdict.exit(), Exit::Usage);
}

#[tokio::test]
async fn a_program_gets_each_problem_by_itself() {
    let text = "[channels.ops]\nplugin = \"webhook\"\ncpu_time = \"1s\"\nfuel = 9\n[channels.ops.config]\nurll = \"hunter2\"\n";
    let verdict = checked(text).await;
    let answer = verdict.answer(true);
    assert_eq!(answer.exit, Exit::Usage);
    assert_snapshot!(answer.text, @r#"
    {
      "disabled": [],
      "file": "campanile.toml",
      "not_asked": [],
      "ok": false,
      "problems": [
        {
          "channel": "ops",
          "hint": "write `url = \"…\"` there",
          "key": "channels.ops.config.url",
          "line": 5,
          "message": "`config.url`: is missing (Where to post)",
          "place": "campanile.toml:5"
        },
        {
          "channel": "ops",
          "hint": "did you mean `url`?",
          "key": "channels.ops.config.urll",
          "line": 6,
          "message": "`config.urll`: is not a known key",
          "place": "campanile.toml:6"
        }
      ],
      "rates": [],
      "warnings": [
        {
          "channel": "ops",
          "hint": "keep one of the two lines",
          "key": "channels.ops.cpu_time",
          "line": 3,
          "message": "is of no use: `fuel` is set as well, and counts in its place",
          "place": "campanile.toml:3"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn what_is_of_no_use_is_a_warning_and_no_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let (url, text) = (folder.path().join("url"), "https://hooks.example.com/T0/hunter2");
    std::fs::write(&url, text).expect("a file");
    let channel = |hosts: &str| {
        format!(
            "[channels.ops]\nplugin = \"slack\"\nallow_hosts = [\"api.example.com\"]\n\
             [channels.ops.secrets.url]\nfrom = \"file:{}\"\nhosts = [\"{hosts}\"]\n",
            url.display()
        )
    };
    let verdict = checked(&channel("*.example.com")).await;
    assert_eq!(verdict.exit(), Exit::Ok);
    assert_snapshot!(verdict.text(), @r#"
    campanile.toml: 1 warning
      warning: campanile.toml:3: channel `ops`: `allow_hosts` has `api.example.com`, which its plugin does not ask to reach (it asks for the host in `config.url`); take `api.example.com` out of `allow_hosts`

    channel `ops` may be called 1/s, as its plugin says of its provider; `rate_limit` in [channels.ops] takes its place
    "#);
    let rates = json!([{ "channel": "ops", "rate": "1/s", "scope": "channel", "source": "plugin" }]);
    assert_eq!(verdict.json()["rates"], rates);
    let verdict = checked(&channel("hooks.example.org")).await;
    assert_eq!(verdict.exit(), Exit::Usage);
    assert_snapshot!(verdict.text(), @r#"
    campanile.toml: 1 problem, 1 warning
      campanile.toml:6: channel `ops`: the secret `url` may go to `hooks.example.org` only, and its channel reaches no such host (it asks for the host in `config.url`); write a host that it reaches into `hosts` of `secrets.url`, or leave `hosts` out
      warning: campanile.toml:3: channel `ops`: `allow_hosts` has `api.example.com`, which its plugin does not ask to reach (it asks for the host in `config.url`); take `api.example.com` out of `allow_hosts`
    "#);
}

#[tokio::test]
async fn a_rate_of_recipients_that_a_plugin_does_not_know_is_a_warning() {
    let verdict = checked("[channels.sink]\nplugin = \"null\"\nper_host_rate = \"1/m\"\n").await;
    assert_eq!(verdict.exit(), Exit::Ok);
    assert_snapshot!(verdict.text(), @r#"
    campanile.toml: 1 warning
      warning: campanile.toml:3: channel `sink`: `per_host_rate` holds nothing back: its plugin takes no addresses, all it sends goes to one place; write `rate_limit = "1/m"`, which holds for the channel
    "#);
}

#[tokio::test]
async fn a_store_that_keeps_nothing_is_a_warning() {
    let verdict = checked("[store]\ndurability = \"memory\"\n").await;
    assert_eq!(verdict.exit(), Exit::Ok);
    assert_snapshot!(verdict.text(), @r#"
    campanile.toml: 1 warning
      warning: campanile.toml:2: `store.durability` is `memory`: what was accepted is lost when the process ends, however it ends; set `durability = "full"` unless that is meant
    "#);
    assert_snapshot!(checked("[store]\ndurability = \"os\"\n").await.text(), @"campanile.toml: ok");
}

#[tokio::test]
async fn a_check_says_whose_plugins_were_not_asked() {
    let text =
        "[plugins.defaults]\nmemory = \"1KiB\"\n[channels.a]\nplugin = \"null\"\n[channels.b]\nplugin = \"nul\"\n";
    let verdict = checked(text).await;
    assert_snapshot!(verdict.text(), @r#"
    campanile.toml: 2 problems
      campanile.toml:1: `plugins.defaults.response_max` is `1MiB`, more than `memory`, which is `1KiB`
      campanile.toml:2: `plugins.defaults.memory` is `1KiB`, the limits are `64KiB` to `4GiB`

    not asked, because of these problems: the plugin of channels `a`, `b`
    "#);
    assert_eq!(verdict.json()["not_asked"], json!(["a", "b"]));
}

#[tokio::test]
async fn nobody_asks_about_a_channel_that_is_disabled_and_its_settings_are_checked_all_the_same() {
    let text = "[channels.a]\nplugin = \"no-such-plugin\"\nenabled = false\n[channels.b]\nplugin = \"null\"\n";
    let verdict = checked(text).await;
    assert_eq!(verdict.exit(), Exit::Ok);
    assert_snapshot!(verdict.text(), @r"
    campanile.toml: ok

    not asked, as disabled: the plugin of channel `a`
    ");
    assert_eq!(verdict.json()["disabled"], json!(["a"]));
    let verdict = checked(&text.replace("false", "0\nretry = \"never\"")).await;
    assert_eq!(verdict.exit(), Exit::Usage);
    assert_snapshot!(verdict.text(), @r"
    campanile.toml: 2 problems
      campanile.toml:3: `channels.a.enabled` is an integer, expected `true` or `false`
      campanile.toml:4: `channels.a.retry` names the policy `never`, which does not exist; write it as `[retry.never]`

    not asked, because of these problems: the plugin of channel `a`
    ");
}
