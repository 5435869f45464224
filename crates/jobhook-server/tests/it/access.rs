//! Who may use the management API: tokens and scopes, and what is served without tokens.

use std::sync::Arc;

use jobhook_engine::clock::Timestamp;
use jobhook_engine::log::LogLimits;
use jobhook_server::http::{Access, Grant, StaticToken};
use jobhook_server::store::sqlite::SqliteStore;
use jobhook_server::tokens::{Scope, TokenHash, Tokens};
use tempfile::TempDir;

use crate::server::{NOW, Server, Setup};
use crate::wire::Answer;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn configured(name: &str, token: &str, scope: Scope) -> StaticToken {
    let name = name.to_owned();
    StaticToken {
        hash: TokenHash::of(token.as_bytes()),
        grant: Grant::new(name, scope, &serde_json::Map::new()),
    }
}

/// A server with a token of each scope: `jh_read` and so on.
async fn with_tokens() -> Server {
    let tokens =
        Scope::ALL.map(|scope| configured(&format!("my-{scope}"), &format!("jh_{scope}"), scope));
    Server::with(Setup {
        access: Access::new(tokens.to_vec(), None),
        ..Setup::default()
    })
    .await
}

/// A store of tokens.
async fn kept() -> (TempDir, Arc<SqliteStore>) {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("tokens.db");
    let kept = SqliteStore::open(&database, LogLimits::default()).await;
    (directory, Arc::new(kept.unwrap()))
}

async fn with_token(server: &Server, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [JSON, ("Authorization", &authorization)];
    server.request(method, path, &headers, body).await
}

async fn count_actions(server: &Server) -> usize {
    let list = server.get("/api/v1/actions").await.expect(200);
    list["actions"].as_array().unwrap().len()
}

#[tokio::test]
async fn where_there_are_tokens_every_request_needs_one() {
    let server = with_tokens().await;
    let values = [
        None,
        Some("Bearer jh_unknown"),
        Some("Bearer"),
        Some("Basic jh_admin"),
        Some("jh_admin"),
    ];
    for path in [
        "/api/v1/actions",
        "/api/v1/actions/x/logs",
        "/api/v1/nowhere",
    ] {
        for value in values {
            let headers: Vec<_> = value
                .map(|value| ("Authorization", value))
                .into_iter()
                .collect();
            let refused = server.request("GET", path, &headers, "").await;
            refused.refusal(401, "unauthenticated");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
            assert!(!refused.text().contains("jh_"), "{}", refused.text());
        }
    }
    with_token(&server, "jh_read", "GET", "/api/v1/nowhere", "")
        .await
        .refusal(404, "not_found");
}

#[tokio::test]
async fn each_scope_includes_those_before_it() {
    let server = with_tokens().await;
    let launch = r#"{"type":"Any"}"#;
    for (at, token) in ["jh_read", "jh_launch", "jh_operate", "jh_admin"]
        .into_iter()
        .enumerate()
    {
        with_token(&server, token, "GET", "/api/v1/actions", "")
            .await
            .expect(200);
        let launched = with_token(&server, token, "POST", "/api/v1/actions", launch).await;
        if at >= 1 {
            launched.expect(201);
        } else {
            let detail = launched.refusal(403, "scope_required");
            assert!(
                detail.contains("`launch`") && detail.contains("`my-read`"),
                "{detail}"
            );
        }
        for deed in ["cancel", "retry"] {
            let job = server.job().await;
            let path = format!("/api/v1/actions/{}/{deed}", job.id);
            let done = with_token(&server, token, "POST", &path, "").await;
            match (at >= 2, deed) {
                (true, "cancel") => assert_eq!(
                    done.expect(200)["cancel"]["by"],
                    format!("my-{}", &token[3..])
                ),
                (true, _) => drop(done.refusal(409, "not_final")),
                (false, _) => assert!(done.refusal(403, "scope_required").contains("`operate`")),
            }
        }
    }
}

