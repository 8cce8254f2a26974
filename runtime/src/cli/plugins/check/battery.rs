//! The checks in their order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::hostile::{self, Letter};
use super::pace::Pace;
use super::profile::{self, Line};
use super::{Check, looks};
use crate::cli::plugins::test::{call, letter, meaning, word};
use crate::cli::plugins::{example, program};
use crate::config::CallLimits;
use crate::domain::{AttemptEnd, Content, Recipient};
use crate::runtime::{
    HttpError, HttpReply, InspectError, InspectionError, Kept, PlayedProvider, PlayedRequest, PrepareError, Role,
    TRIAL_MEMORY_MAX, Trial, TrialError, Tried, Workpiece,
};

/// Over what a server grants by default, so that a call that needs more is measured instead of ended.
const GENEROUS: u32 = 50;

/// A trial has no provider to wait for, so this is computing time of the slowest toolchain on a slow machine.
const GENEROUS_TIMEOUT: Duration = Duration::from_secs(45);

/// What to do about a call that gives no outcome.
pub(super) const ANSWER: &str = "answer an outcome whatever comes: what is wrong with one message is `rejected`";

/// What to do about a file that was made for something else.
const FOR_THIS: &str = "build it for the contract of this program: campanile plugins build";

/// Problems that are named of one check; more would help nobody.
const NAMED_MAX: usize = 5;

/// All that was found.
pub(in crate::cli::plugins) struct Battery {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) checks: Vec<Check>,
    pub(super) profile: Vec<Line>,
}

/// Gives the same answer whatever is asked.
struct Always(Result<HttpReply, HttpError>);

impl PlayedProvider for Always {
    fn answer(&self, _: PlayedRequest) -> Result<HttpReply, HttpError> {
        self.0.clone()
    }
}

fn content_reply() -> HttpReply {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    HttpReply { status: 200, headers, body: "{}".into(), truncated: false }
}

impl Battery {
    /// Runs every check on a file. `limits` are those of a channel that sets none.
    pub(in crate::cli::plugins) async fn run(
        file: &Path,
        config: Option<Map<String, Value>>,
        limits: CallLimits,
    ) -> Self {
        let mut battery = Self { name: None, version: None, sha256: None, checks: Vec::new(), profile: Vec::new() };
        let workpiece = match Box::pin(Workpiece::open(file, program().as_deref())).await {
            Ok(workpiece) => workpiece,
            Err(error) => {
                battery.checks.push(not_loaded(&error));
                battery.checks.extend(looks::unusable_needs(&error));
                return battery;
            }
        };
        let inspection = workpiece.inspection();
        let of_descriptor = &inspection.descriptor.version;
        battery.name = Some(of_descriptor.name.to_string());
        battery.version = Some(of_descriptor.version.to_string());
        battery.sha256 = Some(inspection.sha256.to_string());
        battery.checks.extend(looks::all(inspection));
        battery.checks.push(described_twice(&workpiece).await);
        match &inspection.descriptor.role {
            Role::Channel(_) => Box::pin(battery.channel(&workpiece, config, limits)).await,
            Role::TemplateEngine(_) => battery.checks.extend(Box::pin(engine(&workpiece, limits)).await),
        }
        battery
    }

    async fn channel(&mut self, workpiece: &Workpiece, config: Option<Map<String, Value>>, limits: CallLimits) {
        let given = config.is_some();
        let config = match config.map_or_else(|| example::config(workpiece), Ok) {
            Ok(config) => config,
            Err(reason) => {
                let mend = "name a file with a config: --with FILE";
                self.checks.push(Check::fail("config-schema", reason, mend));
                return;
            }
        };
        let bench = Bench { workpiece, config, limits: generous(limits), pace: Pace::default() };
        let schema = bench.configured(given).await;
        let usable = schema.verdict != super::Verdict::Fail;
        self.checks.push(schema);
        if !usable {
            return;
        }
        self.checks.push(bench.sends_the_same().await);
        match profile::measure(&bench).await {
            Ok(lines) => {
                self.checks.extend(profile::judge(&lines, limits, workpiece.fuel_per_ms()));
                self.profile = lines;
            }
            Err(error) => self.checks.push(Check::fail("profile", error, "see the check before this one")),
        }
        self.checks.extend(bench.inputs().await);
        self.checks.extend(bench.replies().await);
        self.checks.extend(bench.pace.verdict());
    }
}

