//! Where the bytes of files are kept: in a [`directory`] of this machine, or in a bucket ([`s3`]).

pub mod directory;
#[cfg(feature = "s3")]
pub mod s3;
