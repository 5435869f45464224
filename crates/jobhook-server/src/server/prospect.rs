//! What a server would be made of: its operations, its runners and their types, and whether its
//! schedules can be. Nothing is opened or written, and no job is started; a ServiceRunner's
//! threads are idle and go with it.
//!
//! A start takes the first thing that is wrong, `jobhook check` everything. Both ask here, so
//! that one finds what the other refuses.

use std::sync::Arc;

use jobhook::Operations;
use jobhook_engine::blob::BlobStore;
use jobhook_engine::check_schedule;
use jobhook_engine::files::{DeclaredStore, Stores};
use jobhook_engine::runner::{Runner, TypeFilter};

use super::StartError;
#[cfg(feature = "s3")]
use crate::blob::s3::S3Blobs;
use crate::config::{self, Config, RunnerKind};
use crate::operations::Catalogue;
use crate::runner::{LocalRunner, ServiceRunner};

/// Whose operations those are that no file defines, in complaints.
pub(crate) const THIS_PROGRAM: &str = "this program";

/// A runner as it would be.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) kind: PlannedKind,
}

#[derive(Debug)]
pub(crate) enum PlannedKind {
    /// Its types are told one by one.
    Local(Box<config::LocalRunner>),
    Service(Box<ServiceRunner>),
    Kube(Box<config::KubeRunner>),
}

impl Planned {
    /// What it takes.
    pub(crate) fn types(&self) -> TypeFilter {
        match &self.kind {
            PlannedKind::Local(local) => LocalRunner::types_of(local),
            PlannedKind::Service(service) => service.types().clone(),
            PlannedKind::Kube(kube) => types_of(kube.actions.as_ref()),
        }
    }
}

fn types_of(actions: Option<&Vec<String>>) -> TypeFilter {
    actions.map_or_else(TypeFilter::all, |actions| TypeFilter::only(actions.clone()))
}

/// The operations of the files and of this program.
///
/// # Errors
///
/// [`StartError::Operations`], [`StartError::Registry`].
pub(crate) fn catalogue(config: &Config, operations: &Operations) -> Result<Catalogue, StartError> {
    let mut catalogue = Catalogue::load(&config.operations.files, &config.directory)?;
    catalogue.add(operations.definitions()?, THIS_PROGRAM)?;
    Ok(catalogue)
}

/// The stores of objects beside that of the actions.
///
/// # Errors
///
/// [`StartError::Stores`].
pub(crate) fn stores(config: &Config) -> Result<Stores, StartError> {
    let stores = config.stores.iter();
    let declared = stores.map(|store| DeclaredStore {
        name: store.name.clone(),
        properties: store.properties.clone(),
        create: store.create,
    });
    Ok(Stores::new(declared.collect())?)
}

/// The bucket of a configuration, once it has shown that it can be used.
///
/// # Errors
///
/// [`StartError::S3`]; `NoS3` where this program has no S3.
#[cfg(feature = "s3")]
pub(crate) async fn bucket(s3: &config::S3Files) -> Result<Arc<dyn BlobStore>, StartError> {
    let blobs = S3Blobs::open(s3)?;
    blobs.check().await?;
    Ok(Arc::new(blobs))
}

#[cfg(not(feature = "s3"))]
pub(crate) async fn bucket(_: &config::S3Files) -> Result<Arc<dyn BlobStore>, StartError> {
    Err(StartError::NoS3)
}

/// The runners of the configuration, in its order; and one for operations, if none is there.
///
/// # Errors
///
/// [`StartError::Runner`], of each that cannot be.
pub(crate) fn runners(
    config: &Config,
    operations: &Operations,
    catalogue: &Arc<Catalogue>,
) -> impl Iterator<Item = Result<Planned, StartError>> {
    let service = |name: &str, settings: &config::ServiceRunner| {
        let catalogue = Arc::clone(catalogue);
        let runner = ServiceRunner::configured(name, settings, operations.clone(), catalogue);
        runner
            .map(|runner| PlannedKind::Service(Box::new(runner)))
            .map_err(|error| StartError::Runner {
                name: name.to_owned(),
                source: error.into(),
            })
    };
    let planned = move |name: &str, kind: &RunnerKind| {
        let kind = match kind {
            RunnerKind::Local(local) => {
                let mut local = local.clone();
                if let Some(actions) = &mut local.actions {
                    catalogue.expand(actions);
                }
                PlannedKind::Local(local)
            }
            RunnerKind::Service(settings) => service(name, settings)?,
            RunnerKind::Kube(kube) => {
                let mut kube = kube.clone();
                if let Some(actions) = &mut kube.actions {
                    catalogue.expand(actions);
                }
                PlannedKind::Kube(kube)
            }
        };
        let name = name.to_owned();
        Ok(Planned { name, kind })
    };
    let unserved = (!serves(config) && operations.ids().next().is_some())
        .then(|| (free_name(config), RunnerKind::Service(Default::default())));
    let configured = config.runners.iter();
    let configured = configured.map(|runner| (runner.name.clone(), runner.kind.clone()));
    configured
        .chain(unserved)
        .map(move |(name, kind)| planned(&name, &kind))
}

/// Judges a schedule of the configuration, where runners take `types`.
///
/// # Errors
///
/// [`StartError::ScheduledLaunch`], [`StartError::Schedule`].
pub(crate) fn judge(
    schedule: &config::Schedule,
    catalogue: &Catalogue,
    types: &[TypeFilter],
) -> Result<(), StartError> {
    let config::Schedule { name, definition } = schedule;
    catalogue
        .check_launch(
            &definition.action_type,
            definition.operation,
            definition.arguments.as_ref(),
        )
        .map_err(|what| StartError::ScheduledLaunch {
            name: name.clone(),
            what,
        })?;
    match check_schedule(name, definition, types.iter()) {
        Ok(_) => Ok(()),
        Err(source) => Err(StartError::Schedule {
            name: name.clone(),
            source,
        }),
    }
}

fn serves(config: &Config) -> bool {
    let mut kinds = config.runners.iter().map(|runner| &runner.kind);
    kinds.any(|kind| matches!(kind, RunnerKind::Service(_)))
}

/// `service`, unless a runner is called that.
fn free_name(config: &Config) -> String {
    let taken = |name: &str| config.runners.iter().any(|runner| runner.name == name);
    let mut name = "service".to_owned();
    while taken(&name) {
        name.push('_');
    }
    name
}