#[tokio::test]
async fn with_tokens_names_and_origins_do_not_matter() {
    let server = with_tokens().await;
    let headers = [
        ("Authorization", "bearer jh_read"),
        ("Origin", "https://example.org"),
    ];
    server
        .request("GET", "/api/v1/actions", &headers, "")
        .await
        .expect(200);
    let mut wire = server.connect().await;
    wire.send("GET /api/v1/actions HTTP/1.1\r\nHost: jobs.example.org\r\nAuthorization: Bearer jh_read\r\n\r\n").await;
    wire.answer().await.expect(200);
}

#[tokio::test]
async fn the_hook_and_the_health_need_no_token() {
    let server = with_tokens().await;
    let job = server.job().await;
    server.v1(&job, "{}").await.expect(200);
    for path in ["/healthz", "/readyz", "/.well-known/jobhook"] {
        server.get(path).await.expect(200);
    }
}

#[tokio::test]
async fn a_token_counts_from_its_making_to_its_end() {
    let (_directory, kept) = kept().await;
    let server = Server::with(Setup {
        access: Access::new(Vec::new(), Some(kept.clone())),
        ..Setup::default()
    })
    .await;
    server.get("/api/v1/actions").await.expect(200);
    let now = Timestamp(NOW);
    kept.create("other", Scope::Read, now).await.unwrap();
    let token = kept.create("own", Scope::Read, now).await.unwrap();
    let refused = server.get("/api/v1/actions").await;
    refused.refusal(401, "unauthenticated");
    let list = async || with_token(&server, token.reveal(), "GET", "/api/v1/actions", "").await;
    list().await.expect(200);
    assert!(kept.revoke("own").await.unwrap());
    list().await.refusal(401, "unauthenticated");
}

#[tokio::test]
async fn revoking_the_last_token_lets_nobody_in() {
    let (_directory, kept) = kept().await;
    let token = kept.create("own", Scope::Admin, Timestamp(NOW)).await;
    let token = token.unwrap();
    let server = Server::with(Setup {
        access: Access::new(Vec::new(), Some(kept.clone())),
        ..Setup::default()
    })
    .await;
    let list = async || with_token(&server, token.reveal(), "GET", "/api/v1/actions", "").await;
    list().await.expect(200);
    assert!(kept.revoke("own").await.unwrap());
    let refused = server.get("/api/v1/actions").await;
    refused.refusal(401, "unauthenticated");
    list().await.refusal(401, "unauthenticated");
}

#[tokio::test]
async fn a_stream_ends_soon_after_its_token_is_revoked_or_the_first_one_is_made() {
    let (_directory, kept) = kept().await;
    let server = Server::with(Setup {
        access: Access::new(Vec::new(), Some(kept.clone())),
        ..Setup::impatient()
    })
    .await;
    let job = server.job().await;
    let mut open = server.follow(&job.id, &[]).await;
    open.next_named("status").await;
    let token = kept.create("own", Scope::Read, Timestamp(NOW)).await;
    let bearer = format!("Bearer {}", token.unwrap().reveal());
    // It ends without the event `end`, for nothing has ended.
    while let Some(event) = open.next_or_comment().await {
        assert_eq!(event.name, "");
    }
    let authorization = [("Authorization", bearer.as_str())];
    let mut events = server.follow(&job.id, &authorization).await;
    events.next_named("status").await;
    events.next_or_comment().await.unwrap();
    kept.revoke("own").await.unwrap();
    // Also where there is always something to send.
    let mut number = 0;
    while let Some(event) = events.next_or_comment().await {
        assert_ne!(event.name, "end");
        number += 1;
        let line = format!(r#"{{"logs":["line {number}"]}}"#);
        server.v1(&job, &line).await.expect(200);
    }
}

#[tokio::test]
async fn without_tokens_what_came_through_a_proxy_is_refused() {
    let server = Server::start().await;
    for header in ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"] {
        let refused = server
            .request("GET", "/api/v1/actions", &[(header, "1.2.3.4")], "")
            .await;
        refused.refusal(403, "foreign_host");
    }
}

