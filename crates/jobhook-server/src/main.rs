//! The `jobhook` binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A report is taken in by one thread, stored by another and answered by a third. The C library's
/// allocator has threads wait for each other when one frees what another allocated; this one does
/// not, and a report or an operation costs a fifth less.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // First of all: this process may be meant to be the supervisor.
    jobhook_server::supervisor::enter();
    jobhook_server::cli::main()
}
