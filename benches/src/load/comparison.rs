//! The comparison of every answer with the first one, byte by byte.
//!
//! A server that gives a wrong answer once in a thousand must not look fast. The date is masked,
//! because it changes once a second. Chunk sizes and trailer fields are not compared, because
//! they are not part of the body.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::encoding;

/// Length of the pattern that a repetitive body is kept as, as the measure's echo has one. A short
/// pattern stays in the L1 cache. Comparing 64 KiB takes two thirds of the time then, and leaves
/// the L2 cache to the sockets.
const PATTERN_BYTES: usize = 4096;

/// The answer that a server is expected to give again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Status line and header fields, with the date masked.
    #[serde(with = "encoding::bytes")]
    head: Vec<u8>,
    /// The beginning of the body, which the body repeats up to its length.
    #[serde(with = "encoding::bytes")]
    pattern: Vec<u8>,
    body_length: u64,
}

impl Expected {
    /// Expects these bytes. `head` ends with its empty line; `body` is without its chunk sizes.
    pub fn new(head: &[u8], body: &[u8]) -> Self {
        let repeats = body.len() > PATTERN_BYTES
            && body[PATTERN_BYTES..] == body[..body.len() - PATTERN_BYTES];
        let pattern = if repeats { &body[..PATTERN_BYTES] } else { body };
        Self { head: mask_date(head), pattern: pattern.to_vec(), body_length: body.len() as u64 }
    }

    /// Compares `bytes` of a body, which are at `at` in it.
    fn body_difference(&self, mut at: u64, mut bytes: &[u8]) -> Option<Difference> {
        while !bytes.is_empty() {
            if at >= self.body_length {
                let found = at + bytes.len() as u64;
                return Some(Difference::Length { expected: self.body_length, found });
            }
            let start = at as usize % self.pattern.len();
            let left = usize::try_from(self.body_length - at).unwrap_or(usize::MAX);
            let len = (self.pattern.len() - start).min(left).min(bytes.len());
            let expected = &self.pattern[start..start + len];
            if *expected != bytes[..len] {
                let mut pairs = (at..).zip(expected).zip(bytes);
                let ((at, &expected), &found) = pairs.find(|((_, one), other)| one != other)?;
                return Some(Difference::Byte { at, expected, found });
            }
            at += len as u64;
            bytes = &bytes[len..];
        }
        None
    }
}

/// The purpose for which the bytes of answers are looked at.
#[derive(Debug, Default)]
pub(super) enum Comparison {
    /// Bytes are counted only.
    #[default]
    Off,
    /// The answer is recorded, to be expected from then on.
    Learning { head: Vec<u8>, body: Vec<u8> },
    /// Every answer must be equal to this one.
    With(Expected),
}

/// The first difference between an answer and the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// A line of the head. An empty text stands for a line that is missing.
    Line { expected: String, found: String },
    /// A byte of the body, counted from 0.
    Byte { at: u64, expected: u8, found: u8 },
    /// The length of the body.
    Length { expected: u64, found: u64 },
}

impl Comparison {
    /// Records the next answer.
    pub(super) fn learning() -> Self {
        Self::Learning { head: Vec::new(), body: Vec::new() }
    }

    /// Compares a complete head, with its empty line.
    pub(super) fn head(&mut self, bytes: &[u8]) -> Option<Difference> {
        match self {
            Self::Off => None,
            Self::Learning { head, .. } => {
                *head = bytes.to_vec();
                None
            }
            Self::With(expected) => line_difference(&expected.head, &mask_date(bytes)),
        }
    }

    /// Compares `bytes` of a body, which are at `at` in it.
    pub(super) fn body(&mut self, at: u64, bytes: &[u8]) -> Option<Difference> {
        match self {
            Self::Off => None,
            Self::Learning { body, .. } => {
                body.extend_from_slice(bytes);
                None
            }
            Self::With(expected) => expected.body_difference(at, bytes),
        }
    }

    /// Compares the length of a complete body.
    pub(super) fn end(&self, length: u64) -> Option<Difference> {
        let Self::With(Expected { body_length: expected, .. }) = *self else { return None };
        (length != expected).then_some(Difference::Length { expected, found: length })
    }

