//! One answer after another, from bytes that may arrive split anywhere.
//!
//! ```text
//!            head, no body
//!          ┌──────────────┐
//!          ▼              │        Length, Chunked: all of it
//!  ┌───▶ Head ────────────┴──▶ Body ──────────────────────────┐
//!  │      ▲  │ 1xx              │ UntilClose: end of the      │
//!  │      └──┘                  ▼ connection                  │
//!  └─────────────────────── Answer ◀──────────────────────────┘
//! ```
//!
//! Bodies are counted and compared, not kept. This module never touches a socket or a clock.

use super::comparison::Difference;
use super::errors::Malformed;
use super::head::{Framing, HEAD_BYTES_MAX};
use super::heads::Heads;

/// A complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Set if the server will close the connection, or has done so.
    pub(super) closes: bool,
}

/// Meaning of the end of the connection for the current answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// No answer had begun.
    Nothing,
    /// The answer's body ended with the connection.
    Complete(Answer),
    /// The answer is cut short.
    Truncated,
}

/// Reads the answers of one connection.
#[derive(Debug, Default)]
pub(super) struct Reader {
    state: State,
    /// The beginning of a head that isn't whole yet. Empty in every other state.
    partial_head: Vec<u8>,
    /// Bytes of the current body that were read, without chunk sizes.
    body_bytes: u64,
    /// The first difference between the current answer and the expected one.
    difference: Option<Difference>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Body(Answer, Body),
}

#[derive(Debug)]
enum Body {
    /// Number of bytes that are still to come.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

impl Reader {
    /// Reads on to the end of an answer. Returns the number of bytes of `input` that were read,
    /// and the answer, or `None` if all of `input` is read and the answer goes on.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        heads: &mut Heads,
    ) -> Result<(usize, Option<Answer>), Malformed> {
        if matches!(self.state, State::Head)
            && self.partial_head.is_empty()
            && let Some((head, len)) = heads.whole_answer(input)
        {
            return Ok((len, Some(Answer { status: head.status, closes: head.closes })));
        }
        let mut at = 0;
        loop {
            let State::Body(answer, body) = &mut self.state else {
                let (used, next) = self.read_head(&input[at..], heads)?;
                at += used;
                match next {
                    AfterHead::Incomplete => return Ok((at, None)),
                    AfterHead::Interim => {}
                    AfterHead::Answer(answer) => return Ok((at, Some(answer))),
                    AfterHead::Body(answer, body) => self.state = State::Body(answer, body),
                }
                continue;
            };
            let answer = *answer;
            let (body_bytes, difference) = (&mut self.body_bytes, &mut self.difference);
            let (used, complete) = body.read(&input[at..], &mut |bytes| {
                if difference.is_none() {
                    *difference = heads.comparison.body(*body_bytes, bytes);
                }
                *body_bytes += bytes.len() as u64;
            })?;
            at += used;
            if complete {
                self.complete(heads);
            }
            return Ok((at, complete.then_some(answer)));
        }
    }

    /// Takes the difference between the answer that was read last and the expected one.
    pub(super) fn take_difference(&mut self) -> Option<Difference> {
        self.difference.take()
    }

    fn complete(&mut self, heads: &Heads) {
        self.state = State::Head;
        let length = std::mem::take(&mut self.body_bytes);
        if self.difference.is_none() {
            self.difference = heads.comparison.end(length);
        }
    }

    /// Returns the meaning of the end of the connection.
    pub(super) fn end(&mut self, heads: &Heads) -> AtEnd {
        match self.state {
            State::Head if self.partial_head.is_empty() => AtEnd::Nothing,
            State::Body(answer, Body::UntilClose) => {
                self.complete(heads);
                AtEnd::Complete(answer)
            }
            _ => AtEnd::Truncated,
        }
    }

