//! The hook: `PUT {hook}/upload/{store}/{uuid}/{property}`, and the address that it answers
//! (clauses `UP-*`).

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use jobhook_engine::files::{FilesError, Intake, Opened, Received, Target};
use jobhook_protocol::{Code, ReceiptAnswer, UploadAnswer, UploadRequest};

use super::Surface;
use super::aside;
use super::body;
use super::from_job::FromJob;
use super::inbox::{Inbox, Pace};
use super::refusal::{Answered, Refused};
use super::transfer::token_of;

/// A job opens an upload, or closes it.
pub(super) async fn ask(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut asked = FromJob::receive(&surface, request).await?;
    let sent = asked.body;
    let upload = aside::long(sent.len(), move || Ok(UploadRequest::read(sent)?)).await?;
    let place = Path::<(String, String, String)>::from_request_parts(&mut asked.head, &());
    // What is no text is the name of nothing.
    let Path((store, object, property)) = place.await.map_err(|_| no_file())?;
    let target = Target {
        store: &store,
        object: &object,
        property: &property,
    };
    let files = surface.engine.files();
    let opened = files.upload(asked.proven, target, upload).await?;
    Ok(body::json(&match opened {
        Opened::Done { md5 } => UploadAnswer {
            done: true,
            url: None,
            method: None,
            md5: Some(md5.to_base64()),
            expires: None,
        },
        Opened::Send { url, md5, expires } => UploadAnswer {
            done: false,
            url: Some(url),
            method: Some("PUT".to_owned()),
            md5: md5.map(|md5| md5.to_base64()),
            expires: Some(expires.0),
        },
    }))
}

/// The bytes of an upload come.
pub(super) async fn take(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let token = token_of(request.uri());
    let (head, body) = request.into_parts();
    let mut inbox = Inbox::new(&head.headers, body);
    for name in [header::CONTENT_ENCODING, header::CONTENT_RANGE] {
        if head.headers.contains_key(&name) {
            let detail = format!("the bytes are sent whole and as they are, without {name}");
            return Err(Refused::new(Code::MalformedBody, detail));
        }
    }
    let announced = inbox.announced();
    let intake = surface.engine.files().take(&token, announced).await?;
    Ok(match pour(&surface, &mut inbox, intake).await? {
        Received::Attached => StatusCode::NO_CONTENT.into_response(),
        Received::Staged { receipt, size, .. } => body::json(&ReceiptAnswer { receipt, size }),
    })
}

/// Takes the bytes of a body in.
pub(super) async fn pour(
    surface: &Surface,
    inbox: &mut Inbox,
    mut intake: Intake,
) -> Answered<Received> {
    let mut pace = Pace::within(surface.limits.stall);
    while let Some(chunk) = inbox.next(&mut pace).await? {
        intake.push(chunk).await?;
    }
    Ok(intake.finish().await?)
}

/// Nothing is there, or nothing that may be used.
pub(super) fn no_file() -> Refused {
    FilesError::NotFound.into()
}
