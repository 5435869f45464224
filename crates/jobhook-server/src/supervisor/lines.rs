//! Cuts a stream of bytes into lines.
//!
//! A line ends with LF or CR LF, which are taken off. A line longer than [`MAX_PIECE_BYTES`]
//! comes in pieces; each piece but the last is marked as continued. A cut never falls inside a
//! well-formed UTF-8 character, so that whoever decodes the pieces one by one loses nothing.
//!
//! Never keeps more than a piece and a read in memory, whatever the job writes.

/// The longest piece, in bytes.
pub(crate) const MAX_PIECE_BYTES: usize = 64 * 1024;

/// What has been read of a line whose end has not been seen.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes, and gives each finished piece to `piece` with whether more of the
    /// same line follows.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut piece: impl FnMut(&[u8], bool)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.partial.is_empty() && line.len() <= MAX_PIECE_BYTES {
                piece(without_cr(line), false);
            } else {
                self.partial.extend_from_slice(line);
                self.close(true, &mut piece);
            }
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.partial.extend_from_slice(bytes);
            self.cut(&mut piece);
        }
    }

    /// The stream has ended: a last line without a line end counts as well.
    pub(crate) fn finish(&mut self, mut piece: impl FnMut(&[u8], bool)) {
        if !self.partial.is_empty() {
            self.close(false, &mut piece);
        }
    }

    fn close(&mut self, by_line_end: bool, piece: &mut impl FnMut(&[u8], bool)) {
        self.cut(piece);
        // Given back: of two thousand children most are silent for most of the time.
        let partial = std::mem::take(&mut self.partial);
        let line = if by_line_end {
            without_cr(&partial)
        } else {
            &partial
        };
        if line.len() > MAX_PIECE_BYTES {
            let at = cut_position(line);
            piece(&line[..at], true);
            piece(&line[at..], false);
        } else {
            piece(line, false);
        }
    }

    /// Gives away full pieces, but holds one back until it is sure that more than a line end
    /// follows it.
    fn cut(&mut self, piece: &mut impl FnMut(&[u8], bool)) {
        let mut from = 0;
        while self.partial.len() - from > MAX_PIECE_BYTES + 1 {
            let at = cut_position(&self.partial[from..]);
            piece(&self.partial[from..from + at], true);
            from += at;
        }
        if from > 0 {
            self.partial.drain(..from);
        }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where to cut `bytes`, which are longer than a piece: at most [`MAX_PIECE_BYTES`], and in
/// front of a character that would not fit whole.
fn cut_position(bytes: &[u8]) -> usize {
    let is_inner = |byte: u8| byte & 0b1100_0000 == 0b1000_0000;
    if !is_inner(bytes[MAX_PIECE_BYTES]) {
        return MAX_PIECE_BYTES;
    }
    for back in 1..=3 {
        let lead = MAX_PIECE_BYTES - back;
        if !is_inner(bytes[lead]) {
            let width = match bytes[lead] {
                0xC2..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF4 => 4,
                _ => 1,
            };
            return if width > back { lead } else { MAX_PIECE_BYTES };
        }
    }
    MAX_PIECE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `chunks` and returns the pieces as (bytes, continued).
    fn pieces<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, bool)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            lines.feed(chunk, |piece, continued| {
                found.push((piece.to_vec(), continued))
            });
            assert!(lines.partial.len() <= MAX_PIECE_BYTES + 1);
        }
        lines.finish(|piece, continued| found.push((piece.to_vec(), continued)));
        found
    }

    #[track_caller]
    fn check(input: &str, expected: &[&str]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|line| (line.as_bytes().to_vec(), false))
            .collect();
        assert_eq!(pieces([input.as_bytes()]), expected, "at once");
        assert_eq!(pieces(input.as_bytes().chunks(1)), expected, "byte by byte");
    }

    #[test]
    fn line_ends_are_taken_off() {
        check("", &[]);
        check("one\ntwo\r\n\nlast", &["one", "two", "", "last"]);
        check("a\rb\r\r\n", &["a\rb\r"]);
    }

    #[test]
    fn a_line_that_just_fits_is_one_piece() {
        let line = "x".repeat(MAX_PIECE_BYTES);
        check(&format!("{line}\r\n"), &[&line]);
        check(&line, &[&line]);
    }

    #[test]
    fn a_long_line_comes_in_pieces_and_loses_nothing() {
        let line: Vec<u8> = (0..10_000_000u32).map(|n| (n % 251) as u8 | 0x0B).collect();
        for chunk in [1000, 65_536, 10_000_000] {
            let found = pieces(line.chunks(chunk));
            assert_eq!(
                found
                    .iter()
                    .flat_map(|(piece, _)| piece.clone())
                    .collect::<Vec<_>>(),
                line
            );
            assert!(
                found
                    .iter()
                    .all(|(piece, _)| piece.len() <= MAX_PIECE_BYTES)
            );
            let last = found.len() - 1;
            assert!(
                found
                    .iter()
                    .enumerate()
                    .all(|(n, (_, continued))| *continued == (n < last))
            );
        }
    }

    #[test]
    fn a_character_is_never_cut() {
        for shift in 0..4 {
            let line = format!("{}{}", "x".repeat(shift), "€𝄞é".repeat(30_000));
            let found = pieces([line.as_bytes()]);
            assert!(found.len() > 1);
            let text: String = found
                .iter()
                .map(|(piece, _)| std::str::from_utf8(piece).unwrap())
                .collect();
            assert_eq!(text, line);
        }
    }
}
