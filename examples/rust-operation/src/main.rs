//! The operations as a program; see `lib.rs`.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    rust_operation::operations().run().await
}
