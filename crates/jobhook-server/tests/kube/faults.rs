//! What no real cluster does when it is asked to.

mod access;
mod launches;
mod nodes;
mod rate;
mod reach;
mod sweep;
mod wire;
