//! A day of a schedule that fires each minute, on three servers that share a store.
//!
//! One server stays, two come and go as chance has it. In about half of the minutes all that run
//! meet before the store: what each of them decided is held until the last has come with the
//! same, so all but one are too late. In the others they run freely, and one may come or go while
//! the minute is decided.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Barrier;

use crate::action::ActionId;
use crate::clock::{Clock, Timestamp};
use crate::engine::{Engine, Settings};
use crate::keyring::{Keyring, MasterKey};
use crate::ledger::Answer;
use crate::runner::TypeFilter;
use crate::schedule::{CatchUp, Overlap, ScheduleDefinition, Source, Tick, TickOutcome};
use crate::store::{ActionQuery, Store, StoreError};
use crate::testing::probed_store::{Probe, ProbedStore};
use crate::testing::{Clerk, HandRunner, TestClock};
use crate::write::{Refusal, Write, Written};

const MINUTE: Duration = Duration::from_secs(60);
const MINUTES: usize = 24 * 60;
/// In UTC.
const MIDNIGHT: Timestamp = Timestamp(1_700_006_400_000);
const NAME: &str = "each-minute";
const PATIENCE: Duration = Duration::from_secs(20);

/// Where decisions come by on their way into the store.
#[derive(Clone, Debug, Default)]
struct Door(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    meeting: Option<Meeting>,
    answers: Vec<Answer>,
}

/// Servers that decide the same moment wait for each other.
#[derive(Clone, Debug)]
struct Meeting {
    moment: Timestamp,
    servers: Arc<Barrier>,
}

impl Door {
    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets nobody in who decides `moment` before so many servers have come with it.
    fn hold(&self, moment: Timestamp, servers: usize) {
        let servers = Arc::new(Barrier::new(servers));
        self.seen(|seen| seen.meeting = Some(Meeting { moment, servers }));
    }
}

fn is_tick(write: &Write) -> bool {
    matches!(write, Write::Tick(_))
}

#[async_trait]
impl Probe for Door {
    async fn applying(&self, writes: &[Write]) -> Result<(), StoreError> {
        let Some(Meeting { moment, servers }) = self.seen(|seen| seen.meeting.clone()) else {
            return Ok(());
        };
        // Who has not heard yet of the minute before is refused, and comes again.
        let is_of_it = |write: &Write| match write {
            Write::Tick(decision) => decision.watermark.plus(MINUTE) == moment,
            _ => false,
        };
        if writes.iter().any(is_of_it) {
            servers.wait().await;
        }
        Ok(())
    }

    fn applied(&self, writes: &[Write], answers: &[Answer]) {
        let answers = writes.iter().zip(answers);
        let ticks = answers.filter(|(write, _)| is_tick(write));
        self.seen(|seen| seen.answers.extend(ticks.map(|(_, answer)| answer.clone())));
    }
}

/// What the servers have in common.
struct Place {
    store: Arc<dyn Store>,
    door: Door,
    clock: Arc<TestClock>,
}

impl Place {
    /// A server that decides, and starts no job.
    async fn server(&self) -> Engine {
        let (runner, _) = HandRunner::new("hand", TypeFilter::all(), 0);
        let store = ProbedStore::on(Arc::clone(&self.store), self.door.clone());
        let keyring = Keyring::new(MasterKey::new(vec![7; 32]).unwrap(), Vec::new());
        let settings = Settings::new("here", "http://127.0.0.1:1/async");
        let clock = self.clock.clone();
        let engine = Engine::new(Arc::new(store), vec![runner], keyring, clock, settings);
        engine.start().await.unwrap();
        engine
    }

    /// Starts a server, or stops the one that is there.
    async fn come_or_go(&self, place: &mut Option<Engine>) {
        match place.take() {
            Some(server) => server.stop().await,
            None => *place = Some(self.server().await),
        }
    }

    async fn history(&self) -> Vec<Tick> {
        Clerk::new(self.store.clone()).history(NAME).await
    }
}

