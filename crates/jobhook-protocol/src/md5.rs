//! MD5 (RFC 1321), of one stream or of a stream and its challenge side by side.
//!
//! Each step of MD5 waits for the one before, so a core that hashes one stream is idle most of
//! the time. The challenge (clause `FILE-7`) is the MD5 of the same bytes, shifted by the five of
//! [`CHALLENGE_PREFIX`]: [`compress`] takes a step of each in turn, and both cost little more than one.
//!
//! ```text
//!   bytes      W E B D A ╷ 0 1 2 …                          58 ╷ 59 … 63 ╷ 64 …
//!   challenge  └───────────── block 0 ─────────────────────────┘└──── block 1 ────
//!   hash                 └───────────── block 0 ─────────────────────────┘└─ block 1
//! ```
//!
//! MD5 is broken: two contents with one MD5 can be made. It is here because the handshake of the
//! original speaks it; what a content *is* says its SHA-256.

use std::hint::black_box;

use crate::digest::{CHALLENGE_PREFIX, Md5Sum};

const BLOCK: usize = 64;
const SHIFT: usize = CHALLENGE_PREFIX.len();

/// What a step adds: the first 32 bits of the sines of 1 to 64 (RFC 1321, 3.4).
const SINES: [u32; 64] = [
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
];

/// The four words of a state.
type State = [u32; 4];

const START: State = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];

/// Takes a block into each state, a step of each lane in turn.
///
/// - `sines`: [`SINES`], by way of [`black_box`]. A compiler that knows the values adds them last
///   in each step, behind what is waited for, and the pair takes a sixth longer.
#[inline(always)]
fn compress<const LANES: usize>(
    states: &mut [State; LANES],
    blocks: [&[u8; BLOCK]; LANES],
    sines: &[u32; 64],
) {
    let word = |lane: usize, at: usize| u32::from_le_bytes(blocks[lane].as_chunks().0[at % 16]);
    let [mut a, mut b, mut c, mut d] =
        [0, 1, 2, 3].map(|at| std::array::from_fn::<u32, LANES, _>(|lane| states[lane][at]));

    // What does not hang on `b`, the word of the step before, is added first.
    macro_rules! step {
        ($early:expr, $late:expr, $a:ident $b:ident $c:ident $d:ident, $word:expr, $turn:literal, $at:expr) => {
            for lane in 0..LANES {
                let (early, late): (fn(u32, u32) -> u32, fn(u32, u32, u32) -> u32) =
                    ($early, $late);
                let sum = $a[lane]
                    .wrapping_add(word(lane, $word))
                    .wrapping_add(sines[$at])
                    .wrapping_add(early($c[lane], $d[lane]));
                $a[lane] = sum
                    .wrapping_add(late($b[lane], $c[lane], $d[lane]))
                    .rotate_left($turn)
                    .wrapping_add($b[lane]);
            }
        };
    }
    // Four steps, after which each word is in its place again.
    macro_rules! steps {
        ($early:expr, $late:expr, $word:expr, [$s:literal $t:literal $u:literal $v:literal], $($at:literal)+) => {$(
            step!($early, $late, a b c d, $word($at), $s, $at);
            step!($early, $late, d a b c, $word($at + 1), $t, $at + 1);
            step!($early, $late, c d a b, $word($at + 2), $u, $at + 2);
            step!($early, $late, b c d a, $word($at + 3), $v, $at + 3);
        )+};
    }
    steps!(|_, _| 0, |b, c, d| ((c ^ d) & b) ^ d, |at: usize| at, [7 12 17 22], 0 4 8 12);
    // The two sides of this one have no bit in common, so `|` is `+`.
    steps!(|c, d| c & !d, |b, _, d| b & d, |at: usize| 5 * at + 1, [5 9 14 20], 16 20 24 28);
    steps!(|_, _| 0, |b, c, d| b ^ (c ^ d), |at: usize| 3 * at + 5, [4 11 16 23], 32 36 40 44);
    steps!(|_, _| 0, |b, c, d| c ^ (b | !d), |at: usize| 7 * at, [6 10 15 21], 48 52 56 60);

    for lane in 0..LANES {
        let [sa, sb, sc, sd] = &mut states[lane];
        *sa = sa.wrapping_add(a[lane]);
        *sb = sb.wrapping_add(b[lane]);
        *sc = sc.wrapping_add(c[lane]);
        *sd = sd.wrapping_add(d[lane]);
    }
}

/// Takes the last bytes of a message of `length` bytes in all into `state`, and their padding.
///
/// - `rest`: fewer than two blocks.
fn close(state: State, rest: &[u8], length: u64) -> Md5Sum {
    let mut padded = [0; 2 * BLOCK + BLOCK];
    padded[..rest.len()].copy_from_slice(rest);
    padded[rest.len()] = 0x80;
    let end = (rest.len() + 1 + 8).next_multiple_of(BLOCK);
    padded[end - 8..end].copy_from_slice(&length.wrapping_mul(8).to_le_bytes());
    let mut states = [state];
    for block in padded[..end].as_chunks().0 {
        compress(&mut states, [block], &SINES);
    }
    let mut sum = [0; 16];
    for (bytes, word) in sum.chunks_exact_mut(4).zip(states[0]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Md5Sum(sum)
}

/// The MD5 of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Md5 {
    state: State,
    rest: [u8; BLOCK],
    held: usize,
    size: u64,
}

