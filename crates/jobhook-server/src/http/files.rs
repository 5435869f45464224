//! Files of actions, for people and programs outside: what a launch takes along, what is there,
//! and its bytes (clauses `API-20` to `API-24`).

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jobhook_engine::file::{File, ObjectRef, PropertyRef};
use jobhook_engine::files::{FilesError, Received, TO_BEGIN, read_index};
use jobhook_engine::write::Refusal;
use jobhook_protocol::{Code, FileBody, StagedBody};
use serde::Serialize;

use super::Surface;
use super::actions::Named;
use super::auth::{Reader, require};
use super::body;
use super::content;
use super::inbox::Inbox;
use super::query::Parameters;
use super::refusal::{Answered, Refused};
use super::upload::pour;
use crate::tokens::Scope;

/// How bytes say that they are no web page's doing: a page may not send this type unasked.
const BYTES: &[u8] = b"application/octet-stream";

/// A page of files.
#[derive(Serialize)]
struct Page {
    files: Vec<FileBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Takes bytes that an action is to be launched with, or an object is to have.
pub(super) async fn stage(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let (head, body) = request.into_parts();
    let mut inbox = Inbox::new(&head.headers, body);
    require(&head, Scope::Launch)?;
    let mut types = head.headers.get_all(header::CONTENT_TYPE).iter();
    let is_bytes = types
        .next()
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(BYTES));
    if !is_bytes || types.next().is_some() {
        return Err(Refused::new(
            Code::UnsupportedMediaType,
            "the body is the bytes of a file, and Content-Type must say application/octet-stream",
        ));
    }
    let announced = inbox.announced();
    let intake = surface.engine.files().stage(announced).await?;
    match pour(&surface, &mut inbox, intake).await? {
        Received::Staged {
            receipt,
            size,
            sha256,
        } => {
            let staged = StagedBody {
                receipt,
                size,
                sha256,
            };
            Ok((StatusCode::CREATED, body::json(&staged)).into_response())
        }
        // Nothing was said of what it belongs to.
        Received::Attached => Err(Refused::internal()),
    }
}

/// The files of an action.
pub(super) async fn of_action(
    _: Reader,
    State(surface): State<Arc<Surface>>,
    Named(id): Named,
    uri: Uri,
) -> Answered {
    let action = surface.engine.store().action(id).await?;
    action.ok_or(Refusal::NotFound)?;
    page(&surface, &ObjectRef::of_action(id), &uri).await
}

/// The bytes of a file of an action.
pub(super) async fn give_of_action(
    _: Reader,
    State(surface): State<Arc<Surface>>,
    request: Request,
) -> Answered {
    let (mut head, _) = request.into_parts();
    let place = Path::<(String, String, String)>::from_request_parts(&mut head, &()).await;
    let Path((id, property, index)) = place.map_err(|_| FilesError::NotFound)?;
    let id = id.parse().map_err(|_| Refusal::NotFound)?;
    let at = ObjectRef::of_action(id).property(property);
    give(&surface, &head, &at, &index).await
}

/// A page of an object's files.
pub(super) async fn page(surface: &Surface, object: &ObjectRef, uri: &Uri) -> Answered {
    let parameters = Parameters::read(uri, &["limit", "cursor"])?;
    let limit = parameters.limit(1000, 1000)?;
    let cursor: Option<Cursor> = parameters.one("cursor", "the `next` of the page before")?;
    let after = cursor
        .as_ref()
        .map(|Cursor(property, index)| (property.as_str(), *index));
    let mut files = surface
        .engine
        .store()
        .files(object, after, limit + 1)
        .await?;
    let more = files.len() > limit;
    files.truncate(limit);
    let last = files.last().filter(|_| more);
    let next = last.map(|file| format!("{}/{}", file.at.property, file.index));
    let files = files.into_iter().map(file_body).collect();
    Ok(body::json(&Page { files, next }))
}

/// The bytes of a file that an address names.
pub(super) async fn give(
    surface: &Surface,
    head: &Parts,
    at: &PropertyRef,
    index: &str,
) -> Answered {
    let index = read_index(index).ok_or(FilesError::NotFound)?;
    let files = surface.engine.files();
    let file = files.file(at, index).await?;
    match files
        .direct(&file, &content::terms(&file, TO_BEGIN))
        .await?
    {
        Some(address) => Ok(elsewhere(&address)),
        None => content::answer(surface, head, &file).await,
    }
}

fn elsewhere(address: &str) -> Response {
    (
        StatusCode::TEMPORARY_REDIRECT,
        [(header::LOCATION, address)],
    )
        .into_response()
}

/// A file as the API shows it; without its challenge, which proves possession.
pub(super) fn file_body(file: File) -> FileBody {
    FileBody {
        property: file.at.property,
        index: file.index,
        name: file.fields.name,
        mimetype: file.fields.mimetype,
        size: file.content.size,
        md5: file.content.md5,
        sha256: file.content.sha256,
        metadata: file.fields.metadata,
        attempt: file.attempt,
        created_at: body::time(file.attached_at),
    }
}

/// Where a page ended.
struct Cursor(String, u64);

impl std::str::FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Cursor, ()> {
        let (property, index) = text.rsplit_once('/').ok_or(())?;
        Ok(Cursor(property.to_owned(), read_index(index).ok_or(())?))
    }
}
