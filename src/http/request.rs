//! A borrowed view of a request head: the request line, and the field lines over
//! httparse.

use std::borrow::Cow;

use super::head::headers::{Framing, Persistence, Reader, Rules};
use super::head::request_line::{self, RequestLine};
use super::head::target;
use super::rejection::Rejection;

/// A request: its head and, once it is there, its content.
///
/// Borrows from the input buffer.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    line: RequestLine<'a>,
    fields: &'a [httparse::Header<'a>],
    framing: Framing,
    content: &'a [u8],
}

impl<'a> Request<'a> {
    /// The method, case-sensitive (RFC 9110, 9.1).
    pub fn method(&self) -> &'a str {
        self.line.method
    }

    /// The request target as it was sent (RFC 9112, 3.2).
    pub fn target(&self) -> &'a str {
        self.line.target.whole
    }

    /// The target's path, with escapes of unreserved characters resolved, which
    /// are equal to their characters, and the others in upper case (RFC 9110,
    /// 4.2.3); `*` and the authority of a `CONNECT` stand for themselves. Borrowed
    /// unless there is an escape.
    #[inline]
    pub fn path(&self) -> Cow<'a, str> {
        self.line.target.path(self.line.method)
    }

    /// What follows the target's `?`, as it was sent.
    pub fn query(&self) -> Option<&'a str> {
        self.line.target.query(self.line.method)
    }

    /// The host, and port if one is named, that the request is for: those of a
    /// target that has them, as `host` must be ignored beside it, and the `host`
    /// field's otherwise (RFC 9112, 3.2.2 and 3.3). HTTP/1.0 may have neither.
    pub fn host(&self) -> Option<&'a str> {
        target::authority(self.method(), self.target())
            .or_else(|| std::str::from_utf8(self.header("host")?).ok())
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1 and all later minor versions, which are
    /// served as 1.1 (RFC 9110, 2.5).
    pub fn minor_version(&self) -> u8 {
        self.line.minor_version
    }

    /// The fields in the order in which they came: name and value, the value
    /// without the white space around it.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.fields.iter().map(|field| (field.name, field.value))
    }

    /// The value of the first field of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The content, whole; empty where a request has none, and in
    /// [`Service::content`](super::Service::content), where it has yet to come.
    pub fn body(&self) -> &'a [u8] {
        self.content
    }

    /// How the content is delimited.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn set_body(&mut self, content: &'a [u8]) {
        self.content = content;
    }
}

/// A complete and valid head.
pub(super) struct Head<'a> {
    pub(super) request: Request<'a>,
    /// Bytes of the head, with its empty line and any empty lines before it.
    pub(super) bytes: usize,
    pub(super) persistence: Persistence,
    pub(super) expects_continue: bool,
}

/// Where a head's fields are kept while it is looked at.
pub(super) type Fields<'a> = [httparse::Header<'a>];

/// A field that has not been read.
pub(super) const NO_FIELD: httparse::Header<'_> = httparse::EMPTY_HEADER;

/// Reads the head at the start of `input`, of at most `head_bytes_max` bytes and as
/// many fields as there is room for; `None` where it is not whole.
pub(super) fn parse<'a, 'i: 'a>(
    input: &'i [u8],
    fields: &'a mut Fields<'i>,
    head_bytes_max: usize,
) -> Result<Option<Head<'a>>, Rejection> {
    // What lies beyond the limit is never looked at, so that a head is refused for
    // the same reason whether it arrives whole or in pieces.
    let window = &input[..input.len().min(head_bytes_max)];
    let Some(line) = request_line::parse(window)? else {
        return partial(window, head_bytes_max);
    };
    let (fields_bytes, fields) = match httparse::parse_headers(&window[line.bytes..], fields) {
        Ok(httparse::Status::Complete(parsed)) => parsed,
        Ok(httparse::Status::Partial) => return partial(window, head_bytes_max),
        Err(httparse::Error::TooManyHeaders) => return Err(Rejection::HeadTooLarge),
        Err(_) => return Err(Rejection::HeaderLine),
    };
    let bytes = line.bytes + fields_bytes;
    let Rules { framing, persistence, expects_continue } =
        read_fields(&window[..bytes], fields, line.minor_version)?;
    let request = Request { line, fields, framing, content: &[] };
    Ok(Some(Head { request, bytes, persistence, expects_continue }))
}

/// Whether `input` begins with a HEAD request: no answer to it has content, and
/// so neither does a rejection (RFC 9110, 9.3.2).
pub(super) fn is_head(input: &[u8]) -> bool {
    let line = request_line::after_empty_lines(input);
    line.is_ok_and(|line| line.is_some_and(|line| line.starts_with(b"HEAD ")))
}

/// The beginning of a head: refused where it fills its limit, by what of it never
/// ended (RFC 9112, 3).
#[cold]
fn partial<'a>(window: &[u8], head_bytes_max: usize) -> Result<Option<Head<'a>>, Rejection> {
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

/// Reads the fields of a head, and refuses it where a line ends in LF alone: httparse
/// lets it pass, and another recipient in the chain may not (RFC 9112, 2.2 and 11.2).
fn read_fields(head: &[u8], fields: &Fields<'_>, minor_version: u8) -> Result<Rules, Rejection> {
    // httparse has seen the LF before each field's name and before the end, so one byte
    // a line is looked at, and a head costs no second scan.
    let start = head.as_ptr() as usize;
    let follows_crlf = |at: usize| head.get(at.wrapping_sub(2)) == Some(&b'\r');
    let mut is_crlf = follows_crlf(head.len()) && follows_crlf(head.len() - 2);
    let mut reader = Reader::default();
    for field in fields {
        is_crlf &= follows_crlf(field.name.as_ptr() as usize - start);
        reader.read(field.name, field.value)?;
    }
    if is_crlf { reader.end(fields, minor_version) } else { Err(Rejection::BareLf) }
}
