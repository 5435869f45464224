//! Puts a server together: data directory, store, runners, engine, listener.
//!
//! ```text
//! operations ─▶ lock ─▶ key ─▶ store ─▶ may it listen? ─▶ bind ─▶ runners ─▶ engine ─▶ serve
//! ```
//!
//! Whatever can be wrong is found before anything is started, in this order. When a server
//! stops, jobs go on; the next one on the same data directory takes them up.

pub(crate) mod prospect;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jobhook::Operations;
use jobhook_engine::blob::{BlobError, BlobStore};
use jobhook_engine::clock::SystemClock;
use jobhook_engine::file::ObjectLimits;
use jobhook_engine::files::{BadStores, FileSettings};
use jobhook_engine::keyring::Keyring;
use jobhook_engine::log::LogLimits;
use jobhook_engine::runner::{Runner, TypeFilter};
use jobhook_engine::schedule::Source;
use jobhook_engine::store::{Store, StoreError};
use jobhook_engine::{Engine, EngineError, Settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::blob::directory::DirectoryBlobs;
#[cfg(feature = "s3")]
use crate::blob::s3::S3Error;
use crate::config::{self, Config, FilesBackend, ListenError};
use crate::data_dir::{DataDir, DataDirError};
use crate::housekeeping::{Housekeeping, HousekeepingError};
use crate::http::{self, Access, BadHookPath, Grant, HttpLimits, StaticToken, Surface};
use crate::judge::OperationJudge;
use crate::operations::{Catalogue, CatalogueError};
use crate::runner::{LocalCommandError, LocalJobs, LocalRunner, ServiceRunnerError};
use crate::store::sqlite::{OpenError, SqliteStore};
use crate::supervisor::{SupervisorError, SupervisorOptions};
use prospect::{Planned, PlannedKind};

/// How long connections may take to finish when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// A server that listens, and has taken up the jobs of its data directory.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    listener: TcpListener,
    surface: Surface,
    store: Arc<SqliteStore>,
    housekeeping: Housekeeping,
    /// Held as long as the server lives.
    _data_dir: DataDir,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It would let strangers in.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The file storage does not answer.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The stores of objects cannot be what they are called.
    #[error("stores: {0}")]
    Stores(#[from] BadStores),
    /// The bucket cannot be used.
    #[cfg(feature = "s3")]
    #[error(transparent)]
    S3(#[from] S3Error),
    /// This program was built without the feature `s3`.
    #[cfg(not(feature = "s3"))]
    #[error("files.backend: this program was built without S3; take \"directory\"")]
    NoS3,
    /// The address cannot be listened on.
    #[error(
        "{address} cannot be listened on{}; choose another with --listen",
        in_use(source)
    )]
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The hook's path is none.
    #[error("hook.url: {0}")]
    HookPath(#[from] BadHookPath),
    /// A runner cannot work as it is configured.
    #[error("runners.{name}: {source}")]
    Runner {
        /// Its name.
        name: String,
        /// Why.
        source: RunnerError,
    },
    /// Operations of this program cannot be what they are called.
    #[error(transparent)]
    Registry(#[from] jobhook::Error),
    /// Operations are not defined as they should be.
    #[error(transparent)]
    Operations(#[from] CatalogueError),
    /// What a schedule launches would be refused.
    #[error("schedules.{name}: {what}")]
    ScheduledLaunch {
        /// The schedule's name.
        name: String,
        /// Why.
        what: String,
    },
    /// A schedule is refused.
    #[error("schedules.{name}: {source}")]
    Schedule {
        /// Its name.
        name: String,
        /// Why.
        source: EngineError,
    },
    /// Housekeeping cannot be scheduled.
    #[error(transparent)]
    Housekeeping(#[from] HousekeepingError),
    /// There is nobody to own local jobs.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
}

/// Why a runner cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// A LocalRunner.
    #[error(transparent)]
    Local(#[from] LocalCommandError),
    /// A ServiceRunner.
    #[error(transparent)]
    Service(#[from] ServiceRunnerError),
    /// A KubeRunner.
    #[cfg(feature = "kube")]
    #[error(transparent)]
    Kube(#[from] crate::runner::KubeRunnerError),
    /// This program was built without the feature `kube`.
    #[cfg(not(feature = "kube"))]
    #[error("this program was built without Kubernetes; take another type of runner")]
    NoKube,
}

/// What a server is made with.
#[derive(Debug)]
#[must_use = "nothing happens before `start`"]
pub struct ServerBuilder {
    config: Config,
    data_directory: PathBuf,
    operations: Operations,
}

fn in_use(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": another program listens there",
        io::ErrorKind::PermissionDenied => ": this user may not listen there",
        _ => "",
    }
}

impl Server {
    /// Starts a server as `config` says, with its data in `data_directory`.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then.
    pub async fn start(config: &Config, data_directory: &Path) -> Result<Server, StartError> {
        let builder = Server::builder(config.clone(), data_directory);
        builder.start().await
    }

    /// A server as `config` says, with its data in `data_directory`, and more.
    pub fn builder(config: Config, data_directory: impl Into<PathBuf>) -> ServerBuilder {
        ServerBuilder {
            config,
            data_directory: data_directory.into(),
            operations: Operations::new(),
        }
    }
}

impl ServerBuilder {
    /// Operations that run inside the server. Where no ServiceRunner is configured, one called
    /// `service` takes those that no other runner does.
    pub fn operations(self, operations: Operations) -> ServerBuilder {
        ServerBuilder { operations, ..self }
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then.
    pub async fn start(self) -> Result<Server, StartError> {
        let ServerBuilder {
            config,
            data_directory,
            operations,
        } = &self;
        let hook = config.hook.url.parse()?;
        let catalogue = Arc::new(prospect::catalogue(config, operations)?);
        for warning in catalogue.warnings() {
            tracing::warn!("{warning}");
        }
        let data_dir = DataDir::open(data_directory)?;
        let key = data_dir.master_key()?;
        let store = Arc::new(SqliteStore::open(&data_dir.database(), log_limits(config)).await?);
        let access = Access::new(static_tokens(config), Some(store.clone()));
        config.may_serve(access.has_tokens().await?)?;
        let wanted = config.server.listen;
        let bind = |source| StartError::Bind {
            address: wanted,
            source,
        };
        let listener = TcpListener::bind(wanted).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;

        let installation = store.installation();
        let runners = runners(
            config,
            data_dir.path(),
            operations,
            &catalogue,
            installation,
        )
        .await?;
        let types = runners
            .iter()
            .map(|runner| runner.types().clone())
            .collect();
        let files = file_settings(config, &data_dir).await?;
        let settings = Settings {
            max_clock_skew: config.hook.max_clock_skew,
            judge: Arc::new(OperationJudge::new(Arc::clone(&catalogue))),
            files,
            ..Settings::new(store.installation(), config.hook_address(address))
        };
        let engine = Engine::new(
            store.clone(),
            runners,
            Keyring::new(key, Vec::new()),
            Arc::new(SystemClock),
            settings,
        );
        put_schedules(config, &catalogue, types, &engine).await?;
        engine.start().await?;
        let housekeeping = Housekeeping::of(config, &engine).await?;
        let limits = HttpLimits {
            hook_body: to_usize(config.limits.hook_body),
            arguments: to_usize(config.limits.arguments),
            ..HttpLimits::default()
        };
        let surface = Surface {
            engine,
            hook,
            access,
            catalogue,
            resolution: config.scheduler.resolution,
            limits,
            closing: CancellationToken::new(),
        };
        Ok(Server {
            address,
            listener,
            surface,
            store,
            housekeeping,
            _data_dir: data_dir,
        })
    }
}

impl Server {
    /// The address it listens on, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is over, then finishes what is under way. Jobs go on.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Server {
            listener,
            surface,
            store,
            housekeeping,
            _data_dir,
            ..
        } = self;
        let (closing, limits, engine) = (
            surface.closing.clone(),
            surface.limits,
            surface.engine.clone(),
        );
        let serving = http::serve(
            listener,
            http::router(surface),
            limits,
            closing.clone(),
            GRACE,
        );
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            () = &mut serving => {}
            () = stop => {
                closing.cancel();
                serving.await;
            }
        }
        housekeeping.stop().await;
        engine.stop().await;
        store.close().await;
    }
}

/// Where files are kept, and how many. What an earlier server began and did not finish goes.
async fn file_settings(config: &Config, data_dir: &DataDir) -> Result<FileSettings, StartError> {
    let files = &config.files;
    let (blobs, direct): (Arc<dyn BlobStore>, bool) = match &files.backend {
        FilesBackend::Directory => (Arc::new(DirectoryBlobs::open(&data_dir.files())?), false),
        FilesBackend::S3(s3) => (prospect::bucket(s3).await?, s3.direct),
    };
    blobs.clear_unfinished().await?;
    Ok(FileSettings {
        blobs,
        stores: prospect::stores(config)?,
        max_file: files.max_file,
        object: ObjectLimits {
            files: files.object_files,
            bytes: files.object_bytes,
        },
        total_files: files.total_files,
        total_bytes: files.total_bytes,
        min_free: files.min_free,
        keep_unused: files.keep_unused,
        exclusive: true,
        direct,
        small: small_files(files, data_dir),
        small_total: files.small_total,
    })
}

/// Which files the database keeps: none where their folder is on another disk, for the room of that
/// one is watched then.
fn small_files(files: &config::Files, data_dir: &DataDir) -> u64 {
    if files.small > 0 && !data_dir.is_one_disk() {
        tracing::info!(
            "Small files lie in the folder too, which is on another disk than the database"
        );
        return 0;
    }
    files.small
}

/// Puts the schedules of the configuration, and takes those away that it has no more; what the
/// API made stays.
async fn put_schedules(
    config: &Config,
    catalogue: &Catalogue,
    types: Vec<TypeFilter>,
    engine: &Engine,
) -> Result<(), StartError> {
    let refused = |name: &str| {
        let name = name.to_owned();
        move |source| StartError::Schedule { name, source }
    };
    // All are judged before the first is stored.
    for schedule in &config.schedules {
        prospect::judge(schedule, catalogue, &types)?;
    }
    for schedule in engine.store().schedules().await? {
        let name = &schedule.name;
        let stays = config.schedules.iter().any(|one| one.name == *name);
        if schedule.source == Source::Config && !stays {
            match engine.delete_schedule(name, Source::Config).await {
                // Another server was faster.
                Ok(_) | Err(EngineError::Refused(_)) => {}
                Err(error) => return Err(refused(name)(error)),
            }
        }
    }
    for config::Schedule { name, definition } in &config.schedules {
        engine
            .put_schedule(name, definition.clone(), Source::Config)
            .await
            .map_err(refused(name))?;
    }
    Ok(())
}

fn static_tokens(config: &Config) -> Vec<StaticToken> {
    let tokens = config.auth.tokens.iter();
    let token = |token: &config::Token| StaticToken {
        hash: token.sha256,
        grant: Grant::new(&token.name, token.scope, &token.claims),
    };
    tokens.map(token).collect()
}

fn log_limits(config: &Config) -> LogLimits {
    LogLimits {
        lines: config.limits.log_lines,
        bytes: config.limits.log_bytes,
    }
}

/// The runners of the configuration, in its order; and one for operations, if none is there.
async fn runners(
    config: &Config,
    data_dir: &Path,
    operations: &Operations,
    catalogue: &Arc<Catalogue>,
    #[cfg_attr(not(feature = "kube"), expect(unused_variables))] installation: &str,
) -> Result<Vec<Arc<dyn Runner>>, StartError> {
    // Also without a runner: jobs of one that was taken out of the configuration may be left.
    let jobs = LocalJobs::open(data_dir, SupervisorOptions::default()).await?;
    let (directory, signature) = (&config.directory, config.hook.signature);
    #[cfg(feature = "kube")]
    let mut namespaces = crate::runner::KubeNamespaces::default();
    let mut runners: Vec<Arc<dyn Runner>> = Vec::new();
    for planned in prospect::runners(config, operations, catalogue) {
        let Planned { name, kind } = planned?;
        let failed = |source: RunnerError| StartError::Runner {
            name: name.clone(),
            source,
        };
        runners.push(match kind {
            PlannedKind::Service(runner) => Arc::new(*runner),
            PlannedKind::Local(local) => {
                let runner =
                    LocalRunner::configured(&name, &local, directory, signature, jobs.clone());
                Arc::new(runner.map_err(|error| failed(error.into()))?)
            }
            #[cfg(feature = "kube")]
            PlannedKind::Kube(kube) => {
                let runner = crate::runner::KubeRunner::configured(
                    &name,
                    &kube,
                    directory,
                    &config.hook.url,
                    signature,
                    installation,
                    &mut namespaces,
                );
                Arc::new(runner.await.map_err(|error| failed(error.into()))?)
            }
            #[cfg(not(feature = "kube"))]
            PlannedKind::Kube(_) => return Err(failed(RunnerError::NoKube)),
        });
    }
    Ok(runners)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.address)
    }
}
