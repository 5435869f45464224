//! Follows the log of one container to its end, through cut connections.
//!
//! The lines go to the course of the job, which stores them together with the place behind them. This
//! knows that place as well, so that it can read on by itself.

use std::pin::pin;
use std::time::Duration;

use futures_util::{AsyncBufRead, AsyncBufReadExt, FutureExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::api_error::{Backoff, Failure};
use super::log_position::{Line, Position, Resumption};

/// How much is handed over at once, bytes. With what waits it bounds what a flooding job costs.
const CHUNK: usize = 128 * 1024;
/// The longest text of a line; what is longer is more than one.
const LONGEST: usize = 64 * 1024;
/// What is kept of a line that never ends.
const MOST: usize = 1024 * 1024;
/// For how long the log of a container that has ended is asked for in vain, and any answer waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long nothing may come of the log of a container that has ended. A connection that died
/// without a word brings nothing for ever.
const QUIET: Duration = Duration::from_secs(10);
/// Why the rest cannot be read of a log that does not even have what was read before: a node keeps the
/// newest file only, and that may have just begun.
const ROTATED: &str = "the cluster rotated the log away before it was read";
/// What a line costs beside its text, bytes: a flood of empty ones is one, too.
const LINE_COST: usize = 64;

/// Which log.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) pod: String,
    pub(super) container: String,
}

/// What is read of a log.
#[derive(Debug)]
pub(super) enum Read {
    /// Lines, with their times in nanoseconds; and the place behind them.
    Lines {
        lines: Vec<(i64, String)>,
        /// Whether some before them are missing.
        gap: bool,
        position: Position,
    },
    /// The log is read to its end, or as far as can be.
    End {
        /// Why the rest cannot be read, if it cannot.
        lost: Option<String>,
    },
}

/// Reads a log to its end, and says so.
///
/// - `ended`: whether its container has ended.
pub(super) async fn follow(
    pods: Api<Pod>,
    source: Source,
    position: Option<Position>,
    mut ended: watch::Receiver<bool>,
    read: mpsc::Sender<(String, Read)>,
) {
    let mut reader = Reader {
        pods,
        source,
        position,
        read,
        was_whole: false,
        was_bare: false,
    };
    let lost = reader.read_all(&mut ended).await;
    if let Ok(lost) = lost {
        let _ = reader.hand_over(Read::End { lost }).await;
    }
}

struct Reader {
    pods: Api<Pod>,
    source: Source,
    position: Option<Position>,
    read: mpsc::Sender<(String, Read)>,
    /// Whether the last reading came to an end that was no accident.
    was_whole: bool,
    /// Whether it showed nothing at all, not even what was read before.
    was_bare: bool,
}

/// Nobody wants the lines any more.
struct Unwanted;

impl Reader {
    async fn read_all(
        &mut self,
        ended: &mut watch::Receiver<bool>,
    ) -> Result<Option<String>, Unwanted> {
        let mut backoff = Backoff::default();
        let mut failing_since: Option<Instant> = None;
        loop {
            let has_ended = *ended.borrow_and_update();
            let had_all = self.was_whole;
            let failure = match self.read_once(!has_ended, ended).await? {
                Ok(lines) => {
                    failing_since = None;
                    if has_ended {
                        let is_lost = self.position.is_some() && self.was_bare && !had_all;
                        return Ok(is_lost.then(|| ROTATED.to_owned()));
                    }
                    if lines > 0 {
                        backoff.reset();
                    }
                    None
                }
                Err(failure) => Some(failure),
            };
            match failure {
                // All was read before the pod went.
                Some(Failure::NotFound(_)) if self.was_whole => return Ok(None),
                Some(Failure::NotFound(words)) => return Ok(Some(words)),
                // There is no log of a container that never ran, and no right comes by waiting.
                Some(Failure::Refused(words)) if has_ended => return Ok(Some(words)),
                Some(failure) if has_ended => {
                    let since = *failing_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= PATIENCE {
                        return Ok(Some(failure.to_string()));
                    }
                }
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next()) => {}
                // Then there is an end to read to.
                changed = ended.changed(), if !has_ended => if changed.is_err() { return Err(Unwanted) },
                () = self.read.closed() => return Err(Unwanted),
            }
        }
    }

    /// Reads from the place to the end, or as long as it is followed; gives the number of new lines.
    async fn read_once(
        &mut self,
        follow: bool,
        ended: &watch::Receiver<bool>,
    ) -> Result<Result<usize, Failure>, Unwanted> {
        let since = self.position.map(|position| position.since_second());
        let params = LogParams {
            container: Some(self.source.container.clone()),
            follow,
            timestamps: true,
            since_time: since.and_then(kube_time),
            ..LogParams::default()
        };
        let answer = self.pods.log_stream(&self.source.pod, &params);
        let stream = tokio::select! {
            answer = tokio::time::timeout(PATIENCE, answer) => match answer {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Ok(Err(Failure::of(&error))),
                Err(_) => return Ok(Err(Failure::unavailable("the API server does not answer"))),
            },
            () = self.read.closed() => return Err(Unwanted),
        };
        self.was_whole = false;
        self.was_bare = true;
        self.take(stream, follow, ended.clone()).await
    }

    async fn take(
        &mut self,
        stream: impl AsyncBufRead,
        follow: bool,
        mut ended: watch::Receiver<bool>,
    ) -> Result<Result<usize, Failure>, Unwanted> {
        let mut stream = pin!(stream);
        let mut resumption = Resumption::from(self.position);
        let (mut lines, mut gap, mut bytes, mut count) = (Vec::new(), false, 0, 0);
        let mut line = Partial::default();
        loop {
            // What is there goes on before more is waited for.
            let buffer = match stream.fill_buf().now_or_never() {
                Some(buffer) => buffer,
                None => {
                    self.flush(&mut lines, &mut gap, &resumption).await?;
                    bytes = 0;
                    tokio::select! {
                        buffer = stream.fill_buf() => buffer,
                        () = quiet(&mut ended) => return Ok(Err(Failure::unavailable(
                            "nothing more came of the log, and not its end",
                        ))),
                        () = self.read.closed() => return Err(Unwanted),
                    }
                }
            };
            let buffer = match buffer {
                Ok(buffer) => buffer,
                Err(error) => {
                    self.flush(&mut lines, &mut gap, &resumption).await?;
                    return Ok(Err(Failure::unavailable(format!(
                        "the log was cut off: {error}"
                    ))));
                }
            };
            let is_end = buffer.is_empty();
            let (part, is_whole) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&buffer[..end], true),
                None => (buffer, false),
            };
            line.push(part);
            let used = part.len() + usize::from(is_whole);
            stream.as_mut().consume(used);
            // A last line without its end is one only where nothing can follow.
            if (is_whole || is_end && !follow && !line.is_empty())
                && let Some((time, text)) = line.take()
            {
                self.was_bare = false;
                let kind = resumption.next(time);
                if kind != Line::Old {
                    gap |= kind == Line::NewAfterGap;
                    bytes += text.len() + LINE_COST;
                    count += 1;
                    lines.push((time, text));
                }
            }
            if bytes >= CHUNK || is_end {
                self.flush(&mut lines, &mut gap, &resumption).await?;
                bytes = 0;
            }
            if is_end {
                self.was_whole = line.is_empty();
                return Ok(Ok(count));
            }
        }
    }

    async fn flush(
        &mut self,
        lines: &mut Vec<(i64, String)>,
        gap: &mut bool,
        resumption: &Resumption,
    ) -> Result<(), Unwanted> {
        let Some(position) = resumption.position().filter(|_| !lines.is_empty()) else {
            return Ok(());
        };
        self.position = Some(position);
        let lines = std::mem::take(lines);
        let gap = std::mem::take(gap);
        self.hand_over(Read::Lines {
            lines,
            gap,
            position,
        })
        .await
    }

    async fn hand_over(&self, read: Read) -> Result<(), Unwanted> {
        let sent = self.read.send((self.source.container.clone(), read)).await;
        sent.map_err(|_| Unwanted)
    }
}

