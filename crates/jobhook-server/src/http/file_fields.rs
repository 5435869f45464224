//! What is said of files outside of jobs: those that a launch takes along, and what it allows its
//! job (clauses `API-21`, `FILE-4`).

use jobhook_engine::file::InputFile;
use jobhook_engine::files::{ANY, Files, FilesError, Known, is_object_id};
use jobhook_protocol::{Access, Code, FileError, FileFields, GrantBody};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::refusal::{Answered, Refused};

/// What is said of a file.
pub(super) const FIELDS: [&str; 4] = ["receipt", "name", "mimetype", "metadata"];

/// What is said of a grant.
const GRANT: [&str; 4] = ["store", "uuid", "property", "access"];

/// How many files a launch may take along, and how many grants it may have.
const MOST: usize = 1_000;

/// A file whose bytes were uploaded before.
pub(super) fn read(fields: &Fields<'_>, files: &Files) -> Answered<InputFile> {
    let expected = "it must be the `receipt` that an upload was answered with";
    let receipt: String = fields
        .parsed("receipt", expected)?
        .ok_or_else(|| fields.invalid("receipt", expected))?;
    let staged = files.launched_with(&receipt).map_err(|error| match error {
        FilesError::InvalidToken => fields.invalid("receipt", expected),
        other => other.into(),
    })?;
    let text = "it must be a text";
    let said = FileFields {
        name: fields.parsed("name", text)?,
        mimetype: fields.parsed("mimetype", text)?,
        size: None,
        metadata: fields.get("metadata").map(Into::into),
    };
    said.check().map_err(|error| match error {
        FileError::Field { field, expected } => fields.invalid(field, &expected),
        other @ FileError::Body(_) => other.into(),
    })?;
    Ok(InputFile {
        staged,
        fields: jobhook_engine::files::stored(said),
    })
}

/// The files that a launch takes along.
pub(super) fn read_files(
    launch: &Fields<'_>,
    place: &str,
    files: &Files,
) -> Answered<Vec<InputFile>> {
    items(launch, "files")?
        .iter()
        .enumerate()
        .map(|(at, item)| {
            let place = format!(" of file {}{place}", at + 1);
            read(&Fields::read(item.get(), &FIELDS, place)?, files)
        })
        .collect()
}

/// What a launch allows its job beyond its own files.
pub(super) fn read_grants(
    launch: &Fields<'_>,
    place: &str,
    files: &Files,
) -> Answered<Vec<GrantBody>> {
    let listed = items(launch, "grants")?;
    let grants = listed.iter().enumerate().map(|(at, item)| {
        let place = format!(" of grant {}{place}", at + 1);
        read_grant(&Fields::read(item.get(), &GRANT, place)?, files)
    });
    grants.collect()
}

fn read_grant(fields: &Fields<'_>, files: &Files) -> Answered<GrantBody> {
    let text = |name: &str, expected: &str| {
        let text: Option<String> = fields.parsed(name, expected)?;
        text.ok_or_else(|| fields.invalid(name, expected))
    };
    let expected = "it must be `actions` or a store of this server's configuration";
    let store = text("store", expected)?;
    let store = files.stores().find(&store);
    let store = store.ok_or_else(|| fields.invalid("store", expected))?;
    let expected = "it must be the id of an object, or `*`";
    let uuid = text("uuid", expected)?;
    if uuid != ANY && !is_object_id(&uuid) {
        return Err(fields.invalid("uuid", expected));
    }
    let properties = store.properties();
    let expected = format!("it must be `*` or one of `{}`", properties.join("`, `"));
    let property = text("property", &expected)?;
    if property != ANY && !properties.contains(&property.as_str()) {
        return Err(fields.invalid("property", &expected));
    }
    let expected = "it must be `read` or `write`";
    let access: Option<Access> = fields.parsed("access", expected)?;
    let access = access.ok_or_else(|| fields.invalid("access", expected))?;
    if store == Known::Actions && access == Access::Write {
        let expected = "files of actions can be granted to `read` only";
        return Err(fields.invalid("access", expected));
    }
    Ok(GrantBody {
        store: store.name().to_owned(),
        uuid,
        property,
        access,
    })
}

fn items<'a>(launch: &Fields<'a>, name: &str) -> Answered<Vec<&'a RawValue>> {
    let Some(raw) = launch.get(name) else {
        return Ok(Vec::new());
    };
    let items: Vec<&RawValue> = serde_json::from_str(raw.get())
        .map_err(|_| launch.invalid(name, "it must be an array of objects"))?;
    if items.len() > MOST {
        let detail = format!(
            "`{name}` has {} items; at most {MOST} are taken",
            items.len()
        );
        return Err(Refused::new(Code::BodyTooLarge, detail));
    }
    Ok(items)
}
