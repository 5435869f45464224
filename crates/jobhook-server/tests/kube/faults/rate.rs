//! What many actions ask of a cluster.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Pod};
use crate::fake_cluster::{FakeCluster, Fault, Request};

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
    // Half as many at once as are allowed in a second, and then that many a second.
    for (index, begin) in times.iter().enumerate() {
        let within = times[index..]
            .iter()
            .take_while(|time| **time - *begin < Duration::from_millis(900));
        let count = within.count();
        assert!(count <= 6, "{count} within a second");
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

#[test]
fn a_cluster_that_answers_slowly_is_asked_for_few_jobs_at_a_time() {
    const UNDER_WAY: usize = 4;
    let slow = Duration::from_millis(600);
    let cluster = Cluster::fake(FakeCluster::start());
    let fake = cluster.as_fake().expect("it is the one for tests");
    let pod = Pod::sh("exit").with(&format!("creation_rate = {}", 2 * UNDER_WAY));
    let server = cluster.serve_one(&pod);
    // Some fail at first, so that those who try again count as well.
    fake.fail("create", "jobs", 8, Fault::unavailable());
    fake.fail("create", "jobs", 64, Fault::Slow(slow));
    let launched: Vec<_> = (0..12).map(|_| server.begin(&[])).collect();
    for action in &launched {
        action.end().succeeded(&[]);
    }
    let requests = fake.requests();
    let slow_ones: Vec<Instant> = requests
        .iter()
        .filter(|request| (request.verb, request.resource.as_str()) == ("create", "jobs"))
        .filter(|request| request.code == Some(201))
        .map(|request| request.at)
        .collect();
    assert_eq!(slow_ones.len(), 12);
    for (index, begin) in slow_ones.iter().enumerate() {
        let beside = slow_ones[index..]
            .iter()
            .take_while(|time| **time - *begin < slow);
        let count = beside.count();
        assert!(count <= UNDER_WAY, "{count} at a time");
    }
}
