//! Actions as Jobs of a Kubernetes cluster, by the real `jobhook` binary.
//!
//! ```text
//! scenarios   on the cluster of these tests, or (`./just test-kube`) on the one KUBECONFIG names
//! faults      what no real cluster does when it is asked to: on the cluster of these tests alone
//! suite       the runner by itself, by the cases that all runners pass
//! lane        that the scenarios run on a cluster that is reached over the network alone
//! fake        the cluster of these tests is like a real one
//! ```

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

#[allow(dead_code, reason = "shared with e2e, which uses all of it")]
#[path = "../e2e/client.rs"]
mod client;
mod cluster;
#[allow(dead_code, reason = "shared with e2e, which uses all of it")]
#[path = "../e2e/command.rs"]
mod command;
mod fake;
#[path = "../support/kube/mod.rs"]
mod fake_cluster;
mod faults;
mod follow;
mod lane;
#[allow(dead_code, reason = "shared with e2e, which uses all of it")]
#[path = "../e2e/processes.rs"]
mod processes;
mod real_cluster;
mod scenarios;
#[allow(dead_code, reason = "shared with e2e, which uses all of it")]
#[path = "../e2e/server.rs"]
mod server;
mod suite;
#[path = "../support/unshare.rs"]
mod unshare;
