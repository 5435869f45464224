//! Waiting for Rust from Python: without the interpreter's lock, and interruptible.
//!
//! All calls share one event loop, which runs while somebody waits on it, so there is no thread
//! of ours beside the jobs' own. A forked child cannot use the loop of its parent and makes
//! another; the old one is left as it is, since nothing of it can be ended from there.

use std::cell::RefCell;
use std::future::Future;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use jobhook::{CancellationToken, Error};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

use crate::errors::exception;

pyo3::import_exception!(asyncio, CancelledError);

/// How long a signal (Ctrl-C) may have to wait.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

struct Loop {
    pid: u32,
    runtime: Runtime,
}

thread_local! {
    /// What ends the waits of this thread, if anything does.
    static STOP: RefCell<Option<CancellationToken>> = const { RefCell::new(None) };
}

static LOOP: AtomicPtr<Loop> = AtomicPtr::new(std::ptr::null_mut());

/// Waits for `future`.
pub(crate) fn wait<T, F>(py: Python<'_>, future: F) -> PyResult<T>
where
    F: Future<Output = Result<T, Error>> + Send,
    T: Send,
{
    let runtime = runtime().map_err(|error| exception(py, &error))?;
    let mut future = Box::pin(async {
        catch_up().await;
        future.await
    });
    let stop = STOP.with_borrow(Clone::clone);
    loop {
        let turn = py.detach(|| {
            runtime.block_on(async { tokio::time::timeout(SLICE, future.as_mut()).await })
        });
        match turn {
            Ok(result) => return result.map_err(|error| exception(py, &error)),
            Err(_) => py.check_signals()?,
        }
        if stop.as_ref().is_some_and(CancellationToken::is_cancelled) {
            // Who waited for this thread has gone: nobody sees it.
            return Err(CancelledError::new_err(()));
        }
    }
}

/// Lets kept connections notice that they were closed while nobody waited, before one of them is
/// used again.
pub(crate) async fn catch_up() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn runtime() -> Result<&'static Runtime, Error> {
    let pid = std::process::id();
    let found = LOOP.load(Ordering::Acquire);
    // SAFETY: what is stored there came from a box that is never freed.
    if let Some(current) = unsafe { found.as_ref() }
        && current.pid == pid
    {
        return Ok(&current.runtime);
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        // So that `catch_up` hears of the sockets; the loop has next to nothing to do.
        .event_interval(1)
        .build()
        .map_err(|error| Error::System(format!("no event loop: {error}")))?;
    let made = Box::leak(Box::new(Loop { pid, runtime }));
    // Whoever loses the race leaves one loop unused, once in a process.
    match LOOP.compare_exchange(found, made, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(&made.runtime),
        // SAFETY: as above, and a lost race means that it is not null.
        Err(other) => Ok(unsafe { &(*other).runtime }),
    }
}

/// Ends a wait from another thread: of a thread that waits for an `await` that was cancelled.
#[pyclass(frozen, module = "jobhook._jobhook")]
pub(crate) struct Stop {
    pub(crate) token: CancellationToken,
}

#[pymethods]
impl Stop {
    #[new]
    fn new() -> Stop {
        Stop {
            token: CancellationToken::new(),
        }
    }

    fn set(&self) {
        self.token.cancel();
    }

    /// Calls `work`; this ends what it waits for.
    fn during<'py>(&self, work: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        STOP.set(Some(self.token.clone()));
        let done = work.call0();
        STOP.set(None);
        done
    }
}

impl Stop {
    /// Waits for `future`; `None` if it was stopped before.
    pub(crate) async fn or<T>(
        stop: Option<CancellationToken>,
        future: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, Error> {
        let Some(stop) = stop else {
            return future.await.map(Some);
        };
        tokio::select! {
            done = future => done.map(Some),
            () = stop.cancelled() => Ok(None),
        }
    }
}

/// A time given in seconds.
pub(crate) fn seconds(name: &'static str, value: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(value).map_err(|_| Error::Setting {
        name,
        reason: format!("it is {value}, and must be a number of seconds from 0"),
    })
}
