//! The comparison of every answer with the first one, byte by byte.
//!
//! A server that gives a wrong answer once in a thousand must not look fast. The date is masked,
//! because it changes once a second. Chunk sizes and trailer fields are not compared, because
//! they are not part of the body.

use std::fmt;

/// The answer that a server is expected to give again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Status line and header fields, with the date masked.
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Expected {
    /// Expects these bytes. `head` ends with its empty line; `body` is without its chunk sizes.
    pub fn new(head: &[u8], body: &[u8]) -> Self {
        Self { head: mask_date(head), body: body.to_vec() }
    }
}

/// The purpose for which the bytes of answers are looked at.
#[derive(Debug, Default)]
pub(super) enum Comparison {
    /// Bytes are counted only.
    #[default]
    Off,
    /// The answer is recorded, to be expected from then on.
    Learning(Expected),
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
    /// Compares a complete head, with its empty line.
    pub(super) fn head(&mut self, head: &[u8]) -> Option<Difference> {
        match self {
            Self::Off => None,
            Self::Learning(answer) => {
                answer.head = mask_date(head);
                None
            }
            Self::With(expected) => line_difference(&expected.head, &mask_date(head)),
        }
    }

    /// Compares `bytes` of a body, which are at `at` in it.
    pub(super) fn body(&mut self, at: u64, bytes: &[u8]) -> Option<Difference> {
        match self {
            Self::Off => None,
            Self::Learning(answer) => {
                answer.body.extend_from_slice(bytes);
                None
            }
            Self::With(Expected { body, .. }) => {
                let rest = usize::try_from(at).ok().and_then(|at| body.get(at..)).unwrap_or(&[]);
                if rest.starts_with(bytes) {
                    return None;
                }
                let same = rest.iter().zip(bytes).take_while(|(one, other)| one == other).count();
                let found = bytes[same];
                Some(match rest.get(same) {
                    Some(&expected) => Difference::Byte { at: at + same as u64, expected, found },
                    None => Difference::Length {
                        expected: body.len() as u64,
                        found: at + bytes.len() as u64,
                    },
                })
            }
        }
    }

    /// Compares the length of a complete body.
    pub(super) fn end(&self, length: u64) -> Option<Difference> {
        let Self::With(Expected { body, .. }) = self else { return None };
        let expected = body.len() as u64;
        (length != expected).then_some(Difference::Length { expected, found: length })
    }

    /// Returns the body that must follow a head without a difference.
    pub(super) fn expected_body(&self) -> Option<&[u8]> {
        match self {
            Self::With(expected) => Some(&expected.body),
            Self::Off | Self::Learning(_) => None,
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
        if one.is_none() {
            return None;
        }
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
        let mut learning = Comparison::Learning(Expected::default());
        assert_eq!(learning.head(HEAD), None);
        assert_eq!((learning.body(0, b"hel"), learning.body(3, b"lo")), (None, None));
        let Comparison::Learning(learned) = learning else { unreachable!() };
        assert_eq!(learned, Expected::new(HEAD, b"hello"));
    }
}
