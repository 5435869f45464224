//! Whatever a job calls stores, objects, properties and files: bytes stay in the data directory of
//! the server, and in the directory that a client chose.
//!
//! Each input is a request to a server of its own with a directory of its own, over HTTP, signed as
//! jobs sign. Then the file system is looked at. `./just fuzz` starts it.

#![no_main]

mod stage;

use std::path::{Component, Path};

use arbitrary::Arbitrary;
use jobhook_protocol::file::no_metadata;
use jobhook_protocol::{Digester, FileMap};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

use stage::Stage;

/// A request for an address to leave a file at, or to take one from.
#[derive(Arbitrary, Debug)]
struct Game<'a> {
    takes: bool,
    store: Word<'a>,
    object: Word<'a>,
    property: Word<'a>,
    index: Word<'a>,
    name: Option<&'a str>,
    mimetype: Option<&'a str>,
    metadata: Option<&'a str>,
    /// In place of the true hash.
    hash: Option<&'a str>,
    content: bool,
}

/// A part of an address.
#[derive(Arbitrary, Debug)]
enum Word<'a> {
    /// One that means something.
    Known(Known),
    /// These bytes, as they may stand in a request.
    Raw(&'a [u8]),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Known {
    Actions,
    Images,
    OwnAction,
    Object,
    Files,
    Inputs,
    Outputs,
    Zero,
}

fuzz_target!(|game: Game| {
    Stage::with(|stage| {
        game.play(stage);
        stage.check();
    });
    if let Some(name) = game.name {
        name_is_no_path(name);
    }
});

impl Game<'_> {
    fn play(&self, stage: &Stage) {
        let word = |word: &Word| word.text(stage);
        let place = [&self.store, &self.object, &self.property]
            .map(word)
            .join("/");
        if self.takes {
            let index = self.index.text(stage);
            let found = stage.ask("GET", &format!("/download/{place}/{index}"), b"");
            if let Some(url) = found["Location"].as_str() {
                stage.send("GET", stage.path_of(url), b"");
            }
            return;
        }
        let content: &[u8] = if self.content { b"one" } else { b"" };
        let digests = Digester::of(content);
        let mut opening = json!({
            "hash": self.hash.map_or_else(|| digests.md5.to_string(), str::to_owned),
            "challenge": digests.challenge.to_string(),
        });
        for (field, value) in [("name", self.name), ("mimetype", self.mimetype)] {
            if let Some(value) = value {
                opening[field] = json!(value);
            }
        }
        if let Some(text) = self.metadata {
            opening["metadata"] = json!({ text: text });
        }
        let target = format!("/upload/{place}");
        let opened = stage.ask("PUT", &target, opening.to_string().as_bytes());
        if let Some(url) = opened["url"].as_str() {
            stage.send("PUT", stage.path_of(url), content);
        }
    }
}

impl Word<'_> {
    /// As it stands in a request: what would end its line is encoded, and all else left alone, so
    /// that slashes, dots and what is encoded already arrive as they are.
    fn text(&self, stage: &Stage) -> String {
        let text = match self {
            Word::Known(Known::Actions) => "actions",
            Word::Known(Known::Images) => "images",
            Word::Known(Known::OwnAction) => stage.action(),
            Word::Known(Known::Object) => "cat-1",
            Word::Known(Known::Files) => "files",
            Word::Known(Known::Inputs) => "inputs",
            Word::Known(Known::Outputs) => "outputs",
            Word::Known(Known::Zero) => "0",
            Word::Raw(bytes) => {
                let encoded = |byte: &u8| match byte {
                    b'!'..=b'~' => char::from(*byte).to_string(),
                    _ => format!("%{byte:02x}"),
                };
                return bytes.iter().map(encoded).collect();
            }
        };
        text.to_owned()
    }
}

/// What a client makes of a name is one part of a path, and can be one.
fn name_is_no_path(name: &str) {
    let digests = Digester::of(b"");
    let map = FileMap {
        hash: digests.md5,
        mimetype: "text/plain".to_owned(),
        metadata: no_metadata(),
        name: Some(name.to_owned()),
        size: Some(0),
        sha256: Some(digests.sha256),
    };
    for local in jobhook::local_names_of(&[map.clone(), map]) {
        let parts: Vec<_> = Path::new(&local).components().collect();
        assert!(
            matches!(parts[..], [Component::Normal(part)] if part == local.as_str()),
            "{name:?} became {local:?}"
        );
        assert!(
            local.len() <= 255 && !local.contains(['\\', '\0']),
            "{local:?}"
        );
    }
}

/// What an answer has.
fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}
