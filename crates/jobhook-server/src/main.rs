//! The `jobhook` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    jobhook_server::cli::main()
}
