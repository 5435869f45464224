//! Turns a [`Spec`] into a process, and a dead process into what it used.
//!
//! The only `unsafe` of the server beside [`background`] is here: the code between fork and exec, and
//! what no safe wrapper offers: `wait4`, and `waitid` for any end that a process may come to.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::Mode;
use nix::sys::uio;
use nix::unistd::{self, Gid, Pid, Uid, User};

use super::message::{End, Limits, Spec, Usage};
use crate::background;

/// What every job gets from the supervisor's own process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inherited {
    /// The supervisor itself.
    pub supervisor: Pid,
    /// The limit on open files that the supervisor was started with.
    pub open_files: (u64, u64),
}

/// Starts the job of `spec`. `leader` receives `/proc/self/stat` of the new process before its
/// program begins; `work` is its own folder, if it has one.
///
/// # Errors
///
/// The end that this start comes to; its sentence says what is wrong, for people.
pub(crate) fn spawn(
    spec: &Spec,
    leader: File,
    work: Option<&Path>,
    inherited: Inherited,
) -> Result<Child, End> {
    let user = spec
        .run_as
        .as_deref()
        .map(resolve_user)
        .transpose()
        .map_err(End::NotStarted)?;
    if let (Some(work), Some(user)) = (work, &user) {
        unistd::chown(work, Some(user.uid), Some(user.gid)).map_err(|error| {
            End::NotStarted(format!(
                "its work folder could not be given to its user: {error}"
            ))
        })?;
    }
    let failure = leader
        .try_clone()
        .map_err(|error| why_not(spec, &leader, &error))?;

    let mut command = Command::new(&spec.program);
    command
        .args(&spec.args)
        .env_clear()
        .envs(&spec.env)
        .current_dir(&spec.cwd)
        .stdin(if spec.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let limits = spec.limits;
    let before_exec = move || become_job(&leader, limits, user.as_ref(), inherited);
    // SAFETY: this process has a single thread, so no lock can be held by another one at the
    // fork; and the closure makes system calls only: it neither allocates nor takes a lock.
    #[allow(
        unsafe_code,
        reason = "code between fork and exec has no safe interface"
    )]
    unsafe {
        command.pre_exec(before_exec);
    }
    command
        .spawn()
        .map_err(|error| why_not(spec, &failure, &error))
}

/// Runs in the new process, between fork and exec. Its own group is set already.
fn become_job(
    leader: &File,
    limits: Limits,
    user: Option<&ResolvedUser>,
    inherited: Inherited,
) -> io::Result<()> {
    #[cfg(feature = "crash-points")]
    crash_the_supervisor(b"supervisor.forked", inherited.supervisor);
    // Each step that fails leaves its letter at the begin of the leader file, so that the sentence
    // can name it. Further on there may be what an earlier run left.
    let step = |letter: &[u8; 2], result: nix::Result<()>| {
        result.map_err(|error| {
            let _ = uio::pwrite(leader, letter, 0);
            io::Error::from(error)
        })
    };
    // First of all: the limits that follow may forbid to open or write a file.
    step(b"!r", record_self(leader))?;
    step(b"!l", set_limits(limits, inherited.open_files))?;
    // Where it is forbidden, the job runs all the same.
    let _ = background::stand_back();
    if let Some(user) = user {
        step(b"!u", unistd::setgroups(&user.groups))?;
        step(b"!u", unistd::setgid(user.gid))?;
        step(b"!u", unistd::setuid(user.uid))?;
    }
    // After the change of user, which would take it back.
    step(b"!d", prctl::set_pdeathsig(Signal::SIGKILL))?;
    // If the supervisor died before that line, no signal will come: then this job must not begin.
    if unistd::getppid() != inherited.supervisor {
        return step(b"!o", Err(Errno::ESRCH));
    }
    #[cfg(feature = "crash-points")]
    crash_the_supervisor(b"supervisor.led", inherited.supervisor);
    // A mask is inherited, also over exec, and the supervisor waits for its signals blocked: a
    // job that kept it would never hear that it is asked to stop.
    step(b"!d", SigSet::empty().thread_set_mask())
}

