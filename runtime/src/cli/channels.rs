//! `campanile channels`: how the channels of a running server stand, and what can be done about it.

use std::fmt::Write as _;

use serde_json::json;

use super::client::Client;
use super::client::wire::{
    Breaker, Channel, ChannelChanged, ChannelLimits, ChannelTested, Channels, FailedCall, Health, Host, Rate,
};
use super::failure::{Exit, Failure};
use super::table::{Cell, Table};
use super::terminal::{Color, Paint, escaped};
use super::{Answer, Globals};
use crate::domain::{ChannelName, RateScope};
use crate::runtime::RateSource;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List channels with what holds their deliveries back
    List,
    /// Show one channel
    Show(Args),
    /// Send a real notification through a channel, now
    Test(TestArgs),
    /// Have a channel's deliveries wait
    Pause(Args),
    /// Let a paused channel's deliveries go on
    Resume(Args),
    /// Close a channel's breaker, and forget how long its provider asked to be left alone
    Reset(ResetArgs),
}

/// Which channel.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 done; 1 no server answers; 3 no such channel.")]
pub(super) struct Args {
    /// A channel, as `campanile channels list` names it
    name: ChannelName,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --host it closes the breakers of all hosts that the channel calls, too.

Exit codes: 0 done; 1 no server answers; 3 no such channel.

Examples:
  campanile channels reset ops
  campanile channels reset hooks --host hooks.example.com:8443")]
pub(super) struct ResetArgs {
    /// A channel, as `campanile channels list` names it
    name: ChannelName,
    /// Close only the breaker of this host, as `campanile channels show` names it
    #[arg(long)]
    host: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A test goes around the queue, the breaker and the rate of its channel, and counts for none of them.

Exit codes: 0 the provider took it; 1 it did not, or no server answers; 2 refused; 3 no such channel.

Examples:
  campanile channels test ops
  campanile channels test email --to ada@example.com")]
pub(super) struct TestArgs {
    /// A channel, as `campanile channels list` names it
    name: ChannelName,
    /// To this address, where the channel needs one
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
}

pub(super) async fn run(globals: &Globals, command: &Command) -> Result<Answer, Failure> {
    match command {
        Command::List => list(globals).await,
        Command::Show(args) => show(globals, args).await,
        Command::Test(args) => test(globals, args).await,
        Command::Pause(args) => change(globals, &args.name, "pause", None).await,
        Command::Resume(args) => change(globals, &args.name, "resume", None).await,
        Command::Reset(args) => change(globals, &args.name, "reset", args.host.as_deref()).await,
    }
}

async fn list(globals: &Globals) -> Result<Answer, Failure> {
    let answered = Client::new(globals)?.get::<Channels>(&["channels"], None).await?;
    Ok(Answer::ok(match globals.json {
        true => format!("{:#}\n", answered.json),
        false => table(&answered.value.channels, globals.paint_stdout()),
    }))
}

async fn show(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let answered = Client::new(globals)?.get::<Channel>(&["channels", args.name.as_str()], None).await?;
    Ok(Answer::ok(match globals.json {
        true => format!("{:#}\n", answered.json),
        false => page(&answered.value, globals.paint_stdout()),
    }))
}

async fn test(globals: &Globals, args: &TestArgs) -> Result<Answer, Failure> {
    let path = ["channels", args.name.as_str(), "test"];
    let asked = args.to.as_ref().map_or_else(|| json!({}), |to| json!({ "to": to }));
    let answered = Client::new(globals)?.post::<ChannelTested>(&path, &asked).await?;
    let is_good = matches!(answered.value.outcome.as_str(), "sent" | "accepted");
    let text = match globals.json {
        true => format!("{:#}\n", answered.json),
        false => tested(&answered.value, globals.paint_stdout()),
    };
    Ok(Answer::ended(text, if is_good { Exit::Ok } else { Exit::No }))
}

async fn change(globals: &Globals, name: &ChannelName, what: &str, host: Option<&str>) -> Result<Answer, Failure> {
    let path = ["channels", name.as_str(), what];
    let asked = host.map_or_else(|| json!({}), |host| json!({ "host": host }));
    let answered = Client::new(globals)?.post::<ChannelChanged>(&path, &asked).await?;
    Ok(Answer::ok(match (globals.json, host) {
        (true, _) => format!("{:#}\n", answered.json),
        (false, Some(host)) => host_changed(&answered.value, host),
        (false, None) => changed(&answered.value, globals.paint_stdout()),
    }))
}

fn host_changed(answer: &ChannelChanged, host: &str) -> String {
    let (host, name) = (escaped(host), escaped(&answer.channel.name));
    match answer.changed {
        true => format!("{name} calls {host} again\n"),
        false => {
            format!("{name} did not leave {host} alone; `campanile channels show {name}` lists the hosts it does\n")
        }
    }
}

fn table(channels: &[Channel], paint: Paint) -> String {
    if channels.is_empty() {
        return "no channels\n".to_owned();
    }
    let head = ["NAME", "PLUGIN", "STATE", "WAITING", "IN FLIGHT", "FAILED", "LAST ERROR", "HEALTH", "REASON"];
    let mut table = Table::new(head);
    for channel in channels {
        let Channel { name, state, breaker, in_flight, limit, waiting, last_error, health, reason, .. } = channel;
        let of = |limit: &u32| format!("{in_flight} of {limit}");
        let last_error = last_error.as_ref().map(|failed| outcome(&failed.outcome, failed.code.as_deref()));
        table.row([
            name.as_str().into(),
            plugin(channel).into(),
            Cell::status(state),
            waiting.to_string().into(),
            limit.as_ref().map_or_else(|| in_flight.to_string(), of).into(),
            Cell::or_dash(breaker.as_ref().map(failed).as_deref()),
            Cell::or_dash(last_error.as_deref()),
            health.as_ref().map_or_else(|| "-".into(), |health| Cell::status(&health.state)),
            Cell::or_dash(reason.as_deref()),
        ]);
    }
    table.render(paint, 0)
}

fn plugin(channel: &Channel) -> String {
    let version = channel.version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    format!("{}{version}", channel.plugin)
}

/// How a call ended, in a few words.
fn outcome(outcome: &str, code: Option<&str>) -> String {
    code.map_or_else(|| outcome.to_owned(), |code| format!("{outcome} {code}"))
}

fn limited(limits: &ChannelLimits) -> Option<String> {
    let ChannelLimits { rate, per_recipient_rate, per_host_rate, concurrency } = limits;
    let words = [
        rate.clone(),
        per_recipient_rate.as_ref().map(|rate| format!("{rate} for each recipient")),
        per_host_rate.as_ref().map(|rate| format!("{rate} for each host")),
        concurrency.map(|most| format!("{most} at once")),
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Of the calls that its breaker has seen lately, or that opened it.
fn failed(breaker: &Breaker) -> String {
    format!("{} of {}", breaker.failures, breaker.calls)
}

fn page(channel: &Channel, paint: Paint) -> String {
    let Channel { name, state, reason, breaker, rate, not_before, in_flight, limit, waiting, deferred, health, .. } =
        channel;
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{key:<11}{value}");
    };
    line("name", &escaped(name));
    line("plugin", &escaped(&plugin(channel)));
    line("state", &paint.color(Color::of_status(state), &escaped(state)));
    if let Some(reason) = reason {
        line("reason", &escaped(reason));
    }
    if let Some(breaker) = breaker {
        line("breaker", &escaped(&in_words(breaker)));
    }
    if let Some(Rate { rate, scope, source }) = rate {
        line("rate", &escaped(&allowed(name, rate, scope, source)));
    }
    if let Some(not_before) = not_before {
        line("not before", &escaped(not_before));
    }
    if let Some(limits) = limited(&channel.limits) {
        line("limits", &escaped(&limits));
    }
    let most = limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
    line("in flight", &format!("{in_flight}{most}"));
    let of_them = format!("{waiting}, {deferred} of them for the turn of their recipient or host");
    line("waiting", &if *deferred > 0 { of_them } else { waiting.to_string() });
    if let Some(at) = &channel.last_success {
        line("last good", &escaped(at));
    }
    if let Some(FailedCall { at, outcome: word, code, reason }) = &channel.last_error {
        let words = format!("{} at {at}: {reason}", outcome(word, code.as_deref()));
        line("last error", &escaped(&words));
    }
    if let Some(Health { state, message, at, failures }) = health {
        let times = if *failures > 1 { format!(", {failures} times in a row") } else { String::new() };
        let state = paint.color(Color::of_status(state), &escaped(state));
        line("health", &format!("{state}: {} ({}{times})", escaped(message), escaped(at)));
    }
    if channel.hosts_not_closed > 0 {
        line("hosts", &format!("{} left alone", channel.hosts_not_closed));
        text.push_str(&hosts(channel, paint));
    }
    text
}

/// How fast a channel may be called, who says so, and what changes it.
pub(super) fn allowed(channel: &str, rate: &str, scope: &str, source: &str) -> String {
    let is_of_each = scope == RateScope::Recipient.as_str();
    let (each, key) = if is_of_each { (" for each recipient", "per_recipient_rate") } else { ("", "rate_limit") };
    let whose = match source == RateSource::Plugin.as_str() {
        true => format!("as its plugin says of its provider; `{key}` in [channels.{channel}] takes its place"),
        false => format!("by `{key}` in [channels.{channel}]"),
    };
    format!("{rate}{each}, {whose}")
}

fn hosts(channel: &Channel, paint: Paint) -> String {
    let mut table = Table::new(["HOST", "STATE", "UNTIL", "REASON", "IN EVENTS"]);
    for Host { host, tag, state, until, reason } in &channel.hosts {
        table.row([
            host.as_str().into(),
            Cell::status(state),
            Cell::or_dash(until.as_deref()),
            reason.as_str().into(),
            tag.as_str().into(),
        ]);
    }
    let more = channel.hosts_not_closed.saturating_sub(channel.hosts.len() as u64);
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    table.render(paint, 2) + &more
}

fn in_words(breaker: &Breaker) -> String {
    let Breaker { state, since, until, reason, calls, failures, slow, consecutive } = breaker;
    let mut words = state.clone();
    for (word, at) in [("since", since), ("until", until)] {
        if let Some(at) = at {
            let _ = write!(words, " {word} {at}");
        }
    }
    if let Some(reason) = reason {
        let _ = write!(words, " ({reason})");
    }
    // What opened it, where it is not closed.
    let _ = write!(words, ", {failures} of {calls} calls failed, {consecutive} in a row, {slow} slow");
    words
}

fn tested(test: &ChannelTested, paint: Paint) -> String {
    let ChannelTested { channel, outcome, duration_ms, code, reason, provider_id, plugin } = test;
    let outcome = paint.color(Color::of_status(outcome), &escaped(outcome));
    let mut text = format!("{}: {outcome} in {duration_ms} ms", escaped(channel));
    let more = [("", plugin), ("code ", code), ("provider id ", provider_id), ("", reason)];
    for (what, value) in more {
        if let Some(value) = value {
            let _ = write!(text, ", {what}{}", escaped(value));
        }
    }
    text.push('\n');
    text
}

fn changed(answer: &ChannelChanged, paint: Paint) -> String {
    let Channel { name, state, reason, .. } = &answer.channel;
    let already = if answer.changed { "" } else { ", as it was" };
    let reason = reason.as_deref().map(|reason| format!(": {}", escaped(reason))).unwrap_or_default();
    let state = paint.color(Color::of_status(state), &escaped(state));
    format!("{} is {state}{already}{reason}\n", escaped(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::Value;

    fn channel(name: &str, state: &str, more: &Value) -> Value {
        let mut channel = json!({
            "name": name, "plugin": "slack", "version": "0.1.0", "configured": true, "state": state,
            "breaker": { "state": "closed", "calls": 12, "failures": 1, "slow": 0, "consecutive": 0 },
            "in_flight": 2, "limit": 64, "waiting": 7, "health": null,
        });
        let (into, from) = (channel.as_object_mut().expect("an object"), more.as_object().expect("an object"));
        into.extend(from.clone());
        channel
    }

    fn open() -> Value {
        channel(
            "pager",
            "open",
            &json!({
                "reason": "its breaker is open until 2026-01-02T03:04:15.000Z\u{7}",
                "breaker": { "state": "open", "since": "2026-01-02T03:04:05.000Z", "until": "2026-01-02T03:04:15.000Z",
                             "reason": "consecutive", "calls": 5, "failures": 5, "slow": 1, "consecutive": 5 },
                "rate": { "rate": "1/s", "scope": "channel", "source": "plugin" },
                "not_before": "2026-01-02T03:04:09.000Z",
                "health": { "state": "down", "message": "503", "at": "2026-01-02T03:04:01.000Z", "failures": 3 },
                "deferred": 3, "last_success": "2026-01-02T03:00:00.000Z",
                "limits": { "rate": "10/s", "per_recipient_rate": "1/m", "per_host_rate": null, "concurrency": 4 },
                "last_error": { "at": "2026-01-02T03:04:05.000Z", "outcome": "retry", "code": "503", "reason": "busy\n" },
                "hosts_not_closed": 3,
                "hosts": [
                    { "host": "a.example:8443", "tag": "00000000000000ab", "state": "open", "since": "x",
                      "until": "2026-01-02T03:05:00.000Z", "reason": "consecutive" },
                    { "host": "b.example", "tag": "00000000000000cd", "state": "disabled", "since": "x", "until": null,
                      "reason": "too-long" },
                ],
            }),
        )
    }

    #[test]
    fn a_line_is_a_channel_with_what_holds_it_back() {
        let answer = json!({ "channels": [channel("ops", "ready", &json!({})), open(),
            channel("odd", "unusable", &json!({ "version": null, "breaker": null, "limit": null, "in_flight": 0,
                                                "reason": "there is no plugin `slack`" }))] });
        let channels: Channels = serde_json::from_value(answer).expect("the shape of `GET /v1/channels`");
        assert_snapshot!(table(&channels.channels, Paint::Off), @r"
        NAME   PLUGIN       STATE     WAITING  IN FLIGHT  FAILED   LAST ERROR  HEALTH  REASON
        ops    slack@0.1.0  ready     7        2 of 64    1 of 12  -           -       -
        pager  slack@0.1.0  open      7        2 of 64    5 of 5   retry 503   down    its breaker is open until 2026-01-02T03:04:15.000Z\u{7}
        odd    slack        unusable  7        0          -        -           -       there is no plugin `slack`
        ");
        assert_eq!(table(&[], Paint::Off), "no channels\n");
    }

    #[test]
    fn one_channel_is_shown_with_all_that_is_known_of_it() {
        let channel: Channel = serde_json::from_value(open()).expect("the shape of `GET /v1/channels/pager`");
        assert_snapshot!(page(&channel, Paint::Off), @r"
        name       pager
        plugin     slack@0.1.0
        state      open
        reason     its breaker is open until 2026-01-02T03:04:15.000Z\u{7}
        breaker    open since 2026-01-02T03:04:05.000Z until 2026-01-02T03:04:15.000Z (consecutive), 5 of 5 calls failed, 5 in a row, 1 slow
        rate       1/s, as its plugin says of its provider; `rate_limit` in [channels.pager] takes its place
        not before 2026-01-02T03:04:09.000Z
        limits     10/s, 1/m for each recipient, 4 at once
        in flight  2 of 64
        waiting    7, 3 of them for the turn of their recipient or host
        last good  2026-01-02T03:00:00.000Z
        last error retry 503 at 2026-01-02T03:04:05.000Z: busy\n
        health     down: 503 (2026-01-02T03:04:01.000Z, 3 times in a row)
        hosts      3 left alone
          HOST            STATE     UNTIL                     REASON       IN EVENTS
          a.example:8443  open      2026-01-02T03:05:00.000Z  consecutive  00000000000000ab
          b.example       disabled  -                         too-long     00000000000000cd
          and 1 more
        ");
    }

    #[test]
    fn a_rate_is_told_with_who_says_so() {
        assert_eq!(allowed("ops", "50/s", "channel", "configuration"), "50/s, by `rate_limit` in [channels.ops]");
        let each = "5/m for each recipient, as its plugin says of its provider; `per_recipient_rate` in [channels.ops] \
                    takes its place";
        assert_eq!(allowed("ops", "5/m", "recipient", "plugin"), each);
    }

    #[test]
    fn what_was_done_to_a_channel_is_a_line() {
        let answer = |is_new: bool, channel: Value| {
            let answer = json!({ "changed": is_new, "channel": channel });
            let answer: ChannelChanged = serde_json::from_value(answer).expect("the shape of the answer");
            changed(&answer, Paint::Off)
        };
        assert_snapshot!(answer(true, channel("ops", "ready", &json!({}))), @"ops is ready");
        assert_snapshot!(answer(false, open()), @r"pager is open, as it was: its breaker is open until 2026-01-02T03:04:15.000Z\u{7}");
    }

    #[test]
    fn what_was_done_to_one_host_is_a_line() {
        let answer = |is_new: bool| {
            let answer = json!({ "changed": is_new, "channel": channel("ops", "ready", &json!({})) });
            let answer: ChannelChanged = serde_json::from_value(answer).expect("the shape of the answer");
            host_changed(&answer, "a.example\u{7}")
        };
        assert_snapshot!(answer(true), @r"ops calls a.example\u{7} again");
        assert_snapshot!(answer(false), @r"ops did not leave a.example\u{7} alone; `campanile channels show ops` lists the hosts it does");
    }

    #[test]
    fn a_test_says_what_came_of_it() {
        let test = json!({ "channel": "ops", "outcome": "retry", "duration_ms": 12.5, "code": "503",
                           "reason": "busy\n", "plugin": "slack@0.1.0" });
        let test: ChannelTested = serde_json::from_value(test).expect("the shape of the answer");
        assert_snapshot!(tested(&test, Paint::Off), @r"ops: retry in 12.5 ms, slack@0.1.0, code 503, busy\n");
    }
}
