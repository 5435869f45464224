//! The sections with fixed names. The comments on the fields are the reference.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use super::listen::{DEFAULT_LISTEN, read_an_address};
use super::measure::{read_a_duration_or_off, read_a_size};
use crate::tokens::{Scope, TokenHash};

/// `[server]`: where the server listens and keeps its data.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The address and port that the server listens on. An address beyond loopback needs
    /// tokens. Default: `"127.0.0.1:8088"`.
    #[serde(deserialize_with = "read_an_address")]
    pub listen: SocketAddr,
    /// The server's address as its jobs and clients see it, for example
    /// `"https://jobs.example.org"`, without a path of the API. Default: `http://` and the
    /// address listened on.
    #[serde(deserialize_with = "read_public_url")]
    pub public_url: Option<String>,
    /// The directory for the database, keys and the output of jobs; a relative one starts at
    /// the configuration file's directory. `--data-dir` and `JOBHOOK_DATA_DIR` go first.
    /// Default: `$STATE_DIRECTORY`, else `$XDG_DATA_HOME/jobhook`, else
    /// `~/.local/share/jobhook`.
    pub data_dir: Option<PathBuf>,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            listen: DEFAULT_LISTEN,
            public_url: None,
            data_dir: None,
        }
    }
}

/// `[hook]`: the address that jobs report to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hook {
    /// The path of the hook. Default: `"/async"`.
    #[serde(deserialize_with = "read_hook_path")]
    pub url: String,
    /// Which requests of jobs are taken: `"any"`, or `"v1"` for signed ones only. A runner
    /// may say otherwise for its jobs. Default: `"any"`.
    pub signature: Signature,
    /// How far a request's time of signing may lie from the server's clock, both ways.
    /// `"off"` takes the original's requests of any age; signed ones are always judged.
    /// Default: `"5m"`.
    #[serde(deserialize_with = "read_a_duration_or_off")]
    pub max_clock_skew: Option<Duration>,
}

impl Default for Hook {
    fn default() -> Hook {
        Hook {
            url: "/async".to_owned(),
            signature: Signature::Any,
            max_clock_skew: Some(Duration::from_secs(300)),
        }
    }
}

/// Which requests of a job count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Signature {
    /// Those of both profiles.
    #[default]
    #[serde(rename = "any")]
    Any,
    /// Only those with a `v1` signature.
    #[serde(rename = "v1")]
    V1,
}

/// `[limits]`: how much is kept and taken.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Log lines kept for each action; beyond it the oldest go. Default: 100000.
    pub log_lines: u64,
    /// Size of the log kept for each action; beyond it the oldest lines go. Default:
    /// `"64MiB"`.
    #[serde(deserialize_with = "read_a_size")]
    pub log_bytes: u64,
    /// Size of an action's arguments, as JSON text. Default: `"1MiB"`.
    #[serde(deserialize_with = "read_a_size")]
    pub arguments: u64,
    /// Size of the body of a report. Default: `"10MiB"`.
    #[serde(deserialize_with = "read_a_size")]
    pub hook_body: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            log_lines: 100_000,
            log_bytes: 64 << 20,
            arguments: 1 << 20,
            hook_body: 10 << 20,
        }
    }
}

/// `[auth]`: who may use the management API.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Tokens, beside those that `jobhook token create` keeps in the store. Default: none.
    pub tokens: Vec<Token>,
}

/// `[[auth.tokens]]`: a token that is fixed in the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is; shows in the log and as who cancelled an action.
    pub name: String,
    /// The SHA-256 of the token in hexadecimal, as `printf %s "$TOKEN" | sha256sum` prints
    /// it. The token itself is kept nowhere.
    #[serde(deserialize_with = "read_sha256")]
    pub sha256: TokenHash,
    /// What it allows: `"read"`, `"launch"`, `"operate"` or `"admin"`, each with all before
    /// it.
    pub scope: Scope,
    /// What permissions of operations may ask for, beside `name` and `scope`: a table such as
    /// `{ roles = ["ops"], team = "blue" }`. Default: none.
    #[serde(default, deserialize_with = "read_claims")]
    pub claims: Map<String, Value>,
}

/// `[operations]`: what can be launched by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operations {
    /// Files with definitions, as a program with operations or Webda prints them; a relative
    /// path starts at the configuration file's directory. Default: none.
    pub files: Vec<PathBuf>,
}

