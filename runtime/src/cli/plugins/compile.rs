//! `campanile plugins compile`: the compiler of a server and of the commands that look at a file, in a process of its own.
//! Not for people.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use crate::cli::Answer;
use crate::cli::failure::{Exit, Failure};
use crate::runtime::compile_for_parent;

pub(super) fn run() -> Result<Answer, Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::usage("this writes native code for a process of this program that has asked for it"));
    }
    compile_for_parent(io::stdin().lock(), io::stdout().lock()).map_err(|error| Failure::new(Exit::No, error))?;
    Ok(Answer::ok(String::new()))
}

/// This very program, to compile with: also after its file was replaced by another version.
pub(in crate::cli) fn program() -> Option<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Some(running) } else { std::env::current_exe().ok() }
}
