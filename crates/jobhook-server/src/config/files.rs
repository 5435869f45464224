//! `[files]`: where the bytes of files are, and how many there may be. The comments on the
//! fields are the reference.

use std::time::Duration;

use jobhook_engine::files::{SMALL, SMALL_TOTAL};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::measure::{read_a_duration, read_a_size, read_some_size};
use super::read::{Fault, read};
use super::secret::Secret;
use super::section::Judged;
use super::tree::Node;

/// What is still small for a database.
const MOST_SMALL: u64 = 64 << 10;

/// `[files]`: what actions and other objects have beside their record.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Files {
    /// Where their bytes are.
    pub backend: FilesBackend,
    /// The most bytes of one file.
    pub max_file: u64,
    /// The most files of one object.
    pub object_files: u64,
    /// The most bytes of one object.
    pub object_bytes: u64,
    /// The most files of all objects together.
    pub total_files: Option<u64>,
    /// The most bytes of all files together.
    pub total_bytes: Option<u64>,
    /// Bytes that stay free on the disk of the data directory.
    pub min_free: u64,
    /// How long bytes are kept that no file has any more.
    pub keep_unused: Duration,
    /// Files of at most so many bytes are kept in the database.
    pub small: u64,
    /// How many bytes of those the database keeps.
    pub small_total: u64,
}

/// Where the bytes of files are.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FilesBackend {
    /// In the data directory.
    Directory,
    /// In a bucket.
    S3(Box<S3Files>),
}

impl Default for Files {
    fn default() -> Files {
        Keys::default().with(FilesBackend::Directory)
    }
}

/// The keys of `[files]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    /// Where bytes are kept: `"directory"`, in the data directory, or `"s3"`, as `[files.s3]`
    /// says. Default: `"directory"`.
    backend: Backend,
    /// Size of one file. Default: `"100GiB"`.
    #[serde(deserialize_with = "read_a_size")]
    max_file: u64,
    /// Files of one object, of all its properties. Default: 10000.
    object_files: u64,
    /// Size of all files of one object; a few of the largest must have room. Default: `"1TiB"`.
    #[serde(deserialize_with = "read_a_size")]
    object_bytes: u64,
    /// Stored files of all objects together, each content counted once. Default: no limit.
    total_files: Option<u64>,
    /// Size of all files together, each content counted once. Default: what fits.
    #[serde(deserialize_with = "read_some_size")]
    total_bytes: Option<u64>,
    /// Room that the disk of the data directory must keep: before it is gone, no more files
    /// are taken, so that the database can go on. Default: `"1GiB"`.
    #[serde(deserialize_with = "read_a_size")]
    min_free: u64,
    /// How long bytes are kept that no file has any more. Default: `"1h"`.
    #[serde(deserialize_with = "read_a_duration")]
    keep_unused: Duration,
    /// Size up to which a file is kept in the database, at most `"64KiB"`; only in the data
    /// directory, a bucket has all. Default: `"16KiB"`.
    #[serde(deserialize_with = "read_some_size")]
    small: Option<u64>,
    /// Size of all files that the database keeps; what comes above that lies in the folder.
    /// Default: `"1GiB"`.
    #[serde(deserialize_with = "read_a_size")]
    small_total: u64,
    /// The bucket; only with `backend = "s3"`.
    s3: Option<S3Files>,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys {
            backend: Backend::Directory,
            max_file: 100 << 30,
            object_files: 10_000,
            object_bytes: 1 << 40,
            total_files: None,
            total_bytes: None,
            min_free: 1 << 30,
            keep_unused: Duration::from_secs(3_600),
            small: None,
            small_total: SMALL_TOTAL,
            s3: None,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Backend {
    Directory,
    S3,
}

/// `[files.s3]`: a bucket of Amazon S3, or of something that speaks like it.
///
/// What is not set here and belongs to the account is taken from where AWS's own tools have
/// it: the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` and
/// `AWS_REGION`, or the role of the machine or pod.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Files {
    /// Its name. It must exist.
    pub bucket: String,
    /// Where it is. Default: `AWS_REGION`, else `"us-east-1"`.
    #[serde(default)]
    pub region: Option<String>,
    /// The address of another service than Amazon's, such as `"https://s3.example.org"`.
    /// Default: Amazon's.
    #[serde(default, deserialize_with = "read_endpoint")]
    pub endpoint: Option<String>,
    /// What the names of all objects begin with, such as `"jobhook/"`: no other server may
    /// have the same. Default: nothing.
    #[serde(default, deserialize_with = "read_prefix")]
    pub prefix: String,
    /// The id of an access key. Default: as AWS's tools.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// The access key. Default: as AWS's tools.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// Whether the bucket is a part of the path, as in `https://s3.example.org/bucket`, and
    /// not of the host. Default: `true` with an `endpoint`, else `false`.
    #[serde(default)]
    pub path_style: Option<bool>,
    /// Whether the endpoint may be without TLS. Default: `false`.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether downloads come straight from the bucket, at an address that is signed for a
    /// short while. Clients must reach it, and it answers without the server's headers beyond
    /// type and name. Default: `false`.
    #[serde(default)]
    pub direct: bool,
}

