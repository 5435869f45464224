//! Tokens, in the same database.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::store::StoreError;

use rusqlite::params;

use super::columns::{Reader, damaged};
use super::{SqliteStore, failure, prepare};
use crate::tokens::{PlainToken, Scope, Token, TokenError, TokenHash, Tokens, is_token_name};

/// How long it is taken for granted that there are no tokens, since somebody has looked: no longer than
/// it takes to use the first one that another process has made.
const FRESH: Duration = Duration::from_millis(1);

/// Uses within so many milliseconds of the last one noted are not noted.
const COALESCED_MS: i64 = 60_000;

const CREATE: &str = "INSERT INTO tokens (name, hash, scope, created_at) VALUES (?, ?, ?, ?) \
    ON CONFLICT (name) DO NOTHING";
const LIST: &str = "SELECT name, scope, created_at, last_used_at FROM tokens ORDER BY name";
const REVOKE: &str = "DELETE FROM tokens WHERE name = ?";
const FIND: &str = "SELECT name, scope, created_at, last_used_at FROM tokens WHERE hash = ?";
const USED: &str = "UPDATE tokens SET last_used_at = ? WHERE hash = ?";
const ANY: &str = "SELECT EXISTS (SELECT 1 FROM tokens)";

fn token(row: &mut Reader<'_>) -> Result<Token, StoreError> {
    Ok(Token {
        name: row.get()?,
        scope: row
            .text()?
            .parse()
            .map_err(|error| damaged("a token", error))?,
        created_at: Timestamp(row.get()?),
        last_used_at: row.optional_time()?,
    })
}

/// When there were no tokens, lately: every request of a server without any asks for them.
#[derive(Debug, Default)]
pub(super) struct NoTokens(Mutex<Option<Instant>>);

impl NoTokens {
    fn is_known(&self, now: Instant) -> bool {
        self.at().is_some_and(|at| now - at < FRESH)
    }

    /// - `at`: before they were looked for.
    fn seen(&self, at: Instant) {
        *self.at() = Some(at);
    }

    fn forget(&self) {
        *self.at() = None;
    }

    fn at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Tokens for SqliteStore {
    async fn create(
        &self,
        name: &str,
        scope: Scope,
        now: Timestamp,
    ) -> Result<PlainToken, TokenError> {
        if !is_token_name(name) {
            return Err(TokenError::InvalidName);
        }
        let plain = PlainToken::draw()?;
        let (owned, hash) = (name.to_owned(), hash_of(&plain));
        let new = self
            .writer
            .run(move |connection| {
                let values = params![owned, hash.as_bytes(), scope.as_str(), now.0];
                connection.execute(CREATE, values)
            })
            .await?;
        self.no_tokens.forget();
        if new == 0 {
            return Err(TokenError::NameTaken(name.to_owned()));
        }
        Ok(plain)
    }

    async fn list(&self) -> Result<Vec<Token>, StoreError> {
        self.readers
            .read(|connection| {
                let mut statement = prepare(connection, LIST)?;
                let mut rows = statement.query([]).map_err(failure)?;
                let mut tokens = Vec::new();
                while let Some(row) = rows.next().map_err(failure)? {
                    tokens.push(token(&mut Reader::new(row))?);
                }
                Ok(tokens)
            })
            .await
    }

    async fn revoke(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let gone = self
            .writer
            .run(move |connection| connection.execute(REVOKE, [name]))
            .await?;
        Ok(gone > 0)
    }

    async fn find(&self, hash: TokenHash, now: Timestamp) -> Result<Option<Token>, StoreError> {
        let found = self
            .readers
            .glance(move |connection| {
                let mut statement = prepare(connection, FIND)?;
                let mut rows = statement.query([hash.as_bytes()]).map_err(failure)?;
                let row = rows.next().map_err(failure)?;
                row.map(|row| token(&mut Reader::new(row))).transpose()
            })
            .await?;
        let Some(found) = found else { return Ok(None) };
        let noted = |at: Timestamp| now.0.saturating_sub(at.0) < COALESCED_MS;
        if !found.last_used_at.is_some_and(noted) {
            let done = self
                .writer
                .run(move |connection| connection.execute(USED, params![now.0, hash.as_bytes()]))
                .await;
            // A request is not refused because its use could not be noted.
            if let Err(error) = done {
                tracing::warn!(%error, token = found.name, "The use of a token was not noted");
            }
        }
        Ok(Some(found))
    }

    async fn any(&self) -> Result<bool, StoreError> {
        let now = Instant::now();
        if self.no_tokens.is_known(now) {
            return Ok(false);
        }
        let any: bool = self
            .readers
            .glance(|connection| {
                let any = prepare(connection, ANY)?.query_row([], |row| row.get(0));
                any.map_err(failure)
            })
            .await?;
        if !any {
            self.no_tokens.seen(now);
        }
        Ok(any)
    }
}

fn hash_of(token: &PlainToken) -> TokenHash {
    TokenHash::of(token.reveal().as_bytes())
}

#[cfg(test)]
mod tests {
    use jobhook_engine::log::LogLimits;
    use jobhook_engine::testing::factory::{NOW, after};
    use tempfile::TempDir;

