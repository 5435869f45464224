//! The output log of one run: what its job wrote, line by line, numbered from 0.
//!
//! ```text
//! output.0   output.1   output.2 …     at most two are kept, 32 MiB each
//! segment := "JHOUT1\r\n" first:u64 frame*
//! frame   := length:u32 flags:u32 time_ms:u64 bytes        all little endian
//! ```
//!
//! A segment says the number of its first line, so a reader that comes too late knows how many
//! lines it missed. The position of a reader is the number of the next line it wants; it means the
//! same in every segment and across restarts. A frame that is cut short at the end of the newest
//! segment is not there yet.
//!
//! The writer is the supervisor, the only one; readers need no lock.

mod reader;

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(crate) use reader::count_lines;
pub use reader::{Chunk, OutputReader};

/// How large a segment grows, in bytes.
const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
/// How many segments are kept.
const SEGMENTS_KEPT: u64 = 2;
const MAGIC: [u8; 8] = *b"JHOUT1\r\n";
const HEADER_BYTES: usize = 16;
const FRAME_HEADER_BYTES: usize = 16;
const STDERR: u32 = 1;
const CONTINUED: u32 = 2;

/// Where a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of output, or a piece of a line longer than 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number within the run, from 0.
    pub position: u64,
    /// When the supervisor read it, milliseconds since the epoch.
    pub time_ms: u64,
    /// Where it was written to.
    pub stream: Stream,
    /// Whether the next line of this stream goes on with the same line.
    pub continued: bool,
    /// Without its line end. What was not UTF-8, or NUL, is U+FFFD.
    pub text: String,
}

/// Adds a frame to `frames`.
pub(crate) fn push_frame(
    frames: &mut Vec<u8>,
    stream: Stream,
    continued: bool,
    time_ms: u64,
    bytes: &[u8],
) {
    let flags =
        if stream == Stream::Stderr { STDERR } else { 0 } | if continued { CONTINUED } else { 0 };
    frames.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    frames.extend_from_slice(&flags.to_le_bytes());
    frames.extend_from_slice(&time_ms.to_le_bytes());
    frames.extend_from_slice(bytes);
}

/// Writes the log of one run.
#[derive(Debug)]
pub(crate) struct OutputWriter {
    file: Option<File>,
    segment: u64,
    size: u64,
    lines: u64,
}

impl OutputWriter {
    pub(crate) fn new() -> OutputWriter {
        OutputWriter {
            file: None,
            segment: 0,
            size: 0,
            lines: 0,
        }
    }

    /// How many lines were written, lost ones included.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// Appends `frames`, which hold `count` lines.
    ///
    /// # Errors
    ///
    /// If the disk would not take them. They count as written and lost; the next segment's
    /// first number shows the gap.
    pub(crate) fn append(&mut self, dir: &Path, frames: &[u8], count: u64) -> io::Result<()> {
        let first = self.lines;
        self.lines += count;
        let written = self.try_append(dir, frames, first);
        if written.is_err() {
            // Whatever half of it arrived must not be followed by good frames.
            if let Some(file) = self.file.take() {
                let _ = file.set_len(self.size);
                self.segment += 1;
            }
        }
        written
    }

    fn try_append(&mut self, dir: &Path, frames: &[u8], first: u64) -> io::Result<()> {
        if self.size >= SEGMENT_BYTES && self.file.take().is_some() {
            self.segment += 1;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut file = File::options()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(segment_path(dir, self.segment))?;
                self.size = 0;
                let mut header = [0; HEADER_BYTES];
                header[..8].copy_from_slice(&MAGIC);
                header[8..].copy_from_slice(&first.to_le_bytes());
                file.write_all(&header)?;
                self.size = HEADER_BYTES as u64;
                if let Some(old) = self.segment.checked_sub(SEGMENTS_KEPT) {
                    let _ = std::fs::remove_file(segment_path(dir, old));
                }
                self.file.insert(file)
            }
        };
        file.write_all(frames)?;
        self.size += frames.len() as u64;
        Ok(())
    }
}

fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("output.{segment}"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn segment_numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("output."));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(texts: &[&[u8]]) -> Vec<u8> {
        let mut frames = Vec::new();
        for text in texts {
            push_frame(&mut frames, Stream::Stdout, false, 7, text);
        }
        frames
    }

    fn texts(chunk: &Chunk) -> Vec<&str> {
        chunk.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::new();
        let mut reader = OutputReader::new(dir.path(), 0);
        assert_eq!(reader.read(1000).unwrap(), Chunk::default());

        writer
            .append(dir.path(), &frames(&[b"one", b"two"]), 2)
            .unwrap();
        let chunk = reader.read(1000).unwrap();
        assert_eq!(
            (texts(&chunk), chunk.position, chunk.lost),
            (vec!["one", "two"], 2, 0)
        );
        assert_eq!(reader.read(1000).unwrap().lines, []);

        writer.append(dir.path(), &frames(&[b"three"]), 1).unwrap();
        assert_eq!(texts(&reader.read(1000).unwrap()), ["three"]);

        let mut restarted = OutputReader::new(dir.path(), 1);
        assert_eq!(texts(&restarted.read(1000).unwrap()), ["two", "three"]);
        assert_eq!(count_lines(dir.path()).unwrap(), 3);
    }

    #[test]
    fn a_small_helping_is_a_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::new();
        writer
            .append(dir.path(), &frames(&[b"one", b"two", b"three"]), 3)
            .unwrap();
        let mut reader = OutputReader::new(dir.path(), 0);
        assert_eq!(texts(&reader.read(1).unwrap()), ["one"]);
        assert_eq!(texts(&reader.read(1).unwrap()), ["two"]);
        assert_eq!(texts(&reader.read(1).unwrap()), ["three"]);
        assert_eq!(reader.read(1).unwrap().lines, []);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Vec::new();
        push_frame(&mut log, Stream::Stderr, true, 5, b"a\xFF\0b");
        OutputWriter::new().append(dir.path(), &log, 1).unwrap();
        let chunk = OutputReader::new(dir.path(), 0).read(1000).unwrap();
        let line = Line {
            position: 0,
            time_ms: 5,
            stream: Stream::Stderr,
            continued: true,
            text: "a\u{FFFD}\u{FFFD}b".into(),
        };
        assert_eq!(chunk.lines, [line]);
    }

    #[test]
    fn a_reader_that_comes_too_late_knows_how_much_it_missed() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::new();
        let line = [b'x'; 60_000];
        let batch = frames(&[line.as_slice(); 100]);
        let mut early = OutputReader::new(dir.path(), 0);
        for _ in 0..20 {
            writer.append(dir.path(), &batch, 100).unwrap();
        }
        let kept: u64 = segment_numbers(dir.path())
            .unwrap()
            .iter()
            .map(|number| segment_path(dir.path(), *number).metadata().unwrap().len())
            .sum();
        assert!(kept < 2 * SEGMENT_BYTES + 2 * batch.len() as u64, "{kept}");

        let (mut lost, mut seen) = (0, 0);
        loop {
            let chunk = early.read(1_000_000).unwrap();
            if chunk.lines.is_empty() {
                break;
            }
            assert_eq!(chunk.lines[0].position, lost + chunk.lost + seen);
            lost += chunk.lost;
            seen += chunk.lines.len() as u64;
        }
        assert!(lost > 0);
        assert_eq!(lost + seen, 2000);
        assert_eq!(count_lines(dir.path()).unwrap(), 2000);
    }

    #[test]
    fn a_frame_cut_short_is_not_there_yet() {
        let dir = tempfile::tempdir().unwrap();
        let whole = frames(&[b"one", b"two"]);
        let mut writer = OutputWriter::new();
        writer
            .append(dir.path(), &whole[..whole.len() - 1], 2)
            .unwrap();
        let chunk = OutputReader::new(dir.path(), 0).read(1000).unwrap();
        assert_eq!((texts(&chunk), chunk.position), (vec!["one"], 1));
        assert_eq!(count_lines(dir.path()).unwrap(), 1);
    }

    #[test]
    fn lines_that_the_disk_refused_show_as_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = OutputWriter::new();
        writer.append(dir.path(), &frames(&[b"one"]), 1).unwrap();
        // A read-only handle in its place refuses like a full disk.
        writer.file = Some(File::open(segment_path(dir.path(), 0)).unwrap());
        writer
            .append(dir.path(), &frames(&[b"two", b"three"]), 2)
            .unwrap_err();
        writer.append(dir.path(), &frames(&[b"four"]), 1).unwrap();

        let mut reader = OutputReader::new(dir.path(), 0);
        let first = reader.read(1000).unwrap();
        assert_eq!((texts(&first), first.lost), (vec!["one"], 0));
        let second = reader.read(1000).unwrap();
        assert_eq!(
            (texts(&second), second.lost, second.position),
            (vec!["four"], 2, 4)
        );
    }
}