impl Files {
    pub(super) fn read(node: &Node) -> Result<Files, Fault> {
        let mut keys: Keys = read(node)?;
        let at = |key: &str, what: &str| super::runner::fault(node, key, what);
        let backend = match (keys.backend, keys.s3.take()) {
            (Backend::Directory, None) => FilesBackend::Directory,
            (Backend::Directory, Some(_)) => {
                return Err(at(
                    "s3",
                    "it is not used without backend = \"s3\" in [files]",
                ));
            }
            (Backend::S3, None) => {
                return Err(at(
                    "backend",
                    "\"s3\" needs a section [files.s3] that names the bucket",
                ));
            }
            (Backend::S3, Some(s3)) => {
                s3.judge(node.get("s3").unwrap_or(node))
                    .map_err(|fault| fault.under("s3"))?;
                FilesBackend::S3(Box::new(s3))
            }
        };
        match keys.small {
            Some(small) if small > MOST_SMALL => {
                return Err(at("small", "more than 64 KiB is not small for a database"));
            }
            Some(1..) if backend != FilesBackend::Directory => {
                return Err(at("small", "a bucket has all files; leave it out"));
            }
            _ => {}
        }
        if keys.max_file > keys.object_bytes {
            return Err(at(
                "max_file",
                "a file may not be larger than `object_bytes`, all files of its object",
            ));
        }
        Ok(keys.with(backend))
    }
}

impl Keys {
    fn with(self, backend: FilesBackend) -> Files {
        let small = match backend {
            FilesBackend::Directory => SMALL,
            FilesBackend::S3(_) => 0,
        };
        Files {
            backend,
            small: self.small.unwrap_or(small),
            small_total: self.small_total,
            max_file: self.max_file,
            object_files: self.object_files,
            object_bytes: self.object_bytes,
            total_files: self.total_files,
            total_bytes: self.total_bytes,
            min_free: self.min_free,
            keep_unused: self.keep_unused,
        }
    }
}

impl S3Files {
    fn judge(&self, node: &Node) -> Result<(), Fault> {
        let at = |key: &str, what: &str| super::runner::fault(node, key, what);
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if self.bucket.is_empty() || !self.bucket.chars().all(plain) {
            return Err(at("bucket", "this is not the name of a bucket"));
        }
        let http = |endpoint: &String| endpoint.starts_with("http://");
        if self.endpoint.as_ref().is_some_and(http) && !self.allow_http {
            return Err(at(
                "endpoint",
                "it is not https; allow_http = true sends files and their names as plain text",
            ));
        }
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(_), None) => Err(at(
                "access_key_id",
                "it needs `secret_access_key` beside it",
            )),
            (None, Some(_)) => Err(at(
                "secret_access_key",
                "it needs `access_key_id` beside it",
            )),
            _ => Ok(()),
        }
    }
}

fn read_endpoint<'de, D: Deserializer<'de>>(source: D) -> Result<Option<String>, D::Error> {
    source.deserialize_str(Judged {
        expected: "an http or https address",
        judge: |text| {
            let url = Url::parse(text).ok().filter(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.query().is_none()
                    && url.fragment().is_none()
            });
            match url {
                // The text is not shown otherwise: it may have a password in it.
                None => Err(
                    "this is not an http or https address such as \"https://s3.example.org\""
                        .to_owned(),
                ),
                Some(url) => Ok(Some(url.as_str().trim_end_matches('/').to_owned())),
            }
        },
    })
}

fn read_prefix<'de, D: Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    source.deserialize_str(Judged {
        expected: "a text such as \"jobhook/\"",
        judge: |text| {
            let inner = text.strip_suffix('/').unwrap_or(text);
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let part = |part: &str| {
                !matches!(part, "" | "." | "..") && part.chars().all(plain)
            };
            match text {
                "" => Ok(String::new()),
                _ if text.len() <= 100 && inner.split('/').all(part) => Ok(format!("{inner}/")),
                _ => Err(format!(
                    "`{text}` is not a prefix such as \"jobhook/\": at most 100 of A-Z a-z 0-9 . _ - in parts with a slash between"
                )),
            }
        },
    })
}

#[cfg(test)]
mod tests;
