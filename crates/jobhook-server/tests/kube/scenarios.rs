//! What holds on every cluster.

mod crashes;
mod hook;
mod outcomes;
mod python;
mod restarts;
mod secrets;
mod shapes;
mod stops;
mod trouble;

use crate::cluster::Cluster;

/// The closing step of `./just test-kube`: deletes the namespaces that ended tests have left.
#[test]
#[ignore = "./just test-kube runs it after the scenarios"]
fn no_namespace_of_a_test_is_left() {
    crate::real_cluster::RealCluster::open().sweep();
}

/// A cluster can be reached, and has a namespace for this test.
#[test]
fn a_test_has_a_namespace_of_its_own() {
    let cluster = Cluster::open();
    assert_eq!(cluster.objects("jobs"), [] as [serde_json::Value; 0]);
}
