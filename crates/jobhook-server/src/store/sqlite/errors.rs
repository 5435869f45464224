//! What an error of SQLite means.

use jobhook_engine::store::StoreError;

/// SQLite's primary result code of an error, if it is one of SQLite's.
pub(super) fn code(error: &rusqlite::Error) -> Option<i32> {
    let extended = error.sqlite_error()?.extended_code;
    Some(extended & 0xff)
}

/// What an error of the database means to who uses a store.
pub(super) fn failure(error: rusqlite::Error) -> StoreError {
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const TOO_BIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;
    const NOT_A_DATABASE: i32 = 26;

    match (code(&error), &error) {
        (Some(TOO_BIG | CONSTRAINT | MISMATCH), _)
        | (_, rusqlite::Error::ToSqlConversionFailure(_)) => StoreError::Data(error.into()),
        (Some(FULL), _) => StoreError::Full(error.into()),
        (Some(CORRUPT | NOT_A_DATABASE), _)
        | (
            _,
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..),
        ) => StoreError::Damaged(error.to_string()),
        _ => StoreError::Unavailable(error.into()),
    }
}
