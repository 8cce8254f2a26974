//! The program `campanile`.

use std::process::ExitCode;

/// A delivery is allocated on one thread and freed on another (caller, writer, worker), which the system's allocator
/// answers with a lock. A program that embeds the library chooses for itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    campanile::cli::main(std::env::args_os())
}
