//! The lines of an action's log, and how much of it is kept.

use jobhook_protocol::LineSource;

use crate::action::{ActionId, LogMeter};
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
///
/// A log grows by a [part](LogLimits::SLACK) beyond it before the oldest lines go, all that are
/// beyond it at once: one by one they would cost as much as those that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Lines.
    pub lines: u64,
    /// Bytes of text.
    pub bytes: u64,
}

impl LogLimits {
    /// The part of a limit by which a log may be above it: a 256th, none of a small one.
    pub const SLACK: u64 = 256;

    /// Whether a log has grown so much that its oldest lines are to go.
    pub fn overflow(self, log: LogMeter) -> bool {
        let with_slack = |limit: u64| limit.saturating_add(limit / LogLimits::SLACK);
        let limits = LogLimits {
            lines: with_slack(self.lines),
            bytes: with_slack(self.bytes),
        };
        limits.are_exceeded(log)
    }

    /// Whether more lines of it are to go, once the oldest are going.
    pub fn are_exceeded(self, log: LogMeter) -> bool {
        log.last - log.dropped > self.lines || log.bytes > self.bytes
    }
}

impl Default for LogLimits {
    fn default() -> LogLimits {
        LogLimits {
            lines: 100_000,
            bytes: 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: u64, bytes: u64) -> LogMeter {
        LogMeter {
            last: 7 + lines,
            dropped: 7,
            bytes,
        }
    }

    #[test]
    fn a_large_log_grows_by_a_part_before_its_oldest_lines_go() {
        let limits = LogLimits::default();
        assert!(!limits.overflow(log(100_390, 0)));
        assert!(limits.overflow(log(100_391, 0)));
        assert!(!limits.overflow(log(0, (64 << 20) + (1 << 18))));
        assert!(limits.overflow(log(0, (64 << 20) + (1 << 18) + 1)));
        assert!(limits.are_exceeded(log(100_001, 0)));
        assert!(!limits.are_exceeded(log(100_000, 64 << 20)));
    }

    #[test]
    fn a_small_log_has_no_slack() {
        let limits = LogLimits {
            lines: 10,
            bytes: 100,
        };
        assert!(limits.overflow(log(11, 0)));
        assert!(limits.overflow(log(0, 101)));
        assert!(!limits.overflow(log(10, 100)));
    }
}
