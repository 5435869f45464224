//! Where the bytes of files are kept: [`directory`] on this machine.

pub mod directory;
