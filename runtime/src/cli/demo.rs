//! `campanile demo`: the whole story on this machine, on an embedded store and receivers on loopback.

mod receivers;
mod table;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::Answer;
use super::failure::{Exit, Failure};
use crate::config::{ChannelConfig, Config};
use crate::domain::{ChannelName, PluginName, Priority};
use crate::runtime::{Handle, Notification, NotificationRecord, PluginSource, PluginState, PluginStatus, Runtime};

use receivers::Receivers;

/// A delivery of the demo takes two seconds at most; a slow machine gets more.
const OUTCOME_LIMIT: Duration = Duration::from_secs(30);
/// A file in the plugins folder is seen within a second; a slow machine gets more.
const DROP_IN_LIMIT: Duration = Duration::from_secs(15);
/// How often the plugin list is looked at while a file is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const TEMPLATE: &str = "{{ host }} is at {{ percent }} %{% if percent > 90 %} and needs attention{% endif %}";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End when the story is told, instead of going on until interrupted
    #[arg(long)]
    exit: bool,
}

/// Runs the demo and takes its folder away again.
pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let home = std::env::temp_dir().join(format!("campanile-demo-{}", std::process::id()));
    fs::create_dir_all(home.join("plugins-enabled")).context("cannot make a folder for the demo")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("the asynchronous runtime does not start")?;
    let told = runtime.block_on(tell(&home, !args.exit));
    // The demo's own folder; what is left of it does no harm.
    fs::remove_dir_all(&home).ok();
    told.map(|()| Answer::ok("")).map_err(|error| Failure::new(Exit::No, error))
}

async fn tell(home: &Path, stay: bool) -> anyhow::Result<()> {
    let began = Instant::now();
    let receivers = Receivers::start().await.context("cannot listen on loopback")?;
    fs::create_dir_all(home.join("templates"))?;
    fs::write(home.join("templates/disk.j2"), TEMPLATE)?;
    let runtime = Runtime::builder().config(config(home, &receivers)?).build().await?;
    say(&format!(
        "The runtime is up after {} ms: store, workers, and {} channels, each a sandboxed plugin.",
        began.elapsed().as_millis(),
        runtime.channels().iter().filter(|channel| channel.problem.is_none()).count()
    ));

    say("Notifications are accepted durably, before anybody is told:");
    let mut handles = accept(&runtime).await?;
    say("A plugin is dropped into the folder of the running server, and a broken file beside it:");
    handles.push(drop_in(&runtime, home).await?);

    let mut records = Vec::new();
    for handle in &handles {
        records.push(handle.outcome(OUTCOME_LIMIT).await?);
    }
    say("What became of them, read from the store:");
    print!("{}", table::of(&records));
    let (webhook, slack, flaky) = (
        receivers.counts.webhook.load(Ordering::Relaxed),
        receivers.counts.slack.load(Ordering::Relaxed),
        receivers.counts.flaky.load(Ordering::Relaxed),
    );
    println!("\nreceivers on loopback answered: webhook {webhook}, Slack-shaped {slack}, flaky {flaky}");
    check(&records)?;
    say(&format!("Done in {:.1} s.", began.elapsed().as_secs_f64()));

    if stay {
        say("It goes on until it is interrupted (Ctrl-C).");
        tokio::signal::ctrl_c().await?;
    }
    runtime.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}

fn say(sentence: &str) {
    println!("\n{sentence}");
    // What plugins print and what the demo says go to the same place, in order.
    let _ = std::io::stdout().flush();
}

fn config(home: &Path, receivers: &Receivers) -> anyhow::Result<Config> {
    let mut config = Config::default();
    config.store.path = home.join("campanile.db");
    config.plugins.dir = home.join("plugins-enabled");
    config.plugins.cache_dir = home.join("plugin-cache");
    config.templates.dir = home.join("templates");
    for (name, plugin, path) in [
        ("site", "webhook", "webhook"),
        ("ops", "slack", "services/T000/B000/demo"),
        ("flaky", "webhook", "flaky"),
        ("gone", "webhook", "gone"),
    ] {
        let mut channel = ChannelConfig::new(PluginName::new(plugin)?, config.plugins.defaults);
        let url = format!("http://{}/{path}", receivers.address);
        let url = if plugin == "slack" { kept_as_secret(home, &url)? } else { url };
        // What answers is on this machine, and takes more than the one message in a second that Slack does.
        channel.gates.rate_limit = (plugin == "slack").then(|| "50/s".parse()).transpose()?;
        channel.config.insert("url".to_owned(), json!(url));
        channel.allow_networks.push("127.0.0.1/32".to_owned());
        config.channels.insert(ChannelName::new(name)?, channel);
    }
    Ok(config)
}