/// Returns once the container has ended, and nothing has come for long after.
async fn quiet(ended: &mut watch::Receiver<bool>) {
    let has_ended = ended.wait_for(|ended| *ended).await.is_ok();
    if has_ended {
        tokio::time::sleep(QUIET).await;
    } else {
        // Nobody wants the log any more; that is noticed elsewhere.
        std::future::pending().await
    }
}

fn kube_time(second: i64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(second).ok()
}

/// A line that is being read.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    dropped: usize,
}

impl Partial {
    fn push(&mut self, part: &[u8]) {
        let room = MOST.saturating_sub(self.bytes.len()).min(part.len());
        self.bytes.extend_from_slice(&part[..room]);
        self.dropped += part.len() - room;
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The line's time and text. A line without a time is not one of the container's: nodes add such
    /// lines where they cannot read on.
    fn take(&mut self) -> Option<(i64, String)> {
        let bytes = std::mem::take(&mut self.bytes);
        let dropped = std::mem::take(&mut self.dropped);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        let (time, text) = text.split_once(' ').unwrap_or((text, ""));
        let time = i64::try_from(time.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()?;
        let mut text = text.to_owned();
        if dropped > 0 {
            text.push_str(&format!(" … ({dropped} bytes of this line were dropped)"));
        }
        Some((time, text))
    }
}

/// The text of a line in pieces that are no longer than lines may be.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > LONGEST {
        let mut at = LONGEST;
        while !rest.is_char_boundary(at) {
            at -= 1;
        }
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<(i64, String)> {
        let mut partial = Partial::default();
        partial.push(text.as_bytes());
        partial.take()
    }

    #[test]
    fn a_line_begins_with_its_time() {
        assert_eq!(
            line("1970-01-01T00:00:01.000000002Z a b"),
            Some((1_000_000_002, "a b".into()))
        );
        assert_eq!(
            line("1970-01-01T00:00:01Z "),
            Some((1_000_000_000, String::new()))
        );
        assert_eq!(
            line("1970-01-01T01:00:01+01:00 x"),
            Some((1_000_000_000, "x".into()))
        );
        assert_eq!(line("failed to try resolving symlinks"), None);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut partial = Partial::default();
        partial.push(b"1970-01-01T00:00:01Z ");
        for _ in 0..100 {
            partial.push(&vec![b'x'; 64 * 1024]);
        }
        assert!(partial.bytes.len() <= MOST);
        let (_, text) = partial.take().unwrap();
        assert!(text.ends_with("bytes of this line were dropped)"));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let text = "ß".repeat(LONGEST);
        let pieces = pieces(&text);
        assert!(pieces.iter().all(|piece| piece.len() <= LONGEST));
        assert_eq!(pieces.concat(), text);
        assert_eq!(super::pieces(""), [""]);
    }
}