/// Copies `/proc/self/stat` to `leader`: pid, group, session and start time, from the kernel.
fn record_self(leader: &File) -> nix::Result<()> {
    let stat = nix::fcntl::open(
        c"/proc/self/stat",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let mut line = [0; 1024];
    let length = unistd::read(&stat, &mut line)?;
    let written = unistd::write(leader, &line[..length])?;
    if written == length {
        Ok(())
    } else {
        Err(Errno::ENOSPC)
    }
}

fn set_limits(limits: Limits, open_files: (u64, u64)) -> nix::Result<()> {
    let (soft, hard) = limits.open_files.map_or(open_files, |limit| (limit, limit));
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
    let others = [
        (Resource::RLIMIT_CPU, limits.cpu),
        (Resource::RLIMIT_AS, limits.address_space),
        (Resource::RLIMIT_CORE, limits.core),
        (Resource::RLIMIT_FSIZE, limits.file_size),
        (Resource::RLIMIT_NPROC, limits.processes),
    ];
    for (resource, limit) in others {
        if let Some(limit) = limit {
            setrlimit(resource, limit, limit)?;
        }
    }
    Ok(())
}

/// Kills the supervisor from within its new child, and waits until it is gone.
#[cfg(feature = "crash-points")]
fn crash_the_supervisor(step: &'static [u8], supervisor: Pid) {
    use std::os::unix::ffi::OsStrExt;
    // The environment is only read; the supervisor's single thread holds no lock on it.
    let is_wanted =
        std::env::var_os(crate::crash::VARIABLE).is_some_and(|wanted| wanted.as_bytes() == step);
    if is_wanted {
        crate::crash::end(supervisor);
        while unistd::getppid() == supervisor {
            let _ = nix::sched::sched_yield();
        }
    }
}

#[derive(Debug)]
struct ResolvedUser {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// Looks a user up before the fork: after it, nothing may read files or allocate.
fn resolve_user(name: &str) -> Result<ResolvedUser, String> {
    let found = match name.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(name),
    };
    let user = match found {
        Ok(Some(user)) => user,
        Ok(None) => return Err(format!("there is no user `{name}` to run it as")),
        Err(error) => return Err(format!("the user `{name}` could not be looked up: {error}")),
    };
    let account = CString::new(user.name).map_err(|_| format!("`{name}` is no user name"))?;
    let groups = unistd::getgrouplist(&account, user.gid)
        .map_err(|error| format!("the groups of `{name}` could not be looked up: {error}"))?;
    Ok(ResolvedUser {
        uid: user.uid,
        gid: user.gid,
        groups,
    })
}

/// What a spawn that failed counts as: the fault of the command, or of the machine.
fn why_not(spec: &Spec, leader: &File, error: &io::Error) -> End {
    let program = &spec.program;
    match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
        Errno::EMFILE | Errno::ENFILE => End::Lost(format!(
            "`{program}` could not be started: too many open files"
        )),
        Errno::EAGAIN | Errno::ENOMEM => End::Lost(format!(
            "`{program}` could not be started: no room for another process"
        )),
        errno => End::NotStarted(
            failed_step(spec, leader, error)
                .unwrap_or_else(|| failed_exec(&spec.program, &spec.cwd, errno, error)),
        ),
    }
}

/// The sentence for a step before exec. Only a number comes back from in there; the letter that
/// the step left says what it was about.
fn failed_step(spec: &Spec, leader: &File, error: &io::Error) -> Option<String> {
    let mut letter = [0; 2];
    leader.read_exact_at(&mut letter, 0).ok()?;
    let program = &spec.program;
    Some(match &letter {
        b"!l" => format!("a limit of `{program}` could not be set: {error}"),
        b"!u" => {
            let user = spec.run_as.as_deref().unwrap_or_default();
            format!("`{program}` could not be run as user `{user}`: {error}")
        }
        b"!o" => format!("the supervisor ended before `{program}` began"),
        b"!d" | b"!r" => format!("`{program}` could not be prepared: {error}"),
        _ => return None,
    })
}

