//! The server that is played with, and what may be on its disk.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jobhook_engine::clock::SystemClock;
use jobhook_engine::files::{DeclaredStore, FileSettings, Stores};
use jobhook_engine::keyring::{Keyring, MasterKey};
use jobhook_engine::log::LogLimits;
use jobhook_engine::memory::MemoryStore;
use jobhook_engine::runner::TypeFilter;
use jobhook_engine::testing::{HandJob, HandRunner};
use jobhook_engine::{Engine, Launch, Settings};
use jobhook_protocol::file::{Access as Right, GrantBody};
use jobhook_protocol::sign_webda;
use jobhook_server::blob::directory::DirectoryBlobs;
use jobhook_server::http::{Access, HookPath, HttpLimits, Surface, router, serve};
use jobhook_server::operations::Catalogue;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::json_of;

/// After so many inputs a new server begins, so that none of them fills up.
const INPUTS: usize = 2000;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Directories around that of the blobs, so that what climbs out of it is seen.
const DEPTH: usize = 8;

pub(crate) struct Stage {
    address: SocketAddr,
    job: HandJob,
    engine: Engine,
    closing: CancellationToken,
    root: TempDir,
    blobs: PathBuf,
    inputs: usize,
}

static STAGE: Mutex<Option<Stage>> = Mutex::new(None);

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime"))
}

impl Stage {
    /// Runs one input on a server that has had few.
    pub(crate) fn with(play: impl FnOnce(&mut Stage)) {
        let mut stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
        if stage.as_ref().is_some_and(|stage| stage.inputs >= INPUTS)
            && let Some(used) = stage.take()
        {
            used.closing.cancel();
            runtime().block_on(used.engine.stop());
        }
        let stage = stage.get_or_insert_with(|| runtime().block_on(Stage::begin()));
        stage.inputs += 1;
        play(stage);
    }

    async fn begin() -> Stage {
        let root = tempfile::tempdir().expect("a directory");
        let mut blobs = root.path().to_owned();
        blobs.extend(["deep"; DEPTH]);
        blobs.push("files");
        std::fs::create_dir_all(blobs.parent().expect("a parent")).expect("directories");
        let images = DeclaredStore {
            name: "images".to_owned(),
            properties: vec!["files".to_owned()],
            create: true,
        };
        let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::only(["Any"]), 1);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let settings = Settings {
            files: FileSettings {
                blobs: Arc::new(DirectoryBlobs::open(&blobs).expect("a directory of blobs")),
                stores: Stores::new(vec![images]).expect("a store"),
                ..FileSettings::default()
            },
            ..Settings::new("here", format!("http://{address}/async"))
        };
        let engine = Engine::new(
            Arc::new(MemoryStore::new(LogLimits::default())),
            vec![runner],
            Keyring::new(MasterKey::new(vec![7; 32]).expect("a key"), Vec::new()),
            Arc::new(SystemClock),
            settings,
        );
        engine.start().await.expect("an engine");
        let closing = CancellationToken::new();
        let limits = HttpLimits::default();
        let surface = Surface {
            engine: engine.clone(),
            hook: HookPath::default(),
            access: Access::default(),
            catalogue: Arc::new(Catalogue::default()),
            resolution: Duration::from_secs(1),
            limits,
            closing: closing.clone(),
        };
        let grace = Duration::from_secs(1);
        tokio::spawn(serve(
            listener,
            router(surface),
            limits,
            closing.clone(),
            grace,
        ));
        let everything = GrantBody {
            store: "images".to_owned(),
            uuid: "*".to_owned(),
            property: "*".to_owned(),
            access: Right::Write,
        };
        let launch = Launch {
            action_type: "Any".to_owned(),
            grants: vec![everything],
            ..Launch::default()
        };
        engine.launch(vec![launch]).await.expect("an action");
        Stage {
            address,
            job: jobs.recv().await.expect("a job"),
            engine,
            closing,
            root,
            blobs,
            inputs: 0,
        }
    }

    /// The id of the job's own action.
    pub(crate) fn action(&self) -> &str {
        &self.job.start.environment.id
    }

    /// Asks the hook for something, and returns what it answered.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &[u8]) -> Value {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time");
        let time = now.as_millis().to_string();
        let environment = &self.job.start.environment;
        let hash = sign_webda(&environment.secret_key, &time);
        let id = &environment.id;
        let headers = format!("X-Job-Id: {id}\r\nX-Job-Time: {time}\r\nX-Job-Hash: {hash}\r\n");
        self.exchange(method, &format!("/async{target}"), &headers, body)
    }

    /// Sends bytes to an address that an answer had, or takes them.
    pub(crate) fn send(&self, method: &str, path: &str, body: &[u8]) {
        self.exchange(method, path, "", body);
    }

    /// The path of an address of this server.
    pub(crate) fn path_of<'a>(&self, url: &'a str) -> &'a str {
        let own = format!("http://{}", self.address);
        url.strip_prefix(&own).expect("an address of the server")
    }

    fn exchange(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Value {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let (host, length) = (self.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        // What is refused before its end may be cut off.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{head}");
        }
        let text = String::from_utf8_lossy(&answer);
        let status = text.split(' ').nth(1).unwrap_or_default();
        assert!(!status.starts_with('5'), "{head}\n{text}");
        let end = text.find("\r\n\r\n").map_or(answer.len(), |at| at + 4);
        json_of(text.as_bytes().get(end..).unwrap_or_default())
    }

    /// Whether nothing but blobs is on the disk, and they where they belong.
    pub(crate) fn check(&self) {
        let mut outside = BTreeSet::new();
        walk(self.root.path(), &mut |path| {
            if let Ok(inside) = path.strip_prefix(&self.blobs) {
                assert!(is_of_blobs(inside), "{}", path.display());
            } else if !self.blobs.starts_with(path) {
                outside.insert(path.to_owned());
            }
        });
        assert!(outside.is_empty(), "{outside:?}");
    }
}

/// Names that the server makes: hex digits and a few words, at most two levels deep.
fn is_of_blobs(path: &Path) -> bool {
    let plain = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        name.chars().all(plain) && !name.starts_with("..") && name.len() < 100
    };
    path.iter().count() <= 2 && path.iter().all(plain)
}

fn walk(directory: &Path, see: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        see(&path);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, see);
        }
    }
}
