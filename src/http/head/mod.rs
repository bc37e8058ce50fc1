//! Reads a request head: the request line by hand, the header lines over httparse.

mod authority;
mod headers;
mod request_line;
mod scan;
mod target;

use super::chars::TargetSyntax;
use super::rejection::Rejection;
pub use headers::Framing;
pub(super) use headers::Persistence;
use headers::{Reader, Rules};
use request_line::RequestLine;
pub(super) use scan::Scan;

/// Slots for the headers of a head while it is read.
pub(super) type Headers<'a> = [httparse::Header<'a>];

/// An unused header slot.
pub(super) const NO_HEADER: httparse::Header<'_> = httparse::EMPTY_HEADER;

/// A complete and valid head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) line: RequestLine<'a>,
    pub(super) headers: &'a Headers<'a>,
    pub(super) framing: Framing,
    pub(super) persistence: Persistence,
    pub(super) expects_continue: bool,
    /// Size of the head in bytes, with its empty line and any empty lines before it.
    pub(super) bytes: usize,
}

impl<'a> Head<'a> {
    /// Returns the value of the first header of this name, in any case.
    pub(super) fn header(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value)
    }

    /// Returns the values of all headers of this name, in any case.
    pub(super) fn headers_named(&self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let named =
            self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value)
    }

    pub(super) fn is_head(&self) -> bool {
        self.line.method == "HEAD"
    }
}

/// Reads the head at the start of `input`, of at most `head_bytes_max` bytes and one header for
/// each slot; returns `None` if it is incomplete.
// One function, not inlined, because then httparse is inlined into it: 73 instructions less.
#[inline(never)]
pub(super) fn parse<'a, 'i: 'a>(
    input: &'i [u8],
    slots: &'a mut Headers<'i>,
    head_bytes_max: usize,
    syntax: TargetSyntax,
) -> Result<Option<Head<'a>>, Rejection> {
    // Bytes beyond the limit are never looked at, so that a head is rejected for the same
    // reason whether it arrives whole or in pieces.
    let window = &input[..input.len().min(head_bytes_max)];
    let Some(line) = request_line::parse(window, syntax)? else {
        return incomplete(window, head_bytes_max);
    };
    let (header_bytes, headers) = match httparse::parse_headers(&window[line.bytes..], slots) {
        Ok(httparse::Status::Complete(parsed)) => parsed,
        Ok(httparse::Status::Partial) => return incomplete(window, head_bytes_max),
        Err(httparse::Error::TooManyHeaders) => return Err(Rejection::HeadTooLarge),
        Err(_) => return Err(Rejection::HeaderLine),
    };
    let bytes = line.bytes + header_bytes;
    let Rules { framing, persistence, expects_continue } =
        read_headers(&window[..bytes], headers, line.minor_version)?;
    Ok(Some(Head { line, headers, framing, persistence, expects_continue, bytes }))
}

/// Reports whether `input` begins with a HEAD request. No response to it has a body, and so
/// neither has a rejection (RFC 9110, 9.3.2).
pub(super) fn is_head(input: &[u8]) -> bool {
    let line = request_line::after_empty_lines(input);
    line.is_ok_and(|line| line.is_some_and(|line| line.starts_with(b"HEAD ")))
}

/// Reports whether `input` holds a whole head, behind any empty lines.
pub(super) fn has_whole_head(input: &[u8]) -> bool {
    match request_line::after_empty_lines(input) {
        Ok(Some(head)) => head.windows(4).any(|end| end == b"\r\n\r\n"),
        Ok(None) | Err(_) => false,
    }
}

/// Returns the value of a header line that need not be valid, if it has this name in any case.
pub(super) fn header_value<'a>(line: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name.as_bytes()).then(|| headers::trim(value))
}

/// Returns `None` for the beginning of a head, or rejects it if it fills the limit, by the part
/// that never ended (RFC 9112, 3).
#[cold]
fn incomplete<'a>(window: &[u8], head_bytes_max: usize) -> Result<Option<Head<'a>>, Rejection> {
    if window.len() < head_bytes_max {
        return Ok(None);
    }
    match request_line::after_empty_lines(window)? {
        Some(head) if head.contains(&b'\n') => Err(Rejection::HeadTooLarge),
        Some(head) if head.contains(&b' ') => Err(Rejection::TargetTooLong),
        Some(_) => Err(Rejection::MethodTooLong),
        None => Err(Rejection::HeadTooLarge),
    }
}

/// Reads the headers of a head. Rejects a line that ends in LF alone: httparse accepts it, and
/// another recipient in the chain may not (RFC 9112, 2.2 and 11.2).
#[inline(always)]
fn read_headers(head: &[u8], headers: &Headers<'_>, minor_version: u8) -> Result<Rules, Rejection> {
    // httparse has seen the LF before each header name and before the end, so looking at one
    // byte a line saves a second scan.
    let start = head.as_ptr() as usize;
    let follows_crlf = |at: usize| head.get(at.wrapping_sub(2)) == Some(&b'\r');
    let mut is_crlf = follows_crlf(head.len()) && follows_crlf(head.len() - 2);
    let mut reader = Reader::default();
    for header in headers {
        is_crlf &= follows_crlf(header.name.as_ptr() as usize - start);
        reader.read(header.name, header.value)?;
    }
    if is_crlf { reader.end(headers, minor_version) } else { Err(Rejection::BareLf) }
}
