//! A job's side of the hook, from outside: jobs of the runner [`TELLING`] tell their keys, and
//! the tests speak for them.

use std::time::{SystemTime, UNIX_EPOCH};

use jobhook_protocol::{Digester, SecretKey, sign_v1, sign_webda};
use serde_json::{Value, json};

use crate::client::Connection;
use crate::processes::until;
use crate::server::Server;

/// `Tell` jobs write their key to a file and wait until the file `go-ID-ATTEMPT` is there; what
/// it holds is how they end.
pub(crate) const TELLING: &str = r#"
[runners.telling]
type = "LocalRunner"
actions = ["Tell"]
linger = "1s"
grace = "1s"
command = "sh"
args = ["-c", '''
umask 077
echo ran $JOB_ID >> ran
echo $JOB_SECRET_KEY > new-$JOB_ID && mv new-$JOB_ID key-$JOB_ID-$JOB_ATTEMPT
until [ -e go-$JOB_ID-$JOB_ATTEMPT ]; do sleep 0.02; done
exit $(cat go-$JOB_ID-$JOB_ATTEMPT)
''']
"#;

/// The job of one attempt.
pub(crate) struct Job<'a> {
    server: &'a Server,
    id: &'a str,
    attempt: u32,
    key: SecretKey,
}

impl<'a> Job<'a> {
    /// Waits until the job has told its key.
    pub(crate) fn of(server: &'a Server, id: &'a str, attempt: u32) -> Job<'a> {
        let file = server.folder.path(&format!("key-{id}-{attempt}"));
        until("the job tells its key", || file.exists());
        let key = std::fs::read_to_string(file).unwrap();
        Job {
            server,
            id,
            attempt,
            key: SecretKey::from_text(key.trim()).unwrap(),
        }
    }

    /// What its program finds in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("JOB_ID", self.id.to_owned()),
            ("JOB_SECRET_KEY", self.key.reveal()),
            (
                "JOB_HOOK",
                format!("http://{}/async", self.server.address()),
            ),
            ("JOB_ATTEMPT", self.attempt.to_string()),
        ]
    }

    /// Ends the program with this exit code.
    pub(crate) fn exit(&self, code: i32) {
        let (id, attempt) = (self.id, self.attempt);
        let new = self.server.folder.path(&format!("new-go-{id}"));
        std::fs::write(&new, code.to_string()).unwrap();
        let go = self.server.folder.path(&format!("go-{id}-{attempt}"));
        std::fs::rename(new, go).unwrap();
    }

    /// A report of profile `v1`, as bytes.
    pub(crate) fn request(&self, body: &str) -> Vec<u8> {
        self.signed("POST", "/status", body)
    }

    /// Asks the hook for something, in profile `v1`.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &str) -> (u16, Value) {
        Connection::open(self.server.address()).ask(&self.signed(method, target, body))
    }

    /// Sends bytes to an address that an answer had.
    pub(crate) fn send(&self, opened: &Value, bytes: &[u8]) {
        let url = opened["url"].as_str().unwrap();
        let path = &url[url.find("/async").unwrap()..];
        let mut request = format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        )
        .into_bytes();
        request.extend(bytes);
        let (status, answer) = Connection::open(self.server.address()).ask(&request);
        assert_eq!(status, 204, "{answer}");
    }

    /// Leaves a file among the outputs of its action.
    pub(crate) fn leave(&self, bytes: &[u8]) {
        let digests = Digester::of(bytes);
        let (hash, challenge) = (digests.md5.to_string(), digests.challenge.to_string());
        let body = json!({"hash": hash, "challenge": challenge}).to_string();
        let target = format!("/upload/actions/{}/outputs", self.id);
        let (status, opened) = self.ask("PUT", &target, &body);
        assert_eq!(status, 200, "{opened}");
        self.send(&opened, bytes);
    }

    fn signed(&self, method: &str, target: &str, body: &str) -> Vec<u8> {
        let time = now();
        let (hash, signature) = sign_v1(&self.key, self.id, &time, method, target, body.as_bytes());
        let signature = format!("X-Job-Signature: {signature}\r\n");
        self.bytes(
            &format!("{method} /async{target}"),
            &time,
            &hash,
            &signature,
            body,
        )
    }

    /// Sends a report of profile `v1`.
    pub(crate) fn report(&self, body: &Value) -> (u16, Value) {
        Connection::open(self.server.address()).ask(&self.request(&body.to_string()))
    }

    /// Sends a report of profile `webda`.
    pub(crate) fn report_webda(&self, body: &Value) -> (u16, Value) {
        let time = now();
        let hash = sign_webda(&self.key, &time);
        let request = self.bytes("POST /async/status", &time, &hash, "", &body.to_string());
        Connection::open(self.server.address()).ask(&request)
    }

    fn bytes(&self, line: &str, time: &str, hash: &str, more: &str, body: &str) -> Vec<u8> {
        let (id, length) = (self.id, body.len());
        format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             X-Job-Id: {id}\r\nX-Job-Time: {time}\r\nX-Job-Hash: {hash}\r\n{more}\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis().to_string()
}
