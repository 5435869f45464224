//! The bytes of a file as an answer (clauses `DOWN-4` to `DOWN-6`; RFC 9110, sections 13 and 14).

use std::ops::Range;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobhook_engine::blob::DirectTerms;
use jobhook_engine::file::File;
use jobhook_protocol::Code;

use super::Surface;
use super::refusal::{Answered, Refused};

/// What no browser runs, and so is answered as what it was uploaded as.
const HARMLESS: [&str; 20] = [
    "application/gzip",
    "application/json",
    "application/pdf",
    "application/vnd.apache.parquet",
    "application/x-ndjson",
    "application/x-tar",
    "application/zip",
    "application/zstd",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/csv",
    "text/markdown",
    "text/plain",
    "video/mp4",
    "video/webm",
];

/// What everything else is answered as.
const BYTES: &str = "application/octet-stream";

/// What a request wants of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// Nothing: it has it.
    Nothing,
    All,
    Part(Range<u64>),
    /// What is not there.
    Beyond,
}

/// Answers a file's bytes, or as many of them as are asked for.
pub(super) async fn answer(surface: &Surface, head: &Parts, file: &File) -> Answered {
    let (size, tag) = (file.content.size, tag(file));
    let wanted = wanted(&head.headers, size, &tag);
    let range = match &wanted {
        Wanted::Nothing => return Ok(with_tag(StatusCode::NOT_MODIFIED.into_response(), &tag)),
        Wanted::Beyond => {
            let detail = format!("the range lies beyond the {size} bytes of the file");
            let refused = Refused::new(Code::UnsatisfiableRange, detail);
            let mut response = refused.into_response();
            put(
                &mut response,
                header::CONTENT_RANGE,
                format!("bytes */{size}"),
            );
            return Ok(response);
        }
        Wanted::All => 0..size,
        Wanted::Part(range) => range.clone(),
    };
    let length = range.end - range.start;
    let body = if head.method == Method::HEAD || length == 0 {
        Body::empty()
    } else {
        Body::from_stream(surface.engine.files().read(file, range.clone()).await?)
    };
    let mut response = Response::new(body);
    if let Wanted::Part(_) = wanted {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = range.end - 1;
        let part = format!("bytes {}-{last}/{size}", range.start);
        put(&mut response, header::CONTENT_RANGE, part);
    }
    put(&mut response, header::CONTENT_LENGTH, length.to_string());
    put(
        &mut response,
        header::CONTENT_TYPE,
        media_type(file).to_owned(),
    );
    put(
        &mut response,
        header::CONTENT_DISPOSITION,
        disposition(file),
    );
    put(&mut response, header::ACCEPT_RANGES, "bytes".to_owned());
    put(
        &mut response,
        header::CACHE_CONTROL,
        "private, no-cache".to_owned(),
    );
    // Whatever it is, it is not to be run, also where somebody shows it.
    put(
        &mut response,
        header::CONTENT_SECURITY_POLICY,
        "sandbox".to_owned(),
    );
    put(
        &mut response,
        header::X_CONTENT_TYPE_OPTIONS,
        "nosniff".to_owned(),
    );
    Ok(with_tag(response, &tag))
}

/// How a file is answered by others.
pub(super) fn terms(file: &File, lasts: Duration) -> DirectTerms {
    DirectTerms {
        content_type: media_type(file).to_owned(),
        content_disposition: disposition(file),
        lasts,
    }
}

fn put(response: &mut Response, name: header::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

fn with_tag(mut response: Response, tag: &str) -> Response {
    put(&mut response, header::ETAG, tag.to_owned());
    response
}

fn tag(file: &File) -> String {
    format!("\"{}\"", file.content.sha256)
}

fn media_type(file: &File) -> &str {
    let said = file.fields.mimetype.as_str();
    let essence = said.split(';').next().unwrap_or_default().trim();
    if HARMLESS
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
    {
        said
    } else {
        BYTES
    }
}

/// `attachment`, with the file's name where it has one (RFC 6266; RFC 8187 beyond ASCII).
fn disposition(file: &File) -> String {
    let Some(name) = &file.fields.name else {
        return "attachment".to_owned();
    };
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ';
    let fallback: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    if fallback == *name {
        return format!("attachment; filename=\"{name}\"");
    }
    let mut encoded = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => encoded.push(char::from(byte)),
            b'!' | b'#' | b'$' | b'&' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}")
}

fn wanted(headers: &HeaderMap, size: u64, tag: &str) -> Wanted {
    let mut known = headers.get_all(header::IF_NONE_MATCH).iter();
    if known.any(|value| has_tag(value, tag)) {
        return Wanted::Nothing;
    }
    let mut ranges = headers.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Wanted::All;
    };
    // A part of what it was is a part of what it is only if it is the same.
    if let Some(condition) = headers.get(header::IF_RANGE)
        && condition.as_bytes() != tag.as_bytes()
    {
        return Wanted::All;
    }
    range
        .to_str()
        .map_or(Wanted::All, |text| one_range(text, size))
}

/// Whether a list of tags has this one; weak or strong does not matter here.
fn has_tag(value: &HeaderValue, tag: &str) -> bool {
    let listed = value.to_str().unwrap_or_default().split(',').map(str::trim);
    listed
        .map(|one| one.strip_prefix("W/").unwrap_or(one))
        .any(|one| one == tag || one == "*")
}

