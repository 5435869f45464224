//! Random histories of a few actions: legal, illegal, repeated and out of order.
//!
//! [`play`] runs one against a store and checks after each batch what must hold whatever
//! happened; [`play_on_both`] checks that two stores answer alike and hold the same.

#![allow(
    clippy::unwrap_used,
    clippy::missing_errors_doc,
    reason = "test code: a failure is to stop the test"
)]

mod files;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jobhook_protocol::{Delivery, Progress, Report, Status};
use proptest::prelude::*;
use uuid::Uuid;

use super::clerk::report_of;
use super::factory::{self, json};
use crate::action::{Action, ActionId, NewAction, TimeoutKind, Timeouts};
use crate::attempt::{Attempt, AttemptRef, Ending, Fault, Saw};
use crate::clock::Timestamp;
use crate::ledger::Answer;
use crate::log::LogLine;
use crate::runner::TypeFilter;
use crate::store::{ActionQuery, Store, Wake};
use crate::write::{Write, Written};

const ACTIONS: u128 = 3;

pub use files::Sweep;

/// Batches of writes, in order.
pub type Script = Vec<Step>;

/// A batch of writes.
#[derive(Clone, Debug)]
pub struct Step {
    /// When it is applied.
    pub now: Timestamp,
    /// The batch.
    pub writes: Vec<Write>,
    /// What is taken away then.
    pub sweep: Option<Sweep>,
}

/// Draws scripts. Each begins with three actions, of which most wait and are claimed; what
/// comes then hits and misses.
pub fn scripts() -> impl Strategy<Value = Script> {
    let launches: Vec<_> = (0..ACTIONS).map(|n| inserts(Just(id(n)))).collect();
    let claim = Write::Claim(Box::new(factory::claim(TypeFilter::all(), 3)));
    let first = (0i64..40, launches).prop_map(move |(passed, mut writes)| {
        writes.push(claim.clone());
        (passed, writes, None)
    });
    let batch = prop::collection::vec(prop_oneof![5 => writes(), 3 => files::writes()], 1..8);
    let batch = (
        0i64..40,
        batch,
        prop::option::weighted(0.2, files::sweeps()),
    );
    (first, prop::collection::vec(batch, 1..24)).prop_map(|(first, batches)| {
        let mut now = factory::NOW;
        let timed = |(passed, writes, sweep)| {
            now = now.plus(Duration::from_millis(u64::try_from(passed).unwrap_or(0)));
            Step { now, writes, sweep }
        };
        std::iter::once(first).chain(batches).map(timed).collect()
    })
}

fn id(n: u128) -> ActionId {
    ActionId(Uuid::from_u128((0x018b_cfe5 << 96) | n))
}

fn ids() -> impl Strategy<Value = ActionId> {
    (0..ACTIONS).prop_map(id)
}

fn attempts() -> impl Strategy<Value = AttemptRef> {
    let number = prop_oneof![7 => Just(1u32), 3 => Just(2), 1 => 0u32..5];
    (ids(), number).prop_map(|(action, number)| AttemptRef { action, number })
}

fn writes() -> impl Strategy<Value = Write> {
    let kinds = prop_oneof![Just(TimeoutKind::Run), Just(TimeoutKind::Total)];
    let expiry = prop_oneof![Just(TimeoutKind::Queue), Just(TimeoutKind::Total)];
    prop_oneof![
        1 => inserts(ids()),
        4 => claims(),
        2 => (attempts(), -5i64..5).prop_map(|(attempt, ms)| Write::Started { attempt, at: factory::after(ms) }),
        12 => (attempts(), reports()).prop_map(|(at, report)| report_of(at, report)),
        3 => outputs(),
        4 => (attempts(), endings()).prop_map(|(attempt, saw)| Write::Gone { attempt, saw }),
        5 => (attempts(), any::<bool>()).prop_map(|(attempt, needs_results)| Write::Close { attempt, needs_results }),
        1 => (attempts(), kinds).prop_map(|(attempt, kind)| Write::TimeOut { attempt, kind }),
        1 => (ids(), expiry).prop_map(|(action, kind)| Write::Expire { action, kind }),
        1 => (ids(), prop::option::of("[a-c]")).prop_map(|(action, reason)| Write::Cancel { action, by: "ann".into(), reason }),
    ]
}

fn inserts(ids: impl Strategy<Value = ActionId>) -> impl Strategy<Value = Write> {
    let timeout = || prop::option::weighted(0.2, (0u64..300).prop_map(Duration::from_millis));
    let timeouts = (timeout(), timeout()).prop_map(|(queue, total)| Timeouts {
        queue,
        total,
        ..Timeouts::default()
    });
    let scheduled = prop::option::weighted(0.3, (-5i64..60).prop_map(factory::after));
    let arguments = prop::option::of("[a-z]{0,3}");
    (ids, "[AB]", 1u32..4, timeouts, scheduled, arguments).prop_map(
        |(id, action_type, attempts, timeouts, scheduled, arguments)| {
            Write::Insert(Box::new(NewAction {
                id,
                attempts,
                timeouts,
                scheduled,
                arguments: arguments.map(|text| json(&format!("\"{text}\""))),
                ..factory::of_type(&action_type)
            }))
        },
    )
}

