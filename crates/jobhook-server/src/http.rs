//! The HTTP surface: the hook that jobs report to, and the management API.
//!
//! ```text
//! listen ─▶ guard ─┬─▶ report                    POST {hook}, {hook}/status
//!                  ├─▶ upload, download          {hook}/upload/…, {hook}/download/…
//!                  ├─▶ auth ─▶ operations        GET {hook}, PUT {hook}/{operationId}
//!                  ├─▶ auth ─▶ actions, logs,    /api/v1/…
//!                  │           files, schedules
//!                  └─▶ health                    /healthz, /readyz, /.well-known/jobhook
//! ```
//!
//! Handlers unpack and pack; what is asked is decided by the [engine](jobhook_engine). How a
//! refusal looks is decided in `refusal`, how an action looks in `body`, and nowhere else.
//!
//! Nothing here knows SQL, processes or the configuration file.

mod actions;
mod aside;
pub mod auth;
mod body;
mod content;
mod download;
mod fields;
mod file_fields;
mod files;
mod from_job;
mod guard;
mod health;
mod hook_path;
mod inbox;
mod launch;
mod listen;
mod logs;
mod loopback;
mod objects;
mod operations;
mod page;
mod posted;
mod query;
mod refusal;
mod report;
mod schedule_body;
mod scheduled;
mod schedules;
mod sse;
mod tail;
mod transfer;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{MethodRouter, get, post, put};
use jobhook_engine::Engine;
use tokio_util::sync::CancellationToken;

use crate::operations::Catalogue;

pub use auth::{Access, Grant, StaticToken};
pub use hook_path::{BadHookPath, HookPath};
pub use listen::serve;
pub(crate) use loopback::is_loopback_name;

/// What the surface stands on.
#[derive(Clone, Debug)]
pub struct Surface {
    /// What does the work.
    pub engine: Engine,
    /// Where jobs report.
    pub hook: HookPath,
    /// Who may use the management API.
    pub access: Access,
    /// What can be launched by name.
    pub catalogue: Arc<Catalogue>,
    /// Scheduled times are rounded down to a multiple of this.
    pub resolution: Duration,
    /// What is too much, or too slow.
    pub limits: HttpLimits,
    /// Cancelled when the server shuts down: streams end then.
    pub closing: CancellationToken,
}

/// What a request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// The longest body at the hook, in bytes.
    pub hook_body: usize,
    /// The longest body at the management API, in bytes.
    pub api_body: usize,
    /// The longest arguments of an action, in bytes of JSON text.
    pub arguments: usize,
    /// How long a body may pause.
    pub stall: Duration,
    /// How long a connection may take over the head of a request, or stay idle.
    pub head: Duration,
    /// How long a connection may take nothing of what is sent to it (on Linux).
    pub unread: Duration,
    /// How long a stream is silent before a comment shows that it lives.
    pub comment: Duration,
}

impl Default for HttpLimits {
    fn default() -> HttpLimits {
        HttpLimits {
            hook_body: 10 << 20,
            api_body: 10 << 20,
            arguments: 1 << 20,
            stall: Duration::from_secs(30),
            head: Duration::from_secs(60),
            unread: Duration::from_secs(300),
            comment: Duration::from_secs(15),
        }
    }
}

/// Every address that the server answers. [`serve`] listens for it.
///
/// Where it is served otherwise, requests must carry
/// [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo), or nobody is let in without a token.
pub fn router(surface: Surface) -> Router {
    let surface = Arc::new(surface);
    let api = Router::new()
        .route("/actions", get(actions::list).post(actions::launch))
        .route("/actions/{uuid}", get(actions::show))
        .route("/actions/{uuid}/logs", get(logs::read))
        .route("/actions/{uuid}/cancel", post(actions::cancel))
        .route("/actions/{uuid}/retry", post(actions::retry))
        .route("/actions/{uuid}/files", get(files::of_action))
        .route(
            "/actions/{uuid}/files/{property}/{index}",
            get(files::give_of_action),
        )
        .route("/files", post(files::stage))
        .route("/stores", get(objects::stores))
        .route("/stores/{store}", get(objects::list))
        .route(
            "/stores/{store}/{uuid}",
            get(objects::show).put(objects::put).delete(objects::delete),
        )
        .route("/stores/{store}/{uuid}/{property}", post(objects::attach))
        .route(
            "/stores/{store}/{uuid}/{property}/{index}",
            get(objects::give),
        )
        .route("/operations", get(operations::list))
        .route("/schedules", get(schedules::list))
        .route("/schedules/preview", post(schedules::preview_expression))
        .route(
            "/schedules/{name}",
            get(schedules::show)
                .put(schedules::put)
                .delete(schedules::delete),
        )
        .route("/schedules/{name}/preview", get(schedules::preview))
        .route("/schedules/{name}/ticks", get(schedules::ticks))
        .route("/schedules/{name}/pause", post(schedules::pause))
        .route("/schedules/{name}/resume", post(schedules::resume))
        .route("/schedules/{name}/run", post(schedules::run))
        .method_not_allowed_fallback(guard::method_not_allowed)
        .fallback(guard::not_found)
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&surface),
            auth::admit,
        ));
    // At the hook's address, and yet behind the door of the management API.
    let admitted = |route: MethodRouter<Arc<Surface>>| {
        let surface = Arc::clone(&surface);
        route.route_layer(axum::middleware::from_fn_with_state(surface, auth::admit))
    };
    let (names, launch) = (get(operations::names), put(operations::launch));
    Router::new()
        .route(
            surface.hook.as_str(),
            admitted(names).merge(post(report::take)),
        )
        .route(
            &surface.hook.status(),
            post(report::take).merge(admitted(launch.clone())),
        )
        .route(&surface.hook.operation(), admitted(launch))
        .route(&surface.hook.upload(), put(upload::ask))
        .route(&surface.hook.upload_data(), put(upload::take))
        .route(&surface.hook.download(), get(download::ask))
        .route(&surface.hook.download_data(), get(download::give))
        .route("/healthz", get(health::lives))
        .route("/readyz", get(health::is_ready))
        .route("/.well-known/jobhook", get(health::describe))
        .nest("/api/v1", api)
        .method_not_allowed_fallback(guard::method_not_allowed)
        .fallback(guard::not_found)
        .layer(axum::middleware::from_fn(guard::guard))
        .with_state(surface)
}
