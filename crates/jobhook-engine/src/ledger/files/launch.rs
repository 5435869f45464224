//! An action that is launched with files, or with those that another one was launched with.

use super::{Obstacle, content, staged, within};
use crate::action::NewAction;
use crate::clock::Timestamp;
use crate::file::{Content, File, FileFields, INPUTS, Object, ObjectRef, PropertyRef};
use crate::ledger::{Rows, Transaction, insert as insert_action};
use crate::store::StoreError;
use crate::write::{Refusal, Written};

pub(super) async fn insert(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    new: &NewAction,
    now: Timestamp,
) -> Result<Written, Obstacle> {
    let mut inputs: Vec<(Content, FileFields)> = Vec::new();
    if let Some(other) = new.inputs_of {
        let property = ObjectRef::of_action(other).property(INPUTS);
        for file in files_of(transaction, rows, &property).await? {
            let stored = content(transaction, rows, &file.content.sha256).await?;
            inputs.push((stored.unwrap_or(file.content), file.fields));
        }
    }
    for file in &new.files {
        let staged = staged(transaction, rows, &file.staged).await?;
        let arrived = staged.ok_or(Refusal::NoContent)?.content;
        let stored = content(transaction, rows, &arrived.sha256).await?;
        let content = stored.unwrap_or(arrived);
        let is_there = inputs.iter().any(|(other, fields)| {
            other.sha256 == content.sha256 && fields.name == file.fields.name
        });
        if !is_there {
            inputs.push((content, file.fields.clone()));
        }
    }
    let at = ObjectRef::of_action(new.id);
    let object = Object::new(at.clone(), now);
    if !new.files.is_empty() {
        let contents = inputs.iter().map(|(content, _)| content);
        within(&new.most, &object, contents)?;
    }
    // The last that may refuse, and has changed nothing then.
    let written = insert_action(rows, new, now)?;

    for (index, (content, fields)) in (0..).zip(inputs) {
        // A blob that becomes that of its content is staged no more; one that is surplus stays so.
        let content = rows.keep(content);
        rows.drop_staged(&content.blob);
        let file = File {
            at: at.clone().property(INPUTS),
            index,
            content,
            fields,
            attempt: None,
            attached_at: now,
        };
        rows.add_file(object.clone(), file);
    }
    Ok(written)
}

/// The files of a property: those that are stored, and those that this batch adds.
async fn files_of(
    transaction: &mut dyn Transaction,
    rows: &Rows,
    property: &PropertyRef,
) -> Result<Vec<File>, StoreError> {
    let mut files = transaction.files_of(property).await?;
    let added = rows.files.iter().filter(|file| file.at == *property);
    files.extend(added.cloned());
    Ok(files)
}