fn not_loaded(error: &InspectionError) -> Check {
    let mut says = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        says.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Check::fail("load", says, mend_of(error))
}

/// What helps against it: a file that is damaged is not built anew for another contract.
fn mend_of(error: &InspectionError) -> &'static str {
    match error {
        InspectionError::Sandbox(_) => "this machine cannot run plugins; the message above says why",
        InspectionError::File(error) => match error {
            InspectError::Unreadable(_) => "see that it may be read",
            InspectError::NotAFile | InspectError::Text | InspectError::NotWasm { .. } => {
                "name the component: `campanile plugins build` puts it to dist/NAME.wasm"
            }
            InspectError::Empty | InspectError::Truncated { .. } | InspectError::Trailing { .. } => {
                "copy it again, or build it again"
            }
            InspectError::TooLarge { .. } | InspectError::TooMuch(_) => {
                "build it without debug information (in Rust: link-arg=--strip-debug), and with less in it"
            }
            InspectError::Precompiled => "name the .wasm that it was made from",
            InspectError::CoreModule => "build it as a component: campanile plugins build",
            InspectError::Invalid { .. }
            | InspectError::OtherWorld { .. }
            | InspectError::TwoKinds
            | InspectError::SeveralContracts { .. }
            | InspectError::NewerContract { .. }
            | InspectError::OlderContract { .. }
            | InspectError::UnknownImports { .. } => FOR_THIS,
        },
        InspectionError::Plugin(PrepareError::Describe(_) | PrepareError::Descriptor { .. } | PrepareError::Fickle) => {
            "mend `describe`: it answers with constants, without a call of the host"
        }
        InspectionError::Plugin(PrepareError::Compile { .. } | PrepareError::TooSlow { .. }) => {
            "build it with less in it: without what it does not use, and in smaller functions"
        }
        InspectionError::Plugin(
            PrepareError::WrongWorld { .. }
            | PrepareError::BothWorlds
            | PrepareError::Import { .. }
            | PrepareError::Mismatch(_),
        ) => FOR_THIS,
    }
}

fn generous(limits: CallLimits) -> CallLimits {
    CallLimits {
        cpu_time: limits.cpu_time.saturating_mul(GENEROUS),
        fuel: limits.fuel.map(|fuel| fuel.saturating_mul(GENEROUS.into())),
        memory: TRIAL_MEMORY_MAX,
        timeout: GENEROUS_TIMEOUT,
        ..limits
    }
}

async fn described_twice(workpiece: &Workpiece) -> Check {
    const NAME: &str = "describe-twice";
    match Box::pin(workpiece.describes_the_same()).await {
        Ok(true) => Check::pass(NAME, "it says the same of itself each time"),
        Ok(false) => Check::fail(
            NAME,
            "it says something else of itself the second time, so what is approved is not what runs",
            "put constants into `describe`: no clock, no chance",
        ),
        Err(error) => {
            Check::fail(NAME, format!("it does not answer the second time: {error}"), "put constants into `describe`")
        }
    }
}

/// A plugin with a config that it takes.
pub(super) struct Bench<'a> {
    pub(super) workpiece: &'a Workpiece,
    config: Map<String, Value>,
    limits: CallLimits,
    pub(super) pace: Pace,
}

