//! How a supervisor comes to be: one program, three processes.
//!
//! ```text
//! server ─exec /proc/self/exe─▶ parting ─setsid, exec again─▶ supervisor   (no parent, no terminal)
//!   ▲                            └ ends at once                   │
//!   └──────────── "ready" | "held" | why not, over a pipe ────────┘
//! ```
//!
//! `/proc/self/exe` is the very file this process runs, also after an upgrade replaced it on disk.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd;

use super::build::Build;
use super::children::{Children, Home};
use super::journal::Journal;
use super::lock::Lock;
use super::message::{Hello, PROTOCOL};
use super::poller::Poller;
use super::reactor::Reactor;
use super::run_dir::{Owner, Runs};
use super::spawn::Inherited;
use super::{process, recovery, socket};

/// The hidden first argument that makes the program a supervisor.
const ARGUMENT: &str = "__jobhook-supervisor";
/// What `ps` shows it as.
const NAME: &str = "jobhook";
/// This process, whatever happened to its file.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

static ENTERED: AtomicBool = AtomicBool::new(false);

/// Becomes the supervisor if this process was started as one, and then never returns.
///
/// Call it first in `main`, before anything starts a thread: local jobs run below a supervisor,
/// which is this same program started anew. A `LocalRunner` refuses to start otherwise.
pub fn enter() {
    ENTERED.store(true, Ordering::Relaxed);
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(ARGUMENT)) {
        return;
    }
    let (stage, data_dir, idle_ms) = (arguments.next(), arguments.next(), arguments.next());
    let (Some(stage), Some(data_dir), Some(idle_ms)) = (stage, data_dir, idle_ms) else {
        std::process::exit(64);
    };
    let code = match stage.to_str() {
        Some("part") => part(&data_dir, &idle_ms),
        Some("stay") => stay(Path::new(&data_dir), &idle_ms),
        _ => 64,
    };
    std::process::exit(code);
}

/// Whether [`enter`] was called in this process.
pub(crate) fn was_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// What the newborn tells its maker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cry {
    /// It takes connections.
    Ready,
    /// Another supervisor of this build has the lock.
    Held,
    /// It could not begin; the sentence says why.
    Failed(String),
}

/// Where a supervisor is to be born.
#[derive(Debug)]
pub(crate) struct Maternity<'a> {
    pub program: &'a Path,
    pub data_dir: &'a Path,
    pub idle: Duration,
    /// The step at which it is to die.
    #[cfg(feature = "crash-points")]
    pub crash_at: Option<String>,
}

/// Starts a supervisor, and waits until it is ready. Blocks for as long as it takes to clean up
/// after a dead one: a few seconds at most.
///
/// # Errors
///
/// If the program cannot be started at all.
pub(crate) fn give_birth(at: &Maternity<'_>) -> io::Result<Cry> {
    let mut command = Command::new(at.program);
    command
        .arg0(NAME)
        .arg(ARGUMENT)
        .arg("part")
        .arg(at.data_dir)
        .arg(at.idle.as_millis().to_string())
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_for_supervisor(name)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    #[cfg(feature = "crash-points")]
    command.envs(
        at.crash_at
            .iter()
            .map(|step| (crate::crash::VARIABLE, step)),
    );
    let output = command.output()?;
    let cry = String::from_utf8_lossy(&output.stdout);
    Ok(match cry.trim_end() {
        "ready" => Cry::Ready,
        "held" => Cry::Held,
        "" => Cry::Failed(format!(
            "`{}` is no jobhook program, or died at once",
            at.program.display()
        )),
        why => Cry::Failed(why.to_owned()),
    })
}

/// It inherits next to nothing: its environment can be read by its jobs.
fn is_for_supervisor(name: &OsStr) -> bool {
    #[cfg(feature = "crash-points")]
    if name == crate::crash::VARIABLE {
        return true;
    }
    ["PATH", "HOME", "LANG", "TZ", "TMPDIR"]
        .iter()
        .any(|known| name == *known)
}

/// The process in between: leaves the session of the server, and lets its own child go.
fn part(data_dir: &OsString, idle_ms: &OsString) -> i32 {
    // Fails only for one who leads a session already, which is as good.
    let _ = unistd::setsid();
    let mut command = Command::new(OWN_PROGRAM);
    command
        .arg0(NAME)
        .arg(ARGUMENT)
        .arg("stay")
        .arg(data_dir)
        .arg(idle_ms);
    match command.spawn() {
        Ok(_) => 0,
        Err(error) => {
            let _ = writeln!(io::stdout(), "the program cannot start itself: {error}");
            70
        }
    }
}

fn stay(data_dir: &Path, idle_ms: &OsString) -> i32 {
    close_inherited_files();
    let idle = idle_ms
        .to_str()
        .and_then(|ms| ms.parse().ok())
        .unwrap_or(60_000);
    let journal = Journal::open(data_dir);
    // A panic should be found by somebody.
    if let Some(file) = journal.file() {
        let _ = unistd::dup2_stderr(file);
    }
    let cry = |text: &str| {
        let _ = writeln!(io::stdout(), "{text}");
        let _ = File::options()
            .write(true)
            .open("/dev/null")
            .map(unistd::dup2_stdout);
    };
    let build = match Build::of(Path::new(OWN_PROGRAM)) {
        Ok(build) => build,
        Err(error) => {
            cry(&format!("its own program cannot be found: {error}"));
            return 70;
        }
    };
    match Lock::take(data_dir, &build) {
        Ok(Some(lock)) => match prepare(data_dir, build.clone(), Duration::from_millis(idle)) {
            Ok(reactor) => {
                cry("ready");
                let ended = reactor.run();
                if lock.is_in_place() {
                    socket::remove(data_dir, &build);
                }
                lock.remove();
                // Its going without a word is what is expected of it.
                if let Err(error) = ended {
                    journal.note(&format!("the supervisor ended: {error}"));
                    return 70;
                }
                0
            }
            Err(error) => {
                cry(&format!(
                    "it cannot work in `{}`: {error}",
                    data_dir.display()
                ));
                lock.remove();
                70
            }
        },
        Ok(None) => {
            cry("held");
            0
        }
        Err(error) => {
            cry(&format!(
                "its lock in `{}` cannot be taken: {error}",
                data_dir.display()
            ));
            70
        }
    }
}

fn prepare(data_dir: &Path, build: Build, idle: Duration) -> io::Result<Reactor> {
    prctl::set_child_subreaper(true)?;
    prctl::set_name(c"jobhook-superv")?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Two or three files a job: as many as are allowed.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;

    let runs = Runs::open(data_dir)?;
    let boot = process::boot()?;
    recovery::recover_all(data_dir, &runs, &build, &boot)?;
    crate::crash::reached("supervisor.recovered");

    let poller = Rc::new(Poller::new()?);
    let pid = unistd::getpid();
    let home = Home {
        data_dir: PathBuf::from(data_dir),
        owner: Owner {
            build: build.clone(),
            boot,
            claimed_ms: 0,
        },
        inherited: Inherited {
            supervisor: pid,
            open_files: (soft, hard),
        },
    };
    let listener = socket::listen(data_dir, &build)?;
    Ok(Reactor {
        hello: Hello {
            protocol: PROTOCOL,
            build,
            pid: pid.as_raw(),
        },
        children: Children::new(home, runs, Rc::clone(&poller), Journal::open(data_dir)),
        poller,
        listener,
        signals,
        idle,
    })
}

/// Whatever the server's own parent left open must not live on in here, or in the jobs.
fn close_inherited_files() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // Of the numbers listed one was the listing's own, and is closed by now.
        let _ = unistd::close(fd);
    }
}
