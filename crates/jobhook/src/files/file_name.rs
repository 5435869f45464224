//! What a file that comes from a server is called here. Its name is never taken for a path.

use std::collections::{HashMap, HashSet};

use jobhook_protocol::file::MAX_NAME;
use jobhook_protocol::{FileBody, FileMap};

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

/// What each of `files` is called in one directory here: its own name, or its hash where that is
/// none for a path; with its number before it where another one has the name, also one that differs
/// in case only.
pub fn local_names(files: &[FileBody]) -> Vec<String> {
    let named = files.iter().map(|file| Named {
        index: file.index,
        name: local_name(file.name.as_deref(), &file.md5.to_string()),
        hash: file.sha256.to_string(),
    });
    distinct(named.collect())
}

/// [`local_names`] of the files of one property, the first of which has the number 0.
pub fn local_names_of(files: &[FileMap]) -> Vec<String> {
    let named = files.iter().zip(0..).map(|(file, index)| {
        let md5 = file.hash.to_string();
        Named {
            index,
            name: local_name(file.name.as_deref(), &md5),
            hash: file.sha256.map_or(md5, |sha256| sha256.to_string()),
        }
    });
    distinct(named.collect())
}

struct Named {
    index: u64,
    name: String,
    hash: String,
}

fn distinct(files: Vec<Named>) -> Vec<String> {
    let mut count: HashMap<String, usize> = HashMap::new();
    for file in &files {
        *count.entry(file.name.to_lowercase()).or_default() += 1;
    }
    let mut taken = HashSet::new();
    let name = |file: Named| {
        let mut name = match count.get(&file.name.to_lowercase()) {
            Some(1) => file.name,
            _ => format!("{}-{}", file.index, file.name),
        };
        if name.len() > MAX_NAME {
            name = format!("{}-{}", file.index, file.hash);
        }
        while !taken.insert(name.to_lowercase()) {
            name = format!("{}-{name}", file.index);
        }
        name
    };
    files.into_iter().map(name).collect()
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

    fn file(index: u64, name: &str) -> FileBody {
        FileBody {
            property: "outputs".into(),
            index,
            name: Some(name.into()),
            mimetype: "text/csv".into(),
            size: 1,
            md5: jobhook_protocol::Md5Sum([0; 16]),
            sha256: jobhook_protocol::Sha256Sum([0; 32]),
            metadata: None,
            attempt: Some(1),
            created_at: "2025-11-24T16:00:00.000Z".into(),
        }
    }

    /// `0-a` was written twice: for the first `a`, and for the file of that name.
    #[test]
    fn no_two_files_get_one_name() {
        let named = |names: &[&str]| {
            let files = names.iter().enumerate();
            let files: Vec<_> = files
                .map(|(index, name)| file(index as u64, name))
                .collect();
            local_names(&files)
        };
        assert_eq!(named(&["a", "b"]), ["a", "b"]);
        assert_eq!(named(&["a", "b", "a"]), ["0-a", "b", "2-a"]);
        assert_eq!(named(&["a", "A"]), ["0-a", "1-A"]);
        assert_eq!(named(&["a", "a", "0-a"]), ["0-a", "1-a", "2-0-a"]);
        let long = "x".repeat(254);
        let zeros = "0".repeat(64);
        let expected = [format!("0-{zeros}"), format!("1-{zeros}")];
        assert_eq!(named(&[&long, &long]), expected);
    }
}
