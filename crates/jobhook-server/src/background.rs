//! What works in the background does not interrupt the server that listens to it.
//!
//! A thread that wakes up may take the processor from the one that woke it. A job whose report is
//! answered does just that: it is woken by the very system call that sends the answer, and the server's
//! thread, which has answers for thirty others in its hands, waits for each of them in turn. Threads
//! of the class `SCHED_BATCH` (sched(7)) have the same share of the processor as all others, but
//! wait for it until their turn comes.

use nix::errno::Errno;
use nix::libc;

/// Puts the calling thread, and all that it will start, into the class of batch work. One that was
/// put into a class of its own, as by `chrt` or `CPUSchedulingPolicy=`, is left there.
///
/// Makes system calls only, so it may be called between fork and exec.
///
/// # Errors
///
/// Where the system forbids it; nothing is lost but speed.
#[allow(unsafe_code, reason = "nix has no call for classes of scheduling")]
pub(crate) fn stand_back() -> nix::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and the pointer is to a live value of the right type.
    let result = unsafe {
        match libc::sched_getscheduler(0) {
            libc::SCHED_OTHER => {
                libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters)
            }
            other => other.min(0),
        }
    };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_stands_back_is_put_into_another_class() {
        std::thread::spawn(|| {
            stand_back().unwrap();
            assert_eq!(class(), "3", "SCHED_BATCH");
            std::thread::spawn(|| assert_eq!(class(), "3", "inherited"))
                .join()
                .unwrap();
        })
        .join()
        .unwrap();
        assert_eq!(class(), "0", "SCHED_OTHER");
    }

    /// Field 41 of proc_pid_stat(5); the name in field 2 has no blanks here.
    fn class() -> String {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after_name = &stat[stat.rfind(')').unwrap() + 1..];
        after_name.split_whitespace().nth(38).unwrap().to_owned()
    }
}
