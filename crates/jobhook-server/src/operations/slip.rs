//! Members of a definition that mean nothing here, and were perhaps meant to.
//!
//! A definition may have members that others read: the original's have some. But one that is
//! nearly `permission` is refused, because without its permission everybody may launch an
//! operation.

use std::fmt;

/// A member that is nearly another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slip {
    /// The operation.
    pub(super) operation: String,
    /// The member as it is written.
    pub(super) member: String,
    /// The one that was perhaps meant.
    pub(super) meant: &'static str,
}

/// The member's name that somebody should not miss.
pub(super) const PERMISSION: &str = "permission";

/// How many letters may be wrong in a word that is still meant to be another.
const MEANT: [(&str, usize); 3] = [(PERMISSION, 2), ("output", 1), ("input", 1)];

impl Slip {
    /// Judges a member that means nothing.
    pub(super) fn of(operation: &str, member: &str) -> Option<Slip> {
        let letters = member.chars().filter(|c| !matches!(c, '_' | '-' | '.'));
        let word: String = letters.take(64).flat_map(char::to_lowercase).collect();
        let near = |(meant, wrong): &&(&str, usize)| {
            strsim::osa_distance(&word, meant) <= *wrong
                || (*meant == PERMISSION && word.contains(PERMISSION))
        };
        let (meant, _) = MEANT.iter().find(near)?;
        Some(Slip {
            operation: operation.to_owned(),
            member: member.chars().take(64).collect(),
            meant,
        })
    }
}

impl fmt::Display for Slip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slip {
            operation,
            member,
            meant,
        } = self;
        write!(
            f,
            "the operation `{operation}` has a member `{member}`, which means nothing; did you mean `{meant}`?"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_told_from_what_others_read() {
        for (member, meant) in [
            ("permision", Some("permission")),
            ("Permission", Some("permission")),
            ("permissions", Some("permission")),
            ("premission", Some("permission")),
            ("required_permission", Some("permission")),
            ("inptu", Some("input")),
            ("outputs", Some("output")),
            ("service", None),
            ("method", None),
            ("summary", None),
            ("version", None),
            ("", None),
        ] {
            let slip = Slip::of("A", member);
            assert_eq!(slip.map(|slip| slip.meant), meant, "{member}");
        }
    }
}
