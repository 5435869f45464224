//! Objects, made and filled from outside.

use super::Files;
use super::error::{FilesError, unexpected};
use crate::file::{Attach, File, InputFile, Object, ObjectRef, Origin, PropertyRef};
use crate::write::{Write, Written};

impl Files {
    /// Makes an object; one that is there is fine.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn make(&self, at: ObjectRef) -> Result<Object, FilesError> {
        match self.0.batcher.write(Write::PutObject(at)).await?? {
            Written::Object(object) => Ok(*object),
            other => Err(unexpected(&other)),
        }
    }

    /// Removes an object with its files; what they alone had is deleted later, by the
    /// [sweep](Files::sweep).
    ///
    /// # Errors
    ///
    /// [`FilesError::NotFound`], or the store's.
    pub async fn remove(&self, at: &ObjectRef) -> Result<(), FilesError> {
        match self.0.store.drop_object(at, self.now()).await? {
            true => Ok(()),
            false => Err(FilesError::NotFound),
        }
    }

    /// Attaches what was [staged](Files::stage).
    ///
    /// - `create`: whether the object is made where it is not there.
    ///
    /// # Errors
    ///
    /// [`FilesError`]; nothing is attached then.
    pub async fn attach_staged(
        &self,
        to: PropertyRef,
        input: InputFile,
        create: bool,
    ) -> Result<File, FilesError> {
        self.write_attach(Attach {
            to,
            origin: Origin::Staged(input.staged),
            fields: input.fields,
            by: None,
            most: self.0.settings.object,
            create,
        })
        .await
    }
}
