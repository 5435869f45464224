//! Whether a client wants whole objects, or their metadata alone.

use serde_json::{Value, json};

/// What objects are answered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Whole,
    Metadata,
}

impl Form {
    /// What the header `Accept` asks for.
    pub(crate) fn of(accept: &str) -> Form {
        match accept.contains("as=PartialObjectMetadata") {
            true => Form::Metadata,
            false => Form::Whole,
        }
    }

    /// An object, or a list of them, in this form.
    pub(crate) fn show(self, object: &Value) -> Value {
        if self == Form::Whole || object["kind"] == "Status" {
            return object.clone();
        }
        let mut shown = json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": object["metadata"],
        });
        if let Some(items) = object["items"].as_array() {
            shown["kind"] = "PartialObjectMetadataList".into();
            shown["items"] = items.iter().map(|item| self.show(item)).collect();
        }
        shown
    }
}
