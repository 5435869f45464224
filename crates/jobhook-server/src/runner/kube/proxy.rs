//! Which proxy stands before a cluster's API server.
//!
//! The kubeconfig's `proxy-url` goes first. Without one the environment says, by the rules that
//! kubectl follows: `HTTPS_PROXY` (`HTTP_PROXY` for an API server without TLS), `NO_PROXY` for what
//! is reached directly, each in small letters too, and none for this machine. The client library
//! reads no environment in a pod, and holds `NO_PROXY` against the proxy instead of the cluster.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::cluster::ClusterError;
use crate::http::is_loopback_name;

/// The proxy that `cluster` is reached through.
///
/// - `named`: the kubeconfig's own.
/// - `variable`: the environment.
///
/// # Errors
///
/// [`ClusterError::Proxy`], which does not show the address: it may hold a password.
pub(super) fn before(
    cluster: &Uri,
    named: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, ClusterError> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return address("the kubeconfig's proxy-url", named).map(Some);
    }
    let first_of = |names: [&'static str; 2]| {
        let set = names.map(|name| Some((name, variable(name).filter(|text| !text.is_empty())?)));
        set.into_iter().flatten().next()
    };
    let proxies = match cluster.scheme_str() {
        Some("https") => ["HTTPS_PROXY", "https_proxy"],
        _ => ["HTTP_PROXY", "http_proxy"],
    };
    let Some((name, proxy)) = first_of(proxies) else {
        return Ok(None);
    };
    let direct = first_of(["NO_PROXY", "no_proxy"]).map(|(_, direct)| direct);
    if is_direct(cluster, direct.as_deref().unwrap_or_default()) {
        return Ok(None);
    }
    address(name, &proxy).map(Some)
}

fn is_direct(cluster: &Uri, no_proxy: &str) -> bool {
    let host = cluster.host().unwrap_or_default();
    if is_loopback_name(host.as_bytes()) {
        return true;
    }
    let scheme_port = match cluster.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = format!(":{}", cluster.port_u16().unwrap_or(scheme_port));
    // The matcher knows names, their subdomains and networks, but neither ports nor `*.`.
    let entries: Vec<&str> = no_proxy
        .split(',')
        .map(str::trim)
        .map(|entry| entry.strip_suffix(&port).unwrap_or(entry))
        .map(|entry| {
            entry
                .strip_prefix('*')
                .filter(|rest| !rest.is_empty())
                .unwrap_or(entry)
        })
        .collect();
    let anything = "http://proxy.invalid";
    let matcher = Matcher::builder()
        .all(anything)
        .no(entries.join(","))
        .build();
    matcher.intercept(cluster).is_none()
}

fn address(place: &'static str, text: &str) -> Result<Uri, ClusterError> {
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    whole
        .parse()
        .ok()
        .filter(|uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https" | "socks5"))
                && uri.host().is_some_and(|host| !host.is_empty())
        })
        .ok_or(ClusterError::Proxy(place))
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
            Ok(Some(proxy)) => proxy.to_string(),
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
            ("https://10.96.0.1/", "10.0.0.0/8", "directly"),
            ("https://10.96.0.1/", "10.96.0.1:443", "directly"),
            ("https://10.96.0.1/", "10.96.0.2,192.168.0.0/16", proxy),
            ("https://[fd00::1]:6443/", "fd00::/8", "directly"),
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
