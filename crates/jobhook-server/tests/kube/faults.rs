//! What no real cluster does when it is asked to.

mod access;
mod nodes;
mod rate;
mod sweep;
mod wire;