/// What is asked for by a header `Range`. What is none, or several, counts as no range.
fn one_range(text: &str, size: u64) -> Wanted {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a number has are still a number, and a great one.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let Some((unit, range)) = text.split_once('=') else {
        return Wanted::All;
    };
    let Some((first, last)) = range.trim().split_once('-') else {
        return Wanted::All;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::All;
    }
    match (number(first), number(last)) {
        (Some(first), _) if first >= size && (last.is_empty() || number(last).is_some()) => {
            Wanted::Beyond
        }
        (Some(first), None) if last.is_empty() => Wanted::Part(first..size),
        (Some(first), Some(last)) if first <= last => {
            Wanted::Part(first..last.saturating_add(1).min(size))
        }
        (None, Some(0)) if first.is_empty() => Wanted::Beyond,
        (None, Some(_)) if first.is_empty() && size == 0 => Wanted::Beyond,
        (None, Some(suffix)) if first.is_empty() => Wanted::Part(size.saturating_sub(suffix)..size),
        _ => Wanted::All,
    }
}

#[cfg(test)]
mod tests {
    use jobhook_engine::blob::BlobName;
    use jobhook_engine::clock::Timestamp;
    use jobhook_engine::file::{Content, FileFields, ObjectRef};
    use jobhook_protocol::{Md5Sum, Sha256Sum};

    use super::*;

    fn file(name: Option<&str>, mimetype: &str) -> File {
        let object = ObjectRef {
            store: "actions".into(),
            id: "a".into(),
        };
        File {
            at: object.property("outputs"),
            index: 0,
            content: Content {
                sha256: Sha256Sum([1; 32]),
                md5: Md5Sum([2; 16]),
                challenge: Md5Sum([3; 16]),
                size: 10,
                blob: BlobName("b".into()),
            },
            fields: FileFields {
                name: name.map(str::to_owned),
                mimetype: mimetype.into(),
                metadata: None,
            },
            attempt: None,
            attached_at: Timestamp(0),
        }
    }

    #[test]
    fn a_range_is_one_and_within_the_file() {
        for (text, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-5", Wanted::Part(2..6)),
            ("Bytes = 2-", Wanted::Part(2..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-99", Wanted::Part(0..10)),
            ("bytes=9-99999999999999999999999", Wanted::Part(9..10)),
            ("bytes=10-", Wanted::Beyond),
            ("bytes=10-20", Wanted::Beyond),
            ("bytes=99999999999999999999999-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=5-2", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=12-x", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("0-1", Wanted::All),
        ] {
            assert_eq!(one_range(text, 10), expected, "{text}");
        }
        for text in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(one_range(text, 0), Wanted::Beyond, "{text}");
        }
    }

    #[test]
    fn what_is_there_already_is_not_sent_and_a_part_only_of_the_same() {
        let headers = |pairs: &[(header::HeaderName, &'static str)]| {
            let pairs = pairs.iter().cloned();
            HeaderMap::from_iter(pairs.map(|(name, value)| (name, value.parse().unwrap())))
        };
        let asked = |pairs: &[_]| wanted(&headers(pairs), 10, "\"t\"");
        assert_eq!(
            asked(&[(header::IF_NONE_MATCH, "\"x\", W/\"t\"")]),
            Wanted::Nothing
        );
        assert_eq!(asked(&[(header::IF_NONE_MATCH, "*")]), Wanted::Nothing);
        assert_eq!(asked(&[(header::IF_NONE_MATCH, "\"x\", t")]), Wanted::All);
        let part = (header::RANGE, "bytes=1-");
        assert_eq!(asked(std::slice::from_ref(&part)), Wanted::Part(1..10));
        let same = (header::IF_RANGE, "\"t\"");
        assert_eq!(asked(&[part.clone(), same]), Wanted::Part(1..10));
        for other in ["\"x\"", "W/\"t\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(
                asked(&[part.clone(), (header::IF_RANGE, other)]),
                Wanted::All
            );
        }
    }

    #[test]
    fn a_name_is_said_so_that_every_reader_gets_it() {
        let said = |name: &str| disposition(&file(Some(name), BYTES));
        assert_eq!(disposition(&file(None, BYTES)), "attachment");
        assert_eq!(said("a b.csv"), "attachment; filename=\"a b.csv\"");
        assert_eq!(
            said("é\"%.csv"),
            "attachment; filename=\"___.csv\"; filename*=UTF-8''%C3%A9%22%25.csv"
        );
    }

    #[test]
    fn a_type_is_answered_only_where_nothing_runs_it() {
        let answered = |said: &str| media_type(&file(None, said)).to_owned();
        assert_eq!(
            answered("text/csv; charset=utf-8"),
            "text/csv; charset=utf-8"
        );
        assert_eq!(answered("IMAGE/PNG"), "IMAGE/PNG");
        for runs in [
            "text/html",
            "image/svg+xml",
            "application/xml",
            "text/javascript",
            "",
        ] {
            assert_eq!(answered(runs), BYTES, "{runs}");
        }
    }
}
