//! Which cluster a runner speaks to, and as whom: a kubeconfig, or the cluster that this server runs in.
//!
//! Only files are read here, and no call is made: a cluster that is away does not keep a server
//! from starting, a configuration that can never work does.

use std::path::{Path, PathBuf};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::client::AuthError;
use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client};
use serde_json::Value;

use super::proxy;
use crate::config;

/// A cluster, and the namespace in it.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// Its API server's address.
    pub(super) address: String,
}

/// Why there is no cluster to speak to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The kubeconfig is not there, or not to be read.
    #[error("config: the kubeconfig {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The kubeconfig is none.
    #[error("config: the kubeconfig{} is malformed: {reason}", shown(path))]
    Malformed {
        /// Its file, if it is one.
        path: Option<PathBuf>,
        /// What the parser said.
        reason: String,
    },
    /// There is no such context.
    #[error("context: the kubeconfig has no context `{name}`; it has {known}")]
    NoContext {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No context is chosen.
    #[error("context: the kubeconfig names no current context; choose one of {0}")]
    NoCurrentContext(String),
    /// Neither a kubeconfig nor a pod's service account.
    #[error(
        "config: there is no kubeconfig (neither `config`, nor KUBECONFIG, nor ~/.kube/config), and this server does not run in a cluster: {0}"
    )]
    Nowhere(String),
    /// A way to authenticate that needs somebody at the keyboard, or that nothing knows.
    #[error("config: the user `{user}` of the kubeconfig authenticates by {way}; {instead}")]
    Authentication {
        /// The user's name there.
        user: String,
        /// How.
        way: String,
        /// What would do.
        instead: &'static str,
    },
    /// The address of a proxy is none. It may hold a password, and is not shown.
    #[error(
        "{0} is no proxy's address: write http://host:port, https://host:port or socks5://host:port"
    )]
    Proxy(&'static str),
    /// What the kubeconfig says does not fit together.
    #[error("config: {0}")]
    Unusable(String),
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_ref()
        .map(|path| format!(" {}", path.display()))
        .unwrap_or_default()
}

impl Cluster {
    /// The cluster that a runner configures, in a file that lies in `directory`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`].
    pub(super) async fn configured(
        config: &config::KubeRunner,
        directory: &Path,
    ) -> Result<Cluster, ClusterError> {
        // Another provider may have been chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = match config.config.as_ref().map(|source| &source.0) {
            Some(Value::String(text)) if text.contains('\n') => Some((None, parse(None, text)?)),
            Some(Value::String(path)) => Some(read(&config::KubeRunner::beside(directory, path))?),
            Some(inline) => Some((None, parse(None, &inline.to_string())?)),
            None => usual()?,
        };
        let (mut settings, own_proxy) = match kubeconfig {
            Some((path, kubeconfig)) => {
                let context = config.context.as_deref();
                choose(path, kubeconfig, context).await?
            }
            None => {
                let found = kube::Config::incluster();
                let settings = found.map_err(|error| ClusterError::Nowhere(chain(&error)))?;
                (settings, None)
            }
        };
        settings.proxy_url = proxy::before(&settings.cluster_url, own_proxy.as_deref(), |name| {
            std::env::var(name).ok()
        })?;
        if let Some(namespace) = &config.namespace {
            settings.default_namespace.clone_from(namespace);
        }
        // Who calls knows how long to wait, and what ends the waiting.
        settings.default_retry = false;
        let namespace = settings.default_namespace.clone();
        let address = settings.cluster_url.to_string();
        let client =
            Client::try_from(settings).map_err(|error| ClusterError::Unusable(chain(&error)))?;
        Ok(Cluster {
            client,
            namespace,
            address,
        })
    }

    pub(super) fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn events(&self) -> Api<Event> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("address", &self.address)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<(Option<PathBuf>, Kubeconfig), ClusterError> {
    // Kubeconfig::read_from makes the paths in it absolute.
    match Kubeconfig::read_from(path) {
        Ok(kubeconfig) => Ok((Some(path.to_owned()), kubeconfig)),
        Err(KubeconfigError::ReadConfig(source, path)) => {
            Err(ClusterError::Unreadable { path, source })
        }
        Err(KubeconfigError::Parse(error)) => Err(malformed(Some(path.to_owned()), &error)),
        Err(error) => Err(ClusterError::Malformed {
            path: Some(path.to_owned()),
            reason: chain(&error),
        }),
    }
}

fn parse(path: Option<PathBuf>, text: &str) -> Result<Kubeconfig, ClusterError> {
    match Kubeconfig::from_yaml(text) {
        Ok(kubeconfig) => Ok(kubeconfig),
        Err(KubeconfigError::Parse(error)) => Err(malformed(path, &error)),
        Err(error) => Err(ClusterError::Malformed {
            path,
            reason: chain(&error),
        }),
    }
}

