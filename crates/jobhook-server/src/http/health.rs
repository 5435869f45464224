//! Whether the server lives, whether it can serve, and what it is.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use jobhook_engine::action::ActionId;
use jobhook_protocol::{Code, json::MAX_DEPTH};
use serde_json::json;
use tokio::time::timeout;

use super::Surface;
use super::body;
use super::refusal::{Answered, Refused};

/// How long the store may take to show that it answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// 200 as long as somebody answers at all.
pub(super) async fn lives() -> Answered {
    Ok(body::json(&json!({ "status": "live" })))
}

/// 200 once actions are dispatched and the store answers.
pub(super) async fn is_ready(State(surface): State<Arc<Surface>>) -> Answered {
    if !surface.engine.is_ready() || surface.closing.is_cancelled() {
        return Err(Refused::new(
            Code::StoreUnavailable,
            "the server is starting or shutting down",
        ));
    }
    let nobody = ActionId(uuid::Uuid::nil());
    match timeout(PATIENCE, surface.engine.store().action(nobody)).await {
        Ok(answered) => answered?,
        Err(_) => {
            let detail = "the store did not answer in time";
            return Err(Refused::new(Code::StoreUnavailable, detail));
        }
    };
    Ok(body::json(&json!({ "status": "ready" })))
}

/// What a client may want to know before it says anything.
pub(super) async fn describe(State(surface): State<Arc<Surface>>) -> Answered {
    let limits = &surface.limits;
    Ok(body::json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "profiles": ["webda", "v1"],
        "hook": surface.hook.as_str(),
        "limits": {
            "hookBody": limits.hook_body,
            "apiBody": limits.api_body,
            "arguments": limits.arguments,
            "depth": MAX_DEPTH,
        },
    })))
}
