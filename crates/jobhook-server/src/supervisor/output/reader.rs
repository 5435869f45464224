//! Reads the output log of one run, also while it grows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{
    CONTINUED, FRAME_HEADER_BYTES, HEADER_BYTES, Line, MAGIC, STDERR, Stream, segment_numbers,
    segment_path, u32_at, u64_at,
};

/// Some lines, and what is missing in front of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// How many lines were dropped unread right in front of [`Chunk::lines`].
    pub lost: u64,
    /// The lines, in the order they were read from the job.
    pub lines: Vec<Line>,
    /// Where to go on: the number of the next line.
    pub position: u64,
}

/// Reads the log of one run, also while it grows.
#[derive(Debug)]
pub struct OutputReader {
    dir: PathBuf,
    position: u64,
    open: Option<OpenSegment>,
}

#[derive(Debug)]
struct OpenSegment {
    number: u64,
    file: File,
    /// Where the next frame begins.
    byte: u64,
    /// The number of the line in that frame.
    line: u64,
}

impl OutputReader {
    /// A reader of the run directory `dir` that wants line `position` next.
    pub fn new(dir: impl Into<PathBuf>, position: u64) -> OutputReader {
        OutputReader {
            dir: dir.into(),
            position,
            open: None,
        }
    }

    /// The number of the next line.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads on, until about `max_bytes` are read or no more lines are there. An empty chunk says
    /// that there is nothing new.
    ///
    /// # Errors
    ///
    /// If a file cannot be read. A run without output has no file, which is no error.
    pub fn read(&mut self, max_bytes: usize) -> io::Result<Chunk> {
        let mut chunk = Chunk {
            position: self.position,
            ..Chunk::default()
        };
        let mut left = max_bytes;
        loop {
            if self.open.is_none() && !self.open_segment()? {
                return Ok(chunk);
            }
            let Some(open) = &mut self.open else {
                return Ok(chunk);
            };
            if open.line > self.position {
                if !chunk.lines.is_empty() {
                    // The gap goes in front of the next chunk.
                    return Ok(chunk);
                }
                chunk.lost += open.line - self.position;
                self.position = open.line;
                chunk.position = open.line;
            }
            // Seen before the last read of this segment: nothing is added to it any more.
            let is_closed = segment_path(&self.dir, open.number + 1).exists();
            let at_end = open.read_frames(&mut self.position, &mut left, &mut chunk)?;
            chunk.position = self.position;
            if !at_end || !is_closed {
                return Ok(chunk);
            }
            self.open = match OpenSegment::open(&self.dir, open.number + 1) {
                Ok(Some(next)) => Some(next),
                // Its header is on the way.
                Ok(None) => return Ok(chunk),
                // Dropped meanwhile: look for what is left.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
        }
    }

    /// Opens the segment that holds the next line, or else the first one after it.
    fn open_segment(&mut self) -> io::Result<bool> {
        let mut numbers = segment_numbers(&self.dir)?;
        numbers.sort_unstable();
        for number in numbers {
            match OpenSegment::open(&self.dir, number) {
                Ok(Some(open)) if self.open.is_none() || open.line <= self.position => {
                    self.open = Some(open);
                }
                Ok(_) => {}
                // Dropped since the look: what comes after it is what is left.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.open.is_some())
    }
}

impl OpenSegment {
    fn open(dir: &Path, number: u64) -> io::Result<Option<OpenSegment>> {
        let mut file = File::open(segment_path(dir, number))?;
        let mut header = [0; HEADER_BYTES];
        match file.read_exact(&mut header) {
            Ok(()) if header[..8] == MAGIC => {}
            Ok(()) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "not an output segment",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let line = u64_at(&header, 8);
        Ok(Some(OpenSegment {
            number,
            file,
            byte: HEADER_BYTES as u64,
            line,
        }))
    }

    /// Reads whole frames; `true` once the end of the file, or a frame cut short, is reached.
    fn read_frames(
        &mut self,
        position: &mut u64,
        left: &mut usize,
        chunk: &mut Chunk,
    ) -> io::Result<bool> {
        let mut buffer = Vec::new();
        while *left > 0 {
            self.file.seek(SeekFrom::Start(self.byte))?;
            let want = (*left).clamp(64 * 1024 + FRAME_HEADER_BYTES + 8, 1024 * 1024);
            buffer.clear();
            (&mut self.file)
                .take(want as u64)
                .read_to_end(&mut buffer)?;
            let mut used = 0;
            while let Some((frame, size)) = frame_at(&buffer[used..]) {
                if self.line >= *position {
                    if *left == 0 {
                        self.byte += used as u64;
                        return Ok(false);
                    }
                    chunk.lines.push(frame.into_line(self.line));
                    *position = self.line + 1;
                    *left = left.saturating_sub(size);
                }
                self.line += 1;
                used += size;
            }
            self.byte += used as u64;
            if used == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

struct Frame<'a> {
    flags: u32,
    time_ms: u64,
    bytes: &'a [u8],
}

impl Frame<'_> {
    fn into_line(self, position: u64) -> Line {
        let mut text = String::from_utf8_lossy(self.bytes).into_owned();
        if text.contains('\0') {
            text = text.replace('\0', "\u{FFFD}");
        }
        Line {
            position,
            time_ms: self.time_ms,
            stream: if self.flags & STDERR == 0 {
                Stream::Stdout
            } else {
                Stream::Stderr
            },
            continued: self.flags & CONTINUED != 0,
            text,
        }
    }
}

/// The frame at the start of `bytes` and its size with its header, if it is there whole.
fn frame_at(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    let size = FRAME_HEADER_BYTES + u32_at(header, 0) as usize;
    let bytes = bytes.get(FRAME_HEADER_BYTES..size)?;
    Some((
        Frame {
            flags: u32_at(header, 4),
            time_ms: u64_at(header, 8),
            bytes,
        },
        size,
    ))
}

/// How many lines the log in `dir` counts, found by reading it: for a run whose writer died.
pub(crate) fn count_lines(dir: &Path) -> io::Result<u64> {
    let mut numbers = segment_numbers(dir)?;
    numbers.sort_unstable();
    // The newest may have died before its header was whole; the one before it has the last line.
    for number in numbers.into_iter().rev() {
        if let Some(mut open) = OpenSegment::open(dir, number)? {
            // No line is wanted, so none is kept: this only walks from frame to frame.
            let (mut wanted, mut left) = (u64::MAX, usize::MAX);
            open.read_frames(&mut wanted, &mut left, &mut Chunk::default())?;
            return Ok(open.line);
        }
    }
    Ok(0)
}
