//! What a file that comes from a server is called here. Its name is never taken for a path.

use jobhook_protocol::file::MAX_NAME;

/// Names that Windows takes for devices, whatever follows a dot.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// One part of a path: the last of `name`, if that can be one, else `hash`.
///
/// A name that is a device on Windows gets `_` before it. One with control characters, or with
/// such that turn the direction of text, is not used.
pub(crate) fn local_name(name: Option<&str>, hash: &str) -> String {
    let last = name.and_then(|name| name.rsplit(['/', '\\']).next());
    let usable = last.filter(|name| {
        let is_dots = name.trim_matches([' ', '.']).is_empty();
        !is_dots && name.len() < MAX_NAME && !name.contains(is_treacherous)
    });
    match usable {
        Some(name) if is_device(name) => format!("_{name}"),
        Some(name) => name.to_owned(),
        None => hash.to_owned(),
    }
}

fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_device(name: &str) -> bool {
    // A colon begins a stream of the file there.
    let stem = name.split(['.', ':']).next().unwrap_or_default();
    let stem = stem.trim_end().to_uppercase();
    let is_port = ["COM", "LPT"].iter().any(|port| {
        let number = stem.strip_prefix(port);
        number.is_some_and(|number| {
            let mut chars = number.chars();
            let digit = |c: char| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³');
            chars.next().is_some_and(digit) && chars.next().is_none()
        })
    });
    is_port || DEVICES.contains(&stem.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, becomes: &str) {
        assert_eq!(local_name(Some(name), "hash"), becomes, "{name:?}");
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        check("a.csv", "a.csv");
        check("übersicht 1.csv", "übersicht 1.csv");
        check("/etc/passwd", "passwd");
        check("..\\..\\a", "a");
        check("%2e%2e%2fa", "%2e%2e%2fa");
        for none in [
            "",
            ".",
            "..",
            "a/",
            "a/..",
            ". .",
            "a\nb",
            "a\0",
            "a\u{202e}gnp.exe",
        ] {
            check(none, "hash");
        }
        check(&"x".repeat(300), "hash");
        assert_eq!(local_name(None, "hash"), "hash");
    }

    #[test]
    fn a_device_of_windows_is_none() {
        for device in ["con", "NUL.txt", "aux .c", "COM1", "lpt³.log", "CON:x"] {
            check(device, &format!("_{device}"));
        }
        for other in ["console", "COM10", "COM", "nul-1", "LPTx"] {
            check(other, other);
        }
    }
}
