//! Which address a server listens on, and whether it may.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserializer;
use serde::de::{self, Visitor};

const EXPECTED: &str =
    "an address with a port, such as \"127.0.0.1:8088\", \"[::1]:8088\" or \"localhost:8088\"";

/// The address a server listens on if nobody says otherwise.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8088);

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not {EXPECTED}")]
pub struct AddressError(String);

/// Why a server may not start without tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// It listens beyond loopback.
    #[error(
        "{0} can be reached from other machines, and without tokens anybody there could run commands: \
         create one with `jobhook token create NAME --scope admin`, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// It is made known under a public address, so a proxy is in front of it.
    #[error(
        "server.public_url is `{0}`, so others reach this server through a proxy, and without tokens anybody \
         there could run commands: create one with `jobhook token create NAME --scope admin`"
    )]
    Public(String),
    /// Its jobs run as other users, who could launch what runs as the server.
    #[error(
        "runners.{0} has `run_as`, and without tokens that user's jobs could launch any action: \
         create one with `jobhook token create NAME --scope admin`"
    )]
    RunAs(String),
}

/// Whether an http or https address names this machine.
pub(super) fn is_of_this_machine(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// Reads an address; `localhost` is 127.0.0.1, other names are not looked up.
///
/// # Errors
///
/// [`AddressError`] shows the text and what an address looks like.
pub fn listen_address(text: &str) -> Result<SocketAddr, AddressError> {
    let local = text
        .strip_prefix("localhost:")
        .and_then(|port| port.parse().ok())
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    local
        .or_else(|| text.parse().ok())
        .ok_or_else(|| AddressError(text.to_owned()))
}

/// Judges whether a server may listen on `address` (clause `API-3`).
///
/// - `has_tokens`: whether any token is known, from the configuration or the store.
///
/// # Errors
///
/// [`ListenError`] for an address beyond loopback without tokens.
pub fn may_listen(address: SocketAddr, has_tokens: bool) -> Result<(), ListenError> {
    if has_tokens || address.ip().to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(ListenError::Open(address))
    }
}

/// For `deserialize_with`.
pub(super) fn read_an_address<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<SocketAddr, D::Error> {
    source.deserialize_str(Address)
}

struct Address;

impl Visitor<'_> for Address {
    type Value = SocketAddr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SocketAddr, E> {
        listen_address(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tokens_only_loopback_is_listened_on() {
        for (address, alone) in [
            ("127.0.0.1:8088", true),
            ("127.8.9.1:1", true),
            ("[::1]:8088", true),
            ("[::ffff:127.0.0.1]:80", true),
            ("localhost:8088", true),
            ("0.0.0.0:8088", false),
            ("[::]:8088", false),
            ("192.168.1.2:8088", false),
        ] {
            let address = listen_address(address).unwrap();
            assert_eq!(may_listen(address, false).is_ok(), alone, "{address}");
            assert_eq!(may_listen(address, true), Ok(()), "{address}");
        }
    }

    #[test]
    fn a_refused_address_comes_with_the_way_out() {
        let error = may_listen(listen_address("0.0.0.0:80").unwrap(), false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "0.0.0.0:80 can be reached from other machines, and without tokens anybody there \
             could run commands: create one with `jobhook token create NAME --scope admin`, \
             or listen on 127.0.0.1"
        );
    }

    #[test]
    fn an_address_of_this_machine_is_known() {
        for (url, own) in [
            ("http://127.0.0.1:8088", true),
            ("http://localhost", true),
            ("http://[::1]:80/x", true),
            ("https://jobs.example.org", false),
            ("http://localhost.example.org", false),
            ("http://10.0.0.1:8088", false),
        ] {
            assert_eq!(is_of_this_machine(url), own, "{url}");
        }
    }

    #[test]
    fn an_address_has_a_port() {
        for text in [
            "127.0.0.1",
            "8088",
            ":8088",
            "example.org:80",
            "localhost:99999",
        ] {
            assert!(listen_address(text).is_err(), "{text}");
        }
    }
}
