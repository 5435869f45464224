//! Moving bytes while Python watches, reads what is sent, and may end it.
//!
//! What is Python's happens on the thread that called, in turns with the event loop: the progress
//! is told, a file object is read, a signal is heeded. So threads of Rust need no interpreter, and
//! an exception of the program ends its own transfer.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use jobhook::{CancellationToken, Error};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

use crate::errors::exception;
use crate::waiting::{SLICE, catch_up, runtime};

/// How much is read of a file object at once.
const PIECE: usize = 256 << 10;

/// What is uploaded.
pub(crate) enum Given {
    Path(PathBuf),
    Bytes(Bytes),
    Reader(Pieces),
}

/// The same as Python has it: bytes, a path, or a file object.
#[derive(FromPyObject)]
pub(crate) enum Source<'py> {
    #[pyo3(transparent)]
    Bytes(PyBackedBytes),
    #[pyo3(transparent)]
    Path(PathBuf),
    #[pyo3(transparent)]
    File(Bound<'py, PyAny>),
}

/// What a transfer does with the interpreter while it is under way.
#[derive(Default)]
pub(crate) struct Turns<'py> {
    progress: Option<Progress<'py>>,
    file: Option<File<'py>>,
    /// Ends it with `JobCancelled`.
    pub(crate) cancellation: Option<CancellationToken>,
    /// Ends it, for an `await` that was cancelled.
    pub(crate) stop: Option<CancellationToken>,
}

/// How a transfer ended.
pub(crate) enum Ended<T> {
    Done(T),
    Cancelled,
    Stopped,
}

/// How many bytes were moved, and of how many, if that is known.
type Amount = (u64, Option<u64>);

struct Progress<'py> {
    callback: Bound<'py, PyAny>,
    seen: Arc<Mutex<Option<Amount>>>,
    told: Option<Amount>,
}

/// A file object.
struct File<'py> {
    object: Bound<'py, PyAny>,
    asks: mpsc::UnboundedReceiver<()>,
    pieces: mpsc::UnboundedSender<Bytes>,
}

/// The other end of a file object.
pub(crate) struct Pieces {
    asks: mpsc::UnboundedSender<()>,
    pieces: mpsc::UnboundedReceiver<Bytes>,
    piece: Bytes,
    is_asked: bool,
}

enum Turn<T> {
    Done(Result<T, Error>),
    Cancelled,
    Stopped,
    Read,
    Pause,
}

impl<'py> Turns<'py> {
    /// - `callback`: is called with how many bytes were moved, and of how many or `None`.
    pub(crate) fn new(callback: Option<Bound<'py, PyAny>>) -> Turns<'py> {
        Turns {
            progress: callback.map(|callback| Progress {
                callback,
                seen: Arc::default(),
                told: None,
            }),
            ..Turns::default()
        }
    }

    /// What tells the callback, if there is one.
    pub(crate) fn watcher(&self) -> Option<impl Fn(u64, Option<u64>) + Send + Sync + 'static> {
        let seen = self.progress.as_ref()?.seen.clone();
        Some(move |moved, of| {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((moved, of));
        })
    }

    /// What is to be sent; a file object is read in turns.
    pub(crate) fn give(&mut self, source: Source<'py>) -> Given {
        let object = match source {
            Source::Bytes(bytes) => return Given::Bytes(Bytes::from_owner(bytes)),
            Source::Path(path) => return Given::Path(path),
            Source::File(object) => object,
        };
        let (ask, asks) = mpsc::unbounded_channel();
        let (give, pieces) = mpsc::unbounded_channel();
        self.file = Some(File {
            object,
            asks,
            pieces: give,
        });
        Given::Reader(Pieces {
            asks: ask,
            pieces,
            piece: Bytes::new(),
            is_asked: false,
        })
    }

    /// Waits for `future`, in turns with what Python does for it.
    pub(crate) fn run<T, F>(self, py: Python<'py>, future: F) -> PyResult<Ended<T>>
    where
        F: Future<Output = Result<T, Error>> + Send,
        T: Send,
    {
        let runtime = runtime().map_err(|error| exception(py, &error))?;
        let mut future = Box::pin(async {
            catch_up().await;
            future.await
        });
        let Turns {
            mut progress,
            file,
            cancellation,
            stop,
        } = self;
        let (mut asks, reading) = match file {
            Some(file) => (Some(file.asks), Some((file.object, file.pieces))),
            None => (None, None),
        };
        let mut told_at = Instant::now();
        loop {
            let turn = py.detach(|| {
                runtime.block_on(async {
                    tokio::select! {
                        biased;
                        () = ended(&cancellation) => Turn::Cancelled,
                        () = ended(&stop) => Turn::Stopped,
                        done = future.as_mut() => Turn::Done(done),
                        () = asked(&mut asks) => Turn::Read,
                        () = tokio::time::sleep(SLICE) => Turn::Pause,
                    }
                })
            });
            py.check_signals()?;
            if matches!(turn, Turn::Done(Ok(_))) || told_at.elapsed() >= SLICE {
                told_at = Instant::now();
                if let Some(progress) = &mut progress {
                    progress.tell()?;
                }
            }
            match (turn, &reading) {
                (Turn::Done(Ok(done)), _) => return Ok(Ended::Done(done)),
                (Turn::Done(Err(error)), _) => return Err(exception(py, &error)),
                (Turn::Cancelled, _) => return Ok(Ended::Cancelled),
                (Turn::Stopped, _) => return Ok(Ended::Stopped),
                (Turn::Read, Some((object, pieces))) => {
                    // Nobody takes it any more if the upload has just failed.
                    let _ = pieces.send(read(object)?);
                }
                (Turn::Read | Turn::Pause, _) => {}
            }
        }
    }
}

impl Progress<'_> {
    fn tell(&mut self) -> PyResult<()> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((moved, of)) = seen
            && self.told != seen
        {
            self.told = seen;
            self.callback.call1((moved, of))?;
        }
        Ok(())
    }
}

/// The next piece of a file object; empty at its end.
fn read(object: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let read = object.call_method1("read", (PIECE,))?;
    let bytes = read.extract::<PyBackedBytes>().map_err(|_| {
        let what = read.get_type();
        let reason = format!("its read() gave {what}, and not bytes: open it with \"rb\"");
        let name = "the file object";
        exception(object.py(), &Error::Setting { name, reason })
    })?;
    Ok(Bytes::from_owner(bytes))
}

async fn ended(token: &Option<CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

async fn asked(asks: &mut Option<mpsc::UnboundedReceiver<()>>) {
    let asked = match asks {
        Some(asks) => asks.recv().await,
        None => None,
    };
    if asked.is_none() {
        std::future::pending().await
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.piece.is_empty() {
            if !self.is_asked {
                self.asks.send(()).map_err(|_| given_up())?;
                self.is_asked = true;
            }
            self.piece = ready!(self.pieces.poll_recv(context)).ok_or_else(given_up)?;
            self.is_asked = false;
        }
        let fits = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece.split_to(fits));
        Poll::Ready(Ok(()))
    }
}

fn given_up() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the upload was given up")
}
