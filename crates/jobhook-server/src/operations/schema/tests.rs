//! What schemas take and refuse.

use serde_json::json;

use super::*;

fn faults(schema: &Value, value: &str) -> Vec<(String, String)> {
    let schema = Schema::compile(schema).unwrap();
    let value = Json::from_text(value.to_owned()).unwrap();
    match schema.check(Some(&value)) {
        Ok(()) => Vec::new(),
        Err(mismatch) => mismatch
            .faults
            .into_iter()
            .map(|fault| (fault.path, fault.message))
            .collect(),
    }
}

#[track_caller]
fn refused(schema: &Value, place: &str, says: &str) {
    let error = Schema::compile(schema).unwrap_err();
    assert!(error.what.contains(says), "{error}");
    assert_eq!(error.place, place, "{error}");
}

#[test]
fn every_fault_is_named_with_its_pointer_and_without_its_value() {
    let schema = json!({
        "type": "object",
        "properties": {"id": {"type": "string", "maxLength": 3}, "tags": {"items": {"type": "integer"}}},
        "required": ["id", "when"],
        "additionalProperties": false,
    });
    assert_eq!(faults(&schema, r#"{"id":"a","when":1}"#).len(), 1);
    let found = faults(&schema, r#"{"id":"secret","tags":[1,"a/b",2.5],"x":0}"#);
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    for path in ["/id", "/tags/1", "/tags/2", ""] {
        assert!(paths.contains(&path), "{found:?}");
    }
    assert!(!format!("{found:?}").contains("secret"), "{found:?}");
}

#[test]
fn only_so_many_faults_are_named_and_the_others_counted() {
    let schema = Schema::compile(&json!({"items": {"type": "string"}})).unwrap();
    let value = Json::from_text(format!("[{}0]", "0,".repeat(99))).unwrap();
    let mismatch = schema.check(Some(&value)).unwrap_err();
    assert_eq!((mismatch.faults.len(), mismatch.more), (20, 80));
    assert!(mismatch.to_string().ends_with("; and 80 more"));
}

#[test]
fn what_is_absent_is_null_and_called_missing() {
    let missing = |schema| Schema::compile(&schema).unwrap().check(None);
    assert_eq!(missing(json!({"type": "null"})), Ok(()));
    assert_eq!(missing(json!(true)), Ok(()));
    let refused = missing(json!({"type": "object"})).unwrap_err();
    assert_eq!(refused.to_string(), "it is missing");
}

#[test]
fn a_number_that_no_program_can_read_is_refused() {
    let found = faults(&json!(true), "[1e999]");
    assert!(found[0].1.contains("number out of range"), "{found:?}");
}

#[test]
fn an_invalid_schema_is_refused_with_its_place() {
    refused(&json!({"type": "strnig"}), "/type", "strnig");
    refused(
        &json!({"properties": {"a": {"minimum": "3"}}}),
        "/properties/a/minimum",
        "",
    );
    refused(&json!({"pattern": "("}), "/pattern", "");
    refused(&json!(3), "", "");
    refused(&json!({"$ref": "#/$defs/none"}), "/$ref", "none");
}

#[test]
fn nothing_outside_of_a_schema_is_referred_to() {
    for target in [
        "other.json",
        "file:///etc/passwd",
        "http://127.0.0.1:1/x",
        "https://example.org/x#/a",
        "urn:example:x",
        "../x",
    ] {
        let schema = json!({"properties": {"a": {"$ref": target}}});
        refused(&schema, "/properties/a/$ref", "nothing is ever fetched");
    }
    refused(
        &json!({"$schema": "https://example.org/mine"}),
        "/$schema",
        "",
    );
    let inside = json!({
        "$id": "https://example.org/a", "$ref": "b#/$defs/c",
        "$defs": {"b": {"$id": "b", "$defs": {"c": {"type": "integer"}}}},
    });
    assert_eq!(faults(&inside, "1"), []);
    assert_eq!(faults(&inside, "true").len(), 1);
    let webda = json!({
        "$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/A",
        "definitions": {"A": {"type": "object"}},
    });
    assert_eq!(faults(&webda, "{}"), []);
}

#[test]
fn references_in_a_circle_end() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"anyOf": [{"$ref": "#"}, {"type": "string"}]}),
        json!({"not": {"$ref": "#"}}),
        json!({"if": {"$ref": "#"}, "then": {"$ref": "#"}, "else": {"$ref": "#"}}),
        json!({"oneOf": [{"$dynamicRef": "#x"}], "$dynamicAnchor": "x"}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"$ref": "#/$defs/a", "unevaluatedProperties": false, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}),
    ] {
        if let Ok(compiled) = Schema::compile(&schema) {
            for value in ["1", "{}", "[[]]", r#"{"a":{"a":1}}"#] {
                let value = Json::from_text(value.to_owned()).unwrap();
                let _ = compiled.check(Some(&value));
            }
        }
    }
}

