//! What a blob in a directory is called: `{sha256}.{generation}`, digits and a point.

use std::io;

use jobhook_engine::blob::BlobName;
use jobhook_protocol::Sha256Sum;

/// Sixteen random bytes in hexadecimal: no two blobs have the same, whatever their content.
pub(super) fn draw_generation() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// The name of a finished blob.
pub(super) fn finished(sha256: &Sha256Sum, generation: &str) -> BlobName {
    BlobName(format!("{sha256}.{generation}"))
}

/// Whether a text is such a name. Whatever else it is, it names no file.
pub(super) fn is_ours(text: &str) -> bool {
    let digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let bytes = text.as_bytes();
    bytes.len() == 64 + 1 + 32
        && bytes.iter().enumerate().all(|(at, c)| match at {
            64 => *c == b'.',
            _ => digit(*c),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_and_a_point_are_a_name() {
        let BlobName(name) = finished(&Sha256Sum([0xab; 32]), &draw_generation().unwrap());
        assert!(is_ours(&name), "{name}");
        for (at, c) in name.char_indices() {
            for wrong in ["", "/", ".", "\0", "g", "A", " ", "\\", "00"] {
                let text = format!("{}{wrong}{}", &name[..at], &name[at + c.len_utf8()..]);
                assert_eq!(is_ours(&text), text == name, "{text}");
            }
        }
        assert!(!is_ours(&"é".repeat(48)));
    }
}
