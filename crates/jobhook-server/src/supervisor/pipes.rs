//! The three pipes of a living job: its input is fed, its output is always drained.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::clock::now_ms;
use super::lines::Lines;
use super::output::{OutputWriter, Stream, push_frame};
use super::poller::{Poller, Source};

/// How much is read at once.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Buffers that all jobs share: only one is served at a time.
#[derive(Debug)]
pub(crate) struct Scratch {
    read: Box<[u8]>,
    frames: Vec<u8>,
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch {
            read: vec![0; READ_BYTES].into(),
            frames: Vec::new(),
        }
    }
}

/// The pipes of one job, from the supervisor's side. A closed one is `None`.
#[derive(Debug)]
pub(crate) struct Pipes {
    stdin: Option<Feed>,
    stdout: Option<Drain<ChildStdout>>,
    stderr: Option<Drain<ChildStderr>>,
    output: OutputWriter,
}

#[derive(Debug)]
struct Feed {
    pipe: ChildStdin,
    bytes: Vec<u8>,
    written: usize,
}

#[derive(Debug)]
struct Drain<P> {
    pipe: P,
    lines: Lines,
}

impl<P: AsFd> Drain<P> {
    fn watch(pipe: P, source: Source, poller: &Poller) -> std::io::Result<Drain<P>> {
        set_nonblocking(&pipe)?;
        poller.watch_reading(&pipe, source)?;
        Ok(Drain {
            pipe,
            lines: Lines::default(),
        })
    }
}

impl Pipes {
    /// Takes over the pipes of `child` and watches them under `serial`.
    pub(crate) fn new(
        child: &mut std::process::Child,
        input: Option<String>,
        serial: u64,
        poller: &Poller,
    ) -> std::io::Result<Pipes> {
        let mut pipes = Pipes {
            stdin: None,
            stdout: None,
            stderr: None,
            output: OutputWriter::new(),
        };
        if let Some(pipe) = child.stdout.take() {
            pipes.stdout = Some(Drain::watch(pipe, Source::Stdout(serial), poller)?);
        }
        if let Some(pipe) = child.stderr.take() {
            pipes.stderr = Some(Drain::watch(pipe, Source::Stderr(serial), poller)?);
        }
        if let (Some(pipe), Some(input)) = (child.stdin.take(), input) {
            set_nonblocking(&pipe)?;
            poller.watch_writing(&pipe, Source::Stdin(serial))?;
            pipes.stdin = Some(Feed {
                pipe,
                bytes: input.into_bytes(),
                written: 0,
            });
        }
        Ok(pipes)
    }

    /// How many lines of output there were so far.
    pub(crate) fn lines(&self) -> u64 {
        self.output.lines()
    }

    /// Whether the job and all that inherited its output are done with it.
    pub(crate) fn are_drained(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// Writes more input, as far as the pipe has room.
    pub(crate) fn feed(&mut self, poller: &Poller) {
        let Some(feed) = &mut self.stdin else { return };
        loop {
            match feed.pipe.write(&feed.bytes[feed.written..]) {
                Ok(count) => feed.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // The job closed its input, which is its good right.
                Err(_) => break,
            }
            if feed.written == feed.bytes.len() {
                break;
            }
        }
        self.close_stdin(poller);
    }

    /// Reads some output of `stream` into the log in `dir`.
    ///
    /// # Errors
    ///
    /// If the disk refused the lines; they are lost, and reading goes on.
    pub(crate) fn drain(
        &mut self,
        stream: Stream,
        dir: &Path,
        scratch: &mut Scratch,
        poller: &Poller,
    ) -> std::io::Result<()> {
        let (result, lines) = match stream {
            Stream::Stdout => match &mut self.stdout {
                Some(drain) => (drain.pipe.read(&mut scratch.read), &mut drain.lines),
                None => return Ok(()),
            },
            Stream::Stderr => match &mut self.stderr {
                Some(drain) => (drain.pipe.read(&mut scratch.read), &mut drain.lines),
                None => return Ok(()),
            },
        };
        match result {
            Ok(0) => self.close(stream, dir, scratch, poller),
            Ok(length) => {
                let (time_ms, mut count) = (now_ms(), 0);
                scratch.frames.clear();
                lines.feed(&scratch.read[..length], |piece, continued| {
                    push_frame(&mut scratch.frames, stream, continued, time_ms, piece);
                    count += 1;
                });
                self.log(dir, scratch, count)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(_) => self.close(stream, dir, scratch, poller),
        }
    }

    /// Stops listening, whoever may still hold the other ends, and keeps what a last line has.
    pub(crate) fn close_all(
        &mut self,
        dir: &Path,
        scratch: &mut Scratch,
        poller: &Poller,
    ) -> std::io::Result<()> {
        self.close_stdin(poller);
        let first = self.close(Stream::Stdout, dir, scratch, poller);
        let second = self.close(Stream::Stderr, dir, scratch, poller);
        first.and(second)
    }

    fn close(
        &mut self,
        stream: Stream,
        dir: &Path,
        scratch: &mut Scratch,
        poller: &Poller,
    ) -> std::io::Result<()> {
        let lines = match stream {
            Stream::Stdout => self.stdout.take().map(|drain| {
                poller.forget(&drain.pipe);
                drain.lines
            }),
            Stream::Stderr => self.stderr.take().map(|drain| {
                poller.forget(&drain.pipe);
                drain.lines
            }),
        };
        let Some(mut lines) = lines else {
            return Ok(());
        };
        let (time_ms, mut count) = (now_ms(), 0);
        scratch.frames.clear();
        lines.finish(|piece, continued| {
            push_frame(&mut scratch.frames, stream, continued, time_ms, piece);
            count += 1;
        });
        self.log(dir, scratch, count)
    }

    fn log(&mut self, dir: &Path, scratch: &Scratch, count: u64) -> std::io::Result<()> {
        if count == 0 {
            Ok(())
        } else {
            self.output.append(dir, &scratch.frames, count)
        }
    }

    fn close_stdin(&mut self, poller: &Poller) {
        if let Some(feed) = self.stdin.take() {
            poller.forget(&feed.pipe);
        }
    }
}

/// Reading or writing `pipe` does not wait from now on.
pub(crate) fn set_nonblocking(pipe: impl AsFd) -> std::io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&pipe, FcntlArg::F_GETFL)?);
    fcntl(&pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