#[test]
fn what_is_deep_or_huge_harms_nobody() {
    let mut deep = json!(true);
    for _ in 0..127 {
        deep = json!({"not": deep});
    }
    let nested = format!("{}{}", "[".repeat(127), "]".repeat(127));
    faults(&deep, &nested);
    refused(
        &json!({"not": deep, "allOf": [{"not": {"not": deep}}]}),
        "",
        "deeper than 128",
    );
    let tree = json!({"anyOf": [{"type": "string"}, {"items": {"$ref": "#"}, "type": "array"}]});
    assert_eq!(faults(&tree, &nested), []);
    let wrong = nested.replace("[]", "[7]");
    assert_eq!(faults(&tree, &wrong).len(), 1);
    let wide: serde_json::Map<_, _> = (0..20_000)
        .map(|n| (format!("p{n}"), json!({"type": "string"})))
        .collect();
    assert_eq!(
        faults(&json!({"properties": wide}), r#"{"p19999":1}"#).len(),
        1
    );
    let ten_thousand = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(faults(&json!(true), &ten_thousand)[0].1.contains("128"));
}

#[test]
fn schemas_and_values_that_are_both_deep_harm_nobody() {
    let value = format!("{}7{}", "[".repeat(127), "]".repeat(127));
    let wraps: [fn(Value) -> Value; 4] = [
        |schema| json!({"allOf": [schema, {"type": ["array", "string"]}]}),
        |schema| json!({"anyOf": [{"type": "string"}, schema]}),
        |schema| json!({"not": {"not": schema}}),
        |schema| json!({"if": true, "then": schema, "unevaluatedItems": false}),
    ];
    for wrap in wraps {
        let mut schema = json!({"type": "array", "items": {"$ref": "#"}});
        for _ in 0..60 {
            schema = wrap(schema);
        }
        assert!(!faults(&schema, &value).is_empty());
    }
}

#[test]
fn a_long_way_from_reference_to_reference_harms_nobody() {
    let links: [fn(String) -> Value; 3] = [
        |next| json!({"$ref": next}),
        |next| json!({"allOf": [{"$ref": next}]}),
        |next| json!({"properties": {"next": {"$ref": next}}, "type": "string"}),
    ];
    for link in links {
        let mut parts: serde_json::Map<_, _> = (0..4_000)
            .map(|n| (format!("d{n}"), link(format!("#/$defs/d{}", n + 1))))
            .collect();
        parts.insert("d4000".to_owned(), json!({"type": "string"}));
        let schema = json!({"$ref": "#/$defs/d0", "$defs": parts});
        assert_eq!(faults(&schema, "1").len(), 1);
    }
}

#[test]
fn branches_that_all_go_on_do_not_multiply() {
    let value = format!("{}7{}", "[".repeat(127), "]".repeat(127));
    for word in ["anyOf", "oneOf", "allOf"] {
        let branch = json!({"type": "array", "items": {"$ref": "#"}});
        let found = faults(&json!({word: [branch, branch]}), &value);
        assert!(found[0].1.contains("too deep to say where"), "{found:?}");
    }
}

#[test]
fn names_that_depend_on_names_are_no_schemas_even_if_they_look_like_some() {
    for word in ["if", "not", "allOf", "properties"] {
        let schema = json!({"dependentRequired": {word: ["then"]}});
        let with = json!({word: 1, "then": 2, "type": "x"}).to_string();
        assert_eq!(faults(&schema, &with), [], "{word}");
        let without = json!({word: 1, "type": "x"}).to_string();
        assert_eq!(faults(&schema, &without).len(), 1, "{word}");
    }
}

#[test]
fn the_schema_of_its_own_dialect_is_known_and_none_of_another() {
    let addresses = [
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ];
    for own in addresses {
        for address in addresses {
            let schema = json!({"$schema": own, "properties": {"schema": {"$ref": address}}});
            if address != own {
                refused(
                    &schema,
                    "/properties/schema/$ref",
                    "nothing is ever fetched",
                );
                continue;
            }
            assert_eq!(faults(&schema, r#"{"schema":{"type":"object"}}"#), []);
            assert_eq!(faults(&schema, r#"{"schema":{"type":3}}"#).len(), 1);
            for word in ["not", "items"] {
                let deep = (0..120).fold(json!(true), |deep, _| json!({word: deep}));
                assert_eq!(faults(&schema, &json!({"schema": deep}).to_string()), []);
                let deep = (0..40).fold(json!(3), |deep, _| json!({word: {"anyOf": [deep]}}));
                assert_ne!(faults(&schema, &json!({"schema": deep}).to_string()), []);
            }
        }
    }
}
