//! What is written down about an attempt in the store, beside its output: which Job it is, and how far
//! the log of each container is stored. Only this runner reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::log_position::Position;

/// What the next server finds of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The uid of its Job, once that was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<String>,
    /// The uid of its pod, once that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<String>,
    /// How far logs are stored, by pod and container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) logs: BTreeMap<String, Position>,
    /// What its pod waits for, as it was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) told: Option<String>,
}

impl Mark {
    /// Reads what [`text`](Mark::text) wrote. What cannot be read was written by nobody here, and is as
    /// nothing.
    pub(super) fn read(text: Option<&str>) -> Mark {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Names a log: the containers of another pod have other logs.
pub(super) fn log_key(pod_uid: &str, container: &str) -> String {
    format!("{pod_uid}/{container}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Mark {
            job: Some("uid".into()),
            told: Some("no node can run the pod".into()),
            ..Mark::default()
        };
        assert_eq!(Mark::read(Some(&mark.text())), mark);
        assert_eq!(Mark::read(None), Mark::default());
        assert_eq!(Mark::read(Some("nonsense")), Mark::default());
    }
}
