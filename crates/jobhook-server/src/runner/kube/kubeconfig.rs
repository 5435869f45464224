//! What a kubeconfig says of the cluster that a runner speaks to.
//!
//! The client library's own way from a kubeconfig to its settings is not taken: it reads the
//! environment's proxies on that way (see [`super::proxy`]), and fails where it does not
//! understand them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use http::Uri;
use kube::config::{
    AuthInfo, Context, ExecAuthCluster, ExecInteractiveMode, Kubeconfig, KubeconfigError,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::cluster::{ClusterError, chain};
use crate::config;

/// A kubeconfig, and its file if it is one.
pub(super) struct Source {
    path: Option<PathBuf>,
    kubeconfig: Kubeconfig,
}

/// What one of its contexts stands for.
pub(super) struct Chosen {
    /// All but the proxy.
    pub(super) settings: kube::Config,
    /// The proxy that it names.
    pub(super) proxy: Option<String>,
}

impl Source {
    /// The one that a runner configures in a file in `directory`, or the one where kubectl looks
    /// for it; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`ClusterError`].
    pub(super) fn of(
        config: &config::KubeRunner,
        directory: &Path,
    ) -> Result<Option<Source>, ClusterError> {
        match config.config.as_ref().map(|source| &source.0) {
            Some(Value::String(text)) if text.contains('\n') => parse(text).map(Some),
            Some(Value::String(path)) => {
                read(&config::KubeRunner::beside(directory, path)).map(Some)
            }
            Some(inline) => parse(&inline.to_string()).map(Some),
            None => usual(),
        }
    }

    /// What the context of this name stands for, or else the current one.
    ///
    /// # Errors
    ///
    /// [`ClusterError`].
    pub(super) fn choose(&self, context: Option<&str>) -> Result<Chosen, ClusterError> {
        let context = self.context(context)?;
        let auth = self.auth(context)?;
        self.settings(context, auth).map_err(|reason| {
            let file = shown(&self.path);
            ClusterError::Unusable(format!("the kubeconfig{file} cannot be used: {reason}"))
        })
    }

    fn context(&self, name: Option<&str>) -> Result<&Context, ClusterError> {
        let contexts = &self.kubeconfig.contexts;
        let known = || {
            let names: Vec<String> = contexts
                .iter()
                .map(|context| format!("`{}`", context.name))
                .collect();
            match names.is_empty() {
                true => "none".to_owned(),
                false => names.join(", "),
            }
        };
        let current = self.kubeconfig.current_context.as_deref();
        let Some(name) = name.or(current.filter(|name| !name.is_empty())) else {
            return Err(ClusterError::NoCurrentContext(known()));
        };
        let chosen = contexts.iter().find(|context| context.name == name);
        let chosen = chosen.and_then(|chosen| chosen.context.as_ref());
        chosen.ok_or_else(|| ClusterError::NoContext {
            name: name.to_owned(),
            known: known(),
        })
    }

    /// The user of a context. One that is not there is nobody, as for kubectl.
    fn auth(&self, context: &Context) -> Result<AuthInfo, ClusterError> {
        let Some(user) = &context.user else {
            return Ok(AuthInfo::default());
        };
        let mut users = self.kubeconfig.auth_infos.iter();
        let auth = users
            .find(|auth| auth.name == *user)
            .and_then(|auth| auth.auth_info.clone())
            .unwrap_or_default();
        let interactive = auth
            .exec
            .as_ref()
            .and_then(|exec| exec.interactive_mode.clone());
        // A plugin that may run without a terminal is run without one.
        if interactive == Some(ExecInteractiveMode::Always) {
            return Err(ClusterError::Authentication {
                user: user.clone(),
                way: "a program that asks at the keyboard (interactiveMode: Always)".into(),
                instead: "nobody sits at a server's; take a token, a certificate, or a program with interactiveMode: Never",
            });
        }
        if let Some(provider) = &auth.auth_provider {
            return Err(ClusterError::Authentication {
                user: user.clone(),
                way: format!("the provider `{}`", provider.name),
                instead: "Kubernetes took such providers out; take `exec`, a token or a certificate",
            });
        }
        Ok(auth)
    }

    fn settings(&self, context: &Context, mut auth: AuthInfo) -> Result<Chosen, String> {
        let name = &context.cluster;
        let mut clusters = self.kubeconfig.clusters.iter();
        let cluster = clusters
            .find(|known| known.name == *name)
            .and_then(|known| known.cluster.as_ref())
            .ok_or_else(|| format!("it has no cluster `{name}`"))?;
        // As a login program is told of it: with its certificates read.
        let told = ExecAuthCluster::try_from(cluster).map_err(|error| chain(&error))?;
        let mut settings = kube::Config::new(address(name, told.server.as_deref())?);
        if let Some(namespace) = &context.namespace {
            settings.default_namespace.clone_from(namespace);
        }
        if let Some(pem) = &told.certificate_authority_data {
            settings.root_cert = Some(certificates(name, pem)?);
        }
        settings.accept_invalid_certs = told.insecure_skip_tls_verify.unwrap_or_default();
        settings.disable_compression = cluster.disable_compression.unwrap_or_default();
        settings.tls_server_name.clone_from(&told.tls_server_name);
        let proxy = told.proxy_url.clone();
        if let Some(exec) = &mut auth.exec
            && exec.provide_cluster_info
        {
            exec.cluster = Some(told);
        }
        settings.auth_info = auth;
        Ok(Chosen { settings, proxy })
    }
}

/// The address of an API server.
fn address(cluster: &str, server: Option<&str>) -> Result<Uri, String> {
    let server = server.ok_or_else(|| format!("its cluster `{cluster}` has no `server`"))?;
    let address = server.parse().ok().filter(|address: &Uri| {
        matches!(address.scheme_str(), Some("http" | "https"))
            && address.host().is_some_and(|host| !host.is_empty())
            && !address
                .authority()
                .is_some_and(|whole| whole.as_str().contains('@'))
    });
    address.ok_or_else(|| {
        format!("the `server` of its cluster `{cluster}` is no address: write https://host:port")
    })
}

fn certificates(cluster: &str, pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let all = CertificateDer::pem_slice_iter(pem)
        .map(|one| one.map(|one| one.to_vec()))
        .collect::<Result<Vec<_>, _>>();
    let all = all.ok().filter(|all| !all.is_empty());
    all.ok_or_else(|| format!("the certificate authority of its cluster `{cluster}` is not PEM"))
}

pub(super) fn shown(path: &Option<PathBuf>) -> String {
    path.as_ref()
        .map(|path| format!(" {}", path.display()))
        .unwrap_or_default()
}

fn read(path: &Path) -> Result<Source, ClusterError> {
    // Kubeconfig::read_from makes the paths in it absolute.
    match Kubeconfig::read_from(path) {
        Ok(kubeconfig) => Ok(Source {
            path: Some(path.to_owned()),
            kubeconfig,
        }),
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

fn parse(text: &str) -> Result<Source, ClusterError> {
    match Kubeconfig::from_yaml(text) {
        Ok(kubeconfig) => Ok(Source {
            path: None,
            kubeconfig,
        }),
        Err(KubeconfigError::Parse(error)) => Err(malformed(None, &error)),
        Err(error) => Err(ClusterError::Malformed {
            path: None,
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
fn usual() -> Result<Option<Source>, ClusterError> {
    let named = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    if let Some(named) = named {
        let files = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty());
        return merged(files);
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let file = home
        .map(|home| home.join(".kube").join("config"))
        .filter(|file| file.exists());
    file.map(|file| read(&file)).transpose()
}

/// All of them as one, where the first that says something counts. One that is not there is passed
/// over, as kubectl does, unless none is.
fn merged(files: impl Iterator<Item = PathBuf>) -> Result<Option<Source>, ClusterError> {
    let (mut whole, mut missing) = (None::<Source>, None);
    for file in files {
        let next = match read(&file) {
            Ok(next) => next,
            Err(ClusterError::Unreadable { path, source })
                if source.kind() == ErrorKind::NotFound =>
            {
                missing.get_or_insert(ClusterError::Unreadable { path, source });
                continue;
            }
            Err(error) => return Err(error),
        };
        whole = Some(match whole {
            None => next,
            Some(before) => Source {
                path: before.path,
                kubeconfig: before
                    .kubeconfig
                    .merge(next.kubeconfig)
                    .map_err(|error| ClusterError::Unusable(chain(&error)))?,
            },
        });
    }
    match (whole, missing) {
        (None, Some(missing)) => Err(missing),
        (whole, _) => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(cluster: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
             clusters: [{{name: c, cluster: {{{cluster}}}}}]\n\
             users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: login, interactiveMode: Never, provideClusterInfo: true}}}}}}]\n\
             contexts: [{{name: one, context: {{cluster: c, user: u}}}}]\n"
        )
    }

    fn choose(cluster: &str) -> Result<Chosen, String> {
        let source = parse(&kubeconfig(cluster)).unwrap();
        source.choose(None).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for (cluster, said) in [
            ("server: '10.96.0.1:6443'", "write https://host:port"),
            ("server: 'https://'", "write https://host:port"),
            ("server: 'unix:///run/k8s'", "write https://host:port"),
            (
                "server: 'https://user:s3cret@k:6443'",
                "write https://host:port",
            ),
            ("tls-server-name: x", "no `server`"),
            (
                "server: 'https://k', certificate-authority-data: bm90IFBFTQ==",
                "not PEM",
            ),
            (
                "server: 'https://k', certificate-authority: /not/there",
                "/not/there",
            ),
        ] {
            let error = choose(cluster).err().unwrap();
            assert!(
                error.contains(said) && !error.contains("s3cret"),
                "{cluster}: {error}"
            );
        }
    }

    #[test]
    fn a_login_program_is_told_of_its_cluster_with_the_proxy() {
        let cluster = "server: 'https://k:6443', proxy-url: 'http://p:1', tls-server-name: api, insecure-skip-tls-verify: true";
        let Chosen { settings, proxy } = choose(cluster).unwrap();
        assert_eq!(proxy.as_deref(), Some("http://p:1"));
        assert_eq!(settings.tls_server_name.as_deref(), Some("api"));
        assert!(settings.accept_invalid_certs);
        let told = settings.auth_info.exec.unwrap().cluster.unwrap();
        assert_eq!(told.server.as_deref(), Some("https://k:6443"));
        assert_eq!(told.proxy_url.as_deref(), Some("http://p:1"));
    }

    #[test]
    fn of_several_files_those_that_are_not_there_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (there, gone) = (folder.path().join("there"), folder.path().join("gone"));
        std::fs::write(&there, kubeconfig("server: 'https://k:6443'")).unwrap();
        let found = merged([gone.clone(), there].into_iter()).unwrap().unwrap();
        assert_eq!(found.kubeconfig.clusters.len(), 1);
        let error = merged([gone].into_iter()).err().unwrap().to_string();
        assert!(error.contains("gone cannot be read"), "{error}");
    }
}