    fn read_head(
        &mut self,
        input: &[u8],
        heads: &mut Heads,
    ) -> Result<(usize, AfterHead), Malformed> {
        let carried = self.partial_head.len();
        let parsed = if carried == 0 {
            heads.parse(input)?
        } else {
            self.partial_head.extend_from_slice(input);
            heads.parse(&self.partial_head)?
        };
        let Some((head, len)) = parsed else {
            if carried == 0 {
                self.partial_head.extend_from_slice(input);
            }
            return Ok((input.len(), AfterHead::Incomplete));
        };
        self.partial_head.clear();
        self.difference = heads.difference();
        let answer = Answer { status: head.status, closes: head.closes };
        let next = match head.framing {
            Framing::NoBody if head.status == 101 => return Err(Malformed::Upgrade),
            Framing::NoBody if head.status < 200 => AfterHead::Interim,
            Framing::NoBody | Framing::Length(0) => {
                self.complete(heads);
                AfterHead::Answer(answer)
            }
            Framing::Length(length) => AfterHead::Body(answer, Body::Length(length)),
            Framing::Chunked => AfterHead::Body(answer, Body::Chunked(Chunked::default())),
            Framing::UntilClose => AfterHead::Body(answer, Body::UntilClose),
        };
        Ok((len - carried, next))
    }
}

enum AfterHead {
    Incomplete,
    /// A 1xx, which another head follows.
    Interim,
    Answer(Answer),
    Body(Answer, Body),
}

impl Body {
    /// Hands the bytes of the body in `input` to `data`. Returns the number of bytes that were
    /// read, chunk sizes included, and whether the body ends with them.
    fn read(
        &mut self,
        input: &[u8],
        data: &mut impl FnMut(&[u8]),
    ) -> Result<(usize, bool), Malformed> {
        match self {
            Self::Length(left) => {
                let used = left_in(input, *left);
                data(&input[..used]);
                *left -= used as u64;
                Ok((used, *left == 0))
            }
            Self::Chunked(chunked) => chunked.read(input, data),
            Self::UntilClose => {
                data(input);
                Ok((input.len(), false))
            }
        }
    }
}

/// Position in a chunked body (RFC 9112, section 7.1).
#[derive(Debug, Default)]
struct Chunked {
    place: Place,
    /// Bytes read in chunk extensions and trailers, which nothing else bounds.
    extra_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the size, after `digits` digits.
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
    },
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk: a trailer field, or the end.
    LineStart,
    Trailer,
    TrailerLf,
    LastLf,
}

impl Default for Place {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl Chunked {
    fn read(
        &mut self,
        input: &[u8],
        data: &mut impl FnMut(&[u8]),
    ) -> Result<(usize, bool), Malformed> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if let Place::Data { left } = self.place {
                let used = left_in(&input[at..], left);
                data(&input[at..at + used]);
                at += used;
                let left = left - used as u64;
                self.place = if left == 0 { Place::DataCr } else { Place::Data { left } };
                continue;
            }
            at += 1;
            if matches!(self.place, Place::LastLf) && byte == b'\n' {
                return Ok((at, true));
            }
            self.place = self.step(byte)?;
        }
        Ok((at, false))
    }

    /// Returns the place after `byte`, which must not be part of the data.
    fn step(&mut self, byte: u8) -> Result<Place, Malformed> {
        Ok(match (self.place, byte) {
            (Place::Size { size, digits: 1.. }, b'\r') => Place::SizeEnd { size },
            (Place::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => Place::Extension { size },
            (Place::Size { size, digits: digits @ 0..16 }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed::Chunk)?;
                Place::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Place::Extension { size }, b'\r') => Place::SizeEnd { size },
            (Place::Extension { size }, _) => self.extra(byte, Place::Extension { size })?,
            (Place::SizeEnd { size: 0 }, b'\n') => Place::LineStart,
            (Place::SizeEnd { size }, b'\n') => Place::Data { left: size },
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::default(),
            (Place::LineStart, b'\r') => Place::LastLf,
            (Place::Trailer, b'\r') => Place::TrailerLf,
            (Place::LineStart | Place::Trailer, _) => self.extra(byte, Place::Trailer)?,
            (Place::TrailerLf, b'\n') => Place::LineStart,
            _ => return Err(Malformed::Chunk),
        })
    }

    fn extra(&mut self, byte: u8, place: Place) -> Result<Place, Malformed> {
        self.extra_bytes += 1;
        if byte == b'\n' || self.extra_bytes > HEAD_BYTES_MAX {
            return Err(Malformed::Chunk);
        }
        Ok(place)
    }
}

