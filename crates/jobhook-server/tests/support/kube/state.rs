//! What the parts of the cluster share, under one lock, and how they hear of changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::access::Access;
use super::faults::Faults;
use super::kubelet::Orders;
use super::logs::Log;
use super::node::Node;
use super::objects::{Key, Objects};
use super::requests::Requests;

/// Everything that is known.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) objects: Objects,
    pub(crate) access: Access,
    pub(crate) faults: Faults,
    pub(crate) requests: Requests,
    pub(crate) node: Node,
    /// The pods that the kubelet has, by uid, and how it is told what to do with them.
    pub(crate) pods: HashMap<String, Orders>,
    /// What containers wrote, by uid of the pod and name of the container.
    pub(crate) logs: HashMap<(String, String), Arc<Log>>,
    /// When controllers look at an object again.
    pub(crate) due: BTreeMap<(Instant, Key), ()>,
    /// Counts how often every watch was cut off.
    pub(crate) cuts: u64,
    /// How often a watch says how far it is.
    pub(crate) bookmark_every: Duration,
}

/// The state, and whoever waits for it to move.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    moved: watch::Sender<u64>,
    /// The same, for threads.
    waiting: Condvar,
}

impl Shared {
    pub(crate) fn new() -> Shared {
        Shared {
            state: Mutex::new(State {
                bookmark_every: Duration::from_secs(5),
                ..State::default()
            }),
            moved: watch::Sender::new(0),
            waiting: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a failed assertion held is as good as before: no change is made by half.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Looks at the state or changes it; everybody hears of a change.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let before = (state.objects.revision(), state.cuts);
        let result = act(&mut state);
        let moved = before != (state.objects.revision(), state.cuts);
        drop(state);
        if moved {
            self.tell();
        }
        result
    }

    /// Has everybody look again.
    pub(crate) fn tell(&self) {
        self.moved.send_modify(|count| *count += 1);
        self.waiting.notify_all();
    }

    /// Changes after now.
    pub(crate) fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Waits until `found` finds something in the state, on a thread that may wait.
    pub(crate) fn wait<T>(
        &self,
        patience: Duration,
        mut found: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some(found) = found(&mut state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            // Requests move nothing and may be waited for: looks by itself now and then.
            let left = left.min(Duration::from_millis(50));
            let waited = self.waiting.wait_timeout(state, left);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
}

impl State {
    /// Has the controllers look at `key` again, in `after`.
    pub(crate) fn look_again(&mut self, key: &Key, after: Duration) {
        self.due.insert((Instant::now() + after, key.clone()), ());
    }

    /// The keys whose time has come, and how long it is to the next one.
    pub(crate) fn take_due(&mut self) -> (Vec<Key>, Option<Duration>) {
        let now = Instant::now();
        let mut keys = Vec::new();
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                return (keys, Some(entry.key().0 - now));
            }
            keys.push(entry.remove_entry().0.1);
        }
        (keys, None)
    }
}
