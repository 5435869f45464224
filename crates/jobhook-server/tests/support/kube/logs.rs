//! What containers write, and how it is read: `pods/NAME/log`.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::http::Cut;
use super::moment;
use super::objects::Key;
use super::query::Query;
use super::resource::PODS;
use super::state::{Shared, State};
use super::status::Status;
use super::target::Target;

/// All that one container wrote.
#[derive(Debug)]
pub(crate) struct Log {
    entries: Mutex<Entries>,
    moved: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Entries {
    /// How many lines are gone from the front.
    rotated: usize,
    lines: VecDeque<Entry>,
    ended: bool,
}

#[derive(Debug)]
struct Entry {
    time: Timestamp,
    /// With its end, if it has one.
    text: Bytes,
}

impl Log {
    pub(crate) fn new() -> Log {
        Log {
            entries: Mutex::default(),
            moved: watch::Sender::new(0),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in lines that were written at one time.
    pub(crate) fn write(&self, time: Timestamp, lines: impl Iterator<Item = Bytes>) {
        let lines = lines.map(|text| Entry { time, text });
        self.entries().lines.extend(lines);
        self.moved.send_modify(|count| *count += 1);
    }

    /// Nothing comes any more.
    pub(crate) fn end(&self) {
        self.entries().ended = true;
        self.moved.send_modify(|count| *count += 1);
    }

    /// Throws away all but the last `keep` lines, as a rotation does.
    pub(crate) fn rotate(&self, keep: usize) {
        let mut entries = self.entries();
        let gone = entries.lines.len().saturating_sub(keep);
        entries.lines.drain(..gone);
        entries.rotated += gone;
    }

    /// How many lines there were.
    pub(crate) fn written(&self) -> usize {
        let entries = self.entries();
        entries.rotated + entries.lines.len()
    }
}

/// What somebody wants to read.
pub(crate) struct LogRequest {
    log: Arc<Log>,
    follow: bool,
    timestamps: bool,
    since: Option<Timestamp>,
    tail: Option<usize>,
    limit: usize,
    cuts: u64,
    /// Whose it is; a pod that is gone has no log any more.
    pod: Key,
    uid: String,
}

impl LogRequest {
    /// `None` if the pod is not on any node.
    pub(crate) fn of(
        state: &State,
        target: &Target,
        query: &Query,
    ) -> Result<Option<LogRequest>, Status> {
        let name = target.name.as_deref().unwrap_or_default();
        let key = Key::new(&PODS, &target.namespace, name);
        let Some(pod) = state.objects.get(&key) else {
            return Err(Status::not_found(&PODS, name));
        };
        let container = chosen(pod, name, query.get("container"))?;
        let since = match (query.get("sinceTime"), query.number("sinceSeconds")?) {
            // The kubelet is told whole seconds.
            (Some(text), _) => {
                let time: Timestamp = text.parse().map_err(|_| {
                    Status::bad_request(format!("parsing time \"{text}\" as RFC 3339"))
                })?;
                Timestamp::from_second(time.as_second()).ok()
            }
            (None, Some(seconds)) => {
                let now = Timestamp::now().as_second();
                Timestamp::from_second(now - seconds.cast_signed()).ok()
            }
            (None, None) => None,
        };
        if pod["spec"]["nodeName"].is_null() {
            return Ok(None);
        }
        if state.node.lost {
            return Err(Status::internal(format!(
                "Get \"https://10.0.0.1:10250/containerLogs/{}/{name}/{container}\": dial tcp 10.0.0.1:10250: connect: no route to host",
                target.namespace
            )));
        }
        if query.flag("previous") {
            return Err(Status::bad_request(format!(
                "previous terminated container \"{container}\" in pod \"{name}\" not found"
            )));
        }
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let Some(log) = state.logs.get(&(uid.to_owned(), container.clone())) else {
            let why = waiting(pod, &container);
            return Err(Status::bad_request(format!(
                "container \"{container}\" in pod \"{name}\" is waiting to start: {why}"
            )));
        };
        let number = |name: &str| {
            query
                .number(name)
                .map(|number| number.map(|number| number as usize))
        };
        Ok(Some(LogRequest {
            log: Arc::clone(log),
            follow: query.flag("follow"),
            timestamps: query.flag("timestamps"),
            since,
            tail: number("tailLines")?,
            limit: number("limitBytes")?.unwrap_or(usize::MAX),
            cuts: state.cuts,
            uid: uid.to_owned(),
            pod: key,
        }))
    }

    /// Says what is there, and what comes if it is followed.
    pub(crate) async fn run(mut self, shared: Arc<Shared>, to: mpsc::Sender<Result<Bytes, Cut>>) {
        let mut written = self.log.moved.subscribe();
        let mut moved = shared.moved();
        let mut next = self.start();
        loop {
            written.mark_unchanged();
            moved.mark_unchanged();
            let (cut, gone) = shared.with(|state| {
                let there = state
                    .objects
                    .get(&self.pod)
                    .is_some_and(|pod| pod["metadata"]["uid"] == *self.uid);
                let lost = self.follow && state.node.lost;
                (state.cuts != self.cuts || lost, !there)
            });
            if cut {
                let _ = to.send(Err(Cut)).await;
                return;
            }
            let (text, ended) = self.read(&mut next);
            let full = self.limit == 0;
            if !text.is_empty() && to.send(Ok(text.into())).await.is_err() {
                return;
            }
            if full || ended || !self.follow || gone {
                return;
            }
            tokio::select! {
                _ = written.changed() => {}
                _ = moved.changed() => {}
                () = to.closed() => return,
            }
        }
    }

    fn start(&self) -> usize {
        let entries = self.log.entries();
        let tail = self.tail.unwrap_or(usize::MAX);
        entries.rotated + entries.lines.len().saturating_sub(tail)
    }

    /// What was written from line `next` on; whether that was the last.
    fn read(&mut self, next: &mut usize) -> (Vec<u8>, bool) {
        let entries = self.log.entries();
        let mut text = Vec::new();
        let skip = next.saturating_sub(entries.rotated);
        for entry in entries.lines.iter().skip(skip) {
            if self.since.is_some_and(|since| entry.time < since) {
                continue;
            }
            if self.timestamps {
                let mut prefix = moment::nanoseconds(entry.time);
                let _ = prefix.write_char(' ');
                text.extend(prefix.as_bytes());
            }
            text.extend(&entry.text);
        }
        *next = entries.rotated + entries.lines.len();
        text.truncate(self.limit);
        self.limit -= text.len();
        (text, entries.ended)
    }
}

fn chosen(pod: &Value, name: &str, asked: Option<&str>) -> Result<String, Status> {
    let names = |list: &str| {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers
            .filter_map(|container| container["name"].as_str())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (mains, inits) = (names("containers"), names("initContainers"));
    match (asked, mains.as_slice()) {
        (Some(asked), _) if mains.iter().chain(&inits).any(|known| known == asked) => {
            Ok(asked.to_owned())
        }
        (Some(asked), _) => Err(Status::bad_request(format!(
            "container {asked} is not valid for pod {name}"
        ))),
        (None, [one]) => Ok(one.clone()),
        (None, many) => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            many.join(" ")
        ))),
    }
}

fn waiting(pod: &Value, container: &str) -> String {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let reason = lists
        .into_iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten()
        .find(|status| status["name"] == container)
        .and_then(|status| status["state"]["waiting"]["reason"].as_str());
    match reason {
        Some("ErrImagePull" | "ImagePullBackOff") => "trying and failing to pull image".into(),
        Some("InvalidImageName" | "ErrImageNeverPull") => "image can't be pulled".into(),
        Some(reason) => reason.into(),
        None => "ContainerCreating".into(),
    }
}
