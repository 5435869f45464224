//! The crate against `conformance/vectors/`: the facts that every implementation shares.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use jobhook_protocol::signature::{JOB_HASH, JOB_ID, JOB_SIGNATURE, JOB_TIME};
use jobhook_protocol::{
    Digester, EnvironmentError, Event, JobEnvironment, KeyError, SecretKey, SignedHeaders, Status,
    Verifier, attempt_key, sign_v1, sign_webda,
};
use serde_json::Value;

fn cases(file: &str) -> Vec<Value> {
    let path = format!(
        "{}/../../conformance/vectors/{file}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let cases = document["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} of {case}"))
}

fn body(case: &Value) -> Vec<u8> {
    match case["body_base64"].as_str() {
        Some(base64) => unbase64(base64),
        None => text(case, "body").as_bytes().to_vec(),
    }
}

fn content(case: &Value) -> Vec<u8> {
    match case["repeat_hex"].as_str() {
        Some(pattern) => {
            let size = usize::try_from(case["size"].as_u64().unwrap()).unwrap();
            unhex(pattern).into_iter().cycle().take(size).collect()
        }
        None => unbase64(text(case, "content_base64")),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn unbase64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextets: Vec<u32> = text
        .bytes()
        .filter_map(|byte| ALPHABET.iter().position(|a| *a == byte))
        .map(|at| at as u32)
        .collect();
    let mut bytes = Vec::new();
    for four in sextets.chunks(4) {
        let bits = four
            .iter()
            .enumerate()
            .fold(0, |bits, (at, sextet)| bits | sextet << (18 - 6 * at));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

/// Judges a request as a server does.
fn judge(case: &Value) -> String {
    let Ok(key) = SecretKey::from_text(text(case, "key")) else {
        return "key_not_latin1".into();
    };
    let sent: Vec<(&str, &[u8])> = case["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap().as_bytes()))
        .collect();
    let headers = SignedHeaders::read(|name| {
        sent.iter()
            .filter(move |(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    });
    let known = case["attempt_key_known"].as_bool().unwrap();
    let verifier = Verifier {
        id: text(case, "id"),
        key: known.then_some(&key),
        now_ms: case["now_ms"].as_i64().unwrap(),
        max_clock_skew_ms: case["max_clock_skew_ms"].as_i64(),
        requires_signature: case["require_signature"] == Value::Bool(true),
    };
    let (method, target) = (text(case, "method"), text(case, "target"));
    match verifier.verify(headers, method, target, &body(case)) {
        Ok(_) => "accepted".into(),
        Err(code) => code.to_string(),
    }
}

#[test]
fn every_request_is_judged_as_the_vectors_say() {
    for case in cases("signature") {
        assert_eq!(
            judge(&case),
            text(&case, "expect"),
            "{}: {}",
            text(&case, "name"),
            text(&case, "why")
        );
    }
}

#[test]
fn every_request_is_signed_as_the_vectors_say() {
    let signing: Vec<Value> = cases("signature")
        .into_iter()
        .filter(|case| case["signs"] == true)
        .collect();
    assert!(signing.len() > 10);
    for case in signing {
        let key = SecretKey::from_text(text(&case, "key")).unwrap();
        let (id, time) = (text(&case, "id"), text(&case, "time"));
        let headers = &case["headers"];
        assert_eq!(
            (headers[JOB_ID].as_str(), headers[JOB_TIME].as_str()),
            (Some(id), Some(time)),
            "{case}"
        );
        let (hash, signature) = match text(&case, "profile") {
            "webda" => (sign_webda(&key, time), None),
            _ => {
                let (hash, signature) = sign_v1(
                    &key,
                    id,
                    time,
                    text(&case, "method"),
                    text(&case, "target"),
                    &body(&case),
                );
                (hash, Some(signature))
            }
        };
        assert_eq!(headers[JOB_HASH].as_str(), Some(hash.as_str()), "{case}");
        assert_eq!(
            headers[JOB_SIGNATURE].as_str(),
            signature.as_deref(),
            "{case}"
        );
    }
}

#[test]
fn every_key_is_derived_as_the_vectors_say() {
    for case in cases("keys") {
        let master = unhex(text(&case, "master_hex"));
        let attempt = u32::try_from(case["attempt"].as_u64().unwrap()).unwrap();
        let derived = attempt_key(&master, text(&case, "id"), attempt, text(&case, "nonce"));
        match case["expect"]["refused"].as_str() {
            Some("attempt") => assert_eq!(derived, Err(KeyError::NoAttempt), "{case}"),
            Some("nonce") => assert_eq!(derived, Err(KeyError::NoNonce), "{case}"),
            _ => assert_eq!(
                derived.unwrap().reveal(),
                text(&case["expect"], "key"),
                "{case}"
            ),
        }
    }
}

#[test]
fn every_transition_is_judged_as_the_vectors_say() {
    let cases = cases("transitions");
    assert_eq!(cases.len(), Status::ALL.len() * Event::ALL.len());
    for case in cases {
        let from: Status = text(&case, "from").parse().unwrap();
        let event = Event::ALL
            .into_iter()
            .find(|event| event.as_str() == text(&case, "event"))
            .unwrap();
        let to = case["to"].as_str().map(|to| to.parse::<Status>().unwrap());
        assert_eq!(from.after(event).ok(), to, "{from} on {event}");
    }
}

#[test]
fn every_environment_is_read_as_the_vectors_say() {
    for case in cases("environment") {
        let read = JobEnvironment::read(|name| case["vars"][name].as_str().map(str::to_owned));
        let expect = &case["expect"];
        match read {
            Ok(environment) => {
                assert_eq!(environment.id, text(expect, "id"), "{case}");
                assert_eq!(environment.hook, text(expect, "hook"), "{case}");
                assert_eq!(
                    environment.secret_key.reveal(),
                    text(expect, "key"),
                    "{case}"
                );
                assert_eq!(
                    environment.attempt.map(u64::from),
                    expect["attempt"].as_u64(),
                    "{case}"
                );
                assert_eq!(
                    environment.orchestrator.as_deref(),
                    expect["orchestrator"].as_str(),
                    "{case}"
                );
                assert_eq!(
                    environment.traceparent.as_deref(),
                    expect["traceparent"].as_str(),
                    "{case}"
                );
            }
            Err(EnvironmentError::Missing(name)) => {
                assert_eq!(
                    (text(expect, "error"), text(expect, "names")),
                    ("missing_variable", name),
                    "{case}"
                );
            }
            Err(EnvironmentError::Invalid { name, reason }) => {
                assert_eq!(
                    (text(expect, "error"), text(expect, "names")),
                    ("invalid_variable", name),
                    "{case}"
                );
                assert!(!reason.contains("JOB_SECRET_KEY="), "{case}");
            }
        }
    }
}

#[test]
fn every_content_has_the_digests_that_the_vectors_say() {
    for case in cases("challenge") {
        let (content, expect) = (content(&case), &case["expect"]);
        for piece in [61, usize::MAX] {
            let mut digester = Digester::new();
            content
                .chunks(piece)
                .for_each(|piece| digester.update(piece));
            let digests = digester.finish();
            let name = text(&case, "name");
            assert_eq!(Some(digests.size), expect["size"].as_u64(), "{name}");
            for (sum, field) in [
                (digests.md5.to_string(), "hash"),
                (digests.challenge.to_string(), "challenge"),
                (digests.md5.to_base64(), "md5"),
                (digests.sha256.to_string(), "sha256"),
            ] {
                assert_eq!(sum, text(expect, field), "{field} of {name}");
            }
        }
    }
}

#[test]
fn every_code_stands_in_the_written_protocol_with_its_status() {
    let path = format!("{}/../../docs/protocol.md", env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(path).unwrap();
    for code in jobhook_protocol::Code::ALL {
        let row = document
            .lines()
            .find(|line| line.starts_with('|') && line.contains(&format!("`{code}`")))
            .unwrap_or_else(|| panic!("docs/protocol.md has no row for {code}"));
        assert!(row.contains(&code.status().to_string()), "{row}");
    }
}
