//! The cluster of these tests behaves as the documentation of Kubernetes says, seen over HTTP.

mod api;
mod objects;
mod pods;
