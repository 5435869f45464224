//! The listener, and how it may misbehave.

use std::collections::VecDeque;
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jobhook_protocol::{JobEnvironment, Report, SecretKey, Status};
use serde::Serialize;
use serde_json::Value;

use super::request::{Answer, Request};
use super::rules::{Received, Records};
use super::shelf::{FakeFile, at};
use crate::strict_json::json_of;
use crate::{Error, Job, JobBuilder};

const PATH: &str = "/async";
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// It is judged and answered.
    Well,
    /// It is not looked at; the answer is this status, with `Retry-After` in seconds if given.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// It is judged and answered, but with 500 and nothing else if it has lines: so does the
    /// original where its action was launched without `logs`.
    TakeNoLines,
    /// It is not looked at, and the connection is cut.
    CutBefore,
    /// It is applied, and the connection is cut instead of an answer.
    CutAfter,
    /// It is judged and answered, but the connection is cut after so many bytes of the body of
    /// the answer.
    CutAt(usize),
    /// It is judged and answered, but the first byte of the body of the answer is another.
    Damage,
    /// It is not looked at and never answered.
    Silent,
    /// It is not looked at; the answer is this status with this body, as JSON.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// It is not looked at; the answer is a web page with this status.
    WebPage(u16),
    /// It is not looked at; the answer points elsewhere.
    Redirect(String),
}

/// A hook inside the test; see [`crate::testing`].
#[derive(Debug)]
pub struct FakeHook {
    shared: Arc<Shared>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    records: Records,
    /// What becomes of the next requests; after them, of all others.
    script: VecDeque<Behaviour>,
    otherwise: Behaviour,
    /// Counts how often it went away; a listener of another time ends.
    time: u64,
    is_listening: bool,
    open: Vec<TcpStream>,
}

