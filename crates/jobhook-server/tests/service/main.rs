//! Operations inside the server: what becomes of each, through a real engine and store.

mod fixture;
mod lines;
mod outcomes;
mod suite;
