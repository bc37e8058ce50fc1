//! The memory of a generator for heads of answers: a head seen before is not parsed again.

use super::comparison::{Comparison, Difference, Expected};
use super::errors::Malformed;
use super::head::{self, Framing, Head};

/// Parses the heads of a generator's answers, and compares them with the expected one. It
/// remembers the last head: servers send the same head again until the date changes, and equal
/// bytes mean the same.
#[derive(Debug)]
pub(super) struct Heads {
    method_is_head: bool,
    /// The comparison with the expected answer, heads and bodies.
    pub(super) comparison: Comparison,
    /// The last head, with its empty line; empty before the first one was parsed.
    seen: Vec<u8>,
    seen_head: Head,
    seen_difference: Option<Difference>,
    /// The last head and the body that must follow it, if the head is as expected; else empty.
    /// An answer that arrives in one piece is recognized by one comparison.
    seen_answer: Vec<u8>,
}

impl Heads {
    pub(super) fn new(method_is_head: bool) -> Self {
        Self {
            method_is_head,
            comparison: Comparison::Off,
            seen: Vec::new(),
            seen_head: Head { status: 0, framing: Framing::NoBody, closes: false },
            seen_difference: None,
            seen_answer: Vec::new(),
        }
    }

    /// Compares every answer in this way from now on.
    pub(super) fn set_comparison(&mut self, comparison: Comparison) {
        *self = Self { comparison, ..Self::new(self.method_is_head) };
    }

    /// Compares every answer with `expected` from now on.
    pub(super) fn expect(&mut self, expected: Expected) {
        self.set_comparison(Comparison::With(expected));
    }

    /// Returns the head and the length of the answer at the start of `input`, if the answer is
    /// complete and equal to the expected one.
    pub(super) fn whole_answer(&self, input: &[u8]) -> Option<(Head, usize)> {
        let is_same = !self.seen_answer.is_empty() && input.starts_with(&self.seen_answer);
        is_same.then_some((self.seen_head, self.seen_answer.len()))
    }

    /// Returns the head at the start of `input` and its length in bytes, or `None` if the head is
    /// incomplete.
    pub(super) fn parse(&mut self, input: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
        if !self.seen.is_empty() && input.starts_with(&self.seen) {
            return Ok(Some((self.seen_head, self.seen.len())));
        }
        let Some((head, len)) = head::parse(input, self.method_is_head)? else { return Ok(None) };
        self.remember(head, &input[..len]);
        Ok(Some((head, len)))
    }

    /// Returns the difference of the head that was parsed last.
    pub(super) fn difference(&self) -> Option<Difference> {
        self.seen_difference.clone()
    }

    fn remember(&mut self, head: Head, bytes: &[u8]) {
        self.seen.clear();
        self.seen.extend_from_slice(bytes);
        self.seen_head = head;
        // An interim response is not an answer.
        self.seen_difference = if head.status < 200 { None } else { self.comparison.head(bytes) };
        self.seen_answer.clear();
        let body = self.comparison.expected_body().filter(|body| match head.framing {
            Framing::NoBody => head.status >= 200,
            Framing::Length(length) => length == body.len() as u64,
            Framing::Chunked | Framing::UntilClose => false,
        });
        if let (Some(body), None) = (body, &self.seen_difference) {
            self.seen_answer.extend_from_slice(bytes);
            self.seen_answer.extend_from_slice(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_seen_before_is_told_from_one_that_differs_in_a_byte() {
        let mut heads = Heads::new(false);
        for (text, status) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 200),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 200),
            ("HTTP/1.1 201 OK\r\ncontent-length: 5\r\n\r\n", 201),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 200),
        ] {
            let (head, len) = heads.parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!((head.status, len), (status, text.len()));
        }
    }
}