    use super::*;

    async fn store() -> (TempDir, SqliteStore) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobhook.db");
        let store = SqliteStore::open(&path, LogLimits::default()).await;
        (directory, store.unwrap())
    }

    async fn find(store: &SqliteStore, token: &PlainToken, now: Timestamp) -> Option<Token> {
        let hash = TokenHash::of(token.reveal().as_bytes());
        store.find(hash, now).await.unwrap()
    }

    #[tokio::test]
    async fn a_token_is_found_by_its_hash() {
        let (_directory, store) = store().await;
        let token = store.create("ci", Scope::Launch, NOW).await.unwrap();
        let found = find(&store, &token, after(5)).await.unwrap();
        assert_eq!((found.name.as_str(), found.scope), ("ci", Scope::Launch));
        assert_eq!((found.created_at, found.last_used_at), (NOW, None));
        let other = PlainToken::draw().unwrap();
        assert_eq!(find(&store, &other, NOW).await, None);
    }

    #[tokio::test]
    async fn a_token_is_nowhere_in_the_database() {
        let (directory, store) = store().await;
        let token = store.create("ci", Scope::Admin, NOW).await.unwrap();
        store.close().await;
        let bytes = std::fs::read(directory.path().join("jobhook.db")).unwrap();
        let holds = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
        assert!(holds(TokenHash::of(token.reveal().as_bytes()).as_bytes()));
        assert!(!holds(&token.reveal().as_bytes()[3..]));
    }

    #[tokio::test]
    async fn a_revoked_token_is_gone_at_once() {
        let (_directory, store) = store().await;
        assert!(!store.any().await.unwrap());
        let token = store.create("ci", Scope::Read, NOW).await.unwrap();
        assert!(store.any().await.unwrap());
        assert!(store.revoke("ci").await.unwrap());
        assert_eq!(find(&store, &token, NOW).await, None);
        assert!(!store.any().await.unwrap());
        assert!(!store.revoke("ci").await.unwrap());
    }

    #[tokio::test]
    async fn a_name_is_taken_once_and_free_after_revocation() {
        let (_directory, store) = store().await;
        let first = store.create("ci", Scope::Read, NOW).await.unwrap();
        let second = store.create("ci", Scope::Admin, NOW).await.unwrap_err();
        assert!(matches!(second, TokenError::NameTaken(name) if name == "ci"));
        store.revoke("ci").await.unwrap();
        let third = store.create("ci", Scope::Read, NOW).await.unwrap();
        assert_ne!(first, third);
        let local = store.create("local", Scope::Read, NOW).await;
        assert!(matches!(local, Err(TokenError::InvalidName)));
    }

    #[tokio::test]
    async fn tokens_are_listed_by_name_with_their_last_use() {
        let (_directory, store) = store().await;
        let b = store.create("b", Scope::Operate, NOW).await.unwrap();
        store.create("a", Scope::Read, after(1)).await.unwrap();
        // Within a minute of each other the first use counts.
        for ms in [10, 30_000, 60_009] {
            find(&store, &b, after(ms)).await;
        }
        let listed = store.list().await.unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|token| (token.name.as_str(), token.last_used_at))
            .collect();
        assert_eq!(listed, [("a", None), ("b", Some(after(10)))]);
        find(&store, &b, after(60_010)).await;
        let listed = store.list().await.unwrap();
        assert_eq!(listed[1].last_used_at, Some(after(60_010)));
    }
}
