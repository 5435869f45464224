//! Operations that end in all the ways there are, for the tests of `run`.

use jobhook::{Failure, Job, Operations};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    Operations::new()
        .operation("Wait", wait)
        .blocking_operation("Spin", spin)
        .blocking_operation("Finish", finish)
        .run()
        .await
}

/// Fails when it is asked to stop.
async fn wait(job: Job, _: ()) -> Result<(), Failure> {
    job.message("waiting").map_err(Failure::of)?;
    job.cancellation().cancelled().await;
    Err(Failure::new("Cancelled", "asked to stop"))
}

/// The same without giving anybody else a turn.
fn spin(job: Job, _: ()) -> Result<(), Failure> {
    job.message("spinning").map_err(Failure::of)?;
    while !job.is_cancelled() {
        std::hint::spin_loop();
    }
    panic!("asked to stop")
}

/// Is asked to stop, and is done all the same.
fn finish(job: Job, _: ()) -> Result<&'static str, Failure> {
    job.message("finishing").map_err(Failure::of)?;
    while !job.is_cancelled() {
        std::hint::spin_loop();
    }
    Ok("done")
}
