//! The logs of a job's containers: each is followed by a task of its own, and becomes lines of the
//! action.

use std::collections::HashMap;

use jobhook_engine::clock::{Clock, SystemClock, Timestamp};
use jobhook_engine::runner::OutputLine;
use jobhook_protocol::LineSource;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::course::{Course, notice};
use super::logs::{self, Read, Source};
use super::mark::log_key;
use super::pod_state::PodState;
use super::watch::Seen;
use crate::config::LogSource;

/// Those of one pod, by container.
pub(super) struct Logs {
    logs: HashMap<String, Log>,
    read: mpsc::Receiver<(String, Read)>,
    to_read: mpsc::Sender<(String, Read)>,
}

/// The log of one container.
struct Log {
    pod: String,
    ended: watch::Sender<bool>,
    task: JoinHandle<()>,
    done: bool,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Logs {
    pub(super) fn none() -> Logs {
        // One stretch waits while another is stored: no more.
        let (to_read, read) = mpsc::channel(1);
        Logs {
            logs: HashMap::new(),
            read,
            to_read,
        }
    }

    /// What is read next, of which container.
    pub(super) async fn next(&mut self) -> Option<(String, Read)> {
        self.read.recv().await
    }

    /// Reads the logs that there are; of those containers only that the Job asks for. What came
    /// before the others is read to its end first, so that the lines are in that order.
    pub(super) fn start(&mut self, course: &Course, seen: &Seen, pod: &PodState, deleted: bool) {
        if course.shared.config.logs == LogSource::Hook {
            return;
        }
        let asked = seen.job.as_ref().map(|job| &job.containers);
        for logging in &pod.logging {
            if asked.is_some_and(|asked| !asked.contains(&logging.container)) {
                continue;
            }
            let log = self
                .logs
                .entry(logging.container.clone())
                .or_insert_with(|| {
                    let (ended, has_ended) = watch::channel(false);
                    let key = log_key(&pod.uid, &logging.container);
                    let source = Source {
                        pod: pod.name.clone(),
                        container: logging.container.clone(),
                    };
                    let position = course.mark.logs.get(&key).copied();
                    let pods = course.shared.watch.cluster().pods();
                    let task = tokio::spawn(logs::follow(
                        pods,
                        source,
                        position,
                        has_ended,
                        self.to_read.clone(),
                    ));
                    Log {
                        pod: pod.uid.clone(),
                        ended,
                        task,
                        done: false,
                    }
                });
            if logging.ended || deleted {
                log.ended
                    .send_if_modified(|ended| !std::mem::replace(ended, true));
            }
            if logging.is_init && logging.ended && !log.done {
                break;
            }
        }
        if deleted {
            for log in self.logs.values() {
                log.ended
                    .send_if_modified(|ended| !std::mem::replace(ended, true));
            }
        }
    }

    /// Whether all is read of containers that have ended; what goes on besides is not waited for.
    pub(super) fn are_read(&self) -> bool {
        self.logs
            .values()
            .all(|log| log.done || !*log.ended.borrow())
    }

    /// The lines that are told of what was read.
    pub(super) fn take(
        &mut self,
        course: &mut Course,
        seen: &Seen,
        container: &str,
        read: Read,
    ) -> Vec<OutputLine> {
        let Some(log) = self.logs.get_mut(container) else {
            return Vec::new();
        };
        let main = seen.job.as_ref().and_then(|job| job.main.as_ref());
        let is_main = main.is_none_or(|main| main == container);
        let shown = |text: &str| {
            if is_main {
                text.to_owned()
            } else {
                format!("[{container}] {text}")
            }
        };
        match read {
            Read::Lines {
                lines,
                gap,
                position,
            } => {
                let key = log_key(&log.pod, container);
                course.mark.logs.insert(key, position);
                let mut told = Vec::with_capacity(lines.len() + usize::from(gap));
                if gap {
                    let time = lines
                        .first()
                        .map_or_else(|| SystemClock.now(), |(time, _)| at_ms(*time));
                    told.push(notice(time, shown(
                        "lines of output are missing here: the cluster rotated the log away before it was read",
                    )));
                }
                for (time, text) in &lines {
                    told.extend(logs::pieces(text).into_iter().map(|text| OutputLine {
                        source: LineSource::Stdout,
                        time: at_ms(*time),
                        text: shown(text),
                    }));
                }
                told
            }
            Read::End { lost } => {
                log.done = true;
                let lost = lost.map(|words| {
                    let words = shown(&format!("the rest of the output is lost: {words}"));
                    notice(SystemClock.now(), words)
                });
                lost.into_iter().collect()
            }
        }
    }
}

fn at_ms(time_ns: i64) -> Timestamp {
    Timestamp(time_ns.div_euclid(1_000_000))
}
