//! Delays that spread firings, the same on every server.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Firing;

/// How long after its moment a firing of the schedule `name` starts: at least nothing and less
/// than `max`, in whole milliseconds.
///
/// It follows from the name and the firing alone, so all servers come to the same delay, and
/// schedules of different names are spread.
pub fn jitter(name: &str, firing: &Firing, max: Duration) -> Duration {
    let mut hash = Sha256::new();
    // No local time holds a NUL, so no two keys run into each other.
    for part in [name.as_bytes(), firing.local.as_bytes(), &[firing.fold]] {
        hash.update(part);
        hash.update([0]);
    }
    let digest = hash.finalize();
    let share = digest[..8]
        .iter()
        .fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let max_ms = u128::from(u64::try_from(max.as_millis()).unwrap_or(u64::MAX));
    Duration::from_millis(u64::try_from((share * max_ms) >> 64).unwrap_or(u64::MAX))
}
