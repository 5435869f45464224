//! The whole `jobhook` command line, with the operations inside it: `reports-server serve` needs
//! no configuration to run them.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: this process may be meant to be the supervisor of other runners' jobs.
    jobhook_server::supervisor::enter();
    jobhook_server::cli::main_with(rust_operation::operations())
}
