//! Sums of contents whose bytes come in pieces (clauses `FILE-6`, `FILE-7`, `UP-13`, `DOWN-7`).
//!
//! | digester | what it computes | for |
//! | --- | --- | --- |
//! | [`Digester`] | everything | a server that receives a content |
//! | [`HandshakeDigester`] | both MD5s | a client that announces one |
//! | [`Sha256Digester`] | SHA-256 | an upload in one pass, and most downloads |
//! | [`Md5Digester`] | MD5 | a download from a server that has no SHA-256 |
//!
//! All of them count the bytes, and none reads any: pieces of 16 KiB to 1 MiB suit them best.

use sha2::Digest;

use crate::digest::{Md5Sum, Sha256Sum};
use crate::md5::{Md5, Md5Pair};

/// All that a server knows a content by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digests {
    /// Its MD5, the `hash` of the wire.
    pub md5: Md5Sum,
    /// The MD5 of `WEBDA` and the content. It is answered to nobody.
    pub challenge: Md5Sum,
    /// Its SHA-256.
    pub sha256: Sha256Sum,
    /// How many bytes it has.
    pub size: u64,
}

/// What a client announces a content with (clause `UP-1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handshake {
    /// Its MD5, the `hash` of the wire.
    pub md5: Md5Sum,
    /// The MD5 of `WEBDA` and the content: who knows it has the bytes.
    pub challenge: Md5Sum,
    /// How many bytes it has.
    pub size: u64,
}

/// Both MD5s and SHA-256, in one pass.
///
/// # Examples
///
/// ```
/// use jobhook_protocol::Digester;
///
/// let mut digester = Digester::new();
/// digester.update(b"hello ");
/// digester.update(b"world");
/// let digests = digester.finish();
/// assert_eq!(digests.size, 11);
/// assert_eq!(digests.md5.to_string(), "5eb63bbbe01eeed093cb22bb8f5acdc3");
/// assert_eq!(digests.challenge, jobhook_protocol::HandshakeDigester::of(b"hello world").challenge);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Digester {
    handshake: HandshakeDigester,
    sha256: Sha256Digester,
}

impl Digester {
    /// Of no bytes yet.
    pub fn new() -> Digester {
        Digester::default()
    }

    /// The digests of `bytes`, which are all there are.
    pub fn of(bytes: &[u8]) -> Digests {
        let mut digester = Digester::new();
        digester.update(bytes);
        digester.finish()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.handshake.update(bytes);
        self.sha256.update(bytes);
    }

    /// How many bytes came so far.
    pub fn size(&self) -> u64 {
        self.sha256.size
    }

    /// The sums of all that came.
    pub fn finish(self) -> Digests {
        let Handshake {
            md5,
            challenge,
            size,
        } = self.handshake.finish();
        Digests {
            md5,
            challenge,
            sha256: self.sha256.finish(),
            size,
        }
    }
}

/// Both MD5s, at little more than the cost of one.
#[derive(Clone, Debug)]
pub struct HandshakeDigester(Md5Pair);

impl HandshakeDigester {
    /// Of no bytes yet.
    pub fn new() -> HandshakeDigester {
        HandshakeDigester(Md5Pair::new())
    }

    /// The handshake of `bytes`, which are all there are.
    pub fn of(bytes: &[u8]) -> Handshake {
        let mut digester = HandshakeDigester::new();
        digester.update(bytes);
        digester.finish()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// How many bytes came so far.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// The sums of all that came.
    pub fn finish(self) -> Handshake {
        let size = self.0.size();
        let (md5, challenge) = self.0.finish();
        Handshake {
            md5,
            challenge,
            size,
        }
    }
}

impl Default for HandshakeDigester {
    fn default() -> HandshakeDigester {
        HandshakeDigester::new()
    }
}

/// SHA-256 alone.
#[derive(Clone, Debug, Default)]
pub struct Sha256Digester {
    sha256: sha2::Sha256,
    size: u64,
}

impl Sha256Digester {
    /// Of no bytes yet.
    pub fn new() -> Sha256Digester {
        Sha256Digester::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// How many bytes came so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The sum of all that came.
    pub fn finish(self) -> Sha256Sum {
        Sha256Sum(self.sha256.finalize().into())
    }
}

/// MD5 alone.
#[derive(Clone, Debug)]
pub struct Md5Digester(Md5);

impl Md5Digester {
    /// Of no bytes yet.
    pub fn new() -> Md5Digester {
        Md5Digester(Md5::new())
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// How many bytes came so far.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// The sum of all that came.
    pub fn finish(self) -> Md5Sum {
        self.0.finish()
    }
}

impl Default for Md5Digester {
    fn default() -> Md5Digester {
        Md5Digester::new()
    }
}