    /// Returns the body that must follow a head without a difference, if it is kept as a whole.
    pub(super) fn expected_body(&self) -> Option<&[u8]> {
        match self {
            Self::With(expected) if expected.pattern.len() as u64 == expected.body_length => {
                Some(&expected.pattern)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { expected, found } if found.is_empty() => {
                write!(f, "its head lacks '{expected}'")
            }
            Self::Line { expected, found } if expected.is_empty() => {
                write!(f, "its head has '{found}' as well")
            }
            Self::Line { expected, found } => {
                write!(f, "its head has '{found}' in place of '{expected}'")
            }
            Self::Byte { at, expected, found } => write!(
                f,
                "byte {at} of its body is '{}' in place of '{}'",
                found.escape_ascii(),
                expected.escape_ascii()
            ),
            Self::Length { expected, found } => {
                write!(f, "its body has {found} bytes in place of {expected}")
            }
        }
    }
}

/// Returns the first line of `found` that is not as in `expected`.
fn line_difference(expected: &[u8], found: &[u8]) -> Option<Difference> {
    if expected == found {
        return None;
    }
    let text =
        |line: Option<&[u8]>| line.unwrap_or_default().trim_ascii().escape_ascii().to_string();
    let mut lines = (lines(expected), lines(found));
    loop {
        let (one, other) = (lines.0.next(), lines.1.next());
        if one != other {
            return Some(Difference::Line { expected: text(one), found: text(other) });
        }
        one?;
    }
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split_inclusive(|&byte| byte == b'\n')
}

/// Replaces the value of the date field. A value of another length than an HTTP date has is kept,
/// and so counts as a difference.
fn mask_date(head: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"date:";
    let mut masked = Vec::with_capacity(head.len());
    for line in lines(head) {
        match line.split_at_checked(NAME.len()) {
            Some((name, value)) if name.eq_ignore_ascii_case(NAME) && is_date(value) => {
                masked.extend_from_slice(name);
                masked.extend_from_slice(b" (date)\r\n");
            }
            _ => masked.extend_from_slice(line),
        }
    }
    masked
}

/// Reports whether a field value, with the end of its line, is as long as an HTTP date.
fn is_date(value: &[u8]) -> bool {
    const LENGTH: usize = "Thu, 01 Jan 1970 00:00:00 GMT".len();
    let value = value.strip_prefix(b" ").unwrap_or(value);
    value.strip_suffix(b"\r\n").is_some_and(|value| value.len() == LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 5\r\n\r\n";

    fn with(head: &[u8], body: &[u8]) -> Comparison {
        Comparison::With(Expected::new(head, body))
    }

    fn said(difference: Option<Difference>) -> String {
        difference.map_or_else(|| "the same".to_string(), |difference| difference.to_string())
    }

    fn head(text: &str) -> String {
        said(with(HEAD, b"hello").head(text.as_bytes()))
    }

    #[test]
    fn the_date_may_change_and_no_other_byte() {
        let text = String::from_utf8(HEAD.to_vec()).unwrap();
        assert_eq!(head(&text), "the same");
        assert_eq!(head(&text.replace("01 Jan 1970 00", "25 Nov 2026 21")), "the same");
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            let is_in_the_date = (23..52).contains(&at);
            let differs = with(HEAD, b"hello").head(&changed).is_some();
            assert_eq!(differs, !is_in_the_date, "byte {at}");
        }
    }

    #[test]
    fn names_the_line_that_differs() {
        let text = String::from_utf8(HEAD.to_vec()).unwrap();
        assert_eq!(
            head(&text.replace("length: 5", "length: 6")),
            "its head has 'content-length: 6' in place of 'content-length: 5'"
        );
        assert_eq!(
            head(&text.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")),
            "its head has 'connection: close' as well"
        );
        assert_eq!(
            head(&text.replace("content-length: 5\r\n", "")),
            "its head lacks 'content-length: 5'"
        );
        assert_eq!(
            head(&text.replace("Thu, 01 Jan 1970", "yesterday")),
            "its head has 'Date: yesterday 00:00:00 GMT' in place of 'Date: (date)'"
        );
    }

    #[test]
    fn compares_bodies_however_they_are_cut() {
        let body = |at, bytes: &[u8]| said(with(HEAD, b"hello").body(at, bytes));
        assert_eq!(body(0, b"hello"), "the same");
        assert_eq!(body(2, b"ll"), "the same");
        assert_eq!(body(2, b"lL"), "byte 3 of its body is 'L' in place of 'l'");
        assert_eq!(body(0, b"hello!"), "its body has 6 bytes in place of 5");
        assert_eq!(body(9, b"!"), "its body has 10 bytes in place of 5");
        assert_eq!(said(with(HEAD, b"hello").end(5)), "the same");
        assert_eq!(said(with(HEAD, b"hello").end(4)), "its body has 4 bytes in place of 5");
    }

    #[test]
    fn a_learned_answer_is_expected() {
        let mut learning = Comparison::learning();
        assert_eq!(learning.head(HEAD), None);
        assert_eq!((learning.body(0, b"hel"), learning.body(3, b"lo")), (None, None));
        let Comparison::Learning { head, body } = learning else { unreachable!() };
        assert_eq!((&*head, &*body), (HEAD, &b"hello"[..]));
    }

    #[test]
    fn a_repetitive_body_is_compared_to_the_last_byte() {
        for body in [vec![b'x'; 65_536], b"0123456789abcdef".repeat(4_100)] {
            let last = body.len() - 1;
            let mut comparison = with(HEAD, &body);
            assert!(comparison.expected_body().is_none(), "it is kept as a pattern");
            for piece in [1, 4_095, 4_096, 10_000, body.len()] {
                let at = |nth: usize| (nth * piece) as u64;
                let mut pieces = body.chunks(piece).enumerate();
                assert!(pieces.all(|(nth, bytes)| comparison.body(at(nth), bytes).is_none()));
            }
            for wrong in [0, 4_095, 4_096, 50_000, last] {
                let mut other = body.clone();
                other[wrong] = b'!';
                let found = comparison.body(0, &other);
                let expected = body[wrong];
                let difference = Difference::Byte { at: wrong as u64, expected, found: b'!' };
                assert_eq!(found, Some(difference));
            }
            let longer = said(comparison.body(0, &[&body[..], b"x"].concat()));
            assert!(longer.starts_with("its body has"), "{longer}");
            assert!(comparison.end(last as u64).is_some());
        }
    }
}
