//! Blobs as objects of a bucket: Amazon S3, or what speaks like it.
//!
//! ```text
//! {prefix}content/{generation}
//! ```
//!
//! Nothing can be renamed in a bucket, so the key is drawn when a blob is begun; the bucket
//! itself shows an object only once it is complete. What is larger than one part goes up as a
//! multipart upload, a few parts at once, through this server. Only downloads may go past it.
//!
//! Credentials, requests and signatures are `object_store`'s; TLS is rustls with ring.

mod name;
mod unfinished;
mod upload;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use jobhook_engine::blob::{BlobError, BlobName, BlobStore, BlobWriter, DirectTerms, PIECE};
use jobhook_engine::clock::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector, ReqwestConnector};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{
    ClientOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig,
};
use url::Url;

use crate::config::S3Files;

/// How long a request may go without an answer, or a download without a byte.
const SILENCE: Duration = Duration::from_secs(120);
/// How long something that failed is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most names in one answer.
const PAGE: usize = 1_000;

/// Keeps blobs in a bucket.
#[derive(Clone)]
pub struct S3Blobs {
    bucket: Arc<Bucket>,
}

struct Bucket {
    s3: AmazonS3,
    http: HttpClient,
    name: String,
    /// What all keys begin with.
    prefix: String,
    direct: bool,
}

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum S3Error {
    /// What is configured fits nowhere.
    #[error("files.s3: this cannot be used")]
    Settings(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no such bucket.
    #[error("files.s3: there is no bucket `{bucket}` at this endpoint and in this region")]
    NoBucket {
        /// Its name.
        bucket: String,
    },
    /// The credentials do not allow it.
    #[error(
        "files.s3: the credentials may not list, write and delete objects in the bucket `{bucket}`"
    )]
    Denied {
        /// Its name.
        bucket: String,
        /// What the service said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It does not answer, or not as it should.
    #[error("files.s3: the bucket `{bucket}` cannot be reached")]
    Unreachable {
        /// Its name.
        bucket: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Without the client, which has credentials.
impl fmt::Debug for S3Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Blobs")
            .field("bucket", &self.bucket.name)
            .field("prefix", &self.bucket.prefix)
            .finish_non_exhaustive()
    }
}

impl S3Blobs {
    /// Takes a bucket as it is configured, and the environment for what is not. Nothing is sent
    /// yet: see [`S3Blobs::check`].
    ///
    /// # Errors
    ///
    /// [`S3Error::Settings`].
    pub fn open(settings: &S3Files) -> Result<S3Blobs, S3Error> {
        // Where a program that embeds the server has chosen another one, that is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wrong = |error: Error| S3Error::Settings(Box::new(error));
        let options = ClientOptions::new()
            .with_allow_http(settings.allow_http)
            .with_timeout_disabled()
            .with_read_timeout(SILENCE);
        let s3 = builder(settings)
            .map_err(|error| S3Error::Settings(error.into()))?
            .with_client_options(options.clone())
            .build()
            .map_err(wrong)?;
        let http = ReqwestConnector::default().connect(&options);
        Ok(S3Blobs {
            bucket: Arc::new(Bucket {
                s3,
                http: http.map_err(wrong)?,
                name: settings.bucket.clone(),
                prefix: format!("{}content/", settings.prefix),
                direct: settings.direct,
            }),
        })
    }

    /// Looks whether the bucket is there, and can be listed, written to and deleted from.
    ///
    /// # Errors
    ///
    /// [`S3Error`].
    pub async fn check(&self) -> Result<(), S3Error> {
        let bucket = &self.bucket;
        let tried = async {
            let key = Path::from(format!("{}check", bucket.prefix));
            bucket.s3.put(&key, Bytes::new().into()).await?;
            bucket.s3.delete(&key).await?;
            bucket.page(None, Some(1)).await
        };
        let name = bucket.name.clone();
        match tried.await {
            Ok(_) => Ok(()),
            // Putting finds nothing missing but the bucket.
            Err(Error::NotFound { .. }) => Err(S3Error::NoBucket { bucket: name }),
            Err(error) if is_denied(&error) => Err(S3Error::Denied {
                bucket: name,
                source: Box::new(error),
            }),
            Err(error) => Err(S3Error::Unreachable {
                bucket: name,
                source: Box::new(error),
            }),
        }
    }
}

fn builder(settings: &S3Files) -> Result<AmazonS3Builder, url::ParseError> {
    let around = AmazonS3Builder::from_env();
    let region = settings
        .region
        .clone()
        .or_else(|| around.get_config_value(&AmazonS3ConfigKey::Region));
    let mut builder = match (&settings.access_key_id, &settings.secret_access_key) {
        // A session token of the environment belongs to the keys of the environment.
        (Some(id), Some(secret)) => AmazonS3Builder::new()
            .with_access_key_id(id)
            .with_secret_access_key(secret.reveal()),
        _ => around,
    };
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    let path_style = settings.path_style.unwrap_or(settings.endpoint.is_some());
    if let Some(endpoint) = &settings.endpoint {
        let mut url = Url::parse(endpoint)?;
        if !path_style && let Some(host) = url.host_str() {
            let host = format!("{}.{host}", settings.bucket);
            url.set_host(Some(&host))?;
        }
        builder = builder.with_endpoint(url.as_str().trim_end_matches('/'));
    }
    Ok(builder
        .with_bucket_name(&settings.bucket)
        .with_virtual_hosted_style_request(!path_style)
        // Not everybody can delete several at once, and nothing here wants to.
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig {
            max_retries: 5,
            retry_timeout: PATIENCE,
            ..RetryConfig::default()
        }))
}

