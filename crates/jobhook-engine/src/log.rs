//! The lines of an action's log, and how much of it is kept.

use jobhook_protocol::LineSource;

use crate::action::ActionId;
use crate::clock::Timestamp;

/// One stored line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The action it belongs to.
    pub action: ActionId,
    /// 1, 2, 3… in the order of storing: who has seen *n* never misses one below it.
    pub number: u64,
    /// When it was written, as near as is known.
    pub time: Timestamp,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// Where it comes from.
    pub source: LineSource,
    /// The text, without its end.
    pub text: String,
}

/// How much of an action's log is kept. The oldest lines go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Lines.
    pub lines: u64,
    /// Bytes of text.
    pub bytes: u64,
}

impl Default for LogLimits {
    fn default() -> LogLimits {
        LogLimits {
            lines: 100_000,
            bytes: 64 << 20,
        }
    }
}
