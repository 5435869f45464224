//! An S3 server for tests: moto, from PyPI, one for each test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs a program until somebody lets go of its standard input, however that comes about.
const UNTIL_LET_GO: &str = "\"$0\" \"$@\" & read -r _; kill $!";

/// A server that runs as long as this lives, and no longer than the test.
pub(crate) struct MotoServer {
    child: Child,
    pub(crate) address: String,
}

fn program() -> PathBuf {
    match std::env::var_os("JOBHOOK_TEST_MOTO") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/python/bin/moto_server"),
    }
}

impl MotoServer {
    /// Starts one without any bucket.
    pub(crate) fn start(variables: &[(&str, &str)]) -> MotoServer {
        let program = program();
        assert!(
            program.exists(),
            "there is no {}; `./just s3-server` installs it",
            program.display()
        );
        let mut child = Command::new("sh")
            .args(["-c", UNTIL_LET_GO])
            .arg(&program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .find_map(|line| {
                let line = line.unwrap();
                let (_, address) = line.split_once("Running on ")?;
                Some(address.trim().to_owned())
            })
            .expect("moto_server says where it listens");
        // What else it says has somewhere to go.
        std::thread::spawn(move || lines.for_each(drop));
        MotoServer { child, address }
    }
}

impl Drop for MotoServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