impl FakeHook {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    ///
    /// `system_refused` if there is no port.
    pub fn start() -> Result<FakeHook, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let environment = JobEnvironment {
            id: "00000000-0000-7000-8000-000000000001".to_owned(),
            secret_key: SecretKey::from_text("the key of a job in a test")?,
            hook: format!("http://{address}{PATH}"),
            orchestrator: Some("FakeHook".to_owned()),
            attempt: Some(1),
            traceparent: None,
        };
        let hook = FakeHook {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    records: Records::new(environment),
                    script: VecDeque::new(),
                    otherwise: Behaviour::Well,
                    time: 0,
                    is_listening: false,
                    open: Vec::new(),
                }),
                changed: Condvar::new(),
            }),
            address,
        };
        hook.shared.clone().listen(listener, 0);
        Ok(hook)
    }

    /// What a job of this hook finds in its environment.
    pub fn environment(&self) -> JobEnvironment {
        self.shared.lock().records.environment.clone()
    }

    /// Sets what a job of this hook finds, such as another key or no attempt.
    pub fn set_environment(&self, environment: JobEnvironment) {
        self.shared.lock().records.environment = environment;
    }

    /// A job of this hook, whose pauses between tries are a few milliseconds.
    pub fn job(&self) -> JobBuilder {
        Job::builder()
            .environment(self.environment())
            .retry_pauses(Duration::from_millis(2), Duration::from_millis(10))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the action's arguments.
    ///
    /// # Errors
    ///
    /// `not_json` if they are none.
    pub fn set_arguments<T: Serialize + ?Sized>(&self, arguments: &T) -> Result<(), Error> {
        self.shared.lock().records.arguments = Some(json_of("arguments", arguments)?);
        Ok(())
    }

    /// Makes the action one that was launched as this operation.
    pub fn set_operation(&self, id: impl Into<String>) {
        self.shared.lock().records.operation_id = Some(id.into());
    }

    /// Sets a field of the action, such as `context`, that every answer shows.
    ///
    /// # Errors
    ///
    /// `not_json` if the value is none.
    pub fn set_field<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Error> {
        let json = json_of("the field", value)?;
        let fields = &mut self.shared.lock().records.fields;
        fields.insert(name.to_owned(), json);
        Ok(())
    }

    /// Sets the hook's clock apart from the machine's, in milliseconds.
    pub fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.shared.lock().records.clock_offset_ms = offset_ms;
    }

    /// From now on every answer says STOP.
    pub fn stop(&self) {
        self.shared.lock().records.stop = true;
    }

    /// Sets what becomes of the next requests, one after the other; those after them are treated
    /// well, or as [`FakeHook::behave`] says.
    pub fn script(&self, next: impl IntoIterator<Item = Behaviour>) {
        self.shared.lock().script.extend(next);
    }

    /// Sets what becomes of all requests that no script speaks of.
    pub fn behave(&self, otherwise: Behaviour) {
        self.shared.lock().otherwise = otherwise;
    }

    /// Closes the port and every connection, as a server that is killed.
    pub fn go_away(&self) {
        {
            let mut state = self.shared.lock();
            state.time += 1;
            for stream in state.open.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        // The listener waits for a connection, sees that its time is over, and ends.
        let _ = TcpStream::connect(self.address);
        self.shared.until(|state| !state.is_listening);
    }

    /// Listens again on the same port.
    ///
    /// # Errors
    ///
    /// `system_refused` if somebody else has the port.
    pub fn come_back(&self) -> Result<(), Error> {
        let listener = TcpListener::bind(self.address).map_err(refused)?;
        let time = self.shared.lock().time;
        self.shared.clone().listen(listener, time);
        Ok(())
    }

    /// The reports that were applied, each once, in the order of applying.
    pub fn reports(&self) -> Vec<Received> {
        self.shared.lock().records.received.clone()
    }

    /// The lines of the log.
    pub fn lines(&self) -> Vec<String> {
        let state = self.shared.lock();
        let received = state.records.received.iter();
        received
            .flat_map(|received| received.report.logs.iter().cloned())
            .collect()
    }

    /// Puts a file into a property of the action, such as `inputs`.
    pub fn add_file(&self, property: &str, file: FakeFile) {
        let mut state = self.shared.lock();
        let id = state.records.environment.id.clone();
        let at = ("actions".to_owned(), id, property.to_owned());
        state.records.shelf.attach(at, file);
    }

    /// Puts a file into a property of another object.
    pub fn add_file_to(&self, store: &str, uuid: &str, property: &str, file: FakeFile) {
        let at = at(store, uuid, property);
        self.shared.lock().records.shelf.attach(at, file);
    }

    /// The files in a property of the action, such as `outputs`.
    pub fn files(&self, property: &str) -> Vec<FakeFile> {
        let id = self.environment().id;
        self.files_of("actions", &id, property)
    }

    /// The files in a property of another object.
    pub fn files_of(&self, store: &str, uuid: &str, property: &str) -> Vec<FakeFile> {
        let at = at(store, uuid, property);
        self.shared.lock().records.shelf.files(&at)
    }

    /// Forgets the bytes that were uploaded in one pass and whose upload is not closed.
    pub fn forget_uploads(&self) {
        self.shared.lock().records.shelf.forget_uploads();
    }

    /// The last status that was reported.
    pub fn status(&self) -> Option<Status> {
        self.shared.lock().records.status()
    }

    /// The last results that were reported.
    pub fn results(&self) -> Option<Value> {
        let state = self.shared.lock();
        let mut received = state.records.received.iter().rev();
        received
            .find_map(|received| received.report.results.as_ref())
            .map(|results| results.value())
    }

    /// How many requests came, applied or not.
    pub fn requests(&self) -> usize {
        self.shared.lock().records.requests
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.lock().records.connections
    }

    /// Waits until so many requests came in all. `false` if they did not within 20 s.
    pub fn wait_for_requests(&self, count: usize) -> bool {
        self.shared.until(|state| state.records.requests >= count)
    }

    /// Waits until the applied reports are as wanted. `false` if they were not within 20 s.
    pub fn wait_until(&self, wanted: impl Fn(&[Received]) -> bool) -> bool {
        self.shared.until(|state| wanted(&state.records.received))
    }
}

