//! `campanile completions`: a script for a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Answer, Cli};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "campanile", &mut script);
    Answer::ok(String::from_utf8_lossy(&script))
}
