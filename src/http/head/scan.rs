//! Remembers how far an incomplete head has been read, so that a head that arrives in many
//! small pieces is not read anew for each of them.

use super::request_line;
use super::target;
use crate::http::chars::{self, TargetSyntax};

/// The valid part of an incomplete head.
///
/// The head is parsed again only when a byte arrives that could complete or invalidate it.
/// Within a name, a value, or another part, that is the first byte that does not belong to the
/// part, so a head of n bytes is parsed a few times for each line, and not n times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Scan {
    checked: u32,
    part: Part,
}

/// The part of a head that the last checked byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// Nothing is known: the head must be parsed.
    #[default]
    Unknown,
    EmptyLine,
    /// A method, or the name of a header.
    Token,
    /// A target that is a path.
    Target,
    /// A target in another form, which is checked when it is complete.
    OtherTarget,
    /// The value of a header.
    Value,
}

impl Scan {
    /// Notes that `window` is valid and incomplete.
    #[cold]
    pub(in crate::http) fn after(window: &[u8], syntax: TargetSyntax) -> Scan {
        let (part, checked) = match request_line::after_empty_lines(window) {
            Ok(Some(head)) => {
                let line = head.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
                let part = match line {
                    [] => Part::Unknown,
                    [.., b'\r'] => Part::Unknown,
                    line if line.len() == head.len() => part_of_request_line(line, syntax),
                    line if line.contains(&b':') => Part::Value,
                    _ => Part::Token,
                };
                (part, window.len())
            }
            Ok(None) => (Part::EmptyLine, window.len() - usize::from(window.ends_with(b"\r"))),
            Err(_) => (Part::Unknown, 0),
        };
        Scan { checked: u32::try_from(checked).unwrap_or(0), part }
    }

    /// Reports whether `window`, which begins with the bytes of the last call, is still valid
    /// and incomplete without a look at more than its new bytes.
    #[inline]
    pub(in crate::http) fn goes_on(
        &mut self,
        window: &[u8],
        head_bytes_max: usize,
        syntax: TargetSyntax,
    ) -> bool {
        // The usual head arrives whole, and nothing is known of it.
        self.part != Part::Unknown && self.goes_on_in_part(window, head_bytes_max, syntax)
    }

    #[cold]
    fn goes_on_in_part(
        &mut self,
        window: &[u8],
        head_bytes_max: usize,
        syntax: TargetSyntax,
    ) -> bool {
        let Scan { checked, part } = std::mem::take(self);
        let new = match window.get(checked as usize..) {
            Some(new) if window.len() < head_bytes_max => new,
            _ => return false,
        };
        let all = |is: fn(u8) -> bool| new.iter().all(|&byte| is(byte));
        let checked = match part {
            Part::EmptyLine if request_line::after_empty_lines(new) == Ok(None) => {
                checked + (new.len() & !1) as u32
            }
            Part::Token if all(chars::is_token) => window.len() as u32,
            Part::Target => match &new[target::plain_bytes(new, syntax)..] {
                // The beginning of an escape, which is looked at again when it is complete.
                rest @ ([] | [b'%'] | [b'%', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F']) => {
                    (window.len() - rest.len()) as u32
                }
                _ => return false,
            },
            Part::OtherTarget if new.iter().all(u8::is_ascii_graphic) => window.len() as u32,
            Part::Value if all(chars::is_field_value) => window.len() as u32,
            _ => return false,
        };
        *self = Scan { checked, part };
        true
    }
}

fn part_of_request_line(line: &[u8], syntax: TargetSyntax) -> Part {
    let mut words = line.split(|&byte| byte == b' ');
    let method = words.next().unwrap_or_default();
    match (words.next(), words.next()) {
        (None, _) => Part::Token,
        // The end of a target may be the beginning of an escape.
        (Some(target), None)
            if method != b"CONNECT"
                && target.starts_with(b"/")
                && target::plain_bytes(target, syntax) == target.len() =>
        {
            Part::Target
        }
        (Some(target @ [first, ..]), None)
            if (method == b"CONNECT" || *first != b'/')
                && target.iter().all(u8::is_ascii_graphic) =>
        {
            Part::OtherTarget
        }
        _ => Part::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how often a head that arrives byte by byte is parsed.
    fn parses(head: &[u8], syntax: TargetSyntax) -> usize {
        let mut scan = Scan::default();
        let mut parses = 0;
        for bytes in 1..=head.len() {
            if !scan.goes_on(&head[..bytes], usize::MAX, syntax) {
                parses += 1;
                scan = Scan::after(&head[..bytes], syntax);
            }
        }
        parses
    }

    #[test]
    fn a_long_part_is_parsed_a_few_times_however_it_arrives() {
        for head in [
            format!("{}GET /", "\r\n".repeat(5_000)),
            "G".repeat(10_000),
            format!("GET /{}", "a%2f?b".repeat(2_000)),
            format!("GET http://a/{}", "a%2f?b".repeat(2_000)),
            format!("CONNECT {}", "a".repeat(10_000)),
            format!("GET / HTTP/1.1\r\n{}", "n".repeat(10_000)),
            format!("GET / HTTP/1.1\r\nname: {}", "v ".repeat(5_000)),
        ] {
            for syntax in [TargetSyntax::Url, TargetSyntax::Rfc3986] {
                let parses = parses(head.as_bytes(), syntax);
                assert!(parses <= 30, "{parses} for {}", &head[..20]);
            }
        }
    }
}
