//! Which proxy stands before a cluster's API server.
//!
//! The kubeconfig's `proxy-url` goes first. Without one the environment says, by the rules that
//! kubectl follows: `HTTPS_PROXY` (`HTTP_PROXY` for an API server without TLS), `NO_PROXY` for what
//! is reached directly, each in small letters too, and none for this machine. The client library
//! reads no environment in a pod, and holds `NO_PROXY` against the proxy instead of the cluster.

use std::fmt;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::cluster::ClusterError;
use crate::http::is_loopback_name;

/// Where a SOCKS proxy listens if nothing else is said (RFC 1928).
const SOCKS_PORT: u16 = 1080;

/// A proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    /// It may hold a password, and is not shown.
    pub(super) address: Uri,
    /// Who names it.
    place: &'static str,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.address.scheme_str().unwrap_or_default();
        let host = self.address.host().unwrap_or_default();
        write!(f, "the proxy {scheme}://{host}")?;
        if let Some(port) = self.address.port_u16() {
            write!(f, ":{port}")?;
        }
        write!(f, " of {}", self.place)
    }
}

/// The proxy that `cluster` is reached through.
///
/// - `named`: the kubeconfig's own.
/// - `variable`: the environment.
///
/// # Errors
///
/// [`ClusterError::Proxy`].
pub(super) fn before(
    cluster: &Uri,
    named: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ClusterError> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return proxy("the kubeconfig's proxy-url", named).map(Some);
    }
    let first_of = |names: [&'static str; 2]| {
        let set = names.map(|name| Some((name, variable(name).filter(|text| !text.is_empty())?)));
        set.into_iter().flatten().next()
    };
    let proxies = match cluster.scheme_str() {
        Some("https") => ["HTTPS_PROXY", "https_proxy"],
        _ => ["HTTP_PROXY", "http_proxy"],
    };
    let Some((name, text)) = first_of(proxies) else {
        return Ok(None);
    };
    let direct = first_of(["NO_PROXY", "no_proxy"]).map(|(_, direct)| direct);
    if is_direct(cluster, direct.as_deref().unwrap_or_default()) {
        return Ok(None);
    }
    proxy(name, &text).map(Some)
}

fn is_direct(cluster: &Uri, no_proxy: &str) -> bool {
    let host = cluster.host().unwrap_or_default();
    if is_loopback_name(host.as_bytes()) {
        return true;
    }
    let port = cluster.port_u16().unwrap_or(match cluster.scheme_str() {
        Some("https") => 443,
        _ => 80,
    });
    let mut entries = Vec::new();
    for entry in no_proxy.split(',').map(str::trim) {
        if entry == "*" {
            return true;
        }
        // The matcher knows names, their subdomains, addresses and networks, but neither ports
        // nor `*.`.
        entries.extend(
            without_port(entry, port).map(|entry| entry.strip_prefix('*').unwrap_or(entry)),
        );
    }
    let anything = "http://proxy.invalid";
    let matcher = Matcher::builder()
        .all(anything)
        .no(entries.join(","))
        .build();
    matcher.intercept(cluster).is_none()
}

/// An entry without its port and brackets; nothing if that is another port.
fn without_port(entry: &str, port: u16) -> Option<&str> {
    let (host, own) = match entry.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => match entry.split_once(':') {
            // An IPv6 address has more of them.
            Some((host, own)) if !own.contains(':') => (host, Some(own)),
            _ => (entry, None),
        },
    };
    own.is_none_or(|own| own.parse() == Ok(port))
        .then_some(host)
}

/// Whether there is nothing in it but a host, maybe a port, and for HTTP a user: what the client
/// library would read otherwise than it was meant, or not at all, is refused.
fn is_plain(uri: &Uri, text: &str) -> bool {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let (user, place) = match authority.split_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let host = uri.host().unwrap_or_default();
    let port = place
        .strip_prefix(host)
        .map(|port| port.strip_prefix(':').unwrap_or(port));
    let has_port = port.is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok());
    !host.is_empty()
        && has_port
        && uri.path().trim_start_matches('/').is_empty()
        && !text.contains(['?', '#'])
        && (user.is_none() || uri.scheme_str() == Some("http"))
}

