//! What waits to be sent, in order.
//!
//! ```text
//! log, progress, report ─▶ entries ─seal: number them─▶ sealed ─answered─▶ gone
//! ```
//!
//! Lines that follow each other share an entry, up to [`SEGMENT`]; of progress only the newest
//! is kept. Once sealed an entry has its number and its bytes, and is sent with just those until
//! it is answered (clause `REP-12`). Everything that waits is counted in bytes.
//!
//! Nothing here sends, waits or reads a clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jobhook_protocol::Progress;

use crate::report::Report;

/// How many bytes of lines go into one report; well below what servers and proxies take.
pub(crate) const SEGMENT: usize = 512 * 1024;
/// So many bytes of lines are worth a request at once.
const WORTH_SENDING: usize = 64 * 1024;
/// How long a line waits for company.
const LINGER: Duration = Duration::from_millis(50);
/// Longer lines are cut in pieces, so that each fits into a report.
const LONGEST_LINE: usize = 1024 * 1024;
/// What reports may take above the limit, so that a flood of lines does not hide the end.
const RESERVE: usize = 11 * 1024 * 1024;

/// Puts into order and numbers what one reporter says.
#[derive(Debug)]
pub(crate) struct Outbox {
    numbering: Numbering,
    seq: u64,
    entries: VecDeque<Entry>,
    progress: Option<Progress>,
    last_progress: Option<Instant>,
    sealed: VecDeque<Sealed>,
    bytes: usize,
    limit: usize,
    /// The number of the newest entry, and of the newest one that is answered.
    last_ticket: u64,
    done_ticket: u64,
    hurried: u64,
    /// Lines refused for want of room, all and those not yet told of in the log.
    pub(crate) lines_lost: u64,
    untold: u64,
}

/// How the reports of one reporter are told apart.
#[derive(Clone, Debug)]
pub(crate) enum Numbering {
    /// By the reporter's name and a number.
    By(Arc<str>),
    /// They need not be: each is handed over once.
    #[cfg(feature = "in-process")]
    Needless,
    /// They cannot be: the server is one of the original.
    Unknown,
}

#[derive(Debug)]
struct Entry {
    ticket: u64,
    since: Instant,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The items of a JSON array, with commas between.
    Lines(Vec<u8>),
    /// A JSON object.
    Fields(Vec<u8>),
}

/// A report with its number and its final bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    /// The entry; 0 for what another process left behind.
    pub(crate) ticket: u64,
    pub(crate) seq: u64,
    pub(crate) body: Bytes,
}

impl Sealed {
    /// Whether another process left it behind.
    pub(crate) fn is_leftover(&self) -> bool {
        self.ticket == 0
    }
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// When the next report is worth sending.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    At(Instant),
    Never,
}

impl Outbox {
    /// - `limit`: how many bytes may wait.
    pub(crate) fn new(numbering: Numbering, limit: usize) -> Outbox {
        Outbox {
            numbering,
            seq: 0,
            entries: VecDeque::new(),
            progress: None,
            last_progress: None,
            sealed: VecDeque::new(),
            bytes: 0,
            limit,
            last_ticket: 0,
            done_ticket: 0,
            hurried: 0,
            lines_lost: 0,
            untold: 0,
        }
    }

    /// Takes what another process left behind; it is sent before anything else.
    pub(crate) fn take_over(&mut self, bodies: impl IntoIterator<Item = (u64, Bytes)>) {
        for (seq, body) in bodies {
            self.bytes += body.len();
            self.sealed.push_back(Sealed {
                ticket: 0,
                seq,
                body,
            });
        }
    }

    /// Takes a line. Tells whether the sender should be woken.
    pub(crate) fn line(&mut self, text: &str, now: Instant) -> Result<bool, Full> {
        if self.bytes + text.len() > self.limit {
            self.lines_lost += 1;
            self.untold += 1;
            return Err(Full);
        }
        let mut wake = self.tell_lost(now);
        let mut rest = text;
        while rest.len() > LONGEST_LINE {
            let end = rest.floor_char_boundary(LONGEST_LINE);
            wake |= self.piece(&rest[..end], now);
            rest = &rest[end..];
        }
        Ok(wake | self.piece(rest, now))
    }

    /// Says in the log how many lines found no room, if any did since it was said last.
    fn tell_lost(&mut self, now: Instant) -> bool {
        if self.untold == 0 {
            return false;
        }
        let lost = std::mem::take(&mut self.untold);
        let marker = format!("[jobhook] {lost} lines are missing here: too much waited to be sent");
        self.piece(&marker, now)
    }

    fn piece(&mut self, text: &str, now: Instant) -> bool {
        let (lines, mut wake) = match self.entries.back_mut() {
            Some(Entry {
                content: Content::Lines(lines),
                ..
            }) if lines.len() < SEGMENT => {
                lines.push(b',');
                (lines, false)
            }
            _ => {
                let lines = Content::Lines(Vec::with_capacity(text.len() + 256));
                match self.push(lines, now) {
                    Content::Lines(lines) => (lines, true),
                    Content::Fields(_) => return false,
                }
            }
        };
        let before = lines.len();
        // Writing a text into memory does not fail.
        let _ = serde_json::to_writer(&mut *lines, text);
        let after = lines.len();
        wake |= before < WORTH_SENDING && after >= WORTH_SENDING;
        self.bytes += after - before + 1;
        wake
    }

