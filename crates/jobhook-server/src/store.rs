//! Where actions and tokens are kept.
//!
//! [`sqlite`] is the store of one machine. [`tokens`] are who may use the management API.

pub mod sqlite;
pub mod tokens;
