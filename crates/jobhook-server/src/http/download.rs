//! The hook: `GET {hook}/download/{store}/{uuid}/{property}/{index}`, and the address that it
//! answers (clauses `DOWN-*`).

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use jobhook_engine::files::{Located, TO_BEGIN, Target};
use jobhook_protocol::file::no_metadata;
use jobhook_protocol::{DownloadAnswer, FileMap};

use super::Surface;
use super::body;
use super::content;
use super::from_job::FromJob;
use super::inbox::Inbox;
use super::refusal::Answered;
use super::transfer::token_of;
use super::upload::no_file;

/// A job asks where a file is.
pub(super) async fn ask(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let mut asked = FromJob::receive(&surface, request).await?;
    let place = Path::<(String, String, String, String)>::from_request_parts(&mut asked.head, &());
    let Path((store, object, property, index)) = place.await.map_err(|_| no_file())?;
    let target = Target {
        store: &store,
        object: &object,
        property: &property,
    };
    let files = surface.engine.files();
    let Located { file, url, expires } = files.locate(asked.proven, target, &index).await?;
    let direct = files
        .direct(&file, &content::terms(&file, TO_BEGIN))
        .await?;
    Ok(body::json(&DownloadAnswer {
        location: direct.unwrap_or(url),
        map: FileMap {
            hash: file.content.md5,
            mimetype: file.fields.mimetype,
            metadata: file.fields.metadata.unwrap_or_else(no_metadata),
            name: file.fields.name,
            size: Some(file.content.size),
            sha256: Some(file.content.sha256),
        },
        expires: Some(expires.0),
    }))
}

/// The bytes of a file go.
pub(super) async fn give(State(surface): State<Arc<Surface>>, request: Request) -> Answered {
    let (head, body) = request.into_parts();
    drop(Inbox::new(&head.headers, body));
    let file = surface.engine.files().fetch(&token_of(&head.uri)).await?;
    content::answer(&surface, &head, &file).await
}