/// `[scheduler]`: when scheduled actions start.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scheduler {
    /// Scheduled times are rounded down to a multiple of this, from 1 ms to a day. Webda's name
    /// is `schedulerResolution`, which is a number of milliseconds. Default: `"1s"`.
    #[serde(alias = "schedulerResolution", deserialize_with = "read_a_resolution")]
    pub resolution: Duration,
}

impl Default for Scheduler {
    fn default() -> Scheduler {
        Scheduler {
            resolution: Duration::from_secs(1),
        }
    }
}

/// `[store]`: where actions are kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// The kind of store. `"sqlite"`, a file in the data directory, is the only one in this
    /// version. Default: `"sqlite"`.
    #[serde(deserialize_with = "read_store_kind")]
    pub kind: StoreKind,
}

/// A kind of store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// SQLite, in the data directory.
    #[default]
    Sqlite,
}

/// Reads a text and judges it by a rule that explains itself.
pub(super) struct Judged<T> {
    pub(super) expected: &'static str,
    pub(super) judge: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for Judged<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.judge)(text).map_err(E::custom)
    }
}

pub(super) fn read_public_url<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<String>, D::Error> {
    source.deserialize_str(Judged {
        expected: "an http or https address",
        judge: |text| {
            let url = Url::parse(text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            match url {
                Some(url) if url.query().is_none() && url.fragment().is_none() => {
                    Ok(Some(text.trim_end_matches('/').to_owned()))
                }
                _ => Err(format!(
                    "`{text}` is not an http or https address without a query, such as \"https://jobs.example.org\""
                )),
            }
        },
    })
}

fn read_hook_path<'de, D: Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    source.deserialize_str(Judged {
        expected: "a path such as \"/async\"",
        judge: |text| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
            let taken = ["/api", "/healthz", "/readyz", "/metrics", "/.well-known"]
                .into_iter()
                .find(|own| {
                    text.strip_prefix(own)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                });
            if let Some(own) = taken {
                Err(format!("`{text}` is taken: {own} has a meaning of its own"))
            } else if text.len() > 1
                && text.starts_with('/')
                && !text.ends_with('/')
                && !text.contains("//")
                && text.chars().all(plain)
            {
                Ok(text.to_owned())
            } else {
                Err(format!(
                    "`{text}` is not a path such as \"/async\": it begins with a slash, does not end with one and has no query"
                ))
            }
        },
    })
}

fn read_sha256<'de, D: Deserializer<'de>>(source: D) -> Result<TokenHash, D::Error> {
    source.deserialize_str(Judged {
        expected: "64 hexadecimal digits",
        // The text is not shown: somebody may have put the token itself here.
        judge: |text| {
            text.parse().map_err(|_| {
                "this is not the SHA-256 of a token in 64 hexadecimal digits; `printf %s \"$TOKEN\" | sha256sum` prints it".to_owned()
            })
        },
    })
}

fn read_claims<'de, D: Deserializer<'de>>(source: D) -> Result<Map<String, Value>, D::Error> {
    let claims = Map::deserialize(source)?;
    match ["name", "scope"]
        .iter()
        .find(|own| claims.contains_key(**own))
    {
        Some(own) => Err(de::Error::custom(format_args!(
            "the claim `{own}` is the token's own {own}; give this one another name"
        ))),
        None => Ok(claims),
    }
}

/// A duration, or a number of milliseconds.
fn read_a_resolution<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    struct Resolution;

    impl Visitor<'_> for Resolution {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as \"1s\", or a number of milliseconds")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            judged(super::duration(text).map_err(E::custom)?)
        }

        fn visit_i64<E: de::Error>(self, ms: i64) -> Result<Duration, E> {
            judged(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
        }
    }

    fn judged<E: de::Error>(resolution: Duration) -> Result<Duration, E> {
        const DAY: Duration = Duration::from_secs(86_400);
        if (Duration::from_millis(1)..=DAY).contains(&resolution) {
            return Ok(resolution);
        }
        Err(E::custom("it must be from \"1ms\" to \"1d\""))
    }

    source.deserialize_any(Resolution)
}

fn read_store_kind<'de, D: Deserializer<'de>>(source: D) -> Result<StoreKind, D::Error> {
    source.deserialize_str(Judged {
        expected: "\"sqlite\"",
        judge: |text| match text {
            "sqlite" => Ok(StoreKind::Sqlite),
            _ => Err(format!(
                "`{text}` is not available in this version; the only kind of store is \"sqlite\""
            )),
        },
    })
}
