//! What was seen of a job at one time, bound together: it is stored in one commit.
//!
//! An operation that is over at once is seen to start, to speak and to end at one time, and
//! costs its server one commit.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::attempt::{AttemptRef, Saw};
use crate::clock::Timestamp;
use crate::ledger::Answer;
use crate::runner::Sighting;
use crate::write::{ReportWrite, Write};

/// Writes of one commit.
#[derive(Debug, Default)]
pub(crate) struct Sheaf {
    /// In the order of what was seen.
    pub(crate) writes: Vec<Write>,
    /// Who waits for the answer to which of them.
    pub(crate) waiting: HashMap<usize, oneshot::Sender<Answer>>,
}

impl Sheaf {
    /// Gathers what was seen of an attempt; and its end, if that was among it.
    ///
    /// - `started_at`: when the job was seen to start, once it was.
    pub(crate) fn gather(
        attempt: AttemptRef,
        seen: impl Iterator<Item = Sighting>,
        started_at: &mut Option<Timestamp>,
    ) -> (Sheaf, Option<Saw>) {
        let mut sheaf = Sheaf::default();
        for sighting in seen {
            let write = match sighting {
                Sighting::Started { at } => {
                    started_at.get_or_insert(at);
                    Write::Started { attempt, at }
                }
                Sighting::Output(output) => Write::Output { attempt, output },
                Sighting::Said(said) => {
                    sheaf.waiting.insert(sheaf.writes.len(), said.answer);
                    Write::Report(Box::new(ReportWrite {
                        attempt,
                        report: said.report,
                        job_time_ms: said.at_ms,
                    }))
                }
                Sighting::Ended(saw) => return (sheaf, Some(saw)),
            };
            sheaf.writes.push(write);
        }
        (sheaf, None)
    }

    /// Whether the job spoke inside the server: then no word of it is still on its way.
    pub(crate) fn holds_its_words(&self) -> bool {
        !self.waiting.is_empty()
    }
}