impl Md5 {
    pub(crate) fn new() -> Md5 {
        Md5 {
            state: START,
            rest: [0; BLOCK],
            held: 0,
            size: 0,
        }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.size += bytes.len() as u64;
        let (mut states, sines) = ([self.state], black_box(&SINES));
        if self.held > 0 {
            let taken = bytes.len().min(BLOCK - self.held);
            self.rest[self.held..self.held + taken].copy_from_slice(&bytes[..taken]);
            self.held += taken;
            bytes = &bytes[taken..];
            if self.held < BLOCK {
                return;
            }
            compress(&mut states, [&self.rest], sines);
        }
        let (blocks, rest) = bytes.as_chunks();
        for block in blocks {
            compress(&mut states, [block], sines);
        }
        [self.state] = states;
        self.rest[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn finish(self) -> Md5Sum {
        close(self.state, &self.rest[..self.held], self.size)
    }
}

/// The MD5 of a stream, and its challenge.
///
/// Of the bytes with their prefix, block *n* of the challenge begins at 64 *n* and that of the
/// hash five bytes later: what both need for their next block is one window of 69 bytes, and
/// the last five of it begin the next.
#[derive(Clone, Debug)]
pub(crate) struct Md5Pair {
    /// The challenge's, then the hash's.
    states: [State; 2],
    window: [u8; SHIFT + BLOCK],
    /// How much of the window is there: at least its first five bytes.
    held: usize,
    size: u64,
}

impl Md5Pair {
    pub(crate) fn new() -> Md5Pair {
        let mut window = [0; SHIFT + BLOCK];
        window[..SHIFT].copy_from_slice(CHALLENGE_PREFIX);
        Md5Pair {
            states: [START; 2],
            window,
            held: SHIFT,
            size: 0,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        // By way of the window, until the next one begins within `bytes`.
        let mut taken = 0;
        while self.held > SHIFT || taken < SHIFT {
            let part = (bytes.len() - taken).min(self.window.len() - self.held);
            self.window[self.held..][..part].copy_from_slice(&bytes[taken..][..part]);
            self.held += part;
            taken += part;
            if self.held < self.window.len() {
                return;
            }
            compress_windows(&mut self.states, &self.window);
            self.window.copy_within(BLOCK.., 0);
            self.held = SHIFT;
        }
        let windows = &bytes[taken - SHIFT..];
        compress_windows(&mut self.states, windows);
        let rest = (windows.len() - SHIFT) % BLOCK + SHIFT;
        self.window[..rest].copy_from_slice(&windows[windows.len() - rest..]);
        self.held = rest;
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The hash and the challenge.
    pub(crate) fn finish(self) -> (Md5Sum, Md5Sum) {
        let [challenge, hash] = self.states;
        let length = self.size + SHIFT as u64;
        (
            close(hash, &self.window[SHIFT..self.held], self.size),
            close(challenge, &self.window[..self.held], length),
        )
    }
}

/// Takes every whole window of `bytes`, of which each begins [`BLOCK`] after the one before.
fn compress_windows(states: &mut [State; 2], bytes: &[u8]) {
    let sines = black_box(&SINES);
    let (challenged, _) = bytes.as_chunks();
    let (hashed, _) = bytes[SHIFT..].as_chunks();
    for (challenged, hashed) in challenged.iter().zip(hashed) {
        compress(states, [challenged, hashed], sines);
    }
}

#[cfg(test)]
mod tests {
    use md5::Digest;
    use proptest::prelude::*;

    use super::*;

    fn theirs(prefix: &[u8], bytes: &[u8]) -> Md5Sum {
        let mut theirs = md5::Md5::new();
        theirs.update(prefix);
        theirs.update(bytes);
        Md5Sum(theirs.finalize().into())
    }

    #[track_caller]
    fn agree(bytes: &[u8], cuts: &[usize]) {
        let (mut one, mut pair) = (Md5::new(), Md5Pair::new());
        let mut from = 0;
        for to in cuts.iter().copied().chain([bytes.len()]) {
            one.update(&bytes[from..to]);
            pair.update(&bytes[from..to]);
            from = to;
        }
        assert_eq!(
            (one.size(), pair.size()),
            (bytes.len() as u64, bytes.len() as u64)
        );
        let hash = theirs(b"", bytes);
        assert_eq!(one.finish(), hash, "{} bytes, cut at {cuts:?}", bytes.len());
        let challenge = theirs(CHALLENGE_PREFIX, bytes);
        assert_eq!(
            pair.finish(),
            (hash, challenge),
            "{} bytes, cut at {cuts:?}",
            bytes.len()
        );
    }

    fn pattern(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at * 31 + at / 256) as u8).collect()
    }

    #[test]
    fn the_sums_of_rfc_1321_come_out() {
        for (text, sum) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "abcdefghijklmnopqrstuvwxyz",
                "c3fcd3d76192e4007dfb496cca67e13b",
            ),
            (
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                "d174ab98d277d9f5a5611c2c9f419d9f",
            ),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            let mut one = Md5::new();
            one.update(text.as_bytes());
            assert_eq!(one.finish().to_string(), sum, "{text}");
        }
    }

    #[test]
    fn every_size_around_the_blocks_agrees_however_it_is_cut_in_two() {
        for size in 0..=140 {
            let bytes = pattern(size);
            for cut in 0..=size {
                agree(&bytes, &[cut]);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_agree_however_they_are_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            agree(&bytes, &cuts);
        }
    }
}