impl Bench<'_> {
    pub(super) async fn send(&self, letter: Letter, reply: Result<HttpReply, HttpError>) -> Result<Tried, TrialError> {
        let Letter { notification, mut recipient, attempt, now, .. } = letter;
        if recipient.address.is_empty() {
            recipient.address = example::address(&self.workpiece.inspection().descriptor.role);
        }
        let mut call = call(notification, recipient);
        call.attempt = attempt;
        call.now = now.unwrap_or(call.now);
        let provider = Arc::new(Always(reply));
        let limits = self.pace.within(self.limits, self.workpiece.fuel_per_ms());
        let (config, kept) = (&self.config, &Kept::default());
        let tried = self.workpiece.send(Trial { config, call: &call, provider, kept, limits }).await?;
        self.pace.count(Some(&tried.end), profile::cpu(tried.fuel, self.workpiece.fuel_per_ms()), tried.duration);
        Ok(tried)
    }

    async fn configured(&self, given: bool) -> Check {
        const NAME: &str = "config-schema";
        let whose = if given { "the config given" } else { "an example made from it" };
        let mend = "name a file with a config that it takes: --with FILE";
        match Box::pin(self.workpiece.configure(&self.config, &self.limits)).await {
            Ok(problems) if problems.is_empty() => {
                let keys = self.workpiece.inspection().descriptor.config_schema["properties"].as_object();
                let keys = keys.map_or(0, Map::len);
                Check::pass(NAME, format!("a JSON Schema of {keys} keys; {whose} is taken"))
            }
            Ok(problems) => {
                let listed: Vec<_> = problems.iter().take(NAMED_MAX).map(ToString::to_string).collect();
                Check::fail(NAME, format!("{whose} is refused by `configure`: {}", listed.join("; ")), mend)
            }
            Err(error @ TrialError::Config(_)) if given => Check::fail(NAME, format!("{whose}: {error}"), mend),
            Err(error) => Check::fail(NAME, format!("with {whose}: {error}"), mend),
        }
    }

    async fn sends_the_same(&self) -> Check {
        const NAME: &str = "send-twice";
        let uncalled = |error: TrialError| {
            Check::fail(NAME, format!("it cannot be called: {error}"), "see `imports` and `permissions` above")
        };
        let once = match self.send(Letter::plain(), Ok(content_reply())).await {
            Ok(once) => once,
            Err(error) => return uncalled(error),
        };
        if let Some(reason) = no_outcome(&once.end) {
            return Check::fail(NAME, format!("a plain message gives no outcome: {reason}"), ANSWER);
        }
        let twice = match self.send(Letter::plain(), Ok(content_reply())).await {
            Ok(twice) => twice,
            Err(error) => return uncalled(error),
        };
        let mend = "take time from the call and ids from the delivery, so that a second attempt is the same request";
        if !same_requests(&once.requests, &twice.requests) {
            return Check::warn(NAME, "the same delivery makes another request the second time", mend);
        }
        if meaning(&once.end) != meaning(&twice.end) {
            return Check::warn(NAME, "the same answer means something else the second time", mend);
        }
        let requests = match once.requests.len() {
            0 => "no request".to_owned(),
            1 => "one request".to_owned(),
            count => format!("{count} requests"),
        };
        Check::pass(
            NAME,
            format!("the same delivery makes the same {requests}, and ends the same: {}", word(&once.end)),
        )
    }

    async fn inputs(&self) -> Option<Check> {
        let trials = hostile::letters().into_iter().map(|letter| (letter.name, letter, Ok(content_reply())));
        self.each("hostile-input", "inputs", trials.collect()).await
    }

    async fn replies(&self) -> Option<Check> {
        const NAME: &str = "hostile-replies";
        if !self.workpiece.inspection().descriptor.needs.iter().any(|need| need.capability == "http") {
            return Some(Check::pass(NAME, "it asks no provider"));
        }
        let trials = hostile::replies().into_iter().map(|(name, reply)| (name, Letter::plain(), reply));
        self.each(NAME, "replies", trials.collect()).await
    }

    /// Tries one after the other for as long as there is time. None: there was none for the first.
    async fn each(
        &self,
        name: &'static str,
        what: &str,
        trials: Vec<(&'static str, Letter, Result<HttpReply, HttpError>)>,
    ) -> Option<Check> {
        let all = trials.len();
        let mut ends = Vec::new();
        for (name, letter, reply) in trials {
            if !self.pace.goes_on() {
                break;
            }
            ends.push((name, self.send(letter, reply).await));
        }
        if ends.len() < all {
            self.pace.leave_out(format!("{} of {all} {what}", all - ends.len()));
        }
        (!ends.is_empty()).then(|| verdict(name, what, &ends))
    }
}

