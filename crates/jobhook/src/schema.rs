//! The schemas of an operation's types.
//!
//! They are JSON Schema 2020-12, each complete in itself, in words that the validator of the
//! original takes too: it refuses a schema with `$schema` of a newer draft or with a `format` it
//! does not know, so the first is left out and so are the names of Rust's number types.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// Formats that say no more than the type and its limits do.
const OF_RUST: [&str; 16] = [
    "int8", "int16", "int32", "int64", "int128", "int", "uint8", "uint16", "uint32", "uint64",
    "uint128", "uint", "float", "double", "char", "byte",
];

/// What a value must be to be read as a `T`.
pub(crate) fn of_input<T: JsonSchema>() -> Value {
    schema::<T>(settings().for_deserialize())
}

/// What a `T` is written as.
pub(crate) fn of_output<T: JsonSchema>() -> Value {
    schema::<T>(settings().for_serialize())
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.meta_schema = None)
        .with_transform(RecursiveTransform(without_formats_of_rust))
}

fn schema<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    // The text is to be the same whatever features the map has.
    schema.sort_all_objects();
    schema
}

fn without_formats_of_rust(schema: &mut Schema) {
    let format = schema.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| OF_RUST.contains(&format)) {
        schema.remove("format");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    #[derive(Deserialize, Serialize, JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Input {
        year: u16,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Deserialize, Serialize, JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Part {
        share: f64,
    }

    #[test]
    fn a_schema_holds_what_it_refers_to_and_no_words_of_rust() {
        assert_eq!(
            of_input::<Input>(),
            json!({
                "title": "Input",
                "type": "object",
                "properties": {
                    "year": {"type": "integer", "minimum": 0, "maximum": 65535},
                    "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "default": []},
                },
                "required": ["year"],
                "$defs": {
                    "Part": {
                        "type": "object",
                        "properties": {"share": {"type": "number"}},
                        "required": ["share"],
                    },
                },
            })
        );
    }

    #[test]
    fn what_may_be_left_out_is_written_always() {
        assert_eq!(of_input::<Input>()["required"], json!(["year"]));
        assert_eq!(of_output::<Input>()["required"], json!(["year", "parts"]));
    }
}
