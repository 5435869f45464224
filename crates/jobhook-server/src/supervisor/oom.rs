//! Asks the kernel how often it killed a process of this control group for want of memory.
//!
//! A SIGKILL says nothing about its sender. If the counter went up and nobody here sent one, the
//! out-of-memory killer is the likely sender; where there is no counter, nothing is claimed.

use std::fs;
use std::path::{Path, PathBuf};

/// The counter of the control group that the jobs share with the supervisor.
#[derive(Debug)]
pub(crate) struct OomCounter {
    file: Option<PathBuf>,
    explained: u64,
}

impl OomCounter {
    /// Finds the counter and remembers where it stands.
    pub(crate) fn open() -> OomCounter {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let file = counter_file(&groups, Path::new("/sys/fs/cgroup"));
        let explained = file.as_deref().and_then(read).unwrap_or(0);
        OomCounter { file, explained }
    }

    /// Whether there was a kill that no earlier death explains; this death then does.
    pub(crate) fn explains_a_kill(&mut self) -> bool {
        let now = self.file.as_deref().and_then(read).unwrap_or(0);
        let is_new = now > self.explained;
        if is_new {
            self.explained += 1;
        }
        is_new
    }
}

fn counter_file(groups: &str, root: &Path) -> Option<PathBuf> {
    let below = |base: PathBuf, group: &str, name: &str| {
        let file = base.join(group.trim_start_matches('/')).join(name);
        // Inside a container the group's own path may not be visible; its root then is.
        [file, base.join(name)]
            .into_iter()
            .find(|file| read(file).is_some())
    };
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        match (fields.next()?, fields.next()?, fields.next()?) {
            ("0", "", group) => below(root.to_owned(), group, "memory.events"),
            (_, names, group) if names.split(',').any(|name| name == "memory") => {
                below(root.join("memory"), group, "memory.oom_control")
            }
            _ => None,
        }
    })
}

fn read(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_explains_one_death() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memory.events");
        fs::write(&file, "low 0\noom 3\noom_kill 1\noom_group_kill 0\n").unwrap();
        let mut counter = OomCounter {
            file: Some(file.clone()),
            explained: 1,
        };
        assert!(!counter.explains_a_kill());
        fs::write(&file, "oom_kill 2\n").unwrap();
        assert!(counter.explains_a_kill());
        assert!(!counter.explains_a_kill());
    }

    #[test]
    fn both_kinds_of_control_group_are_found() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("user/job")).unwrap();
        fs::create_dir_all(root.path().join("memory/box")).unwrap();
        fs::write(root.path().join("user/job/memory.events"), "oom_kill 0\n").unwrap();
        fs::write(
            root.path().join("memory/box/memory.oom_control"),
            "oom_kill 0\n",
        )
        .unwrap();
        let find = |groups| counter_file(groups, root.path());
        assert!(
            find("0::/user/job\n")
                .unwrap()
                .ends_with("user/job/memory.events")
        );
        assert!(
            find("9:name=systemd:/\n4:memory:/box\n")
                .unwrap()
                .ends_with("memory.oom_control")
        );
        assert_eq!(find("0::/elsewhere\n"), None);
        assert_eq!(find(""), None);
    }
}