/// Without the line that the parser shows: it may hold a token.
fn malformed(path: Option<PathBuf>, error: &serde_saphyr::Error) -> ClusterError {
    let reason = match error.location() {
        Some(place) => format!(
            "not a kubeconfig at line {}, column {}",
            place.line(),
            place.column()
        ),
        None => "not a kubeconfig".to_owned(),
    };
    ClusterError::Malformed { path, reason }
}

/// The kubeconfig where kubectl looks for it; `None` if there is none.
fn usual() -> Result<Option<(Option<PathBuf>, Kubeconfig)>, ClusterError> {
    let named = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    if let Some(named) = named {
        let mut files = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty());
        let Some(first) = files.next() else {
            return Ok(None);
        };
        let (path, mut merged) = read(&first)?;
        for file in files {
            let (_, next) = read(&file)?;
            merged = merged
                .merge(next)
                .map_err(|error| ClusterError::Unusable(chain(&error)))?;
        }
        return Ok(Some((path, merged)));
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let file = home
        .map(|home| home.join(".kube").join("config"))
        .filter(|file| file.exists());
    file.map(|file| read(&file)).transpose()
}

/// What a context of a kubeconfig stands for, and the proxy that it names.
async fn choose(
    path: Option<PathBuf>,
    mut kubeconfig: Kubeconfig,
    context: Option<&str>,
) -> Result<(kube::Config, Option<String>), ClusterError> {
    let known: Vec<String> = kubeconfig
        .contexts
        .iter()
        .map(|context| format!("`{}`", context.name))
        .collect();
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    let current = kubeconfig
        .current_context
        .clone()
        .filter(|name| !name.is_empty());
    let Some(name) = context.map(str::to_owned).or(current) else {
        return Err(ClusterError::NoCurrentContext(known));
    };
    let Some(chosen) = kubeconfig
        .contexts
        .iter()
        .find(|context| context.name == name)
    else {
        return Err(ClusterError::NoContext { name, known });
    };
    let user = chosen
        .context
        .as_ref()
        .and_then(|context| context.user.clone());
    let auth = user.as_ref().and_then(|user| {
        let named = kubeconfig.auth_infos.iter().find(|auth| auth.name == *user);
        named.and_then(|auth| auth.auth_info.clone())
    });
    if let (Some(user), Some(auth)) = (user, auth) {
        // A plugin that may run without a terminal is run without one.
        let interactive = auth
            .exec
            .as_ref()
            .and_then(|exec| exec.interactive_mode.clone());
        if interactive == Some(ExecInteractiveMode::Always) {
            return Err(ClusterError::Authentication {
                user,
                way: "a program that asks at the keyboard (interactiveMode: Always)".into(),
                instead: "nobody sits at a server's; take a token, a certificate, or a program with interactiveMode: Never",
            });
        }
        if let Some(provider) = &auth.auth_provider {
            return Err(ClusterError::Authentication {
                user,
                way: format!("the provider `{}`", provider.name),
                instead: "Kubernetes took such providers out; take `exec`, a token or a certificate",
            });
        }
    }
    let cluster = chosen
        .context
        .as_ref()
        .map(|context| context.cluster.clone());
    // Taken out, so that the client library does not read it too.
    let proxy = cluster.and_then(|cluster| {
        let mut clusters = kubeconfig.clusters.iter_mut();
        let named = clusters.find(|known| known.name == cluster)?;
        named.cluster.as_mut()?.proxy_url.take()
    });
    let options = KubeConfigOptions {
        context: Some(name),
        ..KubeConfigOptions::default()
    };
    let settings = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| {
            let file = shown(&path);
            ClusterError::Unusable(format!(
                "the kubeconfig{file} cannot be used: {}",
                chain(&error)
            ))
        })?;
    Ok((settings, proxy))
}

/// An error and its causes, in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(words) = login_failure(error) {
        return words;
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Why the program that a kubeconfig logs in with did not do so, where that is the cause. What the
/// program printed may hold a token, and is not told.
fn login_failure(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<AuthError>() {
            Some(AuthError::AuthExecRun { out, .. }) => {
                return Some(format!(
                    "the program that the kubeconfig logs in with failed ({}); run it by hand to see why",
                    out.status
                ));
            }
            Some(AuthError::AuthExecParse(_)) => {
                return Some(
                    "what the program printed that the kubeconfig logs in with is not what it should be"
                        .to_owned(),
                );
            }
            _ => cause = error.source(),
        }
    }
    None
}

#[cfg(test)]
mod tests;
