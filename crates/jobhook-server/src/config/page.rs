//! The page that documents the configuration names every key, and its example is one.

use std::cell::Cell;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::read::Fault;
use super::*;

const PAGE: &str = include_str!("../../../../docs/reference/configuration.md");

/// Is asked for a struct, and remembers its keys.
struct Keys<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Keys<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fault> {
        Err(Fault::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        keys: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Fault> {
        self.0.set(keys);
        Err(Fault::custom("the keys are known"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[track_caller]
fn has_keys<T: for<'de> Deserialize<'de>>(heading: &str) {
    let keys = Cell::new(&[][..]);
    let _ = T::deserialize(Keys(&keys));
    assert!(!keys.get().is_empty(), "{heading} has keys");
    let start = PAGE.find(&format!("\n## {heading}\n"));
    let section = &PAGE[start.expect("the page has the section") + 4..];
    let section = section.split("\n## ").next().unwrap_or_default();
    for key in keys.get() {
        assert!(section.contains(&format!("`{key}`")), "{heading}: {key}");
    }
}

#[test]
fn the_page_has_every_key() {
    has_keys::<Server>("`[server]`");
    has_keys::<Hook>("`[hook]`");
    has_keys::<Limits>("`[limits]`");
    has_keys::<Auth>("`[auth]`");
    has_keys::<Token>("`[auth]`");
    has_keys::<Store>("`[store]`");
    has_keys::<files::Keys>("`[files]`");
    has_keys::<S3Files>("`[files.s3]`");
    has_keys::<Operations>("`[operations]`");
    has_keys::<Scheduler>("`[scheduler]`");
    has_keys::<Retention>("`[retention]`");
    has_keys::<Keep>("`[retention]`");
    has_keys::<Housekeeping>("`[housekeeping]`");
    has_keys::<LocalRunner>("`[runners.NAME]`");
    has_keys::<ServiceRunner>("`[runners.NAME]` of type ServiceRunner");
    has_keys::<KubeRunner>("`[runners.NAME]` of type KubeRunner");
    has_keys::<schedule::Keys>("`[schedules.NAME]`");
    has_keys::<objects::Keys>("`[stores.NAME]`");
    has_keys::<ProcessLimits>("`[runners.NAME.limits]`");
    for section in SECTIONS {
        assert!(PAGE.contains(&format!("\n## `[{section}")), "{section}");
    }
}

#[test]
fn the_pages_example_is_a_configuration() {
    let example = PAGE.split("```toml\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(FILE), example).unwrap();
    let config = Config::load(None, &Surroundings::new(directory.path(), [])).unwrap();
    let RunnerKind::Local(runner) = &config.runners[0].kind else {
        panic!("the example's first runner is a LocalRunner");
    };
    assert_eq!(runner.limits.memory, Some(2 << 30));
    crate::runner::LocalCommand::configured(runner, &config.directory)
        .check()
        .unwrap();
}
