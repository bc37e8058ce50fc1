//! The request line, read in one pass (RFC 9112, 3).
//!
//! By hand, as a target has to be looked at byte by byte anyway: httparse lets pass what
//! is no target, and knows no minor version above 1. What is malformed is refused at the
//! byte that makes it so, and the answer does not depend on how the line arrives.

use super::chars;
use super::error::Refusal;
use super::target::{self, Target};

/// A request line.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a str,
    pub(super) target: Target<'a>,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1 and all later minor versions, which are served
    /// as 1.1 (RFC 9110, 2.5).
    pub(super) minor_version: u8,
    /// Bytes of the line, with its CRLF and any empty lines before it.
    pub(super) bytes: usize,
}

/// Reads the request line at the start of `input`; `None` where it is not whole.
pub(super) fn parse(input: &[u8]) -> Result<Option<RequestLine<'_>>, Refusal> {
    let Some((method, rest)) = method(input)? else { return Ok(None) };
    let Some((target, rest)) = target::parse(method, rest)? else { return Ok(None) };
    let Some((minor_version, rest)) = version(rest)? else { return Ok(None) };
    // After the version, as `PRI * HTTP/2.0` wants another version and not another target.
    target.check(method)?;
    Ok(Some(RequestLine { method, target, minor_version, bytes: input.len() - rest.len() }))
}

/// The method, and what follows the space behind it.
fn method(input: &[u8]) -> Result<Option<(&str, &[u8])>, Refusal> {
    match input.strip_prefix(b"GET ") {
        Some(rest) => Ok(Some(("GET", rest))),
        None => other_method(input),
    }
}

#[inline(never)]
fn other_method(input: &[u8]) -> Result<Option<(&str, &[u8])>, Refusal> {
    let Some(line) = after_empty_lines(input)? else { return Ok(None) };
    let Some(bytes) = line.iter().position(|&b| !chars::is_token(b)) else { return Ok(None) };
    match (std::str::from_utf8(&line[..bytes]), line[bytes]) {
        (Ok(method), b' ') if !method.is_empty() => Ok(Some((method, &line[bytes + 1..]))),
        _ => Err(Refusal::RequestLine),
    }
}

/// What follows the empty lines that may come before a request line (RFC 9112, 2.2).
pub(super) fn after_empty_lines(mut input: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    loop {
        match input {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', rest @ ..] => input = rest,
            [b'\r', ..] => return Err(Refusal::RequestLine),
            [b'\n', ..] => return Err(Refusal::BareLf),
            line => return Ok(Some(line)),
        }
    }
}

/// The minor version, and what follows the end of its line.
fn version(input: &[u8]) -> Result<Option<(u8, &[u8])>, Refusal> {
    match input.strip_prefix(b"HTTP/1.1\r\n") {
        Some(rest) => Ok(Some((1, rest))),
        None => other_version(input),
    }
}

#[inline(never)]
fn other_version(input: &[u8]) -> Result<Option<(u8, &[u8])>, Refusal> {
    const BYTES: usize = b"HTTP/1.1\r\n".len();
    match input {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            minor @ b'0'..=b'9',
            b'\r',
            b'\n',
            rest @ ..,
        ] => Ok(Some((u8::from(*minor > b'0'), rest))),
        _ => match input.iter().take(BYTES).position(|&b| b == b'\n') {
            None if input.len() < BYTES => Ok(None),
            None => Err(Refusal::RequestLine),
            Some(lf) => Err(refuse_version(&input[..lf])),
        },
    }
}

/// The refusal of a version that is not served, without its LF.
fn refuse_version(version: &[u8]) -> Refusal {
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r']
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Refusal::Version
        }
        [.., b'\r'] => Refusal::RequestLine,
        _ => Refusal::BareLf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_with_its_lf_and_the_same_however_it_arrives() {
        let line = b"\r\nGET /a%2fb?c HTTP/1.1\r\n";
        for bytes in 0..line.len() {
            assert!(parse(&line[..bytes]).expect("a beginning").is_none(), "{bytes}");
        }
        let parsed = parse(line).expect("a line").expect("a whole line");
        assert_eq!(parsed.bytes, line.len());
        assert_eq!((parsed.method, parsed.minor_version), ("GET", 1));
        assert_eq!(parsed.target.whole, "/a%2fb?c");
    }

    #[test]
    fn each_malformed_line_is_refused_for_its_reason() {
        for (line, refusal) in [
            ("\n", Refusal::BareLf),
            ("\rG", Refusal::RequestLine),
            (" GET", Refusal::RequestLine),
            ("GET\t", Refusal::RequestLine),
            ("G\u{e4}T", Refusal::RequestLine),
            ("GET  ", Refusal::RequestLine),
            ("GET /\r", Refusal::RequestLine),
            ("GET /\x7f", Refusal::RequestLine),
            ("GET /[", Refusal::Target),
            ("GET /\u{e4}", Refusal::Target),
            ("GET / HTTP/1.1\n", Refusal::BareLf),
            ("GET / \n", Refusal::BareLf),
            ("GET * HTTP/1.1\r\n", Refusal::Target),
            ("PRI * HTTP/2.0\r\n", Refusal::Version),
            ("GET / HTTP/2.0\r\n", Refusal::Version),
            ("GET / HTTP/0.9\r\n", Refusal::Version),
            ("GET / HTTP/2\r\n", Refusal::RequestLine),
            ("GET / http/1.1\r\n", Refusal::RequestLine),
            ("GET / HTTP/1.10\r\n", Refusal::RequestLine),
            ("GET / HTTP/1.1 \r\n", Refusal::RequestLine),
            ("GET /a b HTTP/1.1\r\n", Refusal::RequestLine),
        ] {
            assert_eq!(parse(line.as_bytes()).err(), Some(refusal), "{line:?}");
            let early = &line.as_bytes()[..line.len() - 1];
            assert!(!matches!(parse(early), Ok(Some(_))), "{early:?}");
        }
    }
}
