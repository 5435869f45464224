//! Tokens, in the same database.

use async_trait::async_trait;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::store::StoreError;

use super::columns::{Reader, damaged};
use super::{SqliteStore, failure};
use crate::store::tokens::{
    PlainToken, Scope, Token, TokenError, TokenHash, Tokens, is_token_name,
};

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
        .bind(TokenHash::of(plain.reveal()).as_bytes().as_slice())
        .bind(scope.as_str())
        .bind(now.0)
        .execute(&self.writer)
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
            .execute(&self.writer)
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
                .execute(&self.writer)
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
