//! Every refusal says what was asked, what the limit is, and what changes it. A new one has to be written down here: the
//! chains below do not compile without it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use semver::Version;
use tokio::time::Instant;

use crate::call::PluginVersion;
use crate::config::CallLimits;
use crate::domain::{ChannelName, PluginName};
use crate::sandbox::apart::ApartError;
use crate::sandbox::limits::Refusal;
use crate::sandbox::loader::sentence;
use crate::sandbox::state::{CallState, Setting, Subject};
use crate::sandbox::{
    CallEnd, CompileApartError, Excess, InspectError, LoadError, Mismatch, OperatorError, PrepareError, SandboxError,
};
use crate::supply::TrustError;
use crate::telemetry::Metrics;

/// All values, each made from the one before it.
fn chain<E>(after: impl Fn(Option<&E>) -> Option<E>) -> Vec<E> {
    let mut all = Vec::new();
    while let Some(next) = after(all.last()) {
        all.push(next);
    }
    all
}

fn state(limits: CallLimits, subject: Subject) -> CallState {
    CallState::new(subject, &limits, u64::MAX, None, &Metrics::off(), Instant::now())
}

fn belfry() -> Subject {
    Subject { channel: Some(ChannelName::new("belfry").expect("it is a name")), ..Subject::default() }
}

/// The same channel while its config is judged, where it inherits what it does not set.
fn made() -> Subject {
    Subject { inherited: Some(Box::default()), ..belfry() }
}

#[test]
fn every_refusal_of_a_call_names_its_limit_and_what_changes_it() {
    let refusals = chain(|refusal| {
        Some(match refusal {
            None => Refusal::Memory { asked: 68_000_000, limit: 64 << 20 },
            Some(Refusal::Memory { .. }) => Refusal::Table { asked: 21_000, limit: 20_000 },
            Some(Refusal::Table { .. }) => Refusal::OutputBytes { limit: 16 << 20 },
            Some(Refusal::OutputBytes { .. }) => Refusal::OutputLines { limit: 20_000 },
            Some(Refusal::OutputLines { .. }) => Refusal::HostCalls { limit: 25_000 },
            Some(Refusal::HostCalls { .. }) => Refusal::HostBytes { limit: 64 << 20 },
            Some(Refusal::HostBytes { .. }) => Refusal::MachineMemory,
            Some(Refusal::MachineMemory) => Refusal::ProviderDeadline,
            Some(Refusal::ProviderDeadline) => Refusal::Stopped,
            Some(Refusal::Stopped) => return None,
        })
    });
    let state = state(CallLimits::default(), belfry());
    let told: Vec<_> = refusals.iter().map(|refusal| CallEnd::of_refusal(*refusal, &state).to_string()).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    it asked for 68000000 bytes of memory, the limit is 67108864; set `memory = "128MiB"` under [channels.belfry] to allow more
    it asked for 21000 table elements, the limit is 20000; no setting changes that: it has to use fewer
    it offered more than 16777216 bytes of output, the limit of a call; no setting changes that: it has to print less
    it offered more than 20000 lines to the log, the limit of a call; no setting changes that: it has to log less
    it called the host more than 25000 times, the limit of a call; no setting changes that: it has to ask less often
    it handed more than 67108864 bytes to the host, the limit of a call; no setting changes that: it has to send less
    the machine has no memory to give; lower `max` in [workers], or give it more
    no answer from the provider before the call's deadline of 10s; `timeout` in [channels.belfry], or else in [plugins.defaults], sets it: set `timeout = "20s"` under [channels.belfry] to allow more
    the plugin was quarantined while the call was running; a new version, or its release as `campanile plugins list` names it, has it called again
    "#);
}

