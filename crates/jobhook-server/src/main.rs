//! The `jobhook` binary.

fn main() {
    // First of all: this process may be meant to be the supervisor.
    jobhook_server::supervisor::enter();
}
