//! The HTTP client, for the management API and for the hook alike.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("the certificates of this machine cannot be used for https: {0}")]
pub(crate) struct ClientError(String);

/// A client for requests to `url`.
///
/// The crypto provider is given to it and never made the process's, because the process may
/// be an embedder's. Redirects are not followed: a signature or a token is meant for one
/// address. A proxy from the environment is not asked for what is on this machine.
pub(crate) fn client(url: &Url) -> Result<Client, ClientError> {
    let failed = |error: &dyn Error| ClientError(chain(error));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let tls = if url.scheme() == "https" {
        tls.with_platform_verifier()
            .map_err(|error| failed(&error))?
            .with_no_client_auth()
    } else {
        // A container without any certificates must still speak http.
        tls.with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    };
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("jobhook/", env!("CARGO_PKG_VERSION")));
    let builder = if is_loopback(url) {
        builder.no_proxy()
    } else {
        builder
    };
    builder.build().map_err(|error| failed(&error))
}

/// Whether the host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// The address without what may be secret in it.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for addresses that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// An error and everything that caused it: reqwest's own text says little.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names() {
        for (url, loopback) in [
            ("http://localhost:1", true),
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost.example.org", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), loopback, "{url}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let url = "https://me:secret@example.org/jobs/".parse().unwrap();
        assert_eq!(shown(&url), "https://example.org/jobs");
    }

    #[test]
    fn a_client_needs_no_process_wide_provider() {
        assert!(client(&"http://127.0.0.1:1".parse().unwrap()).is_ok());
    }
}
