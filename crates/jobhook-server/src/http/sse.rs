//! Server-sent events as bytes (WHATWG HTML §9.2).

use bytes::Bytes;
use serde::Serialize;

/// Some events, one after the other.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<u8>);

impl Events {
    /// Adds an event whose data is `data` as JSON.
    ///
    /// - `id`: what a reader that has seen it goes on after.
    pub(super) fn add(
        &mut self,
        name: &str,
        id: Option<u64>,
        data: &impl Serialize,
    ) -> Result<(), serde_json::Error> {
        if let Some(id) = id {
            self.0.extend_from_slice(format!("id: {id}\n").as_bytes());
        }
        self.0
            .extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
        let begin = self.0.len();
        serde_json::to_writer(&mut self.0, data)?;
        // Values are kept as they were sent, maybe over several lines; between the tokens of
        // JSON, and nowhere else can they stand, a space does as well.
        for byte in &mut self.0[begin..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        self.0.extend_from_slice(b"\n\n");
        Ok(())
    }

    /// Adds a comment, which only shows that the stream lives.
    pub(super) fn comment(&mut self) {
        self.0.extend_from_slice(b":\n\n");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use jobhook_protocol::Json;

    use super::*;

    #[test]
    fn data_stays_on_one_line_whatever_it_is() {
        let mut events = Events::default();
        let data = Json::from_text("{\r\n  \"a\": \"b\\nc\"\n}".into()).unwrap();
        events.add("log", Some(7), &data).unwrap();
        events.comment();
        let text = String::from_utf8(events.0).unwrap();
        assert_eq!(
            text,
            "id: 7\nevent: log\ndata: {    \"a\": \"b\\nc\" }\n\n:\n\n"
        );
    }
}
