//! Crash points: named steps at which a test may end the process.
//!
//! Built with the feature `crash-points`, a process that reaches the step named by
//! `JOBHOOK_CRASH_AT` is gone as if by `kill -9`: nothing is flushed, nobody is told.
//! Without the feature every point is an empty function.

/// The environment variable that names the step.
#[cfg(feature = "crash-points")]
pub(crate) const VARIABLE: &str = "JOBHOOK_CRASH_AT";

/// Ends this process with SIGKILL if `step` is the one that was asked for.
#[cfg(feature = "crash-points")]
pub(crate) fn reached(step: &str) {
    if std::env::var_os(VARIABLE).is_some_and(|wanted| wanted == step) {
        end(nix::unistd::getpid());
    }
}

/// Does nothing: this build has no crash points.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub(crate) fn reached(_step: &str) {}

/// Kills `pid` the hard way. Does not allocate.
#[cfg(feature = "crash-points")]
pub(crate) fn end(pid: nix::unistd::Pid) {
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
}
