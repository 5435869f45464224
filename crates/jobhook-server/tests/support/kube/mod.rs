//! A Kubernetes cluster for tests: an API server that speaks real HTTP, the controllers behind it,
//! and a node whose kubelet runs each container, as a process of this machine.
//!
//! ```text
//!            HTTP                                            what a test holds: FakeCluster
//!  client ────────▶ http ─▶ faults, access ─▶ api ──┐                    │
//!                    │                      watch ◀─┤                    ▼
//!                    ▼                              objects ◀── controllers: jobs, garbage,
//!                 requests (who asked what)         ▲    ▲      namespaces, scheduler
//!                    │                              │    │
//!                  logs ◀────────── kubelet ────────┘  events
//! ```
//!
//! How it behaves is taken from the documentation of the Kubernetes API, v1.33: what clients trip
//! over on real clusters is here too. What it does not know: images (each is this machine, unless
//! its name says `missing`), volumes but that their Secrets have to be there, networks, probes, `restartPolicy` other than `Never`, more
//! than one node. A container's first process is not the first of its own process namespace, so
//! that, unlike in a container, SIGTERM ends it without a handler.
//!
//! It has a thread of its own, so that a test may wait for it on any thread, async or not.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each program that includes this uses its own part of it, and tests should say where they cannot go on"
)]

mod access;
mod api;
mod cluster;
mod container;
mod controllers;
mod delete;
mod discovery;
mod environment;
mod events;
mod faults;
mod form;
mod garbage;
mod http;
mod jobs;
mod kubelet;
mod logs;
mod moment;
mod node;
mod objects;
mod patch;
mod query;
mod requests;
mod resource;
mod scheduler;
mod selector;
mod state;
mod status;
mod target;
mod validation;
mod watch;

pub(crate) use cluster::FakeCluster;
#[allow(unused_imports, reason = "the bench injects no faults")]
pub(crate) use faults::Fault;
pub(crate) use requests::Request;
