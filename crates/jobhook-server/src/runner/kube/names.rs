//! What the objects of an attempt are called and marked with, so that they are found again: by the
//! next server, by the watch, by the sweep, and by people with kubectl.

use std::collections::BTreeMap;

use jobhook_engine::attempt::AttemptRef;
use jobhook_protocol::key::hex;
use sha2::{Digest, Sha256};

pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub(super) const NAME: &str = "app.kubernetes.io/name";
pub(super) const INSTALLATION: &str = "jobhook.dev/installation";
pub(super) const ACTION: &str = "jobhook.dev/action";
pub(super) const ATTEMPT: &str = "jobhook.dev/attempt";
pub(super) const NONCE_DIGEST: &str = "jobhook.dev/nonce-digest";
pub(super) const RUNNER: &str = "jobhook.dev/runner";
pub(super) const TYPE: &str = "jobhook.dev/type";
pub(super) const QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// Which container is the main one, as kubectl knows it.
pub(super) const MAIN: &str = "kubectl.kubernetes.io/default-container";

/// How many characters of an installation's id are in a name. The labels have all of it.
const SHORT: usize = 8;

/// The name of an attempt's Job and of its Secret; 60 characters at most.
pub(super) fn object_name(installation: &str, at: AttemptRef) -> String {
    let plain = installation.chars().filter(char::is_ascii_alphanumeric);
    let short: String = plain.take(SHORT).map(|c| c.to_ascii_lowercase()).collect();
    let id = at.action.to_string().replace('-', "");
    format!("jobhook-{short}-{id}-{}", at.number)
}

/// The labels of all objects of an attempt.
pub(super) fn labels(installation: &str, runner: &str, at: AttemptRef) -> BTreeMap<String, String> {
    let pairs = [
        (MANAGED_BY, "jobhook".to_owned()),
        (NAME, label_value(runner)),
        (INSTALLATION, label_value(installation)),
        (ACTION, at.action.to_string()),
        (ATTEMPT, at.number.to_string()),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Selects all objects of an installation.
pub(super) fn selector(installation: &str) -> String {
    format!(
        "{MANAGED_BY}=jobhook,{INSTALLATION}={}",
        label_value(installation)
    )
}

/// The attempt that an object's labels name.
pub(super) fn attempt_of(labels: &BTreeMap<String, String>) -> Option<AttemptRef> {
    Some(AttemptRef {
        action: labels.get(ACTION)?.parse().ok()?,
        number: labels.get(ATTEMPT)?.parse().ok()?,
    })
}

/// Tells attempts apart that have the same number of the same action, in stores that were put
/// back to an earlier state. The nonce is not secret, but no object needs to show it.
pub(super) fn nonce_digest(nonce: &str) -> String {
    hex(&Sha256::digest(format!("jobhook nonce-digest\n{nonce}")))
}

/// A text as a label's value: at most 63 of `A-Za-z0-9_.-`, letters or digits at both ends.
pub(super) fn label_value(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "_.-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let value: String = text.chars().map(plain).take(63).collect();
    let end = |c: char| !c.is_ascii_alphanumeric();
    value.trim_matches(end).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32) -> AttemptRef {
        AttemptRef {
            action: "01998f3e-5d5e-7cc0-8000-2f6d6f0a0b0c".parse().unwrap(),
            number,
        }
    }

    #[test]
    fn a_name_is_the_same_each_time_and_short_enough() {
        let name = object_name("AB12cd34ef56", attempt(2));
        assert_eq!(name, "jobhook-ab12cd34-01998f3e5d5e7cc080002f6d6f0a0b0c-2");
        assert!(object_name("0123456789abcdef", attempt(u32::MAX)).len() <= 63);
    }

    #[test]
    fn names_differ_by_installation_and_by_attempt() {
        let one = object_name("aaaaaaaa", attempt(1));
        assert_ne!(one, object_name("bbbbbbbb", attempt(1)));
        assert_ne!(one, object_name("aaaaaaaa", attempt(2)));
    }

    #[test]
    fn labels_name_the_attempt() {
        let labels = labels("inst", "-k-", attempt(7));
        assert_eq!(attempt_of(&labels), Some(attempt(7)));
        assert_eq!(labels[NAME], "k");
        assert_eq!(attempt_of(&BTreeMap::new()), None);
    }

    #[test]
    fn any_text_makes_a_label() {
        assert_eq!(label_value("a b/ü"), "a_b");
        assert_eq!(label_value(&"x".repeat(64)).len(), 63);
        assert_eq!(label_value("..."), "");
    }

    #[test]
    fn a_digest_does_not_show_the_nonce() {
        assert_ne!(nonce_digest("n"), nonce_digest("m"));
        assert!(!nonce_digest("abcdef").contains("abcdef"));
    }
}
