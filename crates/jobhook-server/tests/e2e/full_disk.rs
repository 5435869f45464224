//! Disks without room for files: it is told, nothing is left by half, and the database goes on.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use jobhook_protocol::Digester;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Connection;
use crate::command::JOBHOOK;
use crate::files::{below, head};
use crate::job::{Job, TELLING};
use crate::processes::until;
use crate::server::{Folder, Server};
use crate::unshare::unshared;

/// Names a directory on a small file system, where the tests cannot make one themselves.
const LENT: &str = "JOBHOOK_SMALL_DISK";

/// The size of the file system that the tests make.
const SIZE: &str = "4m";

/// No larger one is filled.
const MOST: u64 = 64 << 20;

/// The bytes of one file.
const FILE: usize = 1 << 20;

const CONFIG: &str = "
[files]
min_free = 0
keep_unused = \"1ms\"
[housekeeping]
files = \"* * * * * *\"
[stores.images]
properties = [\"files\"]
";

/// A server whose files lie on a file system of a few MiB.
struct Cramped {
    server: Server,
    _lent: Option<TempDir>,
}

/// A directory on a small file system that is there.
fn lent() -> Option<TempDir> {
    let place = std::env::var_os(LENT).unwrap_or_else(|| "/dev/shm".into());
    let found = nix::sys::statvfs::statvfs(Path::new(&place)).ok()?;
    let size = found.blocks().saturating_mul(found.fragment_size());
    (size <= MOST).then(|| tempfile::tempdir_in(place).unwrap())
}

impl Cramped {
    fn start() -> Cramped {
        let folder = Folder::new(&(TELLING.to_owned() + CONFIG));
        let files = folder.path("data/files");
        fs::create_dir_all(&files).unwrap();
        let Some(options) = unshared(&files) else {
            let lent = lent().unwrap_or_else(|| {
                panic!(
                    "no small file system can be mounted here by `unshare`. Make one, for instance by\n  \
                     sudo mkdir /mnt/small && sudo mount -t tmpfs -o size={SIZE},mode=1777 small /mnt/small\n\
                     and name it: {LENT}=/mnt/small"
                )
            });
            fs::remove_dir(&files).unwrap();
            symlink(lent.path(), &files).unwrap();
            return Cramped {
                server: Server::start_in(folder, JOBHOOK.into()),
                _lent: Some(lent),
            };
        };
        let program = folder.path("cramped");
        let script = format!(
            "#!/bin/sh\nexec unshare {options} sh -c \
             'mount -t tmpfs -o size={SIZE},mode=700 small \"$0\" && exec \"$@\"' \
             '{}' '{JOBHOOK}' \"$@\"\n",
            files.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Cramped {
            server: Server::start_in(folder, program),
            _lent: None,
        }
    }

    /// What is stored, as the server sees it.
    fn stored(&self) -> usize {
        let path = self.server.folder.path("data/files");
        let root = PathBuf::from(format!("/proc/{}/root", self.server.pid()));
        let seen = root.join(path.strip_prefix("/").unwrap());
        below(&seen).len()
    }
}

/// Uploads an image, and returns how that was answered.
fn upload(server: &Server, job: &Job, number: u8) -> (u16, Value) {
    let bytes = vec![number; FILE];
    let digests = Digester::of(&bytes);
    let open = json!({"hash": digests.md5.to_string(), "challenge": digests.challenge.to_string()});
    let target = format!("/upload/images/{number}/files");
    let (status, opened) = job.ask("PUT", &target, &open.to_string());
    assert_eq!((status, &opened["done"]), (200, &json!(false)), "{opened}");
    let request = [head(&opened, FILE), bytes].concat();
    Connection::open(server.address()).ask(&request)
}

#[test]
fn a_disk_that_is_full_takes_no_more_files_and_keeps_those_it_has() {
    let cramped = Cramped::start();
    let server = &cramped.server;
    let grants = json!([{"store": "images", "uuid": "*", "property": "files", "access": "write"}]);
    let id = server.launch(&json!({"type": "Tell", "grants": grants}));
    let job = Job::of(server, &id, 1);
    let mut kept = 0;
    let refused = loop {
        match upload(server, &job, kept) {
            (204, _) => kept += 1,
            refused => break refused,
        }
    };
    assert_eq!(refused.0, 507, "{refused:?}");
    assert_eq!(refused.1["code"], "storage_full");
    assert!(kept > 0, "there was room for some");
    until("nothing is left of the one that was refused", || {
        cramped.stored() == usize::from(kept)
    });
    for number in 0..kept {
        let path = format!("/api/v1/stores/images/{number}/files/0");
        let bytes = Connection::open(server.address()).bytes(&path);
        assert_eq!(bytes, vec![number; FILE]);
    }
    let (status, said) = job.report(&json!({"status": "RUNNING", "log": ["still here"]}));
    assert_eq!(status, 200, "the database goes on: {said}");

    assert_eq!(server.delete("/api/v1/stores/images/0").0, 204);
    until("there is room again", || {
        upload(server, &job, kept).0 == 204
    });
    job.exit(0);
    assert_eq!(server.end_of(&id).action["status"], "SUCCESS");
}

#[test]
fn files_are_refused_before_a_disk_is_full() {
    // Room that no disk has.
    let server = Server::start(&format!(
        "{TELLING}\n[files]\nmin_free = \"1000000TiB\"\nsmall = 0\n"
    ));
    let id = server.launch(&json!({"type": "Tell"}));
    let job = Job::of(&server, &id, 1);
    let target = format!("/upload/actions/{id}/outputs");
    let (status, refused) = job.ask("PUT", &target, r#"{"onePass":true}"#);
    assert_eq!((status, &refused["code"]), (507, &json!("storage_full")));
    fs::write(server.folder.path("document"), "some words").unwrap();
    let launched = server.run(&["launch", "Tell", "--file", "document"]);
    assert_ne!(launched.code, Some(0));
    assert!(launched.err.contains("nearly full"), "{launched:?}");
    assert_eq!(below(&server.folder.path("data/files")).len(), 0);
    job.exit(0);
    assert_eq!(server.end_of(&id).action["status"], "SUCCESS");
}