/// Slack's URL is as good as a password: the configuration says where it is, and never what it is.
fn kept_as_secret(home: &Path, url: &str) -> anyhow::Result<String> {
    let path = home.join("slack-url");
    fs::write(&path, url)?;
    Ok(format!("file:{}", path.display()))
}

async fn accept(runtime: &Runtime) -> anyhow::Result<Vec<Handle>> {
    let data = json!({ "host": "db-3", "percent": 91 });
    let mut handles = Vec::new();
    for notification in [
        Notification::new().channel("console").title("Console").body("a line from inside a sandbox"),
        Notification::new().channel("site").priority(Priority::Critical).title("Deploy").body("version 7 is out"),
        Notification::new().channel("ops").priority(Priority::High).title("Disk").template("disk", &data),
        Notification::new().channel("flaky").title("Busy").body("the first answer will be 503"),
        Notification::new().channel("site").channel("ops").channel("console").priority(Priority::Low).body("to three"),
        Notification::new().channel("gone").body("nobody is there"),
    ] {
        let handle = runtime.notify(notification).await?;
        println!("  accepted {}", handle.id());
        handles.push(handle);
    }
    Ok(handles)
}

/// Copies a bundled plugin into the operator's folder while deliveries run, waits until it serves, and uses it.
async fn drop_in(runtime: &Runtime, home: &Path) -> anyhow::Result<Handle> {
    let folder = home.join("plugins-enabled");
    let bundled = bundled_file(runtime, "slack")?;
    let dropped = Instant::now();
    fs::write(folder.join("broken.wasm"), "not a component")?;
    fs::copy(&bundled, folder.join("slack.wasm")).context("cannot copy the Slack plugin")?;

    let serving =
        until(runtime, |status| status.source == PluginSource::Own && status.state == PluginState::Serving).await?;
    println!("  {} serves {} ms after it was dropped in", serving.file, dropped.elapsed().as_millis());
    let refused = until(runtime, |status| matches!(status.state, PluginState::Refused { .. })).await?;
    if let PluginState::Refused { reason } = &refused.state {
        println!("  {} is refused: {reason}", refused.file);
    }
    Ok(runtime.notify(Notification::new().channel("ops").body("through the plugin that was dropped in")).await?)
}

fn bundled_file(runtime: &Runtime, name: &str) -> anyhow::Result<PathBuf> {
    let folder = runtime.config().plugins.bundled_dir.clone();
    let beside = || std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("plugins")));
    let file = folder.or_else(beside).map(|folder| folder.join(format!("{name}.wasm")));
    file.filter(|file| file.is_file()).with_context(|| format!("the bundled plugin `{name}` is not beside the program"))
}

async fn until(runtime: &Runtime, wanted: impl Fn(&PluginStatus) -> bool) -> anyhow::Result<PluginStatus> {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let waited = tokio::time::timeout(DROP_IN_LIMIT, async {
        loop {
            ticks.tick().await;
            if let Some(found) = runtime.plugins().into_iter().find(|status| wanted(status)) {
                return found;
            }
        }
    });
    waited.await.with_context(|| format!("a file in the plugins folder was not seen within {DROP_IN_LIMIT:?}"))
}

/// The demo says what it shows: all is sent but what nobody was there for, and the flaky receiver took two attempts.
fn check(records: &[NotificationRecord]) -> anyhow::Result<()> {
    let deliveries = || records.iter().flat_map(|record| &record.deliveries);
    let sent = deliveries().filter(|delivery| delivery.state.status().as_str() == "sent").count();
    let retried = deliveries().any(|delivery| delivery.channel.as_str() == "flaky" && delivery.attempts.len() == 2);
    if sent + 1 != deliveries().count() || !retried {
        bail!("the story did not end as it should: {sent} of {} deliveries were sent", deliveries().count());
    }
    Ok(())
}
