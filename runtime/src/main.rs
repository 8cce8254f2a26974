//! The program `campanile`.

use std::process::ExitCode;

fn main() -> ExitCode {
    campanile::cli::main(std::env::args_os())
}
