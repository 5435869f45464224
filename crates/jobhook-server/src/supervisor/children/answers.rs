//! How runs stand, those of this supervisor and all others in the data directory.

use std::io;

use super::Children;
use crate::supervisor::message::{Answer, Run, RunKey, State};
use crate::supervisor::recovery;

impl Children {
    /// How `key` stands.
    pub(crate) fn state(&mut self, key: &RunKey) -> Answer {
        match self.find_state(key) {
            Ok(state) => Answer::State(state),
            Err(error) => Answer::Failed(format!(
                "the run directory of {key} cannot be read: {error}"
            )),
        }
    }

    fn find_state(&mut self, key: &RunKey) -> io::Result<State> {
        if let Some(child) = self.alive.find(key) {
            return Ok(State::Running {
                pid: child.pid.as_raw(),
                started_ms: child.started_ms,
                lines: child.pipes.lines(),
            });
        }
        if let Some((_, exit)) = self
            .unrecorded
            .iter()
            .find(|(unrecorded, _)| unrecorded == key)
        {
            return Ok(State::Ended(exit.clone()));
        }
        if let Some(exit) = self.runs.exit(key)? {
            return Ok(State::Ended(exit));
        }
        let Some(owner) = self.runs.owner(key)? else {
            return Ok(State::Unknown);
        };
        let build = owner.build.clone();
        if build == self.home.owner.build {
            recovery::record_lost(&self.runs, std::slice::from_ref(key), "its record is gone")?;
        } else {
            let boot = &self.home.owner.boot;
            if !recovery::recover_one(&self.home.data_dir, &self.runs, key, owner, boot)? {
                return Ok(State::Elsewhere { build });
            }
        }
        Ok(self.runs.exit(key)?.map_or(State::Unknown, State::Ended))
    }

    /// Every run directory, and how it stands.
    pub(crate) fn list(&mut self) -> Answer {
        let keys = match self.runs.keys() {
            Ok(keys) => keys,
            Err(error) => {
                return Answer::Failed(format!("the run directories cannot be read: {error}"));
            }
        };
        let mut runs = Vec::with_capacity(keys.len());
        for key in keys {
            match self.find_state(&key) {
                // Forgotten between the two looks.
                Ok(State::Unknown) => {}
                Ok(state) => runs.push(Run { key, state }),
                Err(error) => self
                    .journal
                    .note(&format!("cannot read the run directory of {key}: {error}")),
            }
        }
        Answer::Runs(runs)
    }

    /// Discards the run directory of `key`, whose end the server has stored.
    pub(crate) fn forget(&mut self, key: &RunKey) -> Answer {
        if !self.recorded.remove(key) {
            match self.find_state(key) {
                Ok(State::Ended(_)) => {}
                Ok(State::Unknown) => return Answer::Forgotten { trash: None },
                Ok(_) => return Answer::Failed(format!("{key} has not ended")),
                Err(error) => return Answer::Failed(error.to_string()),
            }
        }
        self.unrecorded.retain(|(unrecorded, _)| unrecorded != key);
        let discarded = self.runs.discard(key, &self.home.owner.build);
        crate::crash::reached("supervisor.discarded");
        match discarded {
            Ok(trash) => Answer::Forgotten { trash },
            Err(error) => Answer::Failed(format!("{key} could not be discarded: {error}")),
        }
    }
}
