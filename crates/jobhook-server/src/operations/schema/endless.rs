//! Values that would take for ever to judge.
//!
//! What would never end ends however short its time is, and what takes little is judged however
//! slow the machine is: no test here depends on how fast it runs.

use serde_json::json;

use super::*;

const SHORT: Duration = Duration::from_millis(50);

const UNHURRIED: Duration = Duration::from_secs(3600);

fn json(value: &Value) -> Json {
    Json::from_text(value.to_string()).unwrap()
}

fn judged(schema: &Schema, limit: Duration, value: &Value) -> Result<(), String> {
    let judged = schema.check_within(limit, Some(&json(value)));
    judged.map_err(|mismatch| mismatch.to_string())
}

/// Takes too long, and leaves a schema that judges rightly.
#[track_caller]
fn ends(schema: &Value, value: &Value, fits: &Value, wrong: &Value) {
    let schema = Schema::compile(schema).unwrap();
    for _ in 0..2 {
        let says = judged(&schema, SHORT, value).unwrap_err();
        assert_eq!(says, "it takes too long to judge by its schema");
        assert_eq!(judged(&schema, UNHURRIED, fits), Ok(()));
        let says = judged(&schema, UNHURRIED, wrong).unwrap_err();
        assert!(!says.contains("too long"), "{says}");
    }
}

#[test]
fn a_pattern_that_would_take_for_ever_ends() {
    let text = "a".repeat(60) + "c";
    for schema in [
        json!({"pattern": r"^(a|aa)+(?!b)\1b$"}),
        json!({"not": {"pattern": r"^(a|aa)+(?!b)\1b$"}, "type": "string"}),
    ] {
        let schema = Schema::compile(&schema).unwrap();
        let says = judged(&schema, UNHURRIED, &json!(text)).unwrap_err();
        assert_eq!(says, "it takes too long to judge by its schema");
    }
}

#[test]
fn a_slow_pattern_over_very_many_texts_ends() {
    let texts: Value = (0..2_500).map(|_| json!("a".repeat(4_000))).collect();
    ends(
        &json!({"items": {"not": {"pattern": "(?=.*x)(?=.*y)z"}}}),
        &texts,
        &json!(["xy"]),
        &json!(["zxy"]),
    );
}

#[test]
fn a_text_too_long_to_go_back_over_ends() {
    let schema = Schema::compile(&json!({"pattern": "(?=.*x)(?=.*y)z"})).unwrap();
    let says = judged(&schema, UNHURRIED, &json!("a".repeat(9_000))).unwrap_err();
    assert_eq!(says, "it takes too long to judge by its schema");
    let schema = Schema::compile(&json!({"pattern": r"^(?!\s*$).+$"})).unwrap();
    let long = json!("a".repeat(1_000_000));
    assert_eq!(judged(&schema, UNHURRIED, &long), Ok(()));
    assert_eq!(
        judged(&schema, UNHURRIED, &json!(" ")).unwrap_err(),
        r#"this does not match "^(?!\\s*$).+$""#
    );
}

#[test]
fn names_too_long_to_go_back_over_end() {
    let schema = json!({"patternProperties": {"(?=.*x)(?=.*y)z": {"type": "null"}}});
    let long = json!([{"b": "a".repeat(9_000)}, {"a".repeat(9_000): 1}]);
    ends(
        &json!({"items": schema}),
        &long,
        &json!([{"z": 1}]),
        &json!([{"zxy": 1}]),
    );
}

#[test]
fn slow_names_of_very_many_members_end() {
    let schema = json!({"patternProperties": {"(?=.*x)(?=.*y)z": false}});
    let names = (0..2_500).map(|at| (format!("{}{at}", "a".repeat(4_000)), json!(1)));
    let members: serde_json::Map<_, _> = names.collect();
    ends(
        &schema,
        &json!(members),
        &json!({"z": 1}),
        &json!({"zxy": 1}),
    );
}

#[test]
fn texts_that_are_patterns_or_json_harm_nobody() {
    for schema in [
        json!({"format": "regex"}),
        json!({"contentMediaType": "application/json"}),
        json!({"format": "email"}),
        json!({"format": "uri-template"}),
        json!({"format": "idn-hostname"}),
        json!({"format": "json-pointer"}),
    ] {
        let mut schema = schema;
        schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        let schema = Schema::compile(&schema).unwrap();
        for text in [
            "(", "[", "{", "a.", "\u{e9}.", "a", "\"", "(a", "(?:", "[[a",
        ] {
            let _ = judged(&schema, UNHURRIED, &json!(text.repeat(300_000)));
        }
    }
}

#[test]
fn parts_that_double_without_a_look_at_the_value_end() {
    for (word, last) in [("allOf", true), ("anyOf", false), ("oneOf", false)] {
        let both = |at: usize| json!([{"$ref": format!("#/$defs/d{at}")}, {"$ref": format!("#/$defs/d{at}")}]);
        let mut parts: serde_json::Map<_, _> = (0..100)
            .map(|at| (format!("d{at}"), json!({word: both(at + 1)})))
            .collect();
        parts.insert("d100".to_owned(), json!(last));
        let schema =
            json!({"type": ["object", "null"], "not": {"$ref": "#/$defs/d0"}, "$defs": parts});
        let schema = Schema::compile(&schema).unwrap();
        let says = judged(&schema, SHORT, &json!({})).unwrap_err();
        assert_eq!(says, "it takes too long to judge by its schema", "{word}");
    }
}

#[test]
fn unevaluated_properties_that_double_with_every_part_end() {
    let inner = json!({"properties": {"a": {"type": "null"}}});
    let schema = (0..60).fold(
        inner,
        |schema, _| json!({"anyOf": [schema, {"required": ["b"]}], "unevaluatedProperties": false}),
    );
    let schema = Schema::compile(&schema).unwrap();
    let says = judged(&schema, SHORT, &json!({"a": null})).unwrap_err();
    assert_eq!(says, "it takes too long to judge by its schema");
    assert_eq!(judged(&schema, UNHURRIED, &json!(1)), Ok(()));
}

#[test]
fn an_honest_value_of_ten_megabytes_fits() {
    let schema = json!({
        "type": "array",
        "items": {"$ref": "#/$defs/Order"},
        "$defs": {"Order": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "pattern": "^(?!none$)[a-z]+-[0-9]+$"},
                "kind": {"enum": ["new", "paid", "sent"]},
                "note": {"anyOf": [{"type": "string", "maxLength": 80}, {"type": "null"}]},
            },
            "required": ["id", "kind"],
            "additionalProperties": false,
        }},
    });
    let order = |at| json!({"id": format!("order-{at}"), "kind": "paid", "note": null});
    let orders: Value = (0..200_000).map(order).collect();
    let schema = Schema::compile(&schema).unwrap();
    assert_eq!(judged(&schema, UNHURRIED, &orders), Ok(()));
}
