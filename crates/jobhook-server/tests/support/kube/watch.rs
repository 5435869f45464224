//! Watches: what happens to objects from a revision on, one line of JSON each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::form::Form;
use super::http::Cut;
use super::objects::{Change, Kind};
use super::query::Query;
use super::selector::Selector;
use super::state::{Shared, State};
use super::status::Status;
use super::target::Target;

/// What is said at one time, and whether that was all.
struct Batch {
    text: Vec<u8>,
    last: bool,
}

/// One watch.
pub(crate) struct Watch {
    target: Target,
    selector: Selector,
    /// All up to it was said.
    revision: u64,
    /// Whether what is there already is said first, as if it were new.
    initial: bool,
    /// Whether the end of that is marked.
    marks_initial: bool,
    bookmarks: bool,
    ends: Option<Instant>,
    cuts: u64,
    form: Form,
}

impl Watch {
    pub(crate) fn of(
        state: &State,
        target: &Target,
        query: &Query,
        form: Form,
    ) -> Result<Watch, Status> {
        let revision = query.number("resourceVersion")?.unwrap_or_default();
        let timeout = query.number("timeoutSeconds")?;
        let streams_list = query.flag("sendInitialEvents");
        if streams_list && query.get("resourceVersionMatch") != Some("NotOlderThan") {
            return Err(Status::new(
                422,
                "Invalid",
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        Ok(Watch {
            target: target.clone(),
            selector: Selector::of(query, target.resource)?,
            revision,
            initial: revision == 0 || streams_list,
            marks_initial: streams_list,
            bookmarks: query.flag("allowWatchBookmarks"),
            ends: timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            cuts: state.cuts,
            form,
        })
    }

    /// Says everything until it ends, or nobody listens any more.
    pub(crate) async fn run(mut self, shared: Arc<Shared>, to: mpsc::Sender<Result<Bytes, Cut>>) {
        let mut moved = shared.moved();
        let every = shared.with(|state| state.bookmark_every);
        let mut bookmark = Instant::now() + every;
        loop {
            moved.mark_unchanged();
            let Some(mut batch) = shared.with(|state| self.batch(state)) else {
                let _ = to.send(Err(Cut)).await;
                return;
            };
            let now = Instant::now();
            let over = self.ends.is_some_and(|ends| ends <= now);
            if self.bookmarks && !batch.last && (over || bookmark <= now) {
                bookmark = now + every;
                batch.text.extend(self.bookmark(false));
            }
            if !batch.text.is_empty() && to.send(Ok(batch.text.into())).await.is_err() {
                return;
            }
            if over || batch.last {
                return;
            }
            let next = self.ends.map_or(bookmark, |ends| ends.min(bookmark));
            tokio::select! {
                _ = moved.changed() => {}
                () = tokio::time::sleep_until(next) => {}
                () = to.closed() => return,
            }
        }
    }

    /// What is to be said now; `None` if the connection is to be cut.
    fn batch(&mut self, state: &State) -> Option<Batch> {
        if state.cuts != self.cuts {
            return None;
        }
        let mut text = Vec::new();
        if self.initial {
            self.initial = false;
            self.revision = state.objects.revision();
            let all = state
                .objects
                .all(self.target.resource, &self.target.namespace);
            for (_, object) in all.filter(|(_, object)| self.selector.selects(object)) {
                text.extend(line("ADDED", &self.form.show(object)));
            }
            if self.marks_initial {
                text.extend(self.bookmark(true));
            }
            return Some(Batch { text, last: false });
        }
        let Some(changes) = state.objects.since(self.revision) else {
            let message = format!(
                "too old resource version: {} ({})",
                self.revision,
                state.objects.revision()
            );
            text.extend(line("ERROR", &Status::expired(message).body()));
            return Some(Batch { text, last: true });
        };
        for change in changes {
            if let Some(kind) = self.sees(change) {
                text.extend(line(kind, &self.form.show(&change.object)));
            }
        }
        self.revision = self.revision.max(state.objects.revision());
        Some(Batch { text, last: false })
    }

    /// What the change is to someone who sees only what is selected.
    fn sees(&self, change: &Change) -> Option<&'static str> {
        let key = &change.key;
        if key.plural != self.target.resource.plural
            || !(self.target.namespace.is_empty() || key.namespace == self.target.namespace)
        {
            return None;
        }
        let before = change.before.as_ref();
        let before = before.is_some_and(|before| self.selector.selects(before));
        let now = change.kind != Kind::Deleted && self.selector.selects(&change.object);
        match (before, now) {
            (false, true) => Some("ADDED"),
            (true, true) => Some("MODIFIED"),
            (true, false) => Some("DELETED"),
            (false, false) => None,
        }
    }

    fn bookmark(&self, ends_initial: bool) -> Vec<u8> {
        let mut object = json!({
            "kind": self.target.resource.kind,
            "apiVersion": self.target.resource.api_version(),
            "metadata": {"resourceVersion": self.revision.to_string(), "creationTimestamp": null},
        });
        if ends_initial {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.target.resource.plural {
            "pods" => object["spec"] = json!({"containers": null}),
            "jobs" => {
                object["spec"] = json!({"template": {"metadata": {}, "spec": {"containers": null}}})
            }
            _ => {}
        }
        line("BOOKMARK", &self.form.show(&object))
    }
}

fn line(kind: &str, object: &Value) -> Vec<u8> {
    let mut line = json!({"type": kind, "object": object}).to_string();
    line.push('\n');
    line.into_bytes()
}
