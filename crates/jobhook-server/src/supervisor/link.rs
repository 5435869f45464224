//! One connection to one supervisor, from the server's side.
//!
//! Any number of callers ask at once; answers find their caller by number. When the connection
//! breaks, every caller hears so, and nobody is left waiting.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::build::Build;
use super::message::{
    Answer, Call, Greeting, Hello, MAX_LINE_BYTES, Notice, PROTOCOL, Reply, Request,
};
use super::socket::ShortPath;

/// How long a supervisor may take to greet: it may be busy cleaning up after another one.
const GREETING: Duration = Duration::from_secs(20);

/// Something that arrived without being asked for.
#[derive(Debug)]
pub(crate) enum Arrival {
    Notice(Notice),
    /// The connection to this build's supervisor is gone.
    Gone(Build),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLink {
    /// Nobody listens: it never began, or is dead.
    #[error("no supervisor of build {0} is there")]
    Absent(Build),
    #[error(
        "the supervisor of build {build} speaks version {theirs} of the messages, not {PROTOCOL}"
    )]
    OtherProtocol { build: Build, theirs: u32 },
    #[error("the supervisor of build {build} does not answer")]
    Silent {
        build: Build,
        #[source]
        source: io::Error,
    },
}

/// The connection broke before the answer came. The request may have been carried out or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection to the supervisor is lost")]
pub(crate) struct Lost;

/// A connection; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    hello: Hello,
    outgoing: mpsc::UnboundedSender<Call>,
    waiting: Arc<Waiting>,
}

/// The callers that wait for an answer, by its number; `None` once there will be no more.
#[derive(Debug)]
struct Waiting {
    next: AtomicU64,
    callers: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
}

impl Waiting {
    fn callers(&self) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Connects as a server of build `own` to the supervisor of `build` in `data_dir`. Its notices, and the end of the
    /// connection, go to `arrivals`.
    ///
    /// Once this returns, nothing that another server asked for before can still happen.
    pub(crate) async fn connect(
        data_dir: &Path,
        build: &Build,
        own: &Build,
        arrivals: mpsc::UnboundedSender<Arrival>,
    ) -> Result<Link, NoLink> {
        let silent = |source| NoLink::Silent {
            build: build.clone(),
            source,
        };
        let short = ShortPath::to(data_dir).map_err(silent)?;
        let stream = match UnixStream::connect(short.join(&build.socket_name())).await {
            Ok(stream) => stream,
            Err(error) => {
                return Err(match error.kind() {
                    io::ErrorKind::PermissionDenied => silent(error),
                    // Nobody there, or somebody whose queue is full, or who is just dying.
                    _ => NoLink::Absent(build.clone()),
                });
            }
        };
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        let mut greeting = serde_json::to_vec(&Greeting {
            protocol: PROTOCOL,
            build: own.clone(),
            watch: true,
        })
        .map_err(|error| silent(error.into()))?;
        greeting.push(b'\n');
        let greeted = tokio::time::timeout(GREETING, async {
            let mut line = String::new();
            read.read_line(&mut line).await?;
            write.write_all(&greeting).await?;
            io::Result::Ok(line)
        });
        let line = match greeted.await {
            Ok(Ok(line)) if line.ends_with('\n') => line,
            // It was on its way out when we knocked, or died in the middle of a word.
            Ok(_) => return Err(NoLink::Absent(build.clone())),
            Err(_) => return Err(silent(io::ErrorKind::TimedOut.into())),
        };
        let hello: Hello = serde_json::from_str(&line).map_err(|error| silent(error.into()))?;
        if hello.protocol != PROTOCOL {
            return Err(NoLink::OtherProtocol {
                build: build.clone(),
                theirs: hello.protocol,
            });
        }

        let (outgoing, orders) = mpsc::unbounded_channel();
        let waiting = Arc::new(Waiting {
            next: AtomicU64::new(1),
            callers: Mutex::new(Some(HashMap::new())),
        });
        tokio::spawn(send(write, orders));
        tokio::spawn(receive(read, build.clone(), Arc::clone(&waiting), arrivals));
        let link = Link {
            hello,
            outgoing,
            waiting,
        };
        // An answer proves that the greeting, and with it our place as the listener, has arrived.
        match link
            .ask(Request::State {
                key: super::RunKey::new("-", 1),
            })
            .await
        {
            Ok(_) => Ok(link),
            Err(Lost) => Err(NoLink::Absent(build.clone())),
        }
    }

    /// Who is at the other end.
    pub(crate) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Whether the connection still stands, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        self.waiting.callers().is_some()
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer, Lost> {
        let n = self.waiting.next.fetch_add(1, Ordering::Relaxed);
        let (caller, answer) = oneshot::channel();
        match self.waiting.callers().as_mut() {
            Some(callers) => callers.insert(n, caller),
            None => return Err(Lost),
        };
        self.outgoing.send(Call { n, request }).map_err(|_| Lost)?;
        answer.await.map_err(|_| Lost)
    }

    /// Says something that has no answer; lost with the connection.
    pub(crate) fn tell(&self, request: Request) {
        let _ = self.outgoing.send(Call { n: 0, request });
    }
}

/// Sends what there is to send, as much at once as there is.
async fn send(mut write: OwnedWriteHalf, mut orders: mpsc::UnboundedReceiver<Call>) {
    let (mut calls, mut bytes) = (Vec::new(), Vec::new());
    while orders.recv_many(&mut calls, 256).await > 0 {
        bytes.clear();
        let mut is_start = false;
        for call in calls.drain(..) {
            is_start |= matches!(call.request, Request::Start { .. });
            // Strings, numbers and maps with text keys: this cannot fail.
            if serde_json::to_writer(&mut bytes, &call).is_ok() {
                bytes.push(b'\n');
            }
        }
        if is_start {
            crate::crash::reached("link.start_sending");
        }
        if write.write_all(&bytes).await.is_err() {
            // The receiving half sees the end as well, and tells the callers.
            return;
        }
        if is_start {
            crate::crash::reached("link.start_sent");
        }
        bytes.shrink_to(1024 * 1024);
    }
}

async fn receive(
    mut read: BufReader<OwnedReadHalf>,
    build: Build,
    waiting: Arc<Waiting>,
    arrivals: mpsc::UnboundedSender<Arrival>,
) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = 4 * MAX_LINE_BYTES as u64;
        match (&mut read).take(limit).read_until(b'\n', &mut line).await {
            Ok(_) if line.ends_with(b"\n") => {}
            _ => break,
        }
        match serde_json::from_slice(&line) {
            Ok(Reply::Answer { n, answer }) => {
                let caller = waiting
                    .callers()
                    .as_mut()
                    .and_then(|callers| callers.remove(&n));
                if let Some(caller) = caller {
                    // A caller that gave up needs no answer.
                    let _ = caller.send(answer);
                }
            }
            Ok(Reply::Notice(notice)) => {
                let _ = arrivals.send(Arrival::Notice(notice));
            }
            Err(error) => {
                tracing::error!(supervisor.build = %build, %error, "The supervisor said something unheard of");
                break;
            }
        }
    }
    // Dropping the callers' ends wakes them.
    *waiting.callers() = None;
    let _ = arrivals.send(Arrival::Gone(build));
}