    /// Takes a report, as a JSON object; returns its ticket.
    pub(crate) fn fields(&mut self, body: Vec<u8>, now: Instant) -> Result<u64, Full> {
        if self.bytes + body.len() > self.limit + RESERVE {
            return Err(Full);
        }
        self.settle_progress(now);
        self.bytes += body.len();
        self.push(Content::Fields(body), now);
        Ok(self.last_ticket)
    }

    /// Takes how far the job is; replaces what was not sent yet, key by key. Tells whether the
    /// sender should be woken.
    pub(crate) fn progress(&mut self, newest: Progress) -> bool {
        let fresh = self.progress.is_none();
        let progress = self.progress.get_or_insert_default();
        if newest.done.is_some() {
            progress.done = newest.done;
            progress.total = newest.total;
            progress.percent = newest.percent;
        }
        if newest.message.is_some() {
            progress.message = newest.message;
        }
        fresh
    }

    /// Hurries everything that is there now; returns the ticket to wait for.
    pub(crate) fn hurry(&mut self, now: Instant) -> u64 {
        self.settle_progress(now);
        // No line may come that would tell of them.
        self.tell_lost(now);
        self.hurried = self.last_ticket;
        self.last_ticket
    }

    /// How many bytes wait to be answered.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When to seal and send next.
    ///
    /// - `progress_interval`: how far apart two reports of nothing but progress lie at least.
    pub(crate) fn due(&self, now: Instant, progress_interval: Duration) -> Due {
        let at = match self.entries.front() {
            Some(Entry {
                content: Content::Lines(lines),
                ticket,
                since,
            }) if self.entries.len() == 1
                && lines.len() < WORTH_SENDING
                && *ticket > self.hurried =>
            {
                *since + LINGER
            }
            Some(_) => return Due::Now,
            None if self.progress.is_some() => match self.last_progress {
                Some(last) => last + progress_interval,
                None => return Due::Now,
            },
            None => return Due::Never,
        };
        if at <= now { Due::Now } else { Due::At(at) }
    }

    /// Numbers the next report. Does nothing if there is none.
    pub(crate) fn seal(&mut self, now: Instant) {
        if self.entries.is_empty() {
            self.settle_progress(now);
        }
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        let (mut body, size) = match entry.content {
            Content::Lines(lines) => {
                let mut body = Vec::with_capacity(lines.len() + 256);
                body.extend_from_slice(b"{\"logs\":[");
                body.extend_from_slice(&lines);
                body.extend_from_slice(b"]}");
                (body, lines.len() + 1)
            }
            Content::Fields(body) => {
                let size = body.len();
                (body, size)
            }
        };
        self.seq += 1;
        if let Numbering::By(reporter) = &self.numbering {
            body.pop();
            if body.len() > 1 {
                body.push(b',');
            }
            let delivery = format!("\"reporter\":\"{reporter}\",\"seq\":{}}}", self.seq);
            body.extend_from_slice(delivery.as_bytes());
        }
        self.bytes = self.bytes.saturating_sub(size) + body.len();
        self.sealed.push_back(Sealed {
            ticket: entry.ticket,
            seq: self.seq,
            body: body.into(),
        });
    }

    /// Numbers everything, so that it can be kept elsewhere.
    pub(crate) fn seal_all(&mut self, now: Instant) {
        self.settle_progress(now);
        while !self.entries.is_empty() {
            self.seal(now);
        }
    }

    /// The report to send.
    pub(crate) fn front(&self) -> Option<&Sealed> {
        self.sealed.front()
    }

