//! Which cluster a runner speaks to, and as whom: a kubeconfig, or the cluster that this server runs in.
//!
//! Only files are read here, and no call is made: a cluster that is away does not keep a server
//! from starting, a configuration that can never work does.

use std::path::{Path, PathBuf};

use http::Uri;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::client::AuthError;
use kube::{Api, Client};

use super::kubeconfig::{Source, shown};
use super::proxy;
use crate::config;

/// A cluster, and the namespace in it.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) namespace: String,
    /// Its API server's address, and the proxy before it, as people are told it.
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
        "{0} is no proxy's address: write http://host:port, with a user if need be, or socks5://host:port"
    )]
    Proxy(&'static str),
    /// What the kubeconfig says does not fit together.
    #[error("config: {0}")]
    Unusable(String),
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
        let (mut settings, own_proxy) = match Source::of(config, directory)? {
            Some(source) => {
                let chosen = source.choose(config.context.as_deref())?;
                (chosen.settings, chosen.proxy)
            }
            None => {
                let found = kube::Config::incluster();
                let settings = found.map_err(|error| ClusterError::Nowhere(chain(&error)))?;
                (settings, None)
            }
        };
        let mut address = settings.cluster_url.to_string();
        let environment = |name: &str| std::env::var(name).ok();
        let proxy = proxy::before(&settings.cluster_url, own_proxy.as_deref(), environment)?;
        if let Some(proxy) = proxy {
            address = format!("{address} through {proxy}");
            settings.proxy_url = Some(proxy.address);
            settings.cluster_url = with_port(settings.cluster_url);
        }
        if let Some(namespace) = &config.namespace {
            settings.default_namespace.clone_from(namespace);
        }
        // Who calls knows how long to wait, and what ends the waiting.
        settings.default_retry = false;
        let namespace = settings.default_namespace.clone();
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

/// The client library asks a proxy for port 443 where nothing is said, of an API server without TLS
/// too.
fn with_port(url: Uri) -> Uri {
    if url.scheme_str() != Some("http") || url.port().is_some() {
        return url;
    }
    let whole = url
        .host()
        .map(|host| format!("http://{host}:80{}", url.path()));
    whole.and_then(|whole| whole.parse().ok()).unwrap_or(url)
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