#[test]
fn the_line_that_raises_a_limit_is_one_that_the_configuration_takes() {
    let plugin = Arc::new(PluginVersion {
        name: PluginName::new("bell").expect("it is a name"),
        version: Version::new(1, 0, 0),
    });
    let most = CallLimits {
        cpu_time: CallLimits::CPU_TIME_MAX,
        memory: CallLimits::MEMORY_MAX,
        timeout: CallLimits::TIMEOUT_MAX,
        ..CallLimits::default()
    };
    let most_fuel = CallLimits { fuel: Some(CallLimits::FUEL_MAX), ..most };
    let near =
        CallLimits { cpu_time: Duration::from_secs(50), memory: 3 << 30, timeout: Duration::from_mins(40), ..most };
    let of_plugin = Subject { plugin: Some(plugin), ..Subject::default() };
    let cases = [
        ("a channel", CallLimits::default(), belfry()),
        ("a channel with fuel", CallLimits { fuel: Some(1_000), ..CallLimits::default() }, belfry()),
        ("near the most", near, belfry()),
        ("at the most", most, belfry()),
        ("at the most, with fuel", most_fuel, belfry()),
        ("a plugin", CallLimits::default(), of_plugin),
        ("a newcomer", CallLimits::default(), Subject::default()),
        ("a channel that is made", CallLimits { memory: 1 << 20, ..CallLimits::default() }, made()),
        ("a channel that is made, with fuel", CallLimits { fuel: Some(1_000), ..CallLimits::default() }, made()),
    ];
    let mut told = String::new();
    for (who, limits, subject) in cases {
        let state = state(limits, subject);
        for setting in [Setting::CpuTime, Setting::Memory, Setting::Timeout] {
            told.push_str(&format!("{who}: {}\n", state.raised(setting)));
        }
    }
    insta::assert_snapshot!(told, @r#"
    a channel: set `cpu_time = "400ms"` under [channels.belfry] to allow more
    a channel: set `memory = "128MiB"` under [channels.belfry] to allow more
    a channel: set `timeout = "20s"` under [channels.belfry] to allow more
    a channel with fuel: set `fuel = 2000` under [channels.belfry] to allow more
    a channel with fuel: set `memory = "128MiB"` under [channels.belfry] to allow more
    a channel with fuel: set `timeout = "20s"` under [channels.belfry] to allow more
    near the most: set `cpu_time = "1m"` under [channels.belfry] to allow more
    near the most: set `memory = "4GiB"` under [channels.belfry] to allow more
    near the most: set `timeout = "1h"` under [channels.belfry] to allow more
    at the most: no setting allows more
    at the most: no setting allows more
    at the most: no setting allows more
    at the most, with fuel: no setting allows more
    at the most, with fuel: no setting allows more
    at the most, with fuel: no setting allows more
    a plugin: set `cpu_time = "400ms"` under [plugins.defaults] to allow more
    a plugin: set `memory = "128MiB"` under [plugins.defaults] to allow more
    a plugin: set `timeout = "20s"` under [plugins.defaults] to allow more
    a newcomer: the limit for every plugin that describes itself, which no setting changes
    a newcomer: the limit for every plugin that describes itself, which no setting changes
    a newcomer: the limit for every plugin that describes itself, which no setting changes
    a channel that is made: set `cpu_time = "400ms"` under [plugins.defaults] to allow more
    a channel that is made: set `memory = "2MiB"` under [channels.belfry] to allow more
    a channel that is made: set `timeout = "20s"` under [plugins.defaults] to allow more
    a channel that is made, with fuel: set `fuel = 2000` under [channels.belfry] to allow more
    a channel that is made, with fuel: set `memory = "128MiB"` under [plugins.defaults] to allow more
    a channel that is made, with fuel: set `timeout = "20s"` under [plugins.defaults] to allow more
    "#);
}

#[test]
fn the_sentence_about_a_deadline_says_who_set_it() {
    let own = CallLimits { timeout: Duration::from_secs(3), ..CallLimits::default() };
    let most = CallLimits { timeout: CallLimits::TIMEOUT_MAX, ..CallLimits::default() };
    let told: Vec<_> =
        [(own, belfry()), (most, belfry()), (own, made()), (CallLimits::default(), made()), (own, Subject::default())]
            .into_iter()
            .map(|(limits, subject)| {
                CallEnd::of_refusal(Refusal::ProviderDeadline, &state(limits, subject)).to_string()
            })
            .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    no answer from the provider before the call's deadline of 3s; `timeout` in [channels.belfry], or else in [plugins.defaults], sets it: set `timeout = "6s"` under [channels.belfry] to allow more
    no answer from the provider before the call's deadline of 1h; `timeout` in [channels.belfry], or else in [plugins.defaults], sets it: no setting allows more
    no answer from the provider before the call's deadline of 3s; `timeout` in [channels.belfry] sets it: set `timeout = "6s"` under [channels.belfry] to allow more
    no answer from the provider before the call's deadline of 10s; `timeout` in [plugins.defaults] sets it: set `timeout = "20s"` under [plugins.defaults] to allow more
    no answer from the provider before the call's deadline of 3s; the limit for every plugin that describes itself, which no setting changes
    "#);
}

#[test]
fn every_refusal_of_a_file_that_is_loaded_names_what_changes_it() {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let errors = chain(|error| {
        Some(match error {
            None => LoadError::Inspect(InspectError::TooMuch(Excess { what: "modules", found: 101, limit: 100 })),
            Some(LoadError::Inspect(_)) => LoadError::Trust(TrustError::Malformed),
            Some(LoadError::Trust(_)) => LoadError::Prepare(PrepareError::Fickle),
            Some(LoadError::Prepare(_)) => LoadError::Host,
            Some(LoadError::Host) => return None,
        })
    });
    let apart = chain(|error| {
        Some(match error {
            None => ApartError::Start(gone()),
            Some(ApartError::Start(_)) => ApartError::Refused("the compiler's words".to_owned()),
            Some(ApartError::Refused(_)) => ApartError::TooSlow(Duration::from_secs(120)),
            Some(ApartError::TooSlow(_)) => ApartError::Died(std::process::ExitStatus::default()),
            Some(ApartError::Died(_)) => return None,
        })
    });
    let told: Vec<_> =
        errors.iter().map(|error| sentence(error)).chain(apart.iter().map(|error| sentence(error))).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    it has 101 modules, the limit is 100; no setting changes that: build it smaller
    its signature is none: expected one line `campanile-sig-v1 ed25519:KEY SIGNATURE`; have it signed again
    it describes itself differently each time: `describe` has to answer with constants
    the host failed while it looked at the file: this is a defect, please report it
    the compiler cannot be started; it is this program itself, and has to be where it was: entity not found
    the compiler's words
    compiling it took longer than 2m, the limit; no setting changes that: build it smaller
    the compiler ended with exit status: 0; it may use 4 GiB of memory and 300 s of CPU time, and no setting changes that: build the plugin smaller
    ");
}

#[test]
fn every_reason_why_a_component_is_no_plugin_names_what_changes_it() {
    let errors = chain(|error| {
        Some(match error {
            None => PrepareError::Compile { reason: "the compiler's words".to_owned() },
            Some(PrepareError::Compile { .. }) => PrepareError::TooSlow { limit: Duration::from_secs(120) },
            Some(PrepareError::TooSlow { .. }) => PrepareError::WrongWorld { found: vec!["greet".to_owned()] },
            Some(PrepareError::WrongWorld { .. }) => PrepareError::BothWorlds,
            Some(PrepareError::BothWorlds) => PrepareError::Import { reason: "`fax`".to_owned() },
            Some(PrepareError::Import { .. }) => {
                PrepareError::Mismatch(Mismatch { interface: "channel", reason: "`send` is missing".to_owned() })
            }
            Some(PrepareError::Mismatch(_)) => {
                let newcomer = state(CallLimits::default(), Subject::default());
                PrepareError::Describe(CallEnd::of_refusal(Refusal::ProviderDeadline, &newcomer))
            }
            Some(PrepareError::Describe(_)) => PrepareError::Fickle,
            Some(PrepareError::Fickle) => PrepareError::Descriptor { problems: vec!["its rate is 0".to_owned()] },
            Some(PrepareError::Descriptor { .. }) => return None,
        })
    });
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    it cannot be compiled: the compiler's words
    compiling it takes longer than 120 s, the limit; no setting changes that: build it smaller
    it exports neither `campanile:plugin/channel@0.1.1` nor `campanile:plugin/template-engine@0.1.1`, it exports `greet`; build it against a world of `campanile:plugin`
    it exports both `campanile:plugin/channel@0.1.1` and `campanile:plugin/template-engine@0.1.1`: make two plugins of it
    it imports what this version does not have: `fax`; build it against contract 0.1.1
    its `channel` is not that of contract 0.1.1: `send` is missing; build it against the files of that contract
    it does not describe itself: no answer from the provider before the call's deadline of 10s; the limit for every plugin that describes itself, which no setting changes
    it describes itself differently each time: `describe` has to answer with constants
    its descriptor has 1 problem(s): its rate is 0; no setting changes that: its author mends what `describe` answers
    ");
}

#[test]
fn every_refusal_of_what_an_operator_asks_says_what_to_do() {
    let acme = || PluginName::new("acme").expect("it is a name");
    let errors = chain(|error| {
        Some(match error {
            None => OperatorError::Unknown { name: acme(), nearest: None },
            Some(OperatorError::Unknown { nearest: None, .. }) => {
                OperatorError::Unknown { name: acme(), nearest: Some("acne".to_owned()) }
            }
            Some(OperatorError::Unknown { nearest: Some(_), .. }) => {
                OperatorError::NothingToDo { name: acme(), asked: "release", state: "serving and held".to_owned() }
            }
            Some(OperatorError::NothingToDo { .. }) => OperatorError::NotWaiting {
                name: acme(),
                asked: "approve",
                version: Version::new(1, 2, 0),
                waiting: vec![Version::new(1, 3, 0)],
            },
            Some(OperatorError::NotWaiting { waiting, .. }) if waiting.len() == 1 => OperatorError::NotWaiting {
                name: acme(),
                asked: "release",
                version: Version::new(1, 2, 0),
                waiting: vec![Version::new(1, 3, 0), Version::new(2, 0, 0)],
            },
            Some(OperatorError::NotWaiting { .. }) => OperatorError::SeveralWait {
                name: acme(),
                asked: "approve",
                waiting: vec![Version::new(1, 3, 0), Version::new(2, 0, 0)],
            },
            Some(OperatorError::SeveralWait { .. }) => OperatorError::Refused {
                name: acme(),
                file: "acme.wasm".to_owned(),
                reason: "it has 101 modules, the limit is 100; no setting changes that: build it smaller".to_owned(),
            },
            Some(OperatorError::Refused { .. }) => return None,
        })
    });
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    there is no plugin `acme`; `campanile plugins list` shows all
    there is no plugin `acme`, there is `acne`; `campanile plugins list` shows all
    plugin `acme` is serving and held: there is nothing to release; `campanile plugins list` shows each of its files
    version 1.2.0 of plugin `acme` does not wait to be approved, 1.3.0 does: write `campanile plugins approve acme --version 1.3.0`
    version 1.2.0 of plugin `acme` does not wait to be released, 1.3.0 and 2.0.0 do: write `campanile plugins release acme --version 1.3.0` or `campanile plugins release acme --version 2.0.0`
    2 versions of plugin `acme` wait to be approved: say which, `campanile plugins approve acme --version 1.3.0` or `campanile plugins approve acme --version 2.0.0`
    what was asked of plugin `acme` is done, but `acme.wasm` is refused: it has 101 modules, the limit is 100; no setting changes that: build it smaller
    ");
}

#[test]
fn every_reason_why_there_is_no_sandbox_or_no_code_says_what_to_do() {
    let sandbox = chain(|error| {
        Some(match error {
            None => SandboxError::Engine { reason: "the engine's words".to_owned() },
            Some(SandboxError::Engine { .. }) => return None,
        })
    });
    let apart = chain(|error| {
        Some(match error {
            None => CompileApartError::Io {
                what: "bound its memory to 4 GiB".to_owned(),
                error: io::ErrorKind::PermissionDenied.into(),
            },
            Some(CompileApartError::Io { .. }) => {
                CompileApartError::Refused { reason: "the compiler's words; build it otherwise".to_owned() }
            }
            Some(CompileApartError::Refused { .. }) => return None,
        })
    });
    let told: Vec<_> =
        sandbox.iter().map(|error| sentence(error)).chain(apart.iter().map(|error| sentence(error))).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    the WebAssembly engine does not start: the engine's words; no setting changes that: it takes a 64-bit processor that it compiles for, such as x86-64 or arm64, and address space (`ulimit -v unlimited`)
    the compiler cannot bound its memory to 4 GiB: permission denied; the file is not to blame: have it loaded again
    the compiler's words; build it otherwise
    ");
}
