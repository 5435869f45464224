//! Schedules: list, put, pause, resume, run, preview, and what became of their ticks (clauses
//! `SCHED-*`).

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use jobhook_engine::EngineError;
use jobhook_engine::schedule::plan::Moments;
use jobhook_engine::schedule::{Schedule, ScheduleDefinition, Source, TickQuery};
use jobhook_engine::write::Refusal;
use jobhook_protocol::{FiringBody, ScheduleBody, TickBody, json};
use serde::Serialize;

use super::Surface;
use super::aside;
use super::auth::Reader;
use super::body;
use super::fields::Fields;
use super::launch;
use super::operations;
use super::posted::Posted;
use super::query::Parameters;
use super::refusal::{Answered, Refused};
use super::schedule_body;
use crate::tokens::Scope;

/// The schedule that an address names. What cannot be a name is the name of no schedule.
#[derive(Debug)]
pub(super) struct Named(String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refused;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Answered<Named> {
        let name = Path::<String>::from_request_parts(head, state).await;
        name.map(|Path(name)| Named(name))
            .map_err(|_| Refusal::NoSchedule.into())
    }
}

#[derive(Serialize)]
struct Schedules {
    schedules: Vec<ScheduleBody>,
}

#[derive(Serialize)]
struct Firings {
    firings: Vec<FiringBody>,
}

#[derive(Serialize)]
struct Ticks {
    ticks: Vec<TickBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

async fn standing(surface: &Surface, name: &str) -> Answered<Schedule> {
    let schedule = surface.engine.store().schedule(name).await?;
    schedule.ok_or_else(|| Refusal::NoSchedule.into())
}

/// A schedule as this server sees it: what none of its runners takes does not fire.
fn shown(surface: &Surface, schedule: Schedule) -> ScheduleBody {
    let blocked = surface.engine.blocked(&schedule.definition);
    schedule_body::schedule(schedule, blocked)
}

pub(super) async fn list(_: Reader, State(surface): State<Arc<Surface>>) -> Answered {
    let schedules = surface.engine.store().schedules().await?;
    let schedules = schedules.into_iter();
    let schedules = schedules
        .map(|schedule| shown(&surface, schedule))
        .collect();
    Ok(body::json(&Schedules { schedules }))
}

pub(super) async fn show(
    _: Reader,
    State(surface): State<Arc<Surface>>,
    Named(name): Named,
) -> Answered {
    let schedule = standing(&surface, &name).await?;
    Ok(body::json(&shown(&surface, schedule)))
}

pub(super) async fn put(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Operate).await?;
    let Named(name) = Named::from_request_parts(&mut posted.head, &()).await?;
    let shared = Arc::clone(&surface);
    let definition = aside::heavy(posted.body.len(), move || {
        let terms = launch::Terms::of(&shared, &posted.grant, None);
        schedule_body::read(&json::clean(posted.body)?, &terms)
    });
    let definition = definition.await?;
    let put = surface.engine.put_schedule(&name, definition, Source::Api);
    Ok(body::json(&shown(&surface, put.await?)))
}

pub(super) async fn delete(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Operate).await?;
    let Named(name) = Named::from_request_parts(&mut posted.head, &()).await?;
    Fields::read(&posted.object()?, &[], String::new())?;
    surface.engine.delete_schedule(&name, Source::Api).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn pause(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Operate).await?;
    let Named(name) = Named::from_request_parts(&mut posted.head, &()).await?;
    let text = posted.object()?;
    let fields = Fields::read(&text, &["note"], String::new())?;
    let note = fields.remark("note")?;
    let paused = surface
        .engine
        .pause_schedule(&name, posted.grant.name, note)
        .await?;
    Ok(body::json(&shown(&surface, paused)))
}

pub(super) async fn resume(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Operate).await?;
    let Named(name) = Named::from_request_parts(&mut posted.head, &()).await?;
    Fields::read(&posted.object()?, &[], String::new())?;
    let resumed = surface.engine.resume_schedule(&name).await?;
    Ok(body::json(&shown(&surface, resumed)))
}

pub(super) async fn run(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Operate).await?;
    let Named(name) = Named::from_request_parts(&mut posted.head, &()).await?;
    Fields::read(&posted.object()?, &[], String::new())?;
    let definition = standing(&surface, &name).await?.definition;
    let (launched, input) = (definition.action_type, definition.arguments);
    let grant = posted.grant.clone();
    operations::judge_again(&surface, launched, definition.operation, input, grant).await?;
    let tick = surface
        .engine
        .run_schedule(&name, posted.grant.name)
        .await?;
    Ok((StatusCode::CREATED, body::json(&schedule_body::tick(tick))).into_response())
}

pub(super) async fn preview(
    _: Reader,
    State(surface): State<Arc<Surface>>,
    Named(name): Named,
    uri: Uri,
) -> Answered {
    let count = count(&uri)?;
    let schedule = standing(&surface, &name).await?;
    firings(&surface, schedule.definition, count).await
}

pub(super) async fn preview_expression(
    State(surface): State<Arc<Surface>>,
    request: Request,
) -> Answered {
    let posted = Posted::receive(&surface, request, Scope::Read).await?;
    let count = count(&posted.head.uri)?;
    let definition = schedule_body::read_times(&json::clean(posted.body)?)?;
    firings(&surface, definition, count).await
}

fn count(uri: &Uri) -> Answered<usize> {
    let parameters = Parameters::read(uri, &["limit"])?;
    parameters.limit(10, 1000)
}

/// The next moments from now on. Rare ones are looked for through many years, so that keeps no other
/// request waiting.
async fn firings(surface: &Surface, definition: ScheduleDefinition, count: usize) -> Answered {
    let now = surface.engine.clock().now();
    let firings = aside::always(move || {
        let moments = Moments::of(&definition).map_err(EngineError::from)?;
        Ok(moments.preview(now, count))
    });
    let firings = firings.await?;
    let firings = firings.into_iter().map(schedule_body::firing).collect();
    Ok(body::json(&Firings { firings }))
}

pub(super) async fn ticks(
    _: Reader,
    State(surface): State<Arc<Surface>>,
    Named(name): Named,
    uri: Uri,
) -> Answered {
    let parameters = Parameters::read(&uri, &["limit", "before"])?;
    let limit = parameters.limit(100, 1000)?;
    let query = TickQuery {
        schedule: name,
        before: parameters.one("before", "the `next` of the page before")?,
        // One more tells whether there is a next page.
        limit: limit + 1,
    };
    let store = surface.engine.store();
    let mut ticks = store.ticks(&query).await?;
    if ticks.is_empty() {
        // A schedule that was deleted has a history; one that never was has none.
        standing(&surface, &query.schedule).await?;
    }
    let more = ticks.len() > limit;
    ticks.truncate(limit);
    Ok(body::json(&Ticks {
        next: ticks.last().filter(|_| more).map(|tick| tick.number),
        ticks: ticks.into_iter().map(schedule_body::tick).collect(),
    }))
}
