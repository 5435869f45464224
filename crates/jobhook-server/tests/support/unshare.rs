//! A program with a file system of its own, where the machine allows that.

use std::path::Path;
use std::process::{Command, Stdio};

/// With which of its options `unshare` can give a program a file system of its own at `place`.
pub(crate) fn unshared(place: &Path) -> Option<&'static str> {
    let works = |options: &&str| {
        let mut mount = Command::new("unshare");
        mount.args(options.split(' '));
        mount.args(["mount", "-t", "tmpfs", "small"]).arg(place);
        mount.stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    };
    let ways = ["--mount", "--mount --user --map-root-user"];
    ways.into_iter().find(works)
}
