//! The only place that writes to standard output and standard error.
//!
//! What is asked for goes to standard output, everything else to standard error. Text that
//! others wrote is [`shown`] with its control characters escaped, on a terminal and off it: it
//! can neither drive a terminal nor, with a line end, pass for a line of ours. Only bodies and
//! lines that were asked for as JSON go out as they came; JSON escapes by itself.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use jobhook_protocol::Status;

use super::exit::Failure;
use crate::config::Surroundings;

/// How wide a line may be that is to be written over: one that wraps cannot be.
const PASSING_WIDTH: usize = 78;

/// How text is shown on one of the two outputs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    terminal: bool,
    colour: bool,
}

/// Standard output and standard error.
pub(crate) struct Output {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// How to show text on standard output.
    pub(crate) out_style: Style,
    /// How to show text on standard error.
    pub(crate) err_style: Style,
    /// How wide the terminal is, if somebody said so in `COLUMNS`.
    columns: Option<usize>,
    /// Whether the last line of the terminal is one that will be written over.
    passing: bool,
}

impl Output {
    pub(crate) fn of_this_process(surroundings: &Surroundings) -> Output {
        let colour =
            surroundings.get("NO_COLOR").is_none() && surroundings.get("TERM") != Some("dumb");
        let style = |terminal| Style {
            terminal,
            colour: terminal && colour,
        };
        Output {
            out: Box::new(BufWriter::new(io::stdout())),
            err: Box::new(io::stderr()),
            out_style: style(io::stdout().is_terminal()),
            err_style: style(io::stderr().is_terminal()),
            columns: surroundings
                .get("COLUMNS")
                .and_then(|columns| columns.parse().ok()),
            passing: false,
        }
    }

    /// Writes a line to standard output. It may wait for [`flush`](Output::flush).
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.clear_passing();
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    /// Writes a body of the API to standard output, as it came.
    pub(crate) fn body(&mut self, text: &str) -> Result<(), Failure> {
        self.line(text.trim_end_matches('\n'))?;
        self.flush()
    }

    /// Makes what was written to standard output visible.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush()?;
        Ok(())
    }

    /// Writes a line to standard error. Who cannot be told is not told.
    pub(crate) fn note(&mut self, text: &str) {
        self.clear_passing();
        let _ = writeln!(self.err, "{text}");
    }

    /// Shows a line on standard error that the next one will replace, if it is a terminal;
    /// writes it like any other line, if not.
    pub(crate) fn passing_note(&mut self, text: &str) {
        if !self.err_style.terminal {
            return self.note(text);
        }
        self.clear_passing();
        let _ = write!(self.err, "{}", shortened(text, PASSING_WIDTH));
        let _ = self.err.flush();
        self.passing = true;
    }

    /// How many characters fit into a line of standard output; `None` off a terminal, where a
    /// line may be of any length, and where nobody knows.
    pub(crate) fn out_width(&self) -> Option<usize> {
        if !self.out_style.terminal {
            return None;
        }
        self.columns.or_else(terminal_width)
    }

    /// Whether standard error is a terminal.
    pub(crate) fn err_is_terminal(&self) -> bool {
        self.err_style.terminal
    }

    fn clear_passing(&mut self) {
        if std::mem::take(&mut self.passing) {
            let _ = write!(self.err, "\r\x1b[K");
            let _ = self.err.flush();
        }
    }

    /// Ends a command: nothing is left half-written.
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        self.clear_passing();
        self.flush()
    }
}

impl Style {
    #[cfg(test)]
    pub(crate) const TERMINAL: Style = Style {
        terminal: true,
        colour: true,
    };

    /// The word of a status, filled up to `width`.
    pub(crate) fn status(&self, status: Status, width: usize) -> String {
        let colour = match status {
            Status::Success => "32",
            Status::Error | Status::Timeout => "31",
            Status::Cancelled => "33",
            Status::Starting | Status::Running => "36",
            Status::Scheduled | Status::Queued => "2",
        };
        if self.colour {
            format!("\x1b[{colour}m{status:width$}\x1b[0m")
        } else {
            format!("{status:width$}")
        }
    }

    /// A text that matters less.
    pub(crate) fn dim(&self, text: &str) -> String {
        if self.colour {
            format!("\x1b[2m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The width of the terminal that is standard output. The system tells it only to unsafe code,
/// or to `stty`, which is on every system with terminals.
fn terminal_width() -> Option<usize> {
    let terminal = io::stdout().as_fd().try_clone_to_owned().ok()?;
    let told = Command::new("stty")
        .arg("size")
        .stdin(terminal)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let columns = told.split_whitespace().nth(1)?.parse().ok()?;
    // A terminal that does not know says 0.
    (columns > 0).then_some(columns)
}

/// A text that somebody else wrote, on one line and without a grip on the terminal.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            c if is_escaped(c) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The first `width` characters of a text, colours not counted.
fn shortened(text: &str, width: usize) -> String {
    let mut left = width;
    let mut in_colour = false;
    text.chars()
        .take_while(|c| {
            in_colour |= *c == '\x1b';
            if in_colour {
                in_colour = *c != 'm';
            } else {
                left = left.saturating_sub(1);
            }
            left > 0
        })
        .collect()
}

/// Control characters but for the tab, and those that end a line or turn the direction of text.
fn is_escaped(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
pub(crate) mod capture {
    //! An output that a test can read.

    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    pub(crate) struct Captured(Rc<RefCell<Vec<u8>>>);

    impl Captured {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Standard output, standard error, and what they were given.
    pub(crate) fn output(style: Style) -> (Output, Captured, Captured) {
        let (out, err) = (Captured::default(), Captured::default());
        let output = Output {
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            out_style: style,
            err_style: style,
            columns: None,
            passing: false,
        };
        (output, out, err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_can_neither_drive_the_terminal_nor_begin_another_line() {
        assert_eq!(
            shown("a\x1b[2Jb\u{9b}c\u{202e}d\te\nf\u{2028}g"),
            "a\\u{1b}[2Jb\\u{9b}c\\u{202e}d\te\\nf\\u{2028}g"
        );
    }

    #[test]
    fn off_a_terminal_there_is_no_colour() {
        assert_eq!(Style::default().status(Status::Error, 7), "ERROR  ");
    }

    #[test]
    fn a_passing_note_leaves_no_trace_before_the_next_line() {
        let (mut output, _, err) = capture::output(Style::TERMINAL);
        output.passing_note("10 %");
        output.note("a line");
        assert_eq!(err.text(), "10 %\r\x1b[Ka line\n");
    }

    #[test]
    fn a_passing_note_does_not_wrap() {
        let text = format!("\x1b[36m{}\x1b[0m", "x".repeat(100));
        assert_eq!(shortened(&text, 5), "\x1b[36mxxxx");
        assert_eq!(shortened("\x1b[36mxxx\x1b[0m", 5), "\x1b[36mxxx\x1b[0m");
    }

    #[test]
    fn off_a_terminal_a_passing_note_is_a_line() {
        let (mut output, _, err) = capture::output(Style::default());
        output.passing_note("10 %");
        output.note("a line");
        assert_eq!(err.text(), "10 %\na line\n");
    }
}
