//! What the supervisor waits for, and the number by which each thing is known.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// What became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Listener,
    Signals,
    Connection(u64),
    Stdin(u64),
    Stdout(u64),
    Stderr(u64),
}

impl Source {
    /// Serial numbers are never used again, so an event that comes late finds nobody, not
    /// somebody else.
    fn token(self) -> u64 {
        let (serial, kind) = match self {
            Source::Listener => (0, 0),
            Source::Signals => (0, 1),
            Source::Connection(serial) => (serial, 2),
            Source::Stdin(serial) => (serial, 3),
            Source::Stdout(serial) => (serial, 4),
            Source::Stderr(serial) => (serial, 5),
        };
        serial << 3 | kind
    }

    fn of_token(token: u64) -> Source {
        let serial = token >> 3;
        match token & 7 {
            0 => Source::Listener,
            1 => Source::Signals,
            2 => Source::Connection(serial),
            3 => Source::Stdin(serial),
            4 => Source::Stdout(serial),
            _ => Source::Stderr(serial),
        }
    }
}

/// Level-triggered epoll.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Epoll,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        Ok(Poller {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
        })
    }

    pub(crate) fn watch_reading(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        Ok(self
            .epoll
            .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, source.token()))?)
    }

    pub(crate) fn watch_writing(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        Ok(self
            .epoll
            .add(fd, EpollEvent::new(EpollFlags::EPOLLOUT, source.token()))?)
    }

    /// Changes whether a watched connection also waits for room to write.
    pub(crate) fn set_writing(&self, fd: impl AsFd, source: Source, on: bool) -> io::Result<()> {
        let flags = if on {
            EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT
        } else {
            EpollFlags::EPOLLIN
        };
        Ok(self
            .epoll
            .modify(fd, &mut EpollEvent::new(flags, source.token()))?)
    }

    /// Must precede the closing of `fd`: a copy of it in a process that is just being started
    /// would keep it ready for ever.
    pub(crate) fn forget(&self, fd: impl AsFd) {
        let _ = self.epoll.delete(fd);
    }

    /// Waits until something is ready or `deadline` has come.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> io::Result<Vec<Source>> {
        let mut events = [EpollEvent::empty(); 256];
        let timeout = match deadline {
            None => EpollTimeout::NONE,
            Some(deadline) => {
                // Rounded up, or the last part of a millisecond would be spent turning round.
                let left = deadline.saturating_duration_since(Instant::now());
                let left = left + Duration::from_micros(999);
                EpollTimeout::try_from(left.min(Duration::from_secs(3600)))
                    .unwrap_or(EpollTimeout::ZERO)
            }
        };
        match self.epoll.wait(&mut events, timeout) {
            Ok(count) => Ok(events[..count]
                .iter()
                .map(|event| Source::of_token(event.data()))
                .collect()),
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_source() {
        for source in [
            Source::Listener,
            Source::Signals,
            Source::Connection(7),
            Source::Stdin(8),
            Source::Stdout(9),
            Source::Stderr(u64::MAX >> 3),
        ] {
            assert_eq!(Source::of_token(source.token()), source);
        }
    }
}
