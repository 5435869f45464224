//! Whom a server without tokens serves: programs on its own machine.
//!
//! A web page in a browser on that machine can send requests too. It cannot leave out
//! `Origin` where it could do harm, and under another name for this address (DNS rebinding)
//! it cannot name it `localhost` in `Host`. So both are looked at, together with the peer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::header;
use axum::http::request::Parts;
use jobhook_protocol::Code;

use super::refusal::{Answered, Refused};

/// What a proxy adds: behind one everybody comes from this machine.
const FORWARDED: [&str; 6] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Refuses what does not come from a program on this machine.
///
/// - `peer`: the other end of the connection, if it is known.
pub(super) fn judge(head: &Parts, peer: Option<IpAddr>) -> Answered<()> {
    if head.headers.contains_key(header::ORIGIN) {
        return Err(Refused::new(
            Code::OriginRefused,
            "a server without tokens takes no requests from web pages; configure tokens",
        ));
    }
    if let Some(name) = FORWARDED
        .iter()
        .find(|name| head.headers.contains_key(**name))
    {
        return Err(foreign(&format!(
            "no requests that came through a proxy (the header {name})"
        )));
    }
    if !peer.is_some_and(|peer| peer.to_canonical().is_loopback()) {
        return Err(foreign("only connections from its own machine"));
    }
    let authority = head
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let hosts = head.headers.get_all(header::HOST).iter();
    let mut named = authority
        .into_iter()
        .chain(hosts.map(|host| host.as_bytes()))
        .peekable();
    if named.peek().is_none() || !named.all(is_loopback_name) {
        return Err(foreign(
            "only the names localhost, 127.0.0.1 and [::1] in the header Host",
        ));
    }
    Ok(())
}

fn foreign(served: &str) -> Refused {
    let detail = format!("a server without tokens serves {served}; configure tokens");
    Refused::new(Code::ForeignHost, detail)
}

/// Whether `host` names this machine, with or without a port.
pub(crate) fn is_loopback_name(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let (name, port) = match host.rsplit_once(':') {
        // The colons of an address stand in brackets.
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, "0"),
    };
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let v6 = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match v6 {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok_and(|v6| v6.is_loopback()),
        None => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse::<Ipv4Addr>().is_ok_and(|v4| v4.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_three_kinds_of_names() {
        for host in [
            "localhost",
            "LocalHost:8088",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]",
            "[::1]:8088",
        ] {
            assert!(is_loopback_name(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "localhost:",
            "localhost:x",
            "127.0.0.1.example.org",
            "0.0.0.0",
            "10.0.0.1",
            "[::]",
            "::1",
            "[::1",
            "127.1",
            "localhost:80:80",
            "user@localhost",
        ] {
            assert!(!is_loopback_name(host.as_bytes()), "{host}");
        }
    }
}
