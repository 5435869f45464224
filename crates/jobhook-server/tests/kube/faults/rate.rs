//! What many actions ask of a cluster.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Pod};
use crate::fake_cluster::{FakeCluster, Request};

const ACTIONS: usize = 24;

fn created(requests: &[Request]) -> Vec<Instant> {
    let jobs = requests
        .iter()
        .filter(|request| (request.verb, request.resource.as_str()) == ("create", "jobs"));
    jobs.map(|request| request.at).collect()
}

#[test]
fn many_actions_are_created_no_faster_than_is_allowed_and_share_one_watch() {
    let cluster = Cluster::fake(FakeCluster::start());
    let fake = cluster.as_fake().expect("it is the one for tests");
    let pod = Pod::sh("echo $JOB_ID").with("creation_rate = 4");
    let server = cluster.serve_one(&pod);
    let launched: Vec<_> = (0..ACTIONS).map(|_| server.begin(&[])).collect();
    for action in &launched {
        action.end().succeeded(&[action.id.as_str()]);
    }
    let requests = fake.requests();
    let times = created(&requests);
    assert_eq!(times.len(), ACTIONS);
    // As many at once as are allowed in a second, and then that many a second.
    for (index, begin) in times.iter().enumerate() {
        let within = times[index..]
            .iter()
            .take_while(|time| **time - *begin < Duration::from_millis(900));
        let count = within.count();
        assert!(count <= 8, "{count} within a second");
    }
    for resource in ["jobs", "pods"] {
        let watches = requests
            .iter()
            .filter(|request| request.verb == "watch" && request.resource == resource);
        assert_eq!(
            watches.filter(|request| request.open).count(),
            1,
            "{resource}"
        );
    }
}
