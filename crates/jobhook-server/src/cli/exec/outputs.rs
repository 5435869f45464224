//! What the program writes: passed on as it comes, and reported line by line.
//!
//! A thread a stream reads, and waits when more waits to be sent than the server takes: then the
//! program's writes wait too, and nothing piles up. A server that is away is not waited for; what
//! is written meanwhile goes to the spool, as far as there is room. Once the program has ended,
//! what is in the pipes is read to its end, and whoever still holds them is not waited for.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use jobhook::Job;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::task::{JoinHandle, spawn_blocking};

use super::program::Pipes;
use crate::supervisor::{self, READ_BYTES, set_nonblocking};

/// So much may wait to be sent while the server answers.
const BACKLOG_BYTES: usize = 4 * 1024 * 1024;
/// So long after the server was heard last the program may still be held up.
const HELD_UP: Duration = Duration::from_secs(10);

/// Both streams, being read.
#[derive(Debug)]
pub(super) struct Outputs {
    threads: Vec<JoinHandle<()>>,
    /// Closed once the program has ended.
    over: PipeWriter,
}

impl Outputs {
    pub(super) fn follow(pipes: Pipes, job: &Job) -> io::Result<Outputs> {
        let (is_over, over) = io::pipe()?;
        let mut threads = Vec::new();
        if let Some(pipe) = pipes.stdout {
            let own = own_output(io::stdout().as_fd());
            threads.push(follow(pipe.into(), own, is_over.try_clone()?, job)?);
        }
        if let Some(pipe) = pipes.stderr {
            let own = own_output(io::stderr().as_fd());
            threads.push(follow(pipe.into(), own, is_over, job)?);
        }
        Ok(Outputs { threads, over })
    }

    /// Reads what is left. The program has ended.
    pub(super) async fn finish(self) {
        drop(self.over);
        for thread in self.threads {
            // One that failed has nothing more to say.
            let _ = thread.await;
        }
    }
}

/// Where a stream is passed on to, without a buffer in between; none if it is closed.
fn own_output(own: BorrowedFd<'_>) -> Option<File> {
    own.try_clone_to_owned().ok().map(File::from)
}

fn follow(
    pipe: OwnedFd,
    own: Option<File>,
    is_over: PipeReader,
    job: &Job,
) -> io::Result<JoinHandle<()>> {
    set_nonblocking(&pipe)?;
    let stream = Stream {
        pipe: File::from(pipe),
        own,
        lines: supervisor::Lines::default(),
        job: job.clone(),
    };
    Ok(spawn_blocking(move || stream.run(&is_over)))
}

struct Stream {
    pipe: File,
    own: Option<File>,
    lines: supervisor::Lines,
    job: Job,
}

impl Stream {
    fn run(mut self, over: &PipeReader) {
        let mut buffer = vec![0; READ_BYTES];
        let mut is_over = false;
        loop {
            is_over = is_over || wait(&self.pipe, over);
            match self.pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.take(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && !is_over => {}
                Err(_) => break,
            }
        }
        let Stream { lines, job, .. } = &mut self;
        lines.finish(|piece, _| report(job, piece));
    }

    fn take(&mut self, bytes: &[u8]) {
        // Whoever read our output has seen enough; the log goes on.
        if let Some(own) = &mut self.own
            && pass_on(own, bytes).is_err()
        {
            self.own = None;
        }
        let Stream { lines, job, .. } = self;
        lines.feed(bytes, |piece, _| report(job, piece));
        job.wait_for_room(BACKLOG_BYTES, HELD_UP);
    }
}

fn report(job: &Job, piece: &[u8]) {
    // What finds no room is counted by the job, and told of in the log.
    let _ = job.log(String::from_utf8_lossy(piece));
}

/// Waits for more from the program. Tells whether it has ended.
fn wait(pipe: &File, over: &PipeReader) -> bool {
    let mut both = [
        PollFd::new(pipe.as_fd(), PollFlags::POLLIN),
        PollFd::new(over.as_fd(), PollFlags::POLLIN),
    ];
    let _ = poll(&mut both, PollTimeout::NONE);
    both[1].any().unwrap_or(false)
}

/// Writes all of it, also where somebody set our output not to wait.
fn pass_on(own: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match own.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut room = [PollFd::new(own.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut room, PollTimeout::NONE);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