fn proxy(place: &'static str, text: &str) -> Result<Proxy, ClusterError> {
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let address = whole.parse().ok().filter(|uri| is_plain(uri, &whole));
    let address = address.and_then(|uri: Uri| match uri.scheme_str() {
        Some("http") => Some(uri),
        Some("socks5") if uri.port().is_some() => Some(uri),
        Some("socks5") => format!("socks5://{}:{SOCKS_PORT}", uri.host()?)
            .parse()
            .ok(),
        _ => None,
    });
    let address = address.ok_or(ClusterError::Proxy(place))?;
    Ok(Proxy { address, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELSEWHERE: &str = "https://api.example.org:6443/";

    fn through(cluster: &str, named: &str, environment: &[(&str, &str)]) -> String {
        let cluster = cluster.parse().unwrap();
        let variable = |name: &str| {
            let set = environment.iter().find(|(set, _)| *set == name);
            set.map(|(_, value)| (*value).to_owned())
        };
        match before(&cluster, Some(named), variable) {
            Ok(Some(proxy)) => proxy.address.to_string(),
            Ok(None) => "directly".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_kubeconfigs_proxy_goes_before_the_environments_and_knows_no_exceptions() {
        let environment = [("HTTPS_PROXY", "http://other:1"), ("NO_PROXY", "*")];
        assert_eq!(
            through(ELSEWHERE, "socks5://own:1", &environment),
            "socks5://own:1/"
        );
        assert_eq!(through(ELSEWHERE, "", &[]), "directly");
        assert_eq!(
            through(ELSEWHERE, "socks5://own", &[]),
            "socks5://own:1080/"
        );
    }

    #[test]
    fn the_environments_proxy_is_the_one_for_the_clusters_scheme() {
        let both = [
            ("HTTPS_PROXY", "http://s:1"),
            ("http_proxy", "http://user:pw@plain:1"),
        ];
        assert_eq!(through(ELSEWHERE, "", &both), "http://s:1/");
        let plain = through("http://api.example.org:8080/", "", &both);
        assert_eq!(plain, "http://user:pw@plain:1/");
        assert_eq!(through(ELSEWHERE, "", &both[1..]), "directly");
        let empty = [("HTTPS_PROXY", ""), ("https_proxy", "small:3128")];
        assert_eq!(through(ELSEWHERE, "", &empty), "http://small:3128/");
    }

    #[test]
    fn what_no_proxy_names_is_reached_directly_and_so_is_this_machine() {
        let proxy = "http://p:1/";
        for (cluster, no_proxy, expected) in [
            (ELSEWHERE, "", proxy),
            (ELSEWHERE, "example.org", "directly"),
            (ELSEWHERE, "other.net, .example.org ,", "directly"),
            (ELSEWHERE, "*.example.org", "directly"),
            (ELSEWHERE, "api.example.org:6443", "directly"),
            (ELSEWHERE, "api.example.org:443", proxy),
            (ELSEWHERE, "ample.org", proxy),
            (ELSEWHERE, "p", proxy),
            (ELSEWHERE, "*", "directly"),
            (ELSEWHERE, "a,,b", proxy),
            ("https://10.96.0.1/", "a.net, *", "directly"),
            ("https://10.96.0.1/", "10.0.0.0/8", "directly"),
            ("https://10.96.0.1/", "10.0.0.0/8:443", "directly"),
            ("https://10.96.0.1/", "10.96.0.1:443", "directly"),
            ("https://10.96.0.1/", "10.96.0.2,192.168.0.0/16", proxy),
            ("https://[fd00::1]:6443/", "fd00::/8", "directly"),
            ("https://[fd00::1]:6443/", "[fd00::1]:6443", "directly"),
            ("https://[fd00::1]:6443/", "[fd00::1]", "directly"),
            ("https://[fd00::443]/", "fd00::443", "directly"),
            ("https://[fd00::1]/", "fd00::1:443", proxy),
            ("https://127.0.0.1:6443/", "", "directly"),
            ("https://localhost:6443/", "", "directly"),
        ] {
            let environment = [("HTTPS_PROXY", "http://p:1"), ("no_proxy", no_proxy)];
            assert_eq!(
                through(cluster, "", &environment),
                expected,
                "{cluster} with no_proxy={no_proxy}"
            );
        }
    }

    #[test]
    fn a_proxy_is_told_with_who_names_it_and_without_its_password() {
        let cluster = ELSEWHERE.parse().unwrap();
        let named = Some("http://user:s3cret@p:3128/");
        let proxy = before(&cluster, named, |_| None).unwrap().unwrap();
        let told = "the proxy http://p:3128 of the kubeconfig's proxy-url";
        assert_eq!(proxy.to_string(), told);
    }

    #[test]
    fn an_address_that_is_no_proxys_is_named_by_its_place_and_not_shown() {
        for address in [
            "ftp://user:s3cret@p:1",
            "http://user:s3cret@",
            "http://s3cret p",
        ] {
            for (named, environment, place) in [
                (address, [("A", "")], "the kubeconfig's proxy-url"),
                ("", [("https_proxy", address)], "https_proxy"),
            ] {
                let error = through(ELSEWHERE, named, &environment);
                assert!(
                    error.starts_with(place) && error.contains("http://host:port"),
                    "{error}"
                );
                assert!(!error.contains("s3cret"), "{error}");
            }
        }
    }
}
