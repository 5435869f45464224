//! `jobhook log`, inside a job: lines for its log.

use std::io::{self, BufRead};
use std::time::Duration;

use clap::Args;
use jobhook::Report;
use jobhook_protocol::Report as ReportBody;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::exit::{Exit, Failure, Outcome};
use super::job::{EXIT_CODES, Heard, Reporter, heard};
use super::output::Output;
use crate::config::{Surroundings, duration};

/// A batch is sent with so many lines,
const BATCH_LINES: usize = 500;
/// with so many bytes,
const BATCH_BYTES: usize = 1 << 20;
/// or so long after its first line, whichever comes first.
const BATCH_TIME: Duration = Duration::from_millis(250);
/// So many lines are read ahead, none longer than [`BATCH_BYTES`].
const AHEAD: usize = 32;

/// Inside a job: add lines to its log
///
/// Without lines, sends those of standard input as they come. Ends early, with code 3, when
/// the server wants the job to stop.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Log {
    /// The lines
    #[arg(value_name = "LINE", allow_hyphen_values = true)]
    lines: Vec<String>,
    /// How long to go on trying if nobody answers
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    timeout: Duration,
}

pub(crate) async fn run(log: Log, surroundings: &Surroundings, output: &mut Output) -> Outcome {
    let reporter = Reporter::new(surroundings, log.timeout)?;
    if !log.lines.is_empty() {
        return Ok(heard(reporter.send(lines(log.lines)).await?, output));
    }
    let mut source = Batches::new(read_standard_input());
    while let Some(batch) = source.next().await {
        let batch = batch.map_err(|error| {
            Failure::new(
                Exit::Other,
                format_args!("standard input cannot be read: {error}"),
            )
        })?;
        if reporter.send(lines(batch)).await? == Heard::Stop {
            return Ok(heard(Heard::Stop, output));
        }
    }
    Ok(Exit::Success)
}

fn lines(logs: Vec<String>) -> Report {
    Report::from(ReportBody {
        logs,
        ..ReportBody::default()
    })
}

/// Gathers lines that come close together.
struct Batches {
    lines: mpsc::Receiver<io::Result<String>>,
    /// An error that came while a batch was gathered: the batch goes first.
    error: Option<io::Error>,
}

impl Batches {
    fn new(lines: mpsc::Receiver<io::Result<String>>) -> Batches {
        Batches { lines, error: None }
    }

    async fn next(&mut self) -> Option<io::Result<Vec<String>>> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        let first = match self.lines.recv().await? {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        let mut bytes = first.len();
        let mut batch = vec![first];
        let until = Instant::now() + BATCH_TIME;
        while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
            match timeout_at(until, self.lines.recv()).await {
                Ok(Some(Ok(line))) => {
                    bytes += line.len();
                    batch.push(line);
                }
                Ok(Some(Err(error))) => {
                    self.error = Some(error);
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        Some(Ok(batch))
    }
}

/// Reads standard input in a thread of its own, because reading it cannot be given up. The
/// channel is short: who writes faster than the server stores has to wait.
fn read_standard_input() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut lines = LineReader::new(io::stdin().lock());
        while let Some(line) = lines.next().transpose() {
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                break;
            }
        }
    });
    receiver
}

/// Lines without their ends, as text; one longer than [`BATCH_BYTES`] comes in pieces.
struct LineReader<R> {
    source: R,
    line: Vec<u8>,
}

impl<R: BufRead> LineReader<R> {
    fn new(source: R) -> LineReader<R> {
        LineReader {
            source,
            line: Vec::new(),
        }
    }

    fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            let bytes = match self.source.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                let line = std::mem::take(&mut self.line);
                return Ok((!line.is_empty()).then(|| text(&line)));
            }
            let room = BATCH_BYTES - self.line.len();
            let end = bytes.iter().take(room).position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(bytes.len().min(room));
            self.line.extend_from_slice(&bytes[..taken]);
            self.source.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                return Ok(Some(text(line.strip_suffix(b"\r").unwrap_or(&line))));
            }
            if self.line.len() == BATCH_BYTES {
                let rest = self.line.split_off(last_boundary(&self.line));
                let piece = std::mem::replace(&mut self.line, rest);
                return Ok(Some(text(&piece)));
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where the last character begins that may go on in the bytes to come.
fn last_boundary(bytes: &[u8]) -> usize {
    let begun = bytes
        .iter()
        .rev()
        .take(4)
        .position(|byte| byte & 0b1100_0000 != 0b1000_0000);
    match begun {
        Some(back) if bytes[bytes.len() - 1 - back] >= 0x80 => bytes.len() - 1 - back,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<String> {
        let mut reader = LineReader::new(io::BufReader::with_capacity(7, bytes));
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        assert_eq!(
            read(b"one\r\n\n  two \nbad \xff byte\nlast"),
            ["one", "", "  two ", "bad \u{fffd} byte", "last"]
        );
        assert!(read(b"").is_empty());
    }

    #[test]
    fn a_long_line_comes_in_pieces_of_whole_characters() {
        let long = format!("a{}", "é".repeat(BATCH_BYTES));
        let pieces = read(format!("{long}\nnext").as_bytes());
        assert_eq!(pieces.len(), 4);
        assert_eq!(pieces[..3].concat(), long);
        assert_eq!(pieces[3], "next");
    }

    #[tokio::test]
    async fn a_full_batch_does_not_wait() {
        let (sender, receiver) = mpsc::channel(BATCH_LINES + 1);
        for number in 0..=BATCH_LINES {
            sender.send(Ok(number.to_string())).await.unwrap();
        }
        let mut batches = Batches::new(receiver);
        let batch = batches.next().await.unwrap().unwrap();
        assert_eq!(batch.len(), BATCH_LINES);
        drop(sender);
        assert_eq!(batches.next().await.unwrap().unwrap(), ["500"]);
        assert!(batches.next().await.is_none());
    }

    #[tokio::test]
    async fn lines_before_an_error_are_sent_first() {
        let (sender, receiver) = mpsc::channel(2);
        sender.send(Ok("a".to_owned())).await.unwrap();
        sender.send(Err(io::Error::other("gone"))).await.unwrap();
        let mut batches = Batches::new(receiver);
        assert_eq!(batches.next().await.unwrap().unwrap(), ["a"]);
        assert!(batches.next().await.unwrap().is_err());
    }
}