/// Returns the number of bytes of `input` that are among the next `left` bytes.
fn left_in(input: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(input.len(), |left| left.min(input.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the statuses of all answers in `text`, fed in pieces of `step` bytes, and the meaning
    /// of an end of the connection behind it.
    fn read_in_steps(text: &[u8], step: usize) -> Result<(Vec<u16>, AtEnd), Malformed> {
        let mut reader = Reader::default();
        let mut heads = Heads::new(false);
        let mut statuses = Vec::new();
        for piece in text.chunks(step) {
            let mut at = 0;
            while at < piece.len() {
                let (used, answer) = reader.read(&piece[at..], &mut heads)?;
                at += used;
                statuses.extend(answer.map(|answer| answer.status));
            }
        }
        Ok((statuses, reader.end(&heads)))
    }

    /// Reads `text` in pieces of every length, which must all give the same result.
    fn read(text: &str) -> Result<(Vec<u16>, AtEnd), Malformed> {
        let whole = read_in_steps(text.as_bytes(), text.len());
        for step in 1..text.len() {
            let split = read_in_steps(text.as_bytes(), step);
            assert_eq!(split, whole, "in steps of {step}: {text:?}");
        }
        whole
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    const CHUNKED: &str = "HTTP/1.1 203 OK\r\ntransfer-encoding: chunked\r\n\r\n";

    #[test]
    fn reads_one_answer_after_another() {
        let text = format!("{OK}HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n{OK}");
        assert_eq!(read(&text), Ok((vec![200, 404, 200], AtEnd::Nothing)));
    }

    #[test]
    fn reads_chunks_extensions_and_trailers() {
        let text = format!("{CHUNKED}5\r\nhello\r\n00A;x=y\r\n0123456789\r\n0\r\n\r\n{OK}");
        assert_eq!(read(&text), Ok((vec![203, 200], AtEnd::Nothing)));
        let text = format!("{CHUNKED}5\r\nhello\r\n0 ; last\r\ndigest: x\r\ny: z\r\n\r\n{OK}");
        assert_eq!(read(&text), Ok((vec![203, 200], AtEnd::Nothing)));
    }

    #[test]
    fn bad_chunks_are_malformed() {
        for chunks in [
            "\r\n",
            "g\r\n",
            ";x\r\n",
            "-1\r\n",
            "1\nx",
            "5\r\nhello!",
            "5\r\nhello\r!",
            "0\r\nx\n",
            "11112222333344445\r\n",
            "0\r\n\rx",
        ] {
            assert_eq!(read(&format!("{CHUNKED}{chunks}")), Err(Malformed::Chunk), "{chunks:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_have_a_bound() {
        let endless = format!("{CHUNKED}0\r\n{}", "a: b\r\n".repeat(HEAD_BYTES_MAX));
        assert_eq!(read_in_steps(endless.as_bytes(), 4096), Err(Malformed::Chunk));
    }

    #[test]
    fn passes_over_interim_answers() {
        let text = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\na: b\r\n\r\n{OK}");
        assert_eq!(read(&text), Ok((vec![200], AtEnd::Nothing)));
    }

    #[test]
    fn a_switch_of_protocols_is_malformed() {
        assert_eq!(read("HTTP/1.1 101 x\r\nupgrade: y\r\n\r\n"), Err(Malformed::Upgrade));
    }

    #[test]
    fn without_a_length_the_end_of_the_connection_completes_the_answer() {
        let (statuses, end) = read("HTTP/1.1 200 OK\r\n\r\nhello, whatever comes").unwrap();
        assert!(statuses.is_empty());
        assert_eq!(end, AtEnd::Complete(Answer { status: 200, closes: true }));
    }

    #[test]
    fn an_answer_cut_short_is_truncated() {
        for text in ["HTTP/1.1", &OK[..OK.len() - 1], &format!("{CHUNKED}5\r\nhel")] {
            assert_eq!(read(text), Ok((vec![], AtEnd::Truncated)), "{text:?}");
        }
    }

    #[test]
    fn bytes_behind_an_answer_must_be_another_answer() {
        assert_eq!(read(&format!("{OK}o")), Err(Malformed::StatusLine));
    }
}