    /// What is numbered and not answered.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = &Sealed> {
        self.sealed.iter()
    }

    /// The front is answered.
    pub(crate) fn settle(&mut self) {
        if let Some(sealed) = self.sealed.pop_front() {
            self.bytes = self.bytes.saturating_sub(sealed.body.len());
            self.done_ticket = self.done_ticket.max(sealed.ticket);
        }
    }

    /// Whether everything up to a ticket is answered, and what another process left as well.
    pub(crate) fn is_done(&self, ticket: u64) -> bool {
        self.done_ticket >= ticket && self.front().is_none_or(|front| front.ticket > ticket)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// How many reports wait.
    pub(crate) fn waiting(&self) -> usize {
        self.sealed.len() + self.entries.len() + usize::from(self.progress.is_some())
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// What comes next must come after the progress that was said before it.
    fn settle_progress(&mut self, now: Instant) {
        let Some(progress) = self.progress.take() else {
            return;
        };
        self.last_progress = Some(now);
        let v1 = !matches!(self.numbering, Numbering::Unknown);
        // Its numbers were checked when they were said.
        if let Ok(body) = Report::of_progress(progress).into_body(v1) {
            self.bytes += body.len();
            self.push(Content::Fields(body), now);
        }
    }

    fn push(&mut self, content: Content, now: Instant) -> &mut Content {
        self.last_ticket += 1;
        self.entries.push_back(Entry {
            ticket: self.last_ticket,
            since: now,
            content,
        });
        let last = self.entries.len() - 1;
        &mut self.entries[last].content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(250);

    fn outbox(limit: usize) -> Outbox {
        Outbox::new(Numbering::By("r".into()), limit)
    }

    fn sent(outbox: &mut Outbox) -> Vec<String> {
        outbox.seal_all(Instant::now());
        let bodies = outbox.sealed().map(|sealed| sealed.body.to_vec());
        bodies
            .map(|body| String::from_utf8(body).unwrap())
            .collect()
    }

    #[test]
    fn lines_share_a_report_and_keep_their_place() {
        let (mut outbox, now) = (outbox(1000), Instant::now());
        outbox.line("a", now).unwrap();
        outbox.line("\"b\"", now).unwrap();
        outbox
            .fields(b"{\"status\":\"RUNNING\"}".to_vec(), now)
            .unwrap();
        outbox.line("c", now).unwrap();
        assert_eq!(
            sent(&mut outbox),
            [
                r#"{"logs":["a","\"b\""],"reporter":"r","seq":1}"#,
                r#"{"status":"RUNNING","reporter":"r","seq":2}"#,
                r#"{"logs":["c"],"reporter":"r","seq":3}"#,
            ]
        );
    }

    #[test]
    fn only_the_newest_progress_is_sent_and_before_what_follows_it() {
        let (mut outbox, now) = (outbox(1000), Instant::now());
        for done in 1..=3 {
            outbox.progress(crate::report::progress_of(f64::from(done), Some(4.0)).unwrap());
        }
        outbox.fields(b"{}".to_vec(), now).unwrap();
        assert_eq!(
            sent(&mut outbox),
            [
                r#"{"progress":{"percent":75.0,"done":3.0,"total":4.0},"reporter":"r","seq":1}"#,
                r#"{"reporter":"r","seq":2}"#,
            ]
        );
    }

    #[test]
    fn progress_alone_is_sent_a_few_times_a_second() {
        let (mut outbox, now) = (outbox(1000), Instant::now());
        let progress = || crate::report::progress_of(1.0, None).unwrap();
        outbox.progress(progress());
        assert_eq!(outbox.due(now, EVERY), Due::Now);
        outbox.seal(now);
        outbox.progress(progress());
        assert_eq!(outbox.due(now, EVERY), Due::At(now + EVERY));
        assert_eq!(outbox.due(now + EVERY, EVERY), Due::Now);
    }

    #[test]
    fn a_line_waits_a_moment_for_company_unless_somebody_waits_for_it() {
        let (mut outbox, now) = (outbox(1000), Instant::now());
        outbox.line("a", now).unwrap();
        assert_eq!(outbox.due(now, EVERY), Due::At(now + LINGER));
        outbox.hurry(now);
        assert_eq!(outbox.due(now, EVERY), Due::Now);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told_in_the_log() {
        let (mut outbox, now) = (outbox(100), Instant::now());
        outbox.line(&"x".repeat(90), now).unwrap();
        assert_eq!(outbox.line(&"y".repeat(20), now), Err(Full));
        assert_eq!(outbox.lines_lost, 1);
        outbox.seal(now);
        outbox.settle();
        outbox.line("z", now).unwrap();
        assert_eq!(
            sent(&mut outbox),
            [
                r#"{"logs":["[jobhook] 1 lines are missing here: too much waited to be sent","z"],"reporter":"r","seq":2}"#
            ]
        );
    }

    #[test]
    fn lines_that_are_lost_at_the_end_are_told_of_too() {
        let (mut outbox, now) = (outbox(100), Instant::now());
        outbox.line(&"x".repeat(90), now).unwrap();
        outbox.seal(now);
        for _ in 0..3 {
            assert_eq!(outbox.line(&"y".repeat(20), now), Err(Full));
        }
        let ticket = outbox.hurry(now);
        assert!(!outbox.is_done(ticket));
        assert_eq!(
            sent(&mut outbox)[1],
            r#"{"logs":["[jobhook] 3 lines are missing here: too much waited to be sent"],"reporter":"r","seq":2}"#
        );
    }

    #[test]
    fn everything_that_is_answered_gives_its_room_back() {
        let (mut outbox, now) = (outbox(SEGMENT * 4), Instant::now());
        let long = "é".repeat(LONGEST_LINE);
        outbox.line("a", now).unwrap();
        outbox.line(&long, now).unwrap_or_default();
        outbox.fields(b"{}".to_vec(), now).unwrap();
        outbox.progress(crate::report::progress_of(1.0, None).unwrap());
        let ticket = outbox.hurry(now);
        outbox.seal_all(now);
        while outbox.front().is_some() {
            assert!(!outbox.is_done(ticket));
            outbox.settle();
        }
        assert!(outbox.is_done(ticket) && outbox.is_empty());
        assert_eq!(outbox.bytes, 0);
    }
}
