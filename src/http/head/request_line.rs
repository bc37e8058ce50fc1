//! Reads the request line in one pass (RFC 9112, 3).
//!
//! By hand, because a target must be looked at byte by byte anyway: httparse accepts invalid
//! targets, and knows no minor version above 1. A malformed line is rejected at the byte that
//! makes it malformed, so the response does not depend on how the line arrives.

use super::target::{self, Target};
use crate::http::chars::{self, TargetSyntax};
use crate::http::rejection::Rejection;

/// A request line.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct RequestLine<'a> {
    pub(in crate::http) method: &'a str,
    pub(in crate::http) target: Target<'a>,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1 and all later minor versions, which are served
    /// as 1.1 (RFC 9110, 2.5).
    pub(in crate::http) minor_version: u8,
    /// Size of the line in bytes, with its CRLF and any empty lines before it.
    pub(super) bytes: usize,
}

/// Reads the request line at the start of `input`; returns `None` if it is incomplete.
#[inline(always)]
pub(super) fn parse(
    input: &[u8],
    syntax: TargetSyntax,
) -> Result<Option<RequestLine<'_>>, Rejection> {
    let Some((method, rest)) = method(input)? else { return Ok(None) };
    let Some((mut target, rest)) = target::parse(method, rest, syntax)? else { return Ok(None) };
    let Some((minor_version, rest)) = version(rest)? else { return Ok(None) };
    // After the version, because `PRI * HTTP/2.0` wants another version and not another target.
    if !target.is_origin() {
        target = target.resolve(method, syntax)?;
    }
    Ok(Some(RequestLine { method, target, minor_version, bytes: input.len() - rest.len() }))
}

/// Returns the method, and the input behind its space.
fn method(input: &[u8]) -> Result<Option<(&str, &[u8])>, Rejection> {
    match input.strip_prefix(b"GET ") {
        Some(rest) => Ok(Some(("GET", rest))),
        None => other_method(input),
    }
}

#[inline(never)]
fn other_method(input: &[u8]) -> Result<Option<(&str, &[u8])>, Rejection> {
    let Some(line) = after_empty_lines(input)? else { return Ok(None) };
    let Some(bytes) = line.iter().position(|&b| !chars::is_token(b)) else { return Ok(None) };
    match (std::str::from_utf8(&line[..bytes]), line[bytes]) {
        (Ok(method), b' ') if !method.is_empty() => Ok(Some((method, &line[bytes + 1..]))),
        _ => Err(Rejection::RequestLine),
    }
}

/// Skips the empty lines that may come before a request line (RFC 9112, 2.2); returns `None`
/// if nothing else has arrived.
pub(super) fn after_empty_lines(mut input: &[u8]) -> Result<Option<&[u8]>, Rejection> {
    loop {
        match input {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', rest @ ..] => input = rest,
            [b'\r', ..] => return Err(Rejection::RequestLine),
            [b'\n', ..] => return Err(Rejection::BareLf),
            line => return Ok(Some(line)),
        }
    }
}

/// Returns the minor version, and the input behind its line.
fn version(input: &[u8]) -> Result<Option<(u8, &[u8])>, Rejection> {
    match input.strip_prefix(b"HTTP/1.1\r\n") {
        Some(rest) => Ok(Some((1, rest))),
        None => other_version(input),
    }
}

#[inline(never)]
fn other_version(input: &[u8]) -> Result<Option<(u8, &[u8])>, Rejection> {
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
            None => Err(Rejection::RequestLine),
            Some(lf) => Err(version_rejection(&input[..lf])),
        },
    }
}

/// Returns the rejection of a version that is not served, given without its LF.
fn version_rejection(version: &[u8]) -> Rejection {
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r']
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Rejection::Version
        }
        [.., b'\r'] => Rejection::RequestLine,
        _ => Rejection::BareLf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNTAX: TargetSyntax = TargetSyntax::Rfc3986;

    #[test]
    fn a_line_is_complete_with_its_lf_however_it_arrives() {
        let line = b"\r\nGET /a%2fb?c HTTP/1.1\r\n";
        for bytes in 0..line.len() {
            assert!(parse(&line[..bytes], SYNTAX).expect("a beginning").is_none(), "{bytes}");
        }
        let parsed = parse(line, SYNTAX).expect("a line").expect("a whole line");
        assert_eq!(parsed.bytes, line.len());
        assert_eq!((parsed.method, parsed.minor_version), ("GET", 1));
        assert_eq!(parsed.target.whole, "/a%2fb?c");
    }

    #[test]
    fn each_malformed_line_is_rejected_for_its_reason() {
        for (line, rejection) in [
            ("\n", Rejection::BareLf),
            ("\rG", Rejection::RequestLine),
            (" GET", Rejection::RequestLine),
            ("GET\t", Rejection::RequestLine),
            ("G\u{e4}T", Rejection::RequestLine),
            ("GET  ", Rejection::RequestLine),
            ("GET /\r", Rejection::RequestLine),
            ("GET /\x7f", Rejection::RequestLine),
            ("GET /[", Rejection::Target),
            ("GET /\u{e4}", Rejection::Target),
            ("GET / HTTP/1.1\n", Rejection::BareLf),
            ("GET / \n", Rejection::BareLf),
            ("GET * HTTP/1.1\r\n", Rejection::Target),
            ("PRI * HTTP/2.0\r\n", Rejection::Version),
            ("GET / HTTP/2.0\r\n", Rejection::Version),
            ("GET / HTTP/0.9\r\n", Rejection::Version),
            ("GET / HTTP/2\r\n", Rejection::RequestLine),
            ("GET / http/1.1\r\n", Rejection::RequestLine),
            ("GET / HTTP/1.10\r\n", Rejection::RequestLine),
            ("GET / HTTP/1.1 \r\n", Rejection::RequestLine),
            ("GET /a b HTTP/1.1\r\n", Rejection::RequestLine),
        ] {
            assert_eq!(parse(line.as_bytes(), SYNTAX).err(), Some(rejection), "{line:?}");
            let early = &line.as_bytes()[..line.len() - 1];
            assert!(!matches!(parse(early, SYNTAX), Ok(Some(_))), "{early:?}");
        }
    }
}