#[tokio::test]
async fn more_launches_than_a_transaction_should_hold_are_refused_at_once() {
    let server = Server::start().await;
    let launches = |count: usize| format!("[{}]", vec![r#"{"type":"Any"}"#; count].join(","));
    let refused = server
        .request("POST", "/api/v1/actions", &[JSON], &launches(1001))
        .await;
    refused.refusal(413, "body_too_large");
    server
        .request("POST", "/api/v1/actions", &[JSON], &launches(1000))
        .await
        .expect(201);
}

#[tokio::test]
async fn without_tokens_a_foreign_host_is_refused() {
    let server = Server::start().await;
    let hosts = [
        "example.org",
        "10.0.0.1:8088",
        "localhost.example.org",
        "[::2]",
        "localhost\r\nHost: example.org",
        "",
    ];
    for host in hosts {
        for path in ["/api/v1/actions", "/api/v1/nowhere"] {
            let mut wire = server.connect().await;
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .await;
            wire.answer().await.refusal(403, "foreign_host");
        }
    }
    for line in [
        "GET http://example.org/api/v1/actions HTTP/1.1\r\nHost: localhost",
        "GET /api/v1/actions HTTP/1.0",
    ] {
        let mut wire = server.connect().await;
        wire.send(format!("{line}\r\n\r\n")).await;
        wire.answer().await.refusal(403, "foreign_host");
    }
}

#[tokio::test]
async fn without_tokens_loopback_names_are_served() {
    let server = Server::start().await;
    for host in [
        "localhost",
        "LOCALHOST:8088",
        "127.0.0.1:1",
        "127.8.8.8",
        "[::1]:8088",
    ] {
        let mut wire = server.connect().await;
        wire.send(format!(
            "GET /api/v1/actions HTTP/1.1\r\nHost: {host}\r\n\r\n"
        ))
        .await;
        wire.answer().await.expect(200);
    }
}

#[tokio::test]
async fn without_tokens_web_pages_are_refused() {
    let server = Server::start().await;
    let own = format!("http://{}", server.address);
    for origin in ["https://example.org", "null", &own] {
        let headers = [JSON, ("Origin", origin)];
        let launch = server
            .request("POST", "/api/v1/actions", &headers, r#"{"type":"Any"}"#)
            .await;
        launch.refusal(403, "origin_refused");
        let preflight = server
            .request("OPTIONS", "/api/v1/actions", &headers[1..], "")
            .await;
        preflight.refusal(403, "origin_refused");
    }
    assert_eq!(count_actions(&server).await, 0);
}

#[tokio::test]
async fn what_a_form_can_send_launches_nothing() {
    let server = Server::start().await;
    let forms = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ];
    for kind in forms {
        let headers = [("Content-Type", kind)];
        let refused = server
            .request("POST", "/api/v1/actions", &headers, r#"{"type":"Any"}"#)
            .await;
        refused.refusal(415, "unsupported_media_type");
    }
    let bare = server
        .request("POST", "/api/v1/actions", &[], r#"{"type":"Any"}"#)
        .await;
    bare.refusal(415, "unsupported_media_type");
    let cancel = format!("/api/v1/actions/{}/cancel", server.job().await.id);
    server
        .request("POST", &cancel, &[("Content-Type", "text/plain")], "")
        .await
        .refusal(415, "unsupported_media_type");
    assert_eq!(count_actions(&server).await, 1);
}

#[tokio::test]
async fn with_tokens_a_form_is_refused_as_well() {
    let server = with_tokens().await;
    let headers = [
        ("Authorization", "Bearer jh_admin"),
        ("Content-Type", "text/plain"),
    ];
    let refused = server
        .request("POST", "/api/v1/actions", &headers, r#"{"type":"Any"}"#)
        .await;
    refused.refusal(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_big_body_that_is_turned_away_leaves_the_connection_in_order() {
    let server = with_tokens().await;
    let big = vec![b' '; 3 << 20];
    let mut wire = server.connect().await;
    wire.send(server.bytes("POST", "/api/v1/actions", &[JSON], &big))
        .await;
    wire.answer().await.refusal(401, "unauthenticated");
    let headers = [JSON, ("Authorization", "Bearer jh_read")];
    wire.send(server.bytes("POST", "/api/v1/actions", &headers, &big))
        .await;
    wire.answer().await.refusal(403, "scope_required");
    wire.send(server.bytes("GET", "/api/v1/actions", &headers[1..], b""))
        .await;
    wire.answer().await.expect(200);
}
