//! Objects of the stores that a server is configured with: make one, fill it, look at it, remove
//! it (clauses `API-25`, `API-26`).

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use jobhook_engine::file::{Object, ObjectRef};
use jobhook_engine::files::{DeclaredStore, FilesError, Known, is_object_id};
use serde::Serialize;

use super::Surface;
use super::auth::Reader;
use super::body;
use super::fields::Fields;
use super::file_fields;
use super::files::{file_body, give as give_file, page};
use super::posted::Posted;
use super::query::Parameters;
use super::refusal::Answered;
use crate::tokens::Scope;

#[derive(Serialize)]
struct StoresBody<'a> {
    stores: Vec<StoreBody<'a>>,
}

#[derive(Serialize)]
struct StoreBody<'a> {
    name: &'a str,
    properties: &'a [String],
    create: bool,
}

#[derive(Serialize)]
struct Page {
    objects: Vec<ObjectBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectBody {
    uuid: String,
    files: u64,
    bytes: u64,
    created_at: String,
}

/// The stores.
pub(super) async fn stores(_: Reader, State(surface): State<Arc<Surface>>) -> Answered {
    let stores = surface.engine.files().stores().iter();
    let stores = stores.map(|store| StoreBody {
        name: &store.name,
        properties: &store.properties,
        create: store.create,
    });
    Ok(body::json(&StoresBody {
        stores: stores.collect(),
    }))
}

/// A page of a store's objects.
pub(super) async fn list(
    _: Reader,
    State(surface): State<Arc<Surface>>,
    Path(store): Path<String>,
    uri: Uri,
) -> Answered {
    let parameters = Parameters::read(&uri, &["limit", "cursor"])?;
    let limit = parameters.limit(100, 1000)?;
    let after: Option<String> = parameters.one("cursor", "the `next` of the page before")?;
    let store = declared(&surface, &store)?;
    let found = surface.engine.store();
    let mut objects = found
        .objects(&store.name, after.as_deref(), limit + 1)
        .await?;
    let more = objects.len() > limit;
    objects.truncate(limit);
    let next = objects
        .last()
        .filter(|_| more)
        .map(|last| last.at.id.clone());
    let objects = objects.into_iter().map(object_body).collect();
    Ok(body::json(&Page { objects, next }))
}

/// The files of an object.
pub(super) async fn show(
    _: Reader,
    State(surface): State<Arc<Surface>>,
    Path((store, id)): Path<(String, String)>,
    uri: Uri,
) -> Answered {
    let at = object(&surface, &store, id)?;
    let found = surface.engine.store().object(&at).await?;
    found.ok_or(FilesError::NotFound)?;
    page(&surface, &at, &uri).await
}

/// Makes an object; one that is there is fine.
pub(super) async fn put(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Operate).await?;
    let at = named(&surface, &mut posted).await?;
    Fields::read(&posted.object()?, &[], String::new())?;
    let made = surface.engine.files().make(at).await?;
    Ok(body::json(&object_body(made)))
}

/// Removes an object with its files.
pub(super) async fn delete(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Operate).await?;
    let at = named(&surface, &mut posted).await?;
    Fields::read(&posted.object()?, &[], String::new())?;
    surface.engine.files().remove(&at).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Attaches what was uploaded to a property.
pub(super) async fn attach(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut posted = Posted::receive(&surface, request, Scope::Operate).await?;
    let place = Path::<(String, String, String)>::from_request_parts(&mut posted.head, &()).await;
    let Path((store, id, property)) = place.map_err(|_| FilesError::NotFound)?;
    let declared = declared(&surface, &store)?.clone();
    if !declared.properties.contains(&property) {
        return Err(FilesError::NotFound.into());
    }
    let to = object(&surface, &store, id)?.property(property);
    let text = posted.object()?;
    let fields = Fields::read(&text, &file_fields::FIELDS, String::new())?;
    let files = surface.engine.files();
    let input = file_fields::read(&fields, files)?;
    let file = files.attach_staged(to, input, declared.create).await?;
    Ok((StatusCode::CREATED, body::json(&file_body(file))).into_response())
}

/// The bytes of a file of an object.
pub(super) async fn give(
    _: Reader,
    State(surface): State<Arc<Surface>>,
    request: Request,
) -> Answered {
    let (mut head, _) = request.into_parts();
    let place = Path::<(String, String, String, String)>::from_request_parts(&mut head, &()).await;
    let Path((store, id, property, index)) = place.map_err(|_| FilesError::NotFound)?;
    let at = object(&surface, &store, id)?.property(property);
    give_file(&surface, &head, &at, &index).await
}

async fn named(surface: &Surface, posted: &mut Posted) -> Answered<ObjectRef> {
    let place = Path::<(String, String)>::from_request_parts(&mut posted.head, &()).await;
    let Path((store, id)) = place.map_err(|_| FilesError::NotFound)?;
    object(surface, &store, id)
}

/// A store that is not that of the actions.
fn declared<'a>(surface: &'a Surface, name: &str) -> Answered<&'a DeclaredStore> {
    match surface.engine.files().stores().find(name) {
        Some(Known::Declared(store)) => Ok(store),
        Some(Known::Actions) | None => Err(FilesError::NotFound.into()),
    }
}

fn object(surface: &Surface, store: &str, id: String) -> Answered<ObjectRef> {
    let store = declared(surface, store)?.name.clone();
    if !is_object_id(&id) {
        return Err(FilesError::NotFound.into());
    }
    Ok(ObjectRef { store, id })
}

fn object_body(object: Object) -> ObjectBody {
    ObjectBody {
        uuid: object.at.id,
        files: object.files.values().sum(),
        bytes: object.bytes,
        created_at: body::time(object.created_at),
    }
}
