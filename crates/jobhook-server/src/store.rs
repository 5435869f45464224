//! Where actions and tokens are kept: [`sqlite`] is the store of one machine.

pub mod sqlite;
