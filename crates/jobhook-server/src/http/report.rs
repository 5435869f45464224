//! The hook: `POST {hook}/status` and `POST {hook}` (clauses `HOOK-*`).
//!
//! The order of the checks is that of [`FromJob::receive`], then that of the lines in [`judge`]: its
//! JSON, its fields, the results of an operation; last the action's state, inside the transaction
//! that stores it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use jobhook_engine::action::ActionId;
use jobhook_engine::write::Reported;
use jobhook_protocol::{Code, Report, Status};

use super::Surface;
use super::aside;
use super::body;
use super::from_job::FromJob;
use super::refusal::{Answered, Refused};

/// Takes a job's report, and answers with its action.
pub(super) async fn take(State(surface): State<Arc<Surface>>, request: Request) -> Response {
    match judge(&surface, request).await {
        Ok(reported) => body::json(&body::answer(reported)),
        Err(refused) => refused.into_response(),
    }
}

async fn judge(surface: &Arc<Surface>, request: Request) -> Answered<Reported> {
    let FromJob { proven, body, .. } = FromJob::receive(surface, request).await?;
    let report = aside::long(body.len(), move || Ok(Report::read(body)?)).await?;
    judge_results(surface, proven.attempt().action, &report).await?;
    let reported = surface.engine.report(proven, report).await;
    reported.map_err(Refused::of_report)
}

/// Whether the results of an operation are what it promises (clause `OP-16`). What is stored of an
/// operation was judged when it came, so no results that come at the same time can make this untrue.
async fn judge_results(surface: &Arc<Surface>, id: ActionId, report: &Report) -> Answered<()> {
    let promised = match report.status {
        Some(Status::Success) => true,
        // What is left of a failure is whatever there is.
        Some(Status::Error) => false,
        _ => report.results.is_some(),
    };
    if !promised || !surface.catalogue.has_outputs() {
        return Ok(());
    }
    // Who is not there is told by the engine.
    let Some(action) = surface.engine.store().action(id).await? else {
        return Ok(());
    };
    if !action.operation {
        return Ok(());
    }
    let results = report.results.clone().or(action.results);
    let size = results.as_ref().map_or(0, |results| results.as_str().len());
    let (shared, operation) = (Arc::clone(surface), action.action_type);
    aside::heavy(size, move || {
        let judged = shared.catalogue.check_output(&operation, results.as_ref());
        judged.map_err(|mismatch| {
            let detail = format!("the results of `{operation}` do not fit: {mismatch}");
            Refused::new(Code::InvalidOutput, detail).with("errors", mismatch.errors())
        })
    })
    .await
}