fn same_requests(one: &[PlayedRequest], other: &[PlayedRequest]) -> bool {
    let parts = |request: &PlayedRequest| {
        (request.method.clone(), request.url.clone(), request.headers.clone(), request.body.clone())
    };
    one.iter().map(parts).eq(other.iter().map(parts))
}

/// Why a call gave no outcome; none where it gave one.
pub(super) fn no_outcome(end: &AttemptEnd) -> Option<String> {
    match end {
        AttemptEnd::Outcome(_) => None,
        AttemptEnd::HostDeadline { .. } => Some("it waited until the deadline".to_owned()),
        AttemptEnd::Fault { message, .. } | AttemptEnd::Interrupted { message, .. } => {
            Some(format!("{}: {message}", word(end)))
        }
    }
}

/// Whatever comes, a call ends with an outcome.
fn verdict(name: &'static str, what: &str, ends: &[(&'static str, Result<Tried, TrialError>)]) -> Check {
    let problem = |(name, tried): &(&'static str, Result<Tried, TrialError>)| match tried {
        Ok(tried) => no_outcome(&tried.end).map(|reason| format!("`{name}`: {reason}")),
        Err(error) => Some(format!("`{name}`: {error}")),
    };
    let problems: Vec<_> = ends.iter().filter_map(problem).collect();
    if problems.is_empty() {
        return Check::pass(name, format!("each of {} {what} ends with an outcome", ends.len()));
    }
    let mut says: Vec<_> = problems.iter().take(NAMED_MAX).cloned().collect();
    if let Some(more) = problems.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        says.push(format!("and {more} more"));
    }
    Check::fail(name, says.join("\n"), ANSWER)
}

/// A template engine answers every source and data with parts or a problem.
async fn engine(workpiece: &Workpiece, limits: CallLimits) -> Vec<Check> {
    const NAME: &str = "hostile-input";
    let (pace, limits) = (Pace::default(), generous(limits));
    let mut problems = Vec::new();
    let trials = hostile::templates();
    let mut tried = 0;
    for (name, source, data) in trials.iter().take_while(|_| pace.goes_on()) {
        tried += 1;
        let limits = pace.within(limits, workpiece.fuel_per_ms());
        let begun = Instant::now();
        let end = Box::pin(workpiece.render(source, data, &limits)).await.err();
        // What a template costs is not told; its calls do nothing but compute.
        pace.count(end.as_ref(), begun.elapsed(), begun.elapsed());
        problems.extend(end.as_ref().and_then(no_outcome).map(|reason| format!("`{name}`: {reason}")));
    }
    if tried < trials.len() {
        pace.leave_out(format!("{} of {} templates", trials.len() - tried, trials.len()));
    }
    let check = if problems.is_empty() {
        Check::pass(NAME, format!("each of {tried} templates ends with parts or a problem"))
    } else {
        problems.truncate(NAMED_MAX);
        Check::fail(NAME, problems.join("\n"), "bound depth, loops and output, and answer a problem with its place")
    };
    [Some(check), pace.verdict()].into_iter().flatten().collect()
}

impl Letter {
    /// What anybody would send.
    pub(super) fn plain() -> Self {
        let content =
            Content { title: Some("Disk almost full".into()), text: "db-3 is at 91 %".into(), ..Content::default() };
        Self { name: "plain", notification: letter(content), recipient: Recipient::default(), attempt: 1, now: None }
    }

    /// Nothing but a text.
    pub(super) fn of(name: &'static str, text: impl Into<String>) -> Self {
        let content = Content { text: text.into(), ..Content::default() };
        Self { name, notification: letter(content), ..Self::plain() }
    }
}