/// Waits until all moments of a schedule up to `until` are decided by one of `servers`.
pub(crate) async fn decided(store: &dyn Store, name: &str, until: Timestamp, servers: &[&Engine]) {
    let hints = servers.iter().map(|server| server.changes().schedules());
    let mut hints: Vec<_> = hints.collect();
    let look = async {
        while store.schedule(name).await.unwrap().unwrap().watermark < until {
            let changed = hints.iter_mut().map(|hint| Box::pin(hint.changed()));
            futures_util::future::select_all(changed).await.0.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .expect("the moment is decided");
}

fn action_of(tick: &Tick) -> ActionId {
    match tick.outcome {
        TickOutcome::Launched(action) if !tick.caught_up && tick.count == 1 => action,
        _ => panic!("{tick:?} is not one moment that launched in time"),
    }
}

pub async fn three_servers_fire_each_minute_of_a_day_once(clerk: Clerk) {
    let place = Place {
        store: clerk.shared_store(),
        door: Door::default(),
        clock: Arc::new(TestClock::at(MIDNIGHT)),
    };
    let steady = place.server().await;
    let each_minute = ScheduleDefinition {
        cron: "* * * * *".into(),
        timezone: "UTC".into(),
        action_type: "Any".into(),
        overlap: Overlap::Allow,
        catch_up: CatchUp::None,
        ..ScheduleDefinition::default()
    };
    let put = steady.put_schedule(NAME, each_minute, Source::Api);
    put.await.unwrap();

    let mut others = [Some(place.server().await), None];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut late = 0;
    for _ in 0..MINUTES {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let one = usize::try_from(random >> 63).unwrap();
        let changes = (random >> 40).is_multiple_of(3);
        let meet = (random >> 56).is_multiple_of(2);
        if meet && changes {
            place.come_or_go(&mut others[one]).await;
        }
        if meet {
            let servers = 1 + others.iter().flatten().count();
            let moment = place.clock.now().plus(MINUTE);
            place.door.hold(moment, servers);
            late += servers - 1;
        }
        place.clock.advance(MINUTE);
        if changes && !meet {
            place.come_or_go(&mut others[one]).await;
        }
        let servers: Vec<&Engine> = others.iter().flatten().chain([&steady]).collect();
        decided(&*place.store, NAME, place.clock.now(), &servers).await;
    }
    for server in others.iter().flatten().chain([&steady]) {
        server.stop().await;
    }

    let ticks = place.history().await;
    assert_eq!(ticks.len(), MINUTES);
    for (number, tick) in (1..).zip(&ticks) {
        assert_eq!(tick.at, Timestamp(MIDNIGHT.0 + number * 60_000));
    }
    let launched: Vec<ActionId> = ticks.iter().map(action_of).collect();

    // Who was first was told what was launched, who came later was refused.
    let mut told = Vec::new();
    let mut refused = 0;
    for answer in place.door.seen(|seen| std::mem::take(&mut seen.answers)) {
        match answer {
            Ok(Written::Ticked(ticked)) => told.extend(ticked.ticks.iter().map(action_of)),
            Err(Refusal::ScheduleMoved) => refused += 1,
            other => panic!("a tick was answered with {other:?}"),
        }
    }
    let of = |ids: &[ActionId]| ids.iter().copied().collect::<HashSet<_>>();
    assert_eq!((told.len(), of(&told)), (MINUTES, of(&launched)));
    assert!(late > 0 && refused >= late, "{refused} of {late} late ones");

    // And nothing else was launched: each minute has one action, and each action a minute.
    let query = ActionQuery {
        limit: usize::MAX,
        ..ActionQuery::default()
    };
    let actions = place.store.list(&query).await.unwrap();
    let ids: Vec<ActionId> = actions.iter().map(|action| action.id).collect();
    assert_eq!((ids.len(), of(&ids)), (MINUTES, of(&launched)));
    let minutes: HashSet<_> = actions.iter().map(|action| action.scheduled).collect();
    assert_eq!(minutes.len(), MINUTES);
}
