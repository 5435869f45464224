//! Lists of actions, of lines and of files, page by page (clauses `API-10`, `API-13`, `API-24`).

use jobhook_protocol::{
    ActionBody, FileBody, FiringBody, LogLineBody, ScheduleBody, Status, TickBody,
};
use serde::Deserialize;

use crate::answer::Answer;

/// Which actions to list; all of them by default.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only these statuses, if there are any.
    pub statuses: Vec<Status>,
    /// Only this type.
    pub action_type: Option<String>,
    /// At most so many, 1 to 1,000.
    pub limit: Option<u32>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

/// A page of the list, newest first.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct ListPage {
    /// The actions.
    pub actions: Vec<ActionBody>,
    /// The cursor of the next page; the last page has none.
    #[serde(default)]
    pub next: Option<String>,
}

/// The schedules, by name.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct SchedulesPage {
    /// The schedules.
    pub schedules: Vec<ScheduleBody>,
}

/// Moments to come.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct FiringsPage {
    /// The moments, in order.
    pub firings: Vec<FiringBody>,
}

/// A page of a schedule's ticks, newest first.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct TicksPage {
    /// The ticks.
    pub ticks: Vec<TickBody>,
    /// The number to go on before; the last page has none.
    #[serde(default)]
    pub next: Option<u64>,
}

/// A page of an action's files, by property and number.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct FilesPage {
    /// The files.
    pub files: Vec<FileBody>,
    /// The cursor of the next page; the last page has none.
    #[serde(default)]
    pub next: Option<String>,
}

/// A page of an action's log.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct LinesPage {
    /// The lines, in the order of their numbers.
    pub lines: Vec<Answer<LogLineBody>>,
    /// The number to go on after. The last page has no lines.
    #[serde(default)]
    pub next: Option<u64>,
}
