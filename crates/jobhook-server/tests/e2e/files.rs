//! Files on a real disk: whenever a server is killed, nothing is there by half.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use jobhook_protocol::{Digester, Sha256Digester};
use rusqlite::OpenFlags;
use serde_json::{Value, json};

use crate::client::Connection;
use crate::job::{Job, TELLING};
use crate::processes::{memory, until};
use crate::server::Server;

/// How often a server is killed.
const KILLS: u64 = 200;

/// The bytes of one round.
const SIZE: usize = 600_000;

/// The bytes of a round that the database keeps.
const SMALL: usize = 9_000;

/// Everything below a directory, by its path from there.
pub(crate) fn below(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(path),
                _ => drop(found.insert(path.strip_prefix(directory).unwrap().to_owned())),
            }
        }
    }
    found
}

/// Numbers that look drawn, and are the same each time.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, most: u64) -> u64 {
        // xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators".
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % most
    }
}

/// The head of the request that the bytes follow.
pub(crate) fn head(opened: &Value, size: usize) -> Vec<u8> {
    let url = opened["url"].as_str().unwrap();
    let path = &url[url.find("/async").unwrap()..];
    format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n").into_bytes()
}

/// A transfer of so many bytes, opened as `open` says, of which only the head was sent.
fn begun(server: &Server, job: &Job, target: &str, open: &Value, size: usize) -> TcpStream {
    let (status, opened) = job.ask("PUT", target, &open.to_string());
    assert_eq!((status, &opened["done"]), (200, &json!(false)), "{opened}");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&head(&opened, size)).unwrap();
    stream
}

/// The files of an action.
fn files(server: &Server, id: &str) -> Vec<Value> {
    let (status, listed) = server.get(&format!("/api/v1/actions/{id}/files"));
    assert_eq!(status, 200, "{listed}");
    listed["files"].as_array().unwrap().clone()
}

#[test]
fn a_server_that_is_killed_while_files_come_leaves_whole_files_and_nothing_else() {
    let mut server = Server::start(TELLING);
    let id = server.launch(&json!({"type": "Tell"}));
    let stored = server.folder.path("data/files");
    let mut drawn = Drawn(0x9E37_79B9_7F4A_7C15);
    let mut wholes = 0;
    for round in 0..KILLS {
        let bytes: Vec<u8> = (0..SIZE as u64)
            .map(|n| (n ^ (n >> 8) ^ round) as u8)
            .collect();
        let digests = Digester::of(&bytes);
        let job = Job::of(&server, &id, 1);
        let open =
            json!({"hash": digests.md5.to_string(), "challenge": digests.challenge.to_string()});
        let target = format!("/upload/actions/{id}/outputs");
        let begin = || begun(&server, &job, &target, &open, SIZE);
        let mut transfers = vec![begin(), begin()];
        // One goes so far, the other a little less or more; at the very end the server may be at
        // any step of what it does with the bytes.
        let most = SIZE as u64 + SIZE as u64 / 4;
        for stream in &mut transfers {
            let upto = usize::try_from(drawn.below(most)).unwrap().min(SIZE);
            stream.write_all(&bytes[..upto]).unwrap();
        }
        if drawn.below(2) == 0 {
            // Or it may have done with them.
            if let Some(stream) = transfers.pop() {
                let _ = Connection::of(stream).wait();
            }
        }
        server.kill();
        drop(transfers);
        server.start_again();

        let found = files(&server, &id);
        assert!(
            found.len() as u64 <= wholes + 1,
            "each content is there once"
        );
        for file in &found[usize::try_from(wholes).unwrap()..] {
            assert_eq!(file["sha256"], digests.sha256.to_string());
            let path = format!("/api/v1/actions/{id}/files/outputs/{}", file["index"]);
            assert_eq!(Connection::open(server.address()).bytes(&path), bytes);
        }
        wholes = found.len() as u64;
        until("there are bytes for each file and for nothing else", || {
            let there = below(&stored);
            there.len() as u64 == wholes && !there.iter().any(|path| path.starts_with("temp"))
        });
    }
    assert!(wholes > 0, "no upload was ever done in time");
    assert!(wholes < KILLS, "no upload was ever cut");
    for file in files(&server, &id) {
        let path = format!("/api/v1/actions/{id}/files/outputs/{}", file["index"]);
        let bytes = Connection::open(server.address()).bytes(&path);
        let sha256 = Digester::of(&bytes).sha256.to_string();
        assert_eq!(file["sha256"], sha256, "what was there once is still there");
    }
    Job::of(&server, &id, 1).exit(0);
}

