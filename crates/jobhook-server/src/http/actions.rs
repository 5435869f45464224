//! Launching, looking at, cancelling and retrying actions (clauses `API-5` to `API-19`).

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::Attempt;
use jobhook_engine::store::{ActionQuery, StoreError};
use jobhook_engine::write::Refusal;
use jobhook_protocol::{ActionBody, Status};
use serde::Serialize;

use super::Surface;
use super::aside;
use super::auth::Reader;
use super::body;
use super::fields::Fields;
use super::launch::{self, Launches};
use super::operations;
use super::page::ActionPage;
use super::posted::Posted;
use super::query::Parameters;
use super::refusal::{Answered, Refused};
use crate::tokens::Scope;

/// The action that an address names. What cannot be an id is the id of no action.
#[derive(Debug)]
pub(super) struct Named(pub(super) ActionId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refused;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Answered<Named> {
        let id = Path::<String>::from_request_parts(head, state).await.ok();
        id.and_then(|Path(id)| id.parse().ok())
            .map(Named)
            .ok_or_else(|| Refusal::NotFound.into())
    }
}

pub(super) async fn launch(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let posted = Posted::receive(&surface, request, Scope::Launch).await?;
    let traceparent = launch::traceparent(&posted.head.headers);
    let shared = Arc::clone(&surface);
    // Several may be judged by a schema that takes its time for each, however short the body is.
    let size = match posted.body.trim_ascii_start() {
        [b'[', ..] => usize::MAX,
        body => body.len(),
    };
    let launches = aside::heavy(size, move || {
        let terms = launch::Terms::of(&shared, &posted.grant, traceparent);
        launch::read(posted.body, &terms)
    });
    match launches.await? {
        Launches::One(launch) => {
            let launched = surface.engine.launch(vec![launch]).await?;
            launched
                .into_iter()
                .next()
                .map(created)
                .ok_or_else(Refused::internal)
        }
        Launches::Many(launches) if launches.is_empty() => Ok(several(Vec::new())),
        Launches::Many(launches) => {
            let launched = surface.engine.launch(launches).await?;
            let bodies = launched
                .into_iter()
                .map(|action| body::action(action, None));
            Ok(several(bodies.collect()))
        }
    }
}

fn several(bodies: Vec<ActionBody>) -> Response {
    (StatusCode::CREATED, body::json(&bodies)).into_response()
}

/// 201 with the address of the new action.
fn created(action: Action) -> Response {
    let address = format!("/api/v1/actions/{}", action.id);
    let mut response =
        (StatusCode::CREATED, body::json(&body::action(action, None))).into_response();
    if let Ok(address) = HeaderValue::try_from(address) {
        response.headers_mut().insert(header::LOCATION, address);
    }
    response
}

/// A page of actions.
#[derive(Serialize)]
struct Page {
    actions: Vec<ActionBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) async fn list(_: Reader, State(surface): State<Arc<Surface>>, uri: Uri) -> Answered {
    let parameters = Parameters::read(&uri, &["status", "type", "limit", "cursor"])?;
    let words = Status::ALL.map(|status| status.to_string()).join(", ");
    let query = ActionQuery {
        statuses: parameters.listed("status", &format!("some of {words}"))?,
        action_type: parameters.one("type", "a type")?,
        before: parameters.one("cursor", "the `next` of the page before")?,
        limit: parameters.limit(100, 1000)?,
        weight: None,
    };
    let store = surface.engine.store();
    let ActionPage { actions, more } = ActionPage::read(&**store, query).await?;
    let ids: Vec<ActionId> = actions.iter().map(|action| action.id).collect();
    let attempts = store.last_attempts(&ids).await?;
    let newest: HashMap<ActionId, &Attempt> = attempts
        .iter()
        .map(|attempt| (attempt.at.action, attempt))
        .collect();
    Ok(body::json(&Page {
        next: ids.last().filter(|_| more).map(ActionId::to_string),
        actions: actions
            .into_iter()
            .map(|action| {
                let newest = newest.get(&action.id).copied();
                ActionBody {
                    waiting: surface.engine.waits_in_vain(&action),
                    ..body::action(action, newest)
                }
            })
            .collect(),
    }))
}

pub(super) async fn show(
    _: Reader,
    State(surface): State<Arc<Surface>>,
    Named(id): Named,
) -> Answered {
    let store = surface.engine.store();
    let action = store.action(id).await?.ok_or(Refusal::NotFound)?;
    let attempts = store.attempts(id).await?;
    Ok(body::json(&ActionBody {
        waiting: surface.engine.waits_in_vain(&action),
        ..body::with_history(action, &attempts)
    }))
}

pub(super) async fn cancel(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Operate).await?;
    let Named(id) = Named::from_request_parts(&mut posted.head, &()).await?;
    let text = posted.object()?;
    let fields = Fields::read(&text, &["reason"], String::new())?;
    let reason = fields.remark("reason")?;
    let action = surface.engine.cancel(id, posted.grant.name, reason).await?;
    Ok(body::json(&shown(&surface, action).await?))
}

pub(super) async fn retry(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Operate).await?;
    let Named(id) = Named::from_request_parts(&mut posted.head, &()).await?;
    Fields::read(&posted.object()?, &[], String::new())?;
    let action = surface.engine.store().action(id).await?;
    let action = action.ok_or(Refusal::NotFound)?;
    let (launched, input) = (action.action_type, action.arguments);
    operations::judge_again(&surface, launched, action.operation, input, posted.grant).await?;
    Ok(created(surface.engine.retry(id).await?))
}

/// An action with the witnesses of its newest attempt.
pub(super) async fn shown(surface: &Surface, action: Action) -> Result<ActionBody, StoreError> {
    let attempts = surface.engine.store().last_attempts(&[action.id]).await?;
    Ok(body::action(action, attempts.first()))
}
