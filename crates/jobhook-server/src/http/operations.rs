//! Operations by their names: `GET {hook}`, `PUT {hook}/{operationId}`, and the list of the
//! management API (clauses `OP-*`).
//!
//! Who asks is known by the token of the management API, also at the hook's address: these
//! requests are no job's. What is checked comes in the order of [`judge`]: is it known, may they,
//! does the input fit; nothing is stored before.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::Uri;
use jobhook_engine::Launch;
use jobhook_protocol::{Code, Json, json};

use super::Surface;
use super::aside;
use super::auth::{Grant, Reader};
use super::body;
use super::fields::nearest;
use super::launch::{self, fitting};
use super::posted::Posted;
use super::query::Parameters;
use super::refusal::{Answered, Refused};
use super::scheduled::Horizon;
use crate::operations::{Catalogue, Operation};
use crate::tokens::Scope;

/// Ids, or with `full` definitions, as the original answers.
pub(super) async fn names(
    Reader(grant): Reader,
    State(surface): State<Arc<Surface>>,
    uri: Uri,
) -> Answered {
    let parameters = Parameters::read(&uri, &["full"])?;
    let full: Option<String> = parameters.one("full", "a text")?;
    if full.is_some_and(|full| !full.is_empty()) {
        return Ok(body::json(&surface.catalogue.definitions(&grant.claims)));
    }
    let permitted = surface.catalogue.permitted(&grant.claims);
    let ids: Vec<&String> = permitted.map(|known| &known.definition().id).collect();
    Ok(body::json(&ids))
}

/// The definitions.
pub(super) async fn list(
    Reader(grant): Reader,
    State(surface): State<Arc<Surface>>,
    uri: Uri,
) -> Answered {
    Parameters::read(&uri, &[])?;
    Ok(body::json(&surface.catalogue.definitions(&grant.claims)))
}

/// Launches an operation with the body as its input.
pub(super) async fn launch(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Launch).await?;
    let parameters = Parameters::read(&posted.head.uri, &["schedule"])?;
    let schedule: Option<String> = parameters.one("schedule", "a time")?;
    let horizon = Horizon {
        now: surface.engine.clock().now(),
        resolution: surface.resolution,
    };
    // The original launches at once if it is empty.
    let schedule = schedule.filter(|schedule| !schedule.is_empty());
    let scheduled = schedule
        .map(|schedule| horizon.read("schedule", &schedule))
        .transpose()?;
    let named = Path::<String>::from_request_parts(&mut posted.head, &()).await;
    let id = match named {
        Ok(Path(id)) => id,
        // At `{hook}/status`, and where the name is not even text.
        Err(_) => last_segment(&posted.head.uri),
    };
    let traceparent = launch::traceparent(&posted.head.headers);
    let text = json::clean(std::mem::take(&mut posted.body))?;
    let (size, shared) = (text.len(), Arc::clone(&surface));
    let input = aside::heavy(size, move || {
        let operation = judge_caller(&shared.catalogue, &id, &posted.grant, "")?;
        let input = match text.trim_ascii() {
            "" => None,
            _ => Some(Json::from_text(text)?),
        };
        let input = input.filter(|input| !input.is_null());
        if let Some(input) = &input {
            fitting(input.as_str().len(), shared.limits.arguments, "input")?;
        }
        judge_input(operation, input.as_ref(), "")?;
        Ok((id, input))
    });
    let (id, input) = input.await?;
    let launched = surface.engine.launch(vec![Launch {
        action_type: id,
        operation: true,
        arguments: input,
        scheduled,
        traceparent,
        ..Launch::default()
    }]);
    let action = launched.await?.into_iter().next();
    let action = action.ok_or_else(Refused::internal)?;
    Ok(body::json(&body::action(action, None)))
}

fn last_segment(uri: &Uri) -> String {
    let path = uri.path();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Whether an operation may be launched with this input by somebody.
///
/// - `place`: which launch it is, where there are several; begins with a space.
pub(super) fn judge<'a>(
    catalogue: &'a Catalogue,
    id: &str,
    input: Option<&Json>,
    grant: &Grant,
    place: &str,
) -> Answered<&'a Operation> {
    let operation = judge_caller(catalogue, id, grant, place)?;
    judge_input(operation, input, place)?;
    Ok(operation)
}

/// Whether somebody may launch what was judged before, for somebody else maybe: what has changed
/// since counts, also that a type has become an operation.
pub(super) async fn judge_again(
    surface: &Arc<Surface>,
    id: String,
    operation: bool,
    input: Option<Json>,
    grant: Grant,
) -> Answered<()> {
    if !operation && surface.catalogue.get(&id).is_none() {
        return Ok(());
    }
    let shared = Arc::clone(surface);
    let size = input.as_ref().map_or(0, |input| input.as_str().len());
    aside::heavy(size, move || {
        judge(&shared.catalogue, &id, input.as_ref(), &grant, "").map(drop)
    })
    .await
}

fn judge_caller<'a>(
    catalogue: &'a Catalogue,
    id: &str,
    grant: &Grant,
    place: &str,
) -> Answered<&'a Operation> {
    let Some(operation) = catalogue.get(id) else {
        let shown: String = id.chars().take(128).collect();
        let permitted = catalogue.permitted(&grant.claims);
        let known: Vec<&str> = permitted
            .map(|known| known.definition().id.as_str())
            .collect();
        let hint = Some(nearest(&shown, &known)).filter(|hint| hint.ends_with('?'));
        let hint = hint.unwrap_or_default();
        let detail = format!("there is no operation `{shown}`{place}{hint}");
        return Err(Refused::new(Code::UnknownOperation, detail));
    };
    if operation.permits(&grant.claims) {
        return Ok(operation);
    }
    let detail = format!(
        "the permission of the operation `{id}`{place} does not let `{}` launch it",
        grant.name
    );
    Err(Refused::new(Code::NotPermitted, detail))
}

fn judge_input(operation: &Operation, input: Option<&Json>, place: &str) -> Answered<()> {
    operation.check_input(input).map_err(|mismatch| {
        let id = &operation.definition().id;
        let detail = format!("the input of `{id}`{place} does not fit: {mismatch}");
        Refused::new(Code::InvalidInput, detail).with("errors", mismatch.errors())
    })
}
