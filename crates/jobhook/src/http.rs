//! The HTTP client, for the hook and for the management API alike.
//!
//! The crypto provider (ring) is given to it and never made the process's, because the process
//! is somebody else's. Redirects are not followed: a signature or a token is meant for one
//! address. One idle connection is kept; HTTP/2 is spoken where the server offers it.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::Error;

/// Names a file of certificates (PEM) that are trusted beside those of the machine.
pub(crate) const CA_FILE: &str = "JOBHOOK_CA_FILE";
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client for requests to `url`.
///
/// - `ca_file`: certificates (PEM) to trust beside those of the machine.
pub(crate) fn client(url: &Url, ca_file: Option<&Path>) -> Result<Client, Error> {
    let failed = |error: &dyn StdError| Error::Certificates(chain(error));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let mut tls = if url.scheme() == "https" {
        let extra = ca_file.map(certificates).transpose()?.unwrap_or_default();
        let verifier =
            Verifier::new_with_extra_roots(extra, provider).map_err(|error| failed(&error))?;
        // `dangerous` is rustls' name for any verifier that is not its own.
        tls.dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth()
    } else {
        // A container without any certificates must still speak http.
        tls.with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("jobhook/", env!("CARGO_PKG_VERSION")));
    // A proxy from the environment is not asked for what is on this machine.
    let builder = if is_loopback(url) {
        builder.no_proxy()
    } else {
        builder
    };
    builder
        .build()
        .map_err(|error| Error::System(chain(&error)))
}

/// The file of certificates that the environment names.
pub(crate) fn ca_file() -> Option<PathBuf> {
    let value = std::env::var_os(CA_FILE)?;
    (!value.is_empty()).then(|| PathBuf::from(value))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |cause: String| Error::Certificates(format!("{}: {cause}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if found.is_empty() {
        return Err(failed("there is no certificate in it (PEM)".to_owned()));
    }
    Ok(found)
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
pub(crate) fn chain(error: &dyn StdError) -> String {
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

/// What went wrong with a request; a time-out is told with its number.
pub(crate) fn why(error: reqwest::Error, limit: Duration) -> String {
    let timed_out = error.is_timeout();
    let text = chain(&error.without_url());
    if timed_out {
        format!("no answer within {} s: {text}", limit.as_secs_f64())
    } else {
        text
    }
}

/// The body of an answer, or why there is none.
///
/// - `limit`: in bytes; whoever answers with more is not listened to any longer.
/// - `timeout`: the time that the request was given, for messages.
pub(crate) async fn text_up_to(
    mut response: Response,
    limit: usize,
    timeout: Duration,
) -> Result<String, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| why(error, timeout))?
    {
        if body.len() + chunk.len() > limit {
            return Err(format!("the answer has more than {limit} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// How long the server asks to be left alone: seconds, or the time until a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The error for an answer that is no jobhook server's.
pub(crate) fn foreign(server: String, status: StatusCode, headers: &HeaderMap) -> Error {
    let header = |name| {
        let value: Option<&reqwest::header::HeaderValue> = headers.get(name);
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    if status.is_redirection()
        && let Some(location) = header(LOCATION)
    {
        let target = Url::parse(&server).and_then(|server| server.join(&location));
        return Error::Redirected {
            server,
            status: status.as_u16(),
            location: match target {
                Ok(mut target) => {
                    // There may be a token in it.
                    target.set_query(None);
                    target.set_fragment(None);
                    shown(&target)
                }
                Err(_) => "an address that is none".to_owned(),
            },
        };
    }
    Error::Foreign {
        server,
        status: status.as_u16(),
        what: header(CONTENT_TYPE).unwrap_or_else(|| "no content type".to_owned()),
    }
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
    fn an_answer_that_is_too_long_is_not_read_to_its_end() {
        let hook = crate::testing::FakeHook::start().unwrap();
        hook.behave(crate::testing::Behaviour::WebPage(200));
        let url: Url = format!("http://{}/", hook.address()).parse().unwrap();
        let client = client(&url, None).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let read = |limit| {
            runtime.block_on(async {
                let response = client.get(url.clone()).send().await.unwrap();
                text_up_to(response, limit, CONNECT_TIMEOUT).await
            })
        };
        assert!(read(1000).unwrap().starts_with("<!doctype html>"));
        assert_eq!(read(10).unwrap_err(), "the answer has more than 10 bytes");
    }

    #[test]
    fn nothing_secret_of_a_redirect_is_shown() {
        for (location, shown) in [
            ("//u:secret@h/x?token=secret#secret", "http://h/x"),
            ("https://u:secret@h/x?token=secret", "https://h/x"),
            ("/y?token=secret", "http://here/y"),
            ("http://[secret", "an address that is none"),
        ] {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            let error = foreign("http://here/async".into(), StatusCode::FOUND, &headers);
            let wanted = format!("points to {shown}:");
            assert!(error.to_string().contains(&wanted), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_client_needs_no_process_wide_provider() {
        assert!(client(&"http://127.0.0.1:1".parse().unwrap(), None).is_ok());
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let url = "https://127.0.0.1:1".parse().unwrap();
        let error = client(&url, Some(Path::new("/dev/null"))).unwrap_err();
        assert_eq!(error.code(), "certificates_unusable");
        assert!(
            error
                .to_string()
                .contains("/dev/null: there is no certificate")
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(wait("Fri, 31 Dec 9999 23:59:59 GMT") > Some(Duration::from_secs(1 << 30)));
        assert_eq!(wait("soon"), None);
    }
}
