//! The limit for the hook: an axum handler that checks, reads and answers a report as the
//! server does, and stores nothing.

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jobhook_protocol::{
    ActionAnswer, JobEnvironment, Json, Report, SecretKey, SignedHeaders, Status,
};

/// Serves `/async/status` for the job in the environment, whose hook says the port.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let job = JobEnvironment::read(|name| std::env::var(name).ok())?;
    let address = job
        .hook
        .strip_prefix("http://")
        .and_then(|rest| rest.split('/').next())
        .context("an address")?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    let router = Router::new()
        .route("/async/status", post(status))
        .with_state(job.secret_key);
    axum::serve(listener, router).await?;
    Ok(())
}

async fn status(State(key): State<SecretKey>, headers: HeaderMap, body: Bytes) -> Response {
    let signed = SignedHeaders::read(|name| {
        headers
            .get_all(name)
            .into_iter()
            .map(|value| value.as_bytes())
    });
    let Ok(signed) = signed else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    if signed.hash_kind(&key).is_none()
        || !signed.is_current(now_ms, 300_000)
        || !signed.signature_fits(&key, "POST", "/status", &body)
    {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Ok(report) = Report::read(body.to_vec()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let answer = ActionAnswer {
        operation_id: None,
        action_type: "Reporters".into(),
        arguments: Json::from_text("{}".into()).ok(),
        uuid: signed.id,
        status: report.status.unwrap_or(Status::Running),
        attempt: 1,
        attempts: 1,
        creation_date: "2026-01-01T00:00:00.000Z".into(),
        last_update: "2026-01-01T00:00:00.000Z".into(),
        last_job_update: Some(signed.time_ms),
        results: None,
        error_name: None,
        error_message: None,
        action: None,
    };
    match serde_json::to_vec(&answer) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
