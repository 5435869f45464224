//! One container: its image, its environment, and the process that it is here.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::environment;
use super::events::{self, Source};
use super::logs::Log;
use super::resource::PODS;
use super::state::Shared;

/// How long what a container wrote may take to arrive once it is dead.
const DRAIN: Duration = Duration::from_secs(5);

/// What the kubelet has done with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Ask it to end, and make it after so long.
    Terminate(Duration),
    /// Make it end, because of this.
    Kill(&'static str),
}

/// What became of a container.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Waiting {
        reason: &'static str,
        message: String,
    },
    Started(Timestamp),
    Ended(Ended),
}

#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// None if it never ran.
    pub(crate) started: Option<Timestamp>,
    pub(crate) at: Timestamp,
}

/// One container of a pod.
pub(crate) struct Container {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pod: Arc<Value>,
    pub(crate) spec: Value,
    /// Where its process works: what is its own file system elsewhere.
    pub(crate) dir: PathBuf,
}

impl Container {
    /// Runs it to its end; says on the way what becomes of it.
    pub(crate) async fn run(self, mut orders: mpsc::UnboundedReceiver<Order>, tell: impl Fn(Told)) {
        let ended = self.live(&mut orders, &tell).await;
        tell(Told::Ended(ended));
    }

    async fn live(
        &self,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        tell: &impl Fn(Told),
    ) -> Ended {
        if self.pull(orders, tell).await.is_none() {
            return never_ran();
        }
        let Some(variables) = self.configure(orders, tell).await else {
            return never_ran();
        };
        self.event(
            "Normal",
            "Created",
            &format!("Created container: {}", self.name()),
        );
        let log = Arc::new(Log::new());
        let uid = self.pod["metadata"]["uid"].as_str().unwrap_or_default();
        self.shared.with(|state| {
            let place = (uid.to_owned(), self.name().to_owned());
            state.logs.insert(place, Arc::clone(&log));
        });
        let started = Timestamp::now();
        let child = match self.spawn(&variables) {
            Ok(child) => child,
            Err(why) => {
                log.end();
                self.event("Warning", "Failed", &format!("Error: {why}"));
                return Ended {
                    code: 128,
                    reason: "StartError",
                    message: why,
                    started: Timestamp::from_second(0).ok(),
                    at: Timestamp::now(),
                };
            }
        };
        self.event(
            "Normal",
            "Started",
            &format!("Started container {}", self.name()),
        );
        tell(Told::Started(started));
        let (code, reason) = self.watch_over(child, &log, orders).await;
        Ended {
            code,
            reason,
            message: String::new(),
            started: Some(started),
            at: Timestamp::now(),
        }
    }

    fn name(&self) -> &str {
        self.spec["name"].as_str().unwrap_or_default()
    }

    fn event(&self, kind: &str, reason: &str, message: &str) {
        self.shared.with(|state| {
            let about = (&PODS, &*self.pod);
            events::tell(
                &mut state.objects,
                about,
                Source::Kubelet,
                (kind, reason),
                message,
            );
        });
    }

    /// Gets the image; `None` if it is not to run any more before that is there.
    async fn pull(
        &self,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        tell: &impl Fn(Told),
    ) -> Option<()> {
        let image = self.spec["image"].as_str().unwrap_or_default();
        if image.contains(char::is_whitespace) || image.chars().any(char::is_uppercase) {
            let message = format!(
                "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": invalid reference format"
            );
            self.event("Warning", "InspectFailed", &message);
            let reason = "InvalidImageName";
            tell(Told::Waiting { reason, message });
            orders.recv().await;
            return None;
        }
        if !image.contains("missing") {
            self.event(
                "Normal",
                "Pulled",
                &format!("Container image \"{image}\" already present on machine"),
            );
            return Some(());
        }
        if self.spec["imagePullPolicy"] == "Never" {
            let message =
                format!("Container image \"{image}\" is not present with pull policy of Never");
            self.event("Warning", "ErrImageNeverPull", &message);
            let reason = "ErrImageNeverPull";
            tell(Told::Waiting { reason, message });
            orders.recv().await;
            return None;
        }
        let cause = format!(
            "failed to pull and unpack image \"docker.io/library/{image}\": failed to resolve reference \"docker.io/library/{image}\": docker.io/library/{image}: not found"
        );
        loop {
            self.event("Normal", "Pulling", &format!("Pulling image \"{image}\""));
            self.event(
                "Warning",
                "Failed",
                &format!(
                    "Failed to pull image \"{image}\": rpc error: code = NotFound desc = {cause}"
                ),
            );
            self.event("Warning", "Failed", "Error: ErrImagePull");
            tell(Told::Waiting {
                reason: "ErrImagePull",
                message: format!("rpc error: code = NotFound desc = {cause}"),
            });
            if is_ordered(orders, Duration::from_millis(300)).await {
                return None;
            }
            self.event(
                "Normal",
                "BackOff",
                &format!("Back-off pulling image \"{image}\""),
            );
            self.event("Warning", "Failed", "Error: ImagePullBackOff");
            tell(Told::Waiting {
                reason: "ImagePullBackOff",
                message: format!(
                    "Back-off pulling image \"{image}\": ErrImagePull: rpc error: code = NotFound desc = {cause}"
                ),
            });
            if is_ordered(orders, Duration::from_secs(2)).await {
                return None;
            }
        }
    }

