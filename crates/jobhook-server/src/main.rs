//! The `jobhook` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: this process may be meant to be the supervisor.
    jobhook_server::supervisor::enter();
    jobhook_server::cli::main()
}