fn is_denied(error: &Error) -> bool {
    matches!(
        error,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. }
    ) || told(error).contains("AccessDenied") // of a list
}

/// What an error and all its causes say.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What the service said, by what it means.
fn failed(error: Error) -> BlobError {
    // Services with a quota have no common status for it, but these words.
    let text = told(&error);
    if ["QuotaExceeded", "StorageFull"]
        .iter()
        .any(|code| text.contains(code))
    {
        return BlobError::Full(Box::new(error));
    }
    BlobError::Unavailable(Box::new(error))
}

impl Bucket {
    /// Where a blob is; nowhere, if this is no name of one.
    fn key(&self, name: &BlobName) -> Result<Path, BlobError> {
        if !name::is_ours(&name.0) {
            return Err(BlobError::NotFound);
        }
        Ok(Path::from(format!("{}{name}", self.prefix)))
    }

    async fn page(
        &self,
        from: Option<PaginatedListOptions>,
        limit: Option<usize>,
    ) -> Result<object_store::list::PaginatedListResult, Error> {
        let options = PaginatedListOptions {
            max_keys: Some(limit.unwrap_or(PAGE).clamp(1, PAGE)),
            ..from.unwrap_or_default()
        };
        self.s3.list_paginated(Some(&self.prefix), options).await
    }

    /// Whether a blob has all of a range.
    async fn has(&self, key: &Path, range: &Range<u64>) -> Result<bool, BlobError> {
        match self.s3.head(key).await {
            Ok(found) => Ok(range.end <= found.size),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
}

#[async_trait]
impl BlobStore for S3Blobs {
    async fn begin(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(upload::Upload::new(Arc::clone(&self.bucket))?))
    }

    async fn read(
        &self,
        name: &BlobName,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let key = self.bucket.key(name)?;
        if range.is_empty() {
            // Nothing cannot be asked for.
            return match self.bucket.has(&key, &range).await? {
                true => Ok(stream::empty().boxed()),
                false => Err(BlobError::NotFound),
            };
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let found = match self.bucket.s3.get_opts(&key, options).await {
            Ok(found) if range.end <= found.meta.size => found,
            Ok(_) | Err(Error::NotFound { .. }) => return Err(BlobError::NotFound),
            // It may be the range that is refused.
            Err(error) => {
                return Err(match self.bucket.has(&key, &range).await? {
                    true => failed(error),
                    false => BlobError::NotFound,
                });
            }
        };
        let pieces = found.into_stream().flat_map(|piece| {
            let mut rest = piece.map_err(failed);
            let mut ended = false;
            stream::iter(std::iter::from_fn(move || match &mut rest {
                Ok(rest) if rest.is_empty() => None,
                Ok(rest) => Some(Ok(rest.split_to(rest.len().min(PIECE)))),
                Err(_) if std::mem::replace(&mut ended, true) => None,
                failed => Some(std::mem::replace(failed, Ok(Bytes::new()))),
            }))
        });
        Ok(pieces.boxed())
    }

    async fn delete(&self, name: &BlobName) -> Result<(), BlobError> {
        let Ok(key) = self.bucket.key(name) else {
            return Ok(());
        };
        match self.bucket.s3.delete(&key).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    async fn list(
        &self,
        after: Option<&BlobName>,
        limit: usize,
    ) -> Result<Vec<(BlobName, Timestamp)>, BlobError> {
        let bucket = &self.bucket;
        let mut from = PaginatedListOptions {
            offset: after
                .filter(|after| name::is_ours(&after.0))
                .map(|after| format!("{}{after}", bucket.prefix)),
            ..PaginatedListOptions::default()
        };
        let mut listed = Vec::new();
        while listed.len() < limit {
            let left = limit - listed.len();
            let page = bucket.page(Some(from), Some(left)).await.map_err(failed)?;
            for object in page.result.objects {
                let key = object.location.as_ref();
                if let Some(text) = key.strip_prefix(&bucket.prefix)
                    && name::is_ours(text)
                    && after.is_none_or(|after| *text > *after.0)
                {
                    let at = Timestamp(object.last_modified.timestamp_millis());
                    listed.push((BlobName(text.to_owned()), at));
                }
            }
            let Some(token) = page.page_token else {
                break;
            };
            from = PaginatedListOptions {
                page_token: Some(token),
                ..PaginatedListOptions::default()
            };
        }
        listed.truncate(limit);
        Ok(listed)
    }

    async fn clear_unfinished(&self) -> Result<(), BlobError> {
        unfinished::clear(&self.bucket).await
    }

    async fn room(&self) -> Result<Option<u64>, BlobError> {
        Ok(None)
    }

    async fn direct(
        &self,
        name: &BlobName,
        terms: &DirectTerms,
    ) -> Result<Option<String>, BlobError> {
        let key = self.bucket.key(name)?;
        if !self.bucket.direct {
            return Ok(None);
        }
        let bound = SignedUrlOptions::default().with_query([
            ("response-content-type", &terms.content_type),
            ("response-content-disposition", &terms.content_disposition),
        ]);
        let signed = self
            .bucket
            .s3
            .signed_url_opts(Method::GET, &key, terms.lasts, &bound)
            .await;
        signed.map(|url| Some(url.into())).map_err(failed)
    }
}

#[cfg(test)]
mod moto;
#[cfg(test)]
mod tests;
