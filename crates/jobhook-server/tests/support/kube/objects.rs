//! What the cluster holds, and what became of it: the etcd of the fake.
//!
//! Every change has a number, the `resourceVersion`. Those that happened lately are remembered, for
//! watches; before the [floor](Objects::expire) nobody knows any more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::moment;
use super::resource::Resource;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) plural: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Added,
    Modified,
    Deleted,
}

/// Something that happened to an object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) kind: Kind,
    pub(crate) key: Key,
    pub(crate) object: Arc<Value>,
    pub(crate) before: Option<Arc<Value>>,
}

/// More changes than a watch ever lies behind.
const REMEMBERED: usize = 20_000;

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    by_key: BTreeMap<Key, Arc<Value>>,
    revision: u64,
    changes: VecDeque<Change>,
    floor: u64,
    /// What the controllers have not looked at.
    unseen: Vec<Change>,
}

impl Key {
    pub(crate) fn new(resource: &Resource, namespace: &str, name: &str) -> Key {
        Key {
            plural: resource.plural,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// That of an object of `resource`.
    pub(crate) fn of(resource: &Resource, object: &Value) -> Key {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        Key::new(resource, text("namespace"), text("name"))
    }
}

impl Objects {
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.by_key.get(key)
    }

    /// All of a resource, in one namespace or in every one.
    pub(crate) fn all<'o>(
        &'o self,
        resource: &Resource,
        namespace: &'o str,
    ) -> impl Iterator<Item = (&'o Key, &'o Arc<Value>)> {
        let plural = resource.plural;
        self.by_key
            .range(Key::new(resource, namespace, "")..)
            .take_while(move |(key, _)| {
                key.plural == plural && (namespace.is_empty() || key.namespace == namespace)
            })
    }

    /// Those of them whose name begins so.
    pub(crate) fn named_like<'o>(
        &'o self,
        resource: &Resource,
        namespace: &'o str,
        start: &'o str,
    ) -> impl Iterator<Item = (&'o Key, &'o Arc<Value>)> {
        let plural = resource.plural;
        self.by_key
            .range(Key::new(resource, namespace, start)..)
            .take_while(move |(key, _)| {
                key.plural == plural && key.namespace == namespace && key.name.starts_with(start)
            })
    }

    /// Every object of every resource.
    pub(crate) fn everything(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.by_key.iter()
    }

    /// Takes in a new object; what the server gives it, it gets here.
    pub(crate) fn insert(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        let metadata = &mut object["metadata"];
        metadata["uid"] = uuid::Uuid::now_v7().to_string().into();
        metadata["creationTimestamp"] = moment::now().into();
        self.record(Kind::Added, key, object)
    }

    /// Changes an object, if it is there. Nothing is recorded where nothing is different. One
    /// whose deletion waited for the last finalizer alone is gone with that.
    pub(crate) fn change(
        &mut self,
        key: &Key,
        change: impl FnOnce(&mut Value),
    ) -> Option<Arc<Value>> {
        let before = self.by_key.get(key)?;
        let mut object = Value::clone(before);
        change(&mut object);
        if object == **before {
            return Some(Arc::clone(before));
        }
        let metadata = &object["metadata"];
        let held = metadata["finalizers"]
            .as_array()
            .is_some_and(|held| !held.is_empty())
            || object["spec"]["finalizers"]
                .as_array()
                .is_some_and(|held| !held.is_empty());
        let graceful = metadata["deletionGracePeriodSeconds"]
            .as_u64()
            .unwrap_or_default()
            > 0;
        if metadata["deletionTimestamp"].is_string() && !held && !graceful {
            self.record(Kind::Modified, key.clone(), object);
            return self.remove(key);
        }
        Some(self.record(Kind::Modified, key.clone(), object))
    }

    /// Takes an object away, whatever it says.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let object = Value::clone(self.by_key.get(key)?);
        Some(self.record(Kind::Deleted, key.clone(), object))
    }

    fn record(&mut self, kind: Kind, key: Key, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let object = Arc::new(object);
        let before = match kind {
            Kind::Deleted => self.by_key.remove(&key),
            Kind::Added | Kind::Modified => self.by_key.insert(key.clone(), Arc::clone(&object)),
        };
        let change = Change {
            revision: self.revision,
            kind,
            key,
            object: Arc::clone(&object),
            before,
        };
        self.unseen.push(change.clone());
        self.changes.push_back(change);
        if self.changes.len() > REMEMBERED
            && let Some(oldest) = self.changes.pop_front()
        {
            self.floor = oldest.revision;
        }
        object
    }

    /// The changes after `revision`; `None` if not all of them are known any more.
    pub(crate) fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Change>> {
        if revision < self.floor {
            return None;
        }
        let start = self
            .changes
            .partition_point(|change| change.revision <= revision);
        Some(self.changes.range(start..))
    }

    /// Forgets what has happened so far.
    pub(crate) fn expire(&mut self) {
        // So that whoever has seen everything is behind as well.
        self.revision += 1;
        self.floor = self.revision;
        self.changes.clear();
    }

    /// What happened since this was asked last.
    pub(crate) fn take_unseen(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.unseen)
    }
}

/// A list, as the server answers it.
pub(crate) fn list(resource: &Resource, revision: u64, items: Vec<Value>) -> Value {
    json!({
        "kind": format!("{}List", resource.kind),
        "apiVersion": resource.api_version(),
        "metadata": {"resourceVersion": revision.to_string()},
        "items": items,
    })
}