fn claims() -> impl Strategy<Value = Write> {
    let types = prop_oneof![
        4 => Just(TypeFilter::all()),
        2 => Just(TypeFilter::only(["A"])),
        1 => Just(TypeFilter::only(["B", "A"])),
        1 => Just(TypeFilter { only: None, except: vec!["A".into()] }),
    ];
    (types, 0usize..4)
        .prop_map(|(types, count)| Write::Claim(Box::new(factory::claim(types, count))))
}

fn reports() -> impl Strategy<Value = Report> {
    let status = prop_oneof![
        3 => Just(Status::Running),
        2 => Just(Status::Success),
        2 => Just(Status::Error),
    ];
    let value = || {
        let text = prop_oneof![
            Just("null"),
            Just("1"),
            Just("{\"message\":\"m\",\"x\":[]}")
        ];
        prop::option::weighted(0.2, text.prop_map(json))
    };
    let text = || prop::option::weighted(0.2, "[a-z]{0,4}");
    let seq = prop_oneof![20 => 0u64..8, 1 => 4_090u64..4_104];
    let delivery = (("[rs]"), seq).prop_map(|(reporter, seq)| Delivery { reporter, seq });
    let percent = prop::option::weighted(0.2, (0u8..=100).prop_map(f64::from));
    (
        (
            prop::option::weighted(0.4, status),
            text(),
            text(),
            value(),
            value(),
        ),
        prop::collection::vec(".{0,12}".prop_map(|text| text.replace('\0', "")), 0..4),
        percent,
        prop::option::weighted(0.1, 0.1f64..100.0),
        prop::option::of(delivery),
    )
        .prop_map(|(fields, logs, percent, heartbeat, delivery)| Report {
            status: fields.0,
            error_name: fields.1,
            error_message: fields.2,
            results: fields.3,
            status_details: fields.4,
            logs,
            agent: None,
            progress: percent.map(|percent| Progress {
                percent: Some(percent),
                ..Progress::default()
            }),
            heartbeat,
            delivery,
        })
}

fn outputs() -> impl Strategy<Value = Write> {
    let lines = prop::collection::vec(".{0,30}", 0..5);
    let marks = prop_oneof![
        Just(None),
        Just(Some("a".to_owned())),
        Just(Some("b".to_owned()))
    ];
    (attempts(), 0u64..3, 1u64..3, lines, marks).prop_map(|(attempt, from, length, lines, mark)| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut output = factory::output(from, from + length, &lines);
        output.mark = mark;
        Write::Output { attempt, output }
    })
}

fn endings() -> impl Strategy<Value = Saw> {
    let ending = prop_oneof![
           3 => Just(Ending::Exited { code: 0 }),
           3 => Just(Ending::Exited { code: 1 }),
           1 => Just(Ending::OutOfMemory {
    signal: 9,
    limit: None,
    }),
           1 => Just(Ending::Displaced {
               name: "evicted".into(),
               reason: "evicted".into(),
               fault: Fault::Infrastructure,
           }),
           1 => Just(Ending::NotStarted { reason: "no".into() }),
           1 => Just(Ending::Lost { reason: "gone".into() }),
       ];
    (ending, any::<bool>()).prop_map(|(ending, stopped)| Saw {
        stopped,
        ..factory::saw(ending)
    })
}

/// Everything that can be read of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    actions: Vec<Action>,
    attempts: Vec<Attempt>,
    lines: BTreeMap<ActionId, Vec<LogLine>>,
    open: Vec<(Action, Attempt)>,
    last: Vec<Attempt>,
    expiring: Vec<Action>,
    wake: Wake,
    files: files::HeldFiles,
}

async fn read(store: &dyn Store, now: Timestamp) -> Held {
    let query = ActionQuery {
        limit: usize::MAX,
        ..ActionQuery::default()
    };
    let actions = store.list(&query).await.unwrap();
    let ids: Vec<ActionId> = actions.iter().map(|action| action.id).collect();
    let (mut attempts, mut lines) = (Vec::new(), BTreeMap::new());
    for (id, listed) in ids.iter().zip(&actions) {
        assert_eq!(store.action(*id).await.unwrap().as_ref(), Some(listed));
        assert_eq!(store.standing(*id).await.unwrap(), Some(listed.standing()));
        attempts.extend(store.attempts(*id).await.unwrap());
        lines.insert(*id, store.lines(*id, 0, usize::MAX).await.unwrap());
    }
    Held {
        attempts,
        lines,
        open: store.open_attempts().await.unwrap(),
        last: store.last_attempts(&ids).await.unwrap(),
        expiring: store.expiring(now, usize::MAX).await.unwrap(),
        wake: store.next_wake(now).await.unwrap(),
        files: files::read(store, &ids).await,
        actions,
    }
}