/// The sentence for a directory that could not be entered or a program that could not begin.
pub(crate) fn failed_exec(program: &str, cwd: &str, errno: Errno, error: &io::Error) -> String {
    match std::fs::metadata(cwd) {
        Err(error) => return format!("its working directory `{cwd}` cannot be used: {error}"),
        Ok(found) if !found.is_dir() => {
            return format!("its working directory `{cwd}` is not a directory");
        }
        Ok(_) => {}
    }
    let is_path = program.contains('/');
    let path = Path::new(cwd).join(program);
    match errno {
        Errno::ENOENT if is_path && path.exists() => {
            format!("the interpreter that `{program}` names in its first line does not exist")
        }
        Errno::ENOENT if is_path => format!("there is no program `{program}`"),
        Errno::ENOENT => format!("there is no program `{program}` in its PATH"),
        Errno::EACCES if is_path && path.is_dir() => {
            format!("`{program}` is a directory, not a program")
        }
        Errno::EACCES => format!("`{program}` may not be executed: permission denied"),
        Errno::ENOEXEC => format!("`{program}` is not in a format that this machine can execute"),
        Errno::E2BIG => format!("the arguments and environment of `{program}` are too long"),
        _ if error.kind() == io::ErrorKind::InvalidInput => {
            format!("`{program}`, an argument or a variable of it holds a NUL byte")
        }
        _ => format!("`{program}` could not be started: {error}"),
    }
}

/// How a reaped process ended, and what it used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reaped {
    /// The code it returned, or the signal that ended it.
    pub end: Result<i32, KilledBy>,
    pub usage: Usage,
}

/// The signal that ended a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KilledBy {
    pub number: i32,
    pub core: bool,
}

/// A dead child, whatever it died of; it stays on the kernel's list.
///
/// nix knows the common signals only, and takes a child that another one ended for an error.
pub(crate) fn next_dead() -> Option<Pid> {
    use nix::libc;

    let mut found = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the pointer is to live, writable memory of the right type. All-zero bytes are a valid
    // `siginfo_t`, so it may be read whether or not the kernel filled it in, and its process id is
    // 0 then; for a child's end that field is set.
    #[allow(unsafe_code, reason = "nix refuses signals that it has no name for")]
    let pid = unsafe {
        if libc::waitid(libc::P_ALL, 0, found.as_mut_ptr(), options) != 0 {
            return None;
        }
        found.assume_init().si_pid()
    };
    (pid != 0).then(|| Pid::from_raw(pid))
}

/// Takes the dead child `pid` off the kernel's list. `None` if it is not dead, or no child.
pub(crate) fn reap(pid: Pid) -> Option<Reaped> {
    use nix::libc;

    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live, writable memory of the right types, and all-zero bytes
    // are a valid `rusage`, so it may be read whether or not the kernel filled it in.
    #[allow(unsafe_code, reason = "wait4 is the only way to one child's own usage")]
    let (reaped, usage) = unsafe {
        let reaped = libc::wait4(pid.as_raw(), &mut status, libc::WNOHANG, usage.as_mut_ptr());
        (reaped, usage.assume_init())
    };
    if reaped != pid.as_raw() {
        return None;
    }
    let end = if libc::WIFSIGNALED(status) {
        Err(KilledBy {
            number: libc::WTERMSIG(status),
            core: libc::WCOREDUMP(status),
        })
    } else {
        Ok(libc::WEXITSTATUS(status))
    };
    let ms = |time: libc::timeval| (time.tv_sec as u64) * 1000 + (time.tv_usec as u64) / 1000;
    let usage = Usage {
        user_ms: ms(usage.ru_utime),
        system_ms: ms(usage.ru_stime),
        max_rss_bytes: (usage.ru_maxrss as u64) * 1024,
    };
    Some(Reaped { end, usage })
}
