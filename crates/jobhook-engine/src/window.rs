//! Which reports of a reporter were applied (clause `REP-9`): exactly, for the last
//! [`WINDOW`] of them, so that a client may resend blindly and in any order.

use std::collections::BTreeSet;

/// How far from the highest applied `seq` another may lie, either way.
pub const WINDOW: u64 = 4096;

/// What was applied of one reporter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The highest `seq` applied; 0 if none.
    pub high: u64,
    /// Those below it, within the window, that were not.
    pub missing: BTreeSet<u64>,
}

/// What a `seq` is to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The highest so far: it counts in full.
    Newest,
    /// Not applied yet, but a higher one was: only its log lines count.
    Late,
    /// Applied before.
    Duplicate,
    /// Too far off to tell.
    Outside,
}

impl Window {
    /// Tells what `seq` (from 1; 0 is always outside) is, without applying it.
    pub fn place(&self, seq: u64) -> Place {
        if seq == 0 {
            Place::Outside
        } else if seq > self.high {
            if seq - self.high > WINDOW {
                Place::Outside
            } else {
                Place::Newest
            }
        } else if self.high - seq >= WINDOW {
            Place::Outside
        } else if self.missing.contains(&seq) {
            Place::Late
        } else {
            Place::Duplicate
        }
    }

    /// Remembers that `seq` was applied; it must not lie outside.
    pub fn apply(&mut self, seq: u64) {
        if seq > self.high {
            self.missing.extend(self.high + 1..seq);
            self.high = seq;
            self.missing = self.missing.split_off(&seq.saturating_sub(WINDOW - 1));
        } else {
            self.missing.remove(&seq);
        }
    }

    /// The window as bytes, for a store: `high` and each missing `seq` as the distance below
    /// it, in little-endian order. One reporter in order takes eight bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.high.to_le_bytes().to_vec();
        for seq in &self.missing {
            // Within the window, so it fits.
            bytes.extend(
                u16::try_from(self.high - seq)
                    .unwrap_or(u16::MAX)
                    .to_le_bytes(),
            );
        }
        bytes
    }

    /// Reads what [`Window::to_bytes`] wrote; `None` if it did not.
    pub fn from_bytes(bytes: &[u8]) -> Option<Window> {
        let (high, distances) = bytes.split_first_chunk::<8>()?;
        let high = u64::from_le_bytes(*high);
        let missing = distances
            .chunks(2)
            .map(|pair| high.checked_sub(u64::from(u16::from_le_bytes(pair.try_into().ok()?))))
            .collect::<Option<BTreeSet<u64>>>()?;
        Some(Window { high, missing })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reports_in_order_leave_nothing_to_remember() {
        let mut window = Window::default();
        for seq in 1..=10_000 {
            assert_eq!(window.place(seq), Place::Newest);
            window.apply(seq);
        }
        assert_eq!(window.to_bytes().len(), 8);
        assert_eq!(window.place(10_000), Place::Duplicate);
    }

    #[test]
    fn a_skipped_report_is_late_and_then_a_duplicate() {
        let mut window = Window::default();
        window.apply(3);
        assert_eq!(window.place(2), Place::Late);
        window.apply(2);
        assert_eq!(window.place(2), Place::Duplicate);
        assert_eq!(window.place(1), Place::Late);
    }

    #[test]
    fn the_window_has_two_edges() {
        let mut window = Window::default();
        assert_eq!(window.place(WINDOW), Place::Newest);
        assert_eq!(window.place(WINDOW + 1), Place::Outside);
        window.apply(WINDOW);
        window.apply(2 * WINDOW);
        assert_eq!(window.place(WINDOW), Place::Outside);
        assert_eq!(window.place(WINDOW + 1), Place::Late);
    }

    proptest! {
        #[test]
        fn every_seq_is_applied_exactly_once_in_any_order(seqs in prop::collection::vec(1u64..200, 0..400)) {
            let (mut window, mut applied) = (Window::default(), BTreeSet::new());
            for seq in seqs {
                match window.place(seq) {
                    Place::Newest | Place::Late => {
                        prop_assert!(applied.insert(seq));
                        window.apply(seq);
                    }
                    Place::Duplicate => prop_assert!(applied.contains(&seq)),
                    Place::Outside => prop_assert!(false, "{seq} is near"),
                }
                prop_assert_eq!(Window::from_bytes(&window.to_bytes()), Some(window.clone()));
            }
        }
    }
}
