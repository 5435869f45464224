//! The `jobhook` binary.
fn main() {}
