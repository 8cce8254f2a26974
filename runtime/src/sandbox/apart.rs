//! Compiling in a process of its own: what cannot be stopped in a thread can be killed there, and takes nobody's memory
//! along.
//!
//! *Flow:* the program starts itself with nothing in its environment, hands the inspected bytes over standard input and
//! takes native code from standard output. Nothing is kept before the process has ended well.
//!
//! *Here are both sides:* [`compile`] is the parent's, [`compile_for_parent`] the child's.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::config::format_duration;

use super::cache::ENTRY_BYTES_MAX;
use super::convert::{REASON_MAX, bounded};
use super::engine::{self, refused_by_compiler};
use super::inspect::FILE_BYTES_MAX;

/// The child's command line. Hidden from the program's help.
const ARGUMENTS: [&str; 2] = ["plugins", "compile"];

/// Address space of the child: the largest known plugins take about 1.5 GiB on two cores.
const MEMORY_MAX: u64 = 4 << 30;

/// CPU time of the child, over all its threads; the parent's wall clock usually strikes first.
const CPU_SECONDS_MAX: u64 = 300;

/// How far the child stands back behind whoever serves.
const NICENESS: i32 = 10;

/// What is read of the child's complaint.
const COMPLAINT_MAX: u64 = 4 << 10;

/// Why there is no native code.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApartError {
    /// No child.
    #[error("the compiler cannot be started; it is this program itself, and has to be where it was")]
    Start(#[source] io::Error),
    /// What it was given does not compile.
    #[error("{0}")]
    Refused(String),
    /// It took too long.
    #[error("compiling it took longer than {}, the limit; no setting changes that: build it smaller", format_duration(*.0))]
    TooSlow(Duration),
    /// It died, most likely of one of its limits.
    #[error(
        "the compiler ended with {0}; it may use {gib} GiB of memory and {CPU_SECONDS_MAX} s of CPU time, and no setting \
         changes that: build the plugin smaller", gib = MEMORY_MAX >> 30
    )]
    Died(ExitStatus),
}

/// Has `program` compile a component, in `limit` at most.
pub(super) async fn compile(program: &Path, wasm: &[u8], limit: Duration) -> Result<Vec<u8>, ApartError> {
    let mut child = Command::new(program)
        .args(ARGUMENTS)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Also when the load is given up, or the time is over.
        .kill_on_drop(true)
        .spawn()
        .map_err(ApartError::Start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let give = async move {
        // A child that takes no more says why.
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(wasm).await;
        }
    };
    let work = async { tokio::join!(give, taken(stdout, ENTRY_BYTES_MAX), taken(stderr, COMPLAINT_MAX), child.wait()) };
    let Ok(((), compiled, complaint, status)) = tokio::time::timeout(limit, work).await else {
        return Err(ApartError::TooSlow(limit));
    };
    let status = status.map_err(ApartError::Start)?;
    match status.code() {
        Some(0) => Ok(compiled),
        Some(_) if !complaint.is_empty() => {
            let complaint = String::from_utf8_lossy(&complaint).trim().replace('\n', ": ");
            let complaint = complaint.strip_prefix("error: ").unwrap_or(&complaint);
            Err(ApartError::Refused(bounded(complaint, REASON_MAX)))
        }
        _ => Err(ApartError::Died(status)),
    }
}

/// All that comes, up to a limit; who sends more gets a closed pipe.
async fn taken(from: Option<impl tokio::io::AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // An error is the end: the child's status tells.
        let _ = from.take(limit).read_to_end(&mut bytes).await;
    }
    bytes
}

/// Why the child has nothing to give.
#[derive(Debug, thiserror::Error)]
pub enum CompileApartError {
    /// A pipe, or a limit that the system does not let be set.
    #[error("the compiler cannot {what}: {error}; the file is not to blame: have it loaded again")]
    Io {
        /// What was tried, with the limit where it is one.
        what: String,
        /// What the system says. A part of the message, which is one line to the parent.
        error: io::Error,
    },
    /// The compiler says no.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}

/// The child's side: bounds this very process, then compiles what comes in and writes native code out. Blocks.
///
/// # Errors
///
/// [`CompileApartError`]; the parent gets it as text.
pub fn compile_for_parent(input: impl Read, mut output: impl Write) -> Result<(), CompileApartError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |error| CompileApartError::Io { what, error }
    };
    bound(Resource::As, MEMORY_MAX).map_err(io(&format!("bound its memory to {} GiB", MEMORY_MAX >> 30)))?;
    bound(Resource::Cpu, CPU_SECONDS_MAX).map_err(io(&format!("bound its CPU time to {CPU_SECONDS_MAX} s")))?;
    // Politeness: where it is not to be had, the limits stand.
    let _ = nice(NICENESS);
    let mut wasm = Vec::new();
    input.take(FILE_BYTES_MAX).read_to_end(&mut wasm).map_err(io("read the component"))?;
    let refused = |error: wasmtime::Error| CompileApartError::Refused { reason: refused_by_compiler(&error) };
    let compiled = engine::for_compiling().map_err(refused)?.precompile_component(&wasm).map_err(refused)?;
    output.write_all(&compiled).and_then(|()| output.flush()).map_err(io("write the code"))
}

fn bound(resource: Resource, limit: u64) -> io::Result<()> {
    let hard = getrlimit(resource).maximum;
    let limit = hard.map_or(limit, |hard| hard.min(limit));
    Ok(setrlimit(resource, Rlimit { current: Some(limit), maximum: hard })?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A compiler that does this.
    fn program(folder: &tempfile::TempDir, does: &str) -> PathBuf {
        let path = folder.path().join("compiler");
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).expect("it can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("it can be run");
        path
    }

    #[tokio::test]
    async fn the_child_gets_the_bytes_nothing_of_the_environment_and_gives_its_output() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = program(&folder, r#"echo "$* ${HOME-none}"; /bin/cat"#);
        let compiled = compile(&path, b"bytes", LONG).await.expect("it ends well");
        assert_eq!(String::from_utf8_lossy(&compiled), "plugins compile none\nbytes");
    }

    #[tokio::test]
    async fn a_child_that_refuses_takes_too_long_or_dies_is_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ends = Vec::new();
        for (does, limit) in [
            ("echo error: it is bent >&2; exit 1", LONG),
            ("kill -9 $$", LONG),
            ("exit 7", LONG),
            ("while :; do :; done", Duration::from_millis(300)),
        ] {
            let started = Instant::now();
            let error = compile(&program(&folder, does), b"bytes", limit).await.expect_err("it gives nothing");
            assert!(started.elapsed() < LONG, "{error}");
            ends.push(error.to_string());
        }
        ends.push(compile(&folder.path().join("gone"), b"", LONG).await.expect_err("there is none").to_string());
        insta::assert_snapshot!(ends.join("\n"), @r"
        it is bent
        the compiler ended with signal: 9 (SIGKILL); it may use 4 GiB of memory and 300 s of CPU time, and no setting changes that: build the plugin smaller
        the compiler ended with exit status: 7; it may use 4 GiB of memory and 300 s of CPU time, and no setting changes that: build the plugin smaller
        compiling it took longer than 300ms, the limit; no setting changes that: build it smaller
        the compiler cannot be started; it is this program itself, and has to be where it was
        ");
    }
}