/// Plays a script, and checks the rules after each batch.
pub async fn play(store: Arc<dyn Store>, limits: crate::log::LogLimits, script: &Script) {
    let mut claimed = HashSet::new();
    let mut before: Option<Held> = None;
    for Step { now, writes, sweep } in script {
        let answers = store.apply(writes, *now).await.unwrap();
        claim_once(&mut claimed, &answers);
        let held = read(&*store, *now).await;
        check(&held, limits);
        if let Some(before) = before {
            check_step(&before, &held);
        }
        before = Some(held);
        if let Some(sweep) = sweep {
            sweep.run(&*store, *now).await;
            let held = read(&*store, *now).await;
            check(&held, limits);
            // The id of what is gone may come again.
            let is_there = |at: &AttemptRef| held.actions.iter().any(|one| one.id == at.action);
            claimed.retain(is_there);
            before = Some(held);
        }
    }
}

/// Plays a script on two stores, which must answer alike and hold the same after each batch.
pub async fn play_on_both(one: Arc<dyn Store>, other: Arc<dyn Store>, script: &Script) {
    for Step { now, writes, sweep } in script {
        let answers = one.apply(writes, *now).await.unwrap();
        assert_eq!(
            answers,
            other.apply(writes, *now).await.unwrap(),
            "{writes:#?}"
        );
        assert_eq!(
            read(&*one, *now).await,
            read(&*other, *now).await,
            "{writes:#?}"
        );
        if let Some(sweep) = sweep {
            assert_eq!(
                sweep.run(&*one, *now).await,
                sweep.run(&*other, *now).await,
                "{sweep:?}"
            );
            assert_eq!(
                read(&*one, *now).await,
                read(&*other, *now).await,
                "{sweep:?}"
            );
        }
    }
}

fn claim_once(claimed: &mut HashSet<AttemptRef>, answers: &[Answer]) {
    for answer in answers {
        if let Ok(Written::Claimed(taken)) = answer {
            for (_, attempt) in taken {
                assert!(
                    claimed.insert(attempt.at),
                    "{} was claimed twice",
                    attempt.at
                );
            }
        }
    }
}

/// What holds at any time.
fn check(held: &Held, limits: crate::log::LogLimits) {
    files::check(&held.files);
    for action in &held.actions {
        let own = |attempt: &&Attempt| attempt.at.action == action.id;
        let attempts: Vec<&Attempt> = held.attempts.iter().filter(own).collect();
        let open: Vec<u32> = attempts
            .iter()
            .filter(|attempt| attempt.is_open())
            .map(|attempt| attempt.at.number)
            .collect();
        let current: &[u32] = if action.open { &[action.attempt] } else { &[] };
        assert_eq!(
            open, current,
            "the current attempt is the open one: {action:?}"
        );
        assert!(action.attempt <= action.attempts, "{action:?}");
        let waits = matches!(action.status, Status::Scheduled | Status::Queued);
        assert!(
            !(waits && action.open),
            "what waits was not taken: {action:?}"
        );
        assert_eq!(
            action.status.is_final(),
            action.finished_at.is_some(),
            "{action:?}"
        );
        assert!(
            waits || action.expires_at.is_none(),
            "only what waits expires: {action:?}"
        );

        let lines = &held.lines[&action.id];
        let numbers: Vec<u64> = lines.iter().map(|line| line.number).collect();
        let expected: Vec<u64> = (action.log.dropped + 1..=action.log.last).collect();
        assert_eq!(numbers, expected, "lines are numbered without gaps");
        let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
        assert_eq!(bytes as u64, action.log.bytes);
        assert!(lines.len() as u64 <= limits.lines && action.log.bytes <= limits.bytes);
    }
}

/// What holds from one batch to the next.
fn check_step(before: &Held, now: &Held) {
    for old in &before.actions {
        let new = now.actions.iter().find(|new| new.id == old.id).unwrap();
        if old.status.is_final() {
            assert_eq!(
                (old.status, old.attempt, old.finished_at),
                (new.status, new.attempt, new.finished_at),
                "final states stick"
            );
        }
        assert!(new.attempt >= old.attempt && new.log.last >= old.log.last);
        assert!(
            old.cancel.is_none() || old.cancel == new.cancel,
            "the first mark stands"
        );
        assert!(
            old.cancel.is_none() || old.attempt == new.attempt,
            "no try after the mark"
        );
    }
    for old in before.attempts.iter().filter(|attempt| !attempt.is_open()) {
        assert!(
            now.attempts.contains(old),
            "a closed attempt does not change"
        );
    }
}
