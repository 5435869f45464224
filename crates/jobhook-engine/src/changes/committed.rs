//! What a commit means to those who wait.

use std::collections::HashSet;

use jobhook_protocol::Status;

use super::Changes;
use crate::action::{Action, ActionId};
use crate::ledger::Answer;
use crate::write::{Write, Written};

impl Changes {
    /// Tells those who wait what there is to see now.
    ///
    /// - `answers`: one for each of `writes`.
    pub(crate) fn committed(&self, writes: &[Write], answers: &[Answer]) {
        let mut waits = Waits::default();
        for (write, answer) in writes.iter().zip(answers) {
            let Ok(written) = answer else { continue };
            if let Some(id) = write.action() {
                self.changed(id);
            }
            match written {
                Written::Claimed(claimed) => claimed.iter().for_each(|(action, attempt)| {
                    // From here on no mark is missed, however long its driver takes to begin.
                    self.live.watch(action, attempt);
                    self.changed(action.id);
                    waits.ready.remove(&action.id);
                }),
                Written::Action(action) => {
                    waits.note(action);
                    if action.cancel.is_some() {
                        self.live.cancelled(action.id);
                    }
                }
                Written::Closed(action, _) => waits.note(action),
                Written::Reported(reported) => self.live.heard(&reported.attempt),
                Written::Schedule(_) => {
                    // A schedule that is resumed may launch what waited.
                    waits.maybe = true;
                    self.schedule_changed();
                }
                Written::Ticked(ticked) => {
                    waits.maybe = true;
                    for id in &ticked.cancelled {
                        self.changed(*id);
                        self.live.cancelled(*id);
                    }
                    self.schedule_changed();
                }
                // A file is seen by who follows its action.
                Written::Attached(_) | Written::Object(_) | Written::Done => {}
            }
        }
        if waits.maybe || !waits.ready.is_empty() {
            self.work_came();
        }
        if waits.maybe || waits.later {
            self.later_came();
        }
        if waits.maybe || waits.expiring {
            self.expiring_came();
        }
    }
}

/// What waits since a commit.
#[derive(Debug, Default)]
struct Waits {
    /// For a runner.
    ready: HashSet<ActionId>,
    /// For its time.
    later: bool,
    /// Not for ever.
    expiring: bool,
    /// Something may, in any way.
    maybe: bool,
}

impl Waits {
    fn note(&mut self, action: &Action) {
        match action.status {
            Status::Queued => {
                self.ready.insert(action.id);
            }
            Status::Scheduled => self.later = true,
            // The end of a schedule's action may have launched the one that waited for it.
            status => self.maybe |= status.is_final() && action.schedule.is_some(),
        }
        self.expiring |= action.expires_at.is_some();
    }
}