/// The blobs that rows name: those that are files, and those in the database; and those that the
/// database has.
fn named(server: &Server) -> [BTreeSet<String>; 3] {
    let path = server.folder.path("data/jobhook.db");
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(path, read_only).unwrap();
    let names = |sql: &str| -> BTreeSet<String> {
        let mut statement = database.prepare(sql).unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    };
    let all = names("SELECT blob FROM contents UNION SELECT blob FROM staged");
    let (small, large) = all.into_iter().partition(|blob| blob.starts_with("small/"));
    [large, small, names("SELECT blob FROM small")]
}

#[test]
fn a_server_that_is_killed_while_small_files_come_or_some_in_one_pass_keeps_bytes_and_rows_together()
 {
    let mut server = Server::start(TELLING);
    let id = server.launch(&json!({"type": "Tell"}));
    let target = format!("/upload/actions/{id}/outputs");
    let stored = server.folder.path("data/files");
    let mut drawn = Drawn(0xD1B5_4A32_D192_ED03);
    let (mut whole, mut answered, mut cut) = (0, 0, 0);
    for round in 0..KILLS / 2 {
        let one_pass = round % 2 == 0;
        let size = if round % 3 == 0 { SIZE } else { SMALL };
        let bytes: Vec<u8> = (0..size as u64)
            .map(|n| (n ^ (n >> 8) ^ round) as u8)
            .collect();
        let digests = Digester::of(&bytes);
        let job = Job::of(&server, &id, 1);
        let open = if one_pass {
            json!({"onePass": true})
        } else {
            json!({"hash": digests.md5.to_string(), "challenge": digests.challenge.to_string()})
        };
        let begin = || begun(&server, &job, &target, &open, size);
        let mut transfers = vec![begin(), begin()];
        let most = size as u64 + size as u64 / 2;
        for stream in &mut transfers {
            let upto = usize::try_from(drawn.below(most)).unwrap().min(size);
            stream.write_all(&bytes[..upto]).unwrap();
        }
        let mut said = None;
        if drawn.below(2) == 0
            && let Some(stream) = transfers.pop()
        {
            said = Connection::of(stream)
                .wait()
                .filter(|(status, _)| *status < 300);
        }
        server.kill();
        drop(transfers);
        server.start_again();

        let job = Job::of(&server, &id, 1);
        if let Some((_, answer)) = said {
            answered += 1;
            if one_pass {
                let sha256 = digests.sha256.to_string();
                let close = json!({"receipt": answer["receipt"], "size": size, "sha256": sha256});
                let (status, closed) = job.ask("PUT", &target, &close.to_string());
                assert_eq!((status, &closed["done"]), (200, &json!(true)), "{closed}");
            }
            let found = files(&server, &id);
            let last = found.last().expect("what was answered is there");
            assert_eq!(last["sha256"], digests.sha256.to_string());
            let path = format!("/api/v1/actions/{id}/files/outputs/{}", last["index"]);
            assert_eq!(Connection::open(server.address()).bytes(&path), bytes);
        }
        let before = std::mem::replace(&mut whole, files(&server, &id).len());
        cut += usize::from(!one_pass && whole == before);
        until("there are bytes for each row and for nothing else", || {
            let there = below(&stored).into_iter();
            let there = there.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
            let [large, small, kept] = named(&server);
            there.collect::<BTreeSet<_>>() == large && kept == small
        });
    }
    assert!(answered > 0, "no upload was ever done in time");
    assert!(cut > 0, "no upload was ever cut");
    Job::of(&server, &id, 1).exit(0);
}