    /// Finds its variables, as soon as what they come from is there.
    async fn configure(
        &self,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        tell: &impl Fn(Told),
    ) -> Option<Vec<(String, String)>> {
        loop {
            let resolved = self
                .shared
                .with(|state| environment::resolve(&state.objects, &self.pod, &self.spec));
            match resolved {
                Ok(variables) => return Some(variables),
                Err(message) => {
                    self.event("Warning", "Failed", &format!("Error: {message}"));
                    let reason = "CreateContainerConfigError";
                    tell(Told::Waiting { reason, message });
                }
            }
            if is_ordered(orders, Duration::from_millis(500)).await {
                return None;
            }
        }
    }

    fn spawn(&self, variables: &[(String, String)]) -> Result<Child, String> {
        let texts = |field: &str| {
            let list = self.spec[field].as_array().into_iter().flatten();
            list.filter_map(Value::as_str)
                .map(|text| environment::expand(text, variables))
                .collect::<Vec<String>>()
        };
        let mut line = [texts("command"), texts("args")].concat();
        if line.is_empty() {
            // What an image with a shell in it does by itself.
            line.push("sh".into());
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let program = find(&line[0], &path).ok_or_else(|| {
            format!(
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: \"{}\": executable file not found in $PATH: unknown",
                line[0]
            )
        })?;
        std::fs::create_dir_all(&self.dir).map_err(|error| error.to_string())?;
        let pod = &self.pod["metadata"]["name"];
        // Whoever ends this program ends its containers too, also by SIGKILL.
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(&line[1..])
            .env_clear()
            .env("PATH", path)
            .env("HOSTNAME", pod.as_str().unwrap_or_default())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("setpriv (of util-linux) does not start: {error}"))
    }

    /// Waits for the end of the process, and has it end when that is ordered.
    async fn watch_over(
        &self,
        mut child: Child,
        log: &Arc<Log>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> (i32, &'static str) {
        let pid = Pid::from_raw(child.id().unwrap_or_default().cast_signed());
        let group = Group(pid);
        let readers = [
            child.stdout.take().map(|pipe| drain(pipe, Arc::clone(log))),
            child.stderr.take().map(|pipe| drain(pipe, Arc::clone(log))),
        ];
        let mut deadline: Option<Instant> = None;
        let mut because = None;
        let status = loop {
            let late = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = child.wait() => break status,
                order = orders.recv() => match order {
                    Some(Order::Terminate(grace)) => {
                        let end = Instant::now() + grace;
                        if deadline.is_none() {
                            let name = self.name();
                            self.event("Normal", "Killing", &format!("Stopping container {name}"));
                            let _ = kill(pid, Signal::SIGTERM);
                        }
                        deadline = Some(deadline.map_or(end, |known| known.min(end)));
                    }
                    Some(Order::Kill(reason)) => {
                        because = Some(reason);
                        group.kill();
                    }
                    // The kubelet is gone, and so is this soon.
                    None => group.kill(),
                },
                () = late => {
                    deadline = None;
                    group.kill();
                }
            }
        };
        // Nothing of a container outlives its first process.
        group.kill();
        for reader in readers.into_iter().flatten() {
            let _ = tokio::time::timeout(DRAIN, reader).await;
        }
        log.end();
        let Ok(status) = status else {
            return (255, "Error");
        };
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        let reason = because.unwrap_or(if code == 0 { "Completed" } else { "Error" });
        (code, reason)
    }
}

/// A process and what it has started; none of it outlives this.
struct Group(Pid);

impl Group {
    fn kill(&self) {
        if self.0.as_raw() > 0 {
            let _ = killpg(self.0, Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits so long for an order.
async fn is_ordered(orders: &mut mpsc::UnboundedReceiver<Order>, patience: Duration) -> bool {
    tokio::time::timeout(patience, orders.recv()).await.is_ok()
}

/// What is said of a container that was still to come when its pod ended.
pub(crate) fn never_ran() -> Ended {
    Ended {
        code: 137,
        reason: "ContainerStatusUnknown",
        message: "The container could not be located when the pod was terminated".into(),
        started: None,
        at: Timestamp::now(),
    }
}

fn find(program: &str, path: &str) -> Option<PathBuf> {
    let runs = |path: &Path| {
        path.metadata()
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| runs(path));
    }
    let places = path.split(':').map(|place| Path::new(place).join(program));
    places.into_iter().find(|path| runs(path))
}

/// Puts what comes from `pipe` into the log. The lines of one read have one time.
fn drain(mut pipe: impl AsyncRead + Unpin + Send + 'static, log: Arc<Log>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(64 * 1024);
            let read = pipe.read_buf(&mut buffer).await.unwrap_or(0);
            let time = Timestamp::now();
            let mut lines: Vec<Bytes> = Vec::new();
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                lines.push(buffer.split_to(end + 1).freeze());
            }
            if read == 0 && !buffer.is_empty() {
                lines.push(buffer.split().freeze());
            }
            if !lines.is_empty() {
                log.write(time, lines.into_iter());
            }
            if read == 0 {
                return;
            }
        }
    })
}