impl Drop for FakeHook {
    fn drop(&mut self) {
        self.go_away();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self, wanted: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        while !wanted(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let (next, _) = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
        }
        true
    }

    fn listen(self: Arc<Shared>, listener: TcpListener, time: u64) {
        self.lock().is_listening = true;
        thread::spawn(move || {
            for stream in listener.incoming() {
                if self.lock().time != time {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let shared = self.clone();
                thread::spawn(move || {
                    // A connection that breaks is its own business.
                    let _ = shared.serve(stream, time);
                });
            }
            drop(listener);
            self.lock().is_listening = false;
            self.changed.notify_all();
        });
    }

    fn serve(&self, mut stream: TcpStream, time: u64) -> io::Result<()> {
        stream.set_nodelay(true)?;
        {
            let mut state = self.lock();
            if state.time != time {
                return Ok(());
            }
            state.records.connections += 1;
            state.open.push(stream.try_clone()?);
        }
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut reader)? {
            let answer = {
                let mut state = self.lock();
                if state.time != time {
                    return Ok(());
                }
                state.records.requests += 1;
                let behaviour = state.script.pop_front();
                let behaviour = behaviour.unwrap_or_else(|| state.otherwise.clone());
                behaviour.answer(&mut state.records, &request)
            };
            self.changed.notify_all();
            match answer {
                Reply::Answer(answer) => answer.write(&mut stream, usize::MAX)?,
                Reply::Part(answer, bytes) => {
                    answer.write(&mut stream, bytes)?;
                    return stream.shutdown(Shutdown::Both);
                }
                Reply::Cut => return stream.shutdown(Shutdown::Both),
                Reply::Nothing => {}
            }
        }
        Ok(())
    }
}

enum Reply {
    Answer(Answer),
    /// So many bytes of its body.
    Part(Answer, usize),
    Cut,
    Nothing,
}

impl Behaviour {
    fn answer(&self, records: &mut Records, request: &Request) -> Reply {
        let other = |status, headers: Vec<(&'static str, String)>, body: &str| {
            Reply::Answer(Answer {
                status,
                headers,
                body: body.as_bytes().to_vec(),
            })
        };
        match self {
            Behaviour::Well => Reply::Answer(records.take(PATH, request)),
            Behaviour::Refuse {
                status,
                retry_after,
            } => {
                let seconds = retry_after.map(|seconds| ("Retry-After", seconds.to_string()));
                other(*status, seconds.into_iter().collect(), "")
            }
            Behaviour::TakeNoLines if has_lines(request) => other(500, Vec::new(), ""),
            Behaviour::TakeNoLines => Reply::Answer(records.take(PATH, request)),
            Behaviour::CutBefore => Reply::Cut,
            Behaviour::CutAfter => {
                records.take(PATH, request);
                Reply::Cut
            }
            Behaviour::CutAt(bytes) => Reply::Part(records.take(PATH, request), *bytes),
            Behaviour::Damage => {
                let mut answer = records.take(PATH, request);
                if let Some(first) = answer.body.first_mut() {
                    *first ^= 1;
                }
                Reply::Answer(answer)
            }
            Behaviour::Silent => Reply::Nothing,
            Behaviour::Answer { status, body } => {
                let json = ("Content-Type", "application/json".to_owned());
                other(*status, vec![json], body)
            }
            Behaviour::WebPage(status) => other(
                *status,
                vec![("Content-Type", "text/html; charset=utf-8".to_owned())],
                "<!doctype html><title>Welcome</title>",
            ),
            Behaviour::Redirect(to) => other(307, vec![("Location", to.clone())], ""),
        }
    }
}

fn has_lines(request: &Request) -> bool {
    Report::read(request.body.clone()).is_ok_and(|report| !report.logs.is_empty())
}

fn refused(error: io::Error) -> Error {
    Error::System(error.to_string())
}
