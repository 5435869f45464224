//! How far the log of a container is stored, so that reading on gives no line twice and shows what
//! is missing.
//!
//! The API gives a log from a second on, in the order of its file, each line with the time it was
//! written. Times repeat, and with two writers they may run back a little. So a place is the latest time
//! of all lines taken, how many lines of just that time were taken, and how many lines, of earlier
//! times, after the last of those. Reading on from a little before, all up to that place is old. If a
//! later line comes first, the place itself is not in the log any more: the cluster has rotated it away.

use serde::{Deserialize, Serialize};

/// How far before the place reading on begins, nanoseconds: lines that a clock that is set back
/// stamped.
const BEFORE: i64 = 10 * 1_000_000_000;

/// A place in a log, behind its last line that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The latest time, nanoseconds since the Unix epoch.
    #[serde(rename = "t")]
    latest: i64,
    /// How many lines have it.
    #[serde(rename = "n")]
    of_latest: u64,
    /// How many lines came after the last of them.
    #[serde(rename = "a", default, skip_serializing_if = "is_zero")]
    after: u64,
    /// The earliest time among those.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    earliest_after: Option<i64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Position {
    /// Behind one more line, of this time.
    fn behind(before: Option<Position>, time: i64) -> Position {
        match before {
            Some(before) if time == before.latest => Position {
                latest: time,
                of_latest: before.of_latest + 1,
                after: 0,
                earliest_after: None,
            },
            Some(before) if time < before.latest => Position {
                after: before.after + 1,
                earliest_after: Some(
                    before
                        .earliest_after
                        .map_or(time, |earliest| earliest.min(time)),
                ),
                ..before
            },
            _ => Position {
                latest: time,
                of_latest: 1,
                after: 0,
                earliest_after: None,
            },
        }
    }

    /// The second from which to read on, since the Unix epoch.
    pub(super) fn since_second(&self) -> i64 {
        let earliest = self.earliest_after.unwrap_or(self.latest).min(self.latest);
        earliest.saturating_sub(BEFORE).div_euclid(1_000_000_000)
    }
}

/// What a line is to who reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It is stored already.
    Old,
    /// It is the next one.
    New,
    /// It is new, and lines between the stored ones and it are missing.
    NewAfterGap,
}

/// Sorts the lines of one reading into old and new ones.
#[derive(Clone, Debug)]
pub(super) struct Resumption {
    /// Behind what is stored.
    position: Option<Position>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The last line of the latest time was not seen yet; so many of that time were.
    Seeking {
        of_latest: u64,
    },
    /// So many lines behind it are still old.
    Skipping {
        left: u64,
    },
    New,
}

impl Resumption {
    /// Reads on behind `position`; from the beginning if there is none.
    pub(super) fn from(position: Option<Position>) -> Resumption {
        let state = match position {
            None => State::New,
            Some(_) => State::Seeking { of_latest: 0 },
        };
        Resumption { position, state }
    }

    /// What the next line is, which was written at `time`, nanoseconds since the Unix epoch.
    pub(super) fn next(&mut self, time: i64) -> Line {
        let line = match (self.state, self.position) {
            (State::Seeking { of_latest }, Some(position)) if time == position.latest => {
                self.state = match of_latest + 1 {
                    seen if seen < position.of_latest => State::Seeking { of_latest: seen },
                    _ if position.after > 0 => State::Skipping {
                        left: position.after,
                    },
                    _ => State::New,
                };
                Line::Old
            }
            (State::Seeking { .. }, Some(position)) if time < position.latest => Line::Old,
            (State::Seeking { .. }, _) => {
                self.state = State::New;
                Line::NewAfterGap
            }
            (State::Skipping { left }, Some(position)) if time < position.latest => {
                self.state = if left > 1 {
                    State::Skipping { left: left - 1 }
                } else {
                    State::New
                };
                Line::Old
            }
            (State::Skipping { .. } | State::New, _) => {
                self.state = State::New;
                Line::New
            }
        };
        if line != Line::Old {
            self.position = Some(Position::behind(self.position, time));
        }
        line
    }

    /// Behind the last line that is stored or was new.
    pub(super) fn position(&self) -> Option<Position> {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    /// Reads `times` on behind `position`; gives which lines were new, by place.
    fn read(position: Option<Position>, times: &[i64]) -> (Vec<usize>, bool, Option<Position>) {
        let mut resumption = Resumption::from(position);
        let (mut new, mut gap) = (Vec::new(), false);
        for (place, time) in times.iter().enumerate() {
            match resumption.next(*time) {
                Line::Old => {}
                Line::New => new.push(place),
                Line::NewAfterGap => {
                    gap = true;
                    new.push(place);
                }
            }
        }
        (new, gap, resumption.position())
    }

    /// However a log is cut in two, each line is new once.
    #[track_caller]
    fn check(times: &[i64]) {
        for cut in 0..=times.len() {
            let (first, gap, position) = read(None, &times[..cut]);
            assert_eq!((first.len(), gap), (cut, false));
            let since = position.map_or(i64::MIN, |position| position.since_second() * S);
            let shown: Vec<usize> = (0..times.len())
                .filter(|place| times[*place] >= since)
                .collect();
            let shown_times: Vec<i64> = shown.iter().map(|place| times[*place]).collect();
            let (second, gap, _) = read(position, &shown_times);
            let second: Vec<usize> = second.into_iter().map(|place| shown[place]).collect();
            assert_eq!(
                second,
                (cut..times.len()).collect::<Vec<_>>(),
                "cut at {cut}"
            );
            assert!(!gap);
        }
    }

    #[test]
    fn no_line_comes_twice_and_none_is_left_out() {
        check(&[]);
        check(&[100 * S, 101 * S, 101 * S + 1, 200 * S]);
        check(&[100 * S; 7]);
        check(&[100 * S, 100 * S, 101 * S, 101 * S, 101 * S, 102 * S]);
    }

    #[test]
    fn times_that_run_back_a_little_do_no_harm() {
        check(&[100 * S, 102 * S, 101 * S, 101 * S, 102 * S, 103 * S]);
        check(&[
            100 * S + 5,
            100 * S + 3,
            100 * S + 4,
            100 * S + 5,
            100 * S + 4,
            100 * S + 6,
        ]);
        check(&[109 * S, 100 * S, 101 * S, 102 * S, 103 * S, 110 * S]);
    }

    #[test]
    fn what_was_rotated_away_leaves_a_gap() {
        let (_, _, position) = read(None, &[100 * S, 101 * S]);
        let (new, gap, _) = read(position, &[105 * S, 106 * S]);
        assert_eq!((new, gap), (vec![0, 1], true));
        // Some of the same time are left, the last one is not.
        let (_, _, position) = read(None, &[100 * S, 100 * S, 100 * S]);
        let (new, gap, _) = read(position, &[100 * S, 100 * S, 103 * S]);
        assert_eq!((new, gap), (vec![2], true));
    }

    #[test]
    fn a_reading_that_brings_nothing_new_leaves_the_place() {
        let (_, _, position) = read(None, &[100 * S, 101 * S]);
        assert_eq!(read(position, &[]).2, position);
        assert_eq!(read(position, &[101 * S]).2, position);
    }

    #[test]
    fn a_place_is_small_when_written() {
        let (_, _, position) = read(None, &[100 * S, 101 * S]);
        let text = serde_json::to_string(&position.unwrap()).unwrap();
        assert_eq!(text, r#"{"t":101000000000,"n":1}"#);
        assert_eq!(serde_json::from_str::<Position>(&text).ok(), position);
    }
}