#[test]
fn a_file_that_is_larger_than_the_servers_memory_goes_through() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 160;
    let server = Server::start(TELLING);
    let id = server.launch(&json!({"type": "Tell"}));
    let job = Job::of(&server, &id, 1);
    let target = format!("/upload/actions/{id}/outputs");
    let (status, opened) = job.ask("PUT", &target, r#"{"onePass":true}"#);
    assert_eq!(status, 200, "{opened}");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&head(&opened, PIECE * PIECES)).unwrap();
    let mut sums = Sha256Digester::new();
    let mut piece = vec![0; PIECE];
    for n in 0..PIECES {
        piece[..8].copy_from_slice(&n.to_le_bytes());
        sums.update(&piece);
        stream.write_all(&piece).unwrap();
    }
    let (status, sent) = Connection::of(stream).answer().unwrap();
    assert_eq!((status, &sent["size"]), (200, &json!(PIECE * PIECES)));
    let sha256 = sums.finish().to_string();
    let close = json!({"receipt": sent["receipt"], "size": PIECE * PIECES, "sha256": sha256});
    let (status, closed) = job.ask("PUT", &target, &close.to_string());
    assert_eq!((status, &closed["done"]), (200, &json!(true)), "{closed}");

    let path = format!("/api/v1/actions/{id}/files/outputs/0");
    let mut came = Sha256Digester::new();
    Connection::open(server.address()).pieces(&path, |piece| came.update(piece));
    assert_eq!(came.finish().to_string(), sha256);
    let peak = memory(server.pid(), "VmHWM");
    assert!(peak < 64 << 10, "{peak} KiB");
    job.exit(0);
}

#[test]
fn whatever_a_name_says_bytes_stay_in_their_directory() {
    let server = Server::start(&format!(
        "{TELLING}\n[files]\nsmall = 0\n[stores.images]\nproperties = [\"files\"]\n"
    ));
    let everything = json!([{"store": "images", "uuid": "*", "property": "*", "access": "write"}]);
    let id = server.launch(&json!({"type": "Tell", "grants": everything}));
    let job = Job::of(&server, &id, 1);
    let outside = || {
        let all = below(server.dir());
        let noise = |path: &PathBuf| {
            let path = path.to_string_lossy();
            path.starts_with("data/files/")
                || path.starts_with("data/jobhook.db")
                || path.starts_with("data/runs/")
                || path.ends_with(".log")
        };
        all.into_iter()
            .filter(|path| !noise(path))
            .collect::<BTreeSet<_>>()
    };
    let before = outside();
    let long = "x".repeat(4096);
    let names = [
        "..",
        "%2e%2e",
        "..%2f..%2fescape",
        "%2e%2e%2f%2e%2e%2fescape",
        "%00",
        "a%00b",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "..%5c..%5cescape",
        "C:%5cescape",
        "CON",
        "NUL",
        "COM1.txt",
        "a:b",
        "%ef%bc%8e%ef%bc%8e",
        "%e2%80%ae",
        "%c0%ae%c0%ae",
        "%ff",
        "~",
        "$HOME",
        "*",
        "?",
        "temp",
        &long,
    ];
    let digests = Digester::of(b"x");
    let right =
        json!({"hash": digests.md5.to_string(), "challenge": digests.challenge.to_string()});
    let places = names.iter().flat_map(|name| {
        [
            format!("{name}/{id}/outputs"),
            format!("actions/{name}/outputs"),
            format!("actions/{id}/{name}"),
            format!("images/{name}/files"),
            format!("images/a/{name}"),
        ]
    });
    for place in places {
        let (status, answer) = job.ask("PUT", &format!("/upload/{place}"), &right.to_string());
        if status == 200 && answer["done"] == json!(false) {
            job.send(&answer, b"x");
        }
        assert!(
            matches!(status, 200 | 400 | 403 | 404 | 414 | 431),
            "{place}: {status} {answer}"
        );
        job.ask("GET", &format!("/download/{place}/0"), "");
    }
    for name in names {
        let name = percent_decoded(name);
        for field in ["hash", "challenge", "name", "mimetype"] {
            let mut body = right.clone();
            body[field] = json!(name);
            let target = format!("/upload/actions/{id}/outputs");
            let (status, answer) = job.ask("PUT", &target, &body.to_string());
            match status {
                200 if answer["done"] == json!(false) => job.send(&answer, b"x"),
                200 | 400 => {}
                other => panic!("{field} {name}: {other} {answer}"),
            }
        }
        job.ask("GET", &format!("/download/actions/{id}/outputs/{name}"), "");
    }
    assert_eq!(outside(), before, "nothing was written anywhere else");
    let stored = below(&server.folder.path("data/files"));
    assert_eq!(stored.len(), 1, "one content is one file: {stored:?}");
    job.exit(0);
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hex = rest
            .strip_prefix('%')
            .and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok());
        match hex {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.extend(first.to_string().bytes());
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
