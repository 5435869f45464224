//! Tokens, in the same database.

use async_trait::async_trait;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::store::StoreError;

use super::columns::{Reader, damaged};
use super::{SqliteStore, failure};
use crate::tokens::{PlainToken, Scope, Token, TokenError, TokenHash, Tokens, is_token_name};

/// Uses within so many milliseconds of the last one noted are not noted.
const COALESCED_MS: i64 = 60_000;

fn token(row: &mut Reader<'_>) -> Result<Token, StoreError> {
    Ok(Token {
        name: row.get()?,
        scope: row
            .get::<&str>()?
            .parse()
            .map_err(|error| damaged("a token", error))?,
        created_at: Timestamp(row.get()?),
        last_used_at: row.optional_time()?,
    })
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
        let done = sqlx::query(
            "INSERT INTO tokens (name, hash, scope, created_at) VALUES (?, ?, ?, ?) \
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(name)
        .bind(
            TokenHash::of(plain.reveal().as_bytes())
                .as_bytes()
                .as_slice(),
        )
        .bind(scope.as_str())
        .bind(now.0)
        .execute(self.writer.session().await?.connection())
        .await
        .map_err(failure)?;
        if done.rows_affected() == 0 {
            return Err(TokenError::NameTaken(name.to_owned()));
        }
        Ok(plain)
    }

    async fn list(&self) -> Result<Vec<Token>, StoreError> {
        let rows =
            sqlx::query("SELECT name, scope, created_at, last_used_at FROM tokens ORDER BY name")
                .fetch_all(&self.readers)
                .await
                .map_err(failure)?;
        rows.iter()
            .map(|row| token(&mut Reader::new(row)))
            .collect()
    }

    async fn revoke(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM tokens WHERE name = ?")
            .bind(name)
            .execute(self.writer.session().await?.connection())
            .await
            .map_err(failure)?;
        Ok(done.rows_affected() > 0)
    }

    async fn find(&self, hash: TokenHash, now: Timestamp) -> Result<Option<Token>, StoreError> {
        let row =
            sqlx::query("SELECT name, scope, created_at, last_used_at FROM tokens WHERE hash = ?")
                .bind(hash.as_bytes().as_slice())
                .fetch_optional(&self.readers)
                .await
                .map_err(failure)?;
        let Some(row) = row else { return Ok(None) };
        let found = token(&mut Reader::new(&row))?;
        let noted = |at: Timestamp| now.0.saturating_sub(at.0) < COALESCED_MS;
        if !found.last_used_at.is_some_and(noted) {
            let done = sqlx::query("UPDATE tokens SET last_used_at = ? WHERE hash = ?")
                .bind(now.0)
                .bind(hash.as_bytes().as_slice())
                .execute(self.writer.session().await?.connection())
                .await;
            // A request is not refused because its use could not be noted.
            if let Err(error) = done {
                tracing::warn!(%error, token = found.name, "The use of a token was not noted");
            }
        }
        Ok(Some(found))
    }

    async fn any(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tokens)")
            .fetch_one(&self.readers)
            .await
            .map_err(failure)
    }
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
