//! A borrowed view of a request head over httparse, and the rules that say
//! where its content ends.
//!
//! httparse checks the grammar of the request line's parts and of the field
//! lines; what it lets pass (targets, bare LF, framing fields) is checked here.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use super::chars;
use super::error::Refusal;
use super::target;

/// A request: its head and, once it is there, its content.
///
/// Borrows from the input buffer.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    method: &'a str,
    target: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    minor_version: u8,
    fields: &'a [httparse::Header<'a>],
    framing: Framing,
    content: &'a [u8],
}

impl<'a> Request<'a> {
    /// The method, case-sensitive (RFC 9110, 9.1).
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The request target as it was sent (RFC 9112, 3.2).
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The target's path, with escapes of unreserved characters resolved, which
    /// are equal to their characters, and the others in upper case (RFC 9110,
    /// 4.2.3); `*` and the authority of a `CONNECT` stand for themselves. Borrowed
    /// unless there is an escape.
    pub fn path(&self) -> Cow<'a, str> {
        target::normalize(self.path)
    }

    /// What follows the target's `?`, as it was sent.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The host, and port if one is named, that the request is for: those of a
    /// target that has them, as `host` must be ignored beside it, and the `host`
    /// field's otherwise (RFC 9112, 3.2.2 and 3.3). HTTP/1.0 may have neither.
    pub fn host(&self) -> Option<&'a str> {
        target::authority(self.method, self.target)
            .or_else(|| std::str::from_utf8(self.field("host")?).ok())
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1 and all later minor versions, which are
    /// served as 1.1 (RFC 9110, 2.5).
    pub fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// The fields in the order in which they came: name and value, the value
    /// without the white space around it.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.fields.iter().map(|field| (field.name, field.value))
    }

    /// The value of the first field of this name, in any case.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The content, whole; empty where a request has none, and in
    /// [`Service::content`](super::Service::content), where it has yet to come.
    pub fn content(&self) -> &'a [u8] {
        self.content
    }

    /// How the content is delimited.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn with_content(self, content: &'a [u8]) -> Request<'a> {
        Request { content, ..self }
    }
}

/// How a request's content is delimited (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// By `content-length`, in bytes; never 0.
    Length(u64),
    /// By the chunked coding.
    Chunked,
}

/// What becomes of the connection after this request (RFC 9112, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// It stays: HTTP/1.1's default.
    Keep,
    /// It stays, and the answer must say so: HTTP/1.0 with `keep-alive`.
    KeepSaid,
    /// It closes after the answer, as the client wants it.
    Close,
    /// It closes after the answer, as the server wants it: the client may be sending
    /// more, and a reset could destroy the answer on its way (9.6).
    CloseUnasked,
}

impl Persistence {
    /// What becomes of the connection if the server wants no more of it.
    pub(super) fn ended(self) -> Persistence {
        match self {
            Persistence::Keep | Persistence::KeepSaid => Persistence::CloseUnasked,
            closing => closing,
        }
    }
}

/// A complete and valid head.
pub(super) struct Head<'a> {
    pub(super) request: Request<'a>,
    /// The head itself, with its empty line and any empty lines before it.
    pub(super) bytes: &'a [u8],
    pub(super) persistence: Persistence,
    pub(super) expects_continue: bool,
}

/// What the start of the input is.
pub(super) enum Parsed<'a> {
    Head(Head<'a>),
    /// The beginning of a head.
    Partial,
    /// A complete request line of a minor version above 1. httparse knows none,
    /// so the head has to be read again with this byte set to `1`.
    MinorVersion {
        at: usize,
    },
}

/// Where a head's fields are kept while it is looked at.
pub(super) type FieldSlots<'a> = [MaybeUninit<httparse::Header<'a>>];

/// Reads the head at the start of `input`, of at most `head_bytes_max` bytes and
/// as many fields as there are `slots`.
pub(super) fn parse<'a>(
    input: &'a [u8],
    slots: &'a mut FieldSlots<'a>,
    head_bytes_max: usize,
) -> Result<Parsed<'a>, Refusal> {
    // What lies beyond the limit is never looked at, so that a head is refused for
    // the same reason whether it arrives whole or in pieces.
    let window = &input[..input.len().min(head_bytes_max)];
    let mut parsed = httparse::Request::new(&mut []);
    let bytes = match parsed.parse_with_uninit_headers(window, slots) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) if window.len() < head_bytes_max => {
            return Ok(Parsed::Partial);
        }
        Ok(httparse::Status::Partial) => return Err(too_large(window)),
        Err(error) => return refuse(error, window, head_bytes_max),
    };
    let (Some(method), Some(target), Some(minor_version)) =
        (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Refusal::RequestLine);
    };
    let fields: &'a [httparse::Header<'a>] = parsed.headers;
    let head = &window[..bytes];
    check_line_ends(head, method, fields)?;
    let (path, query) = target::split(method, target)?;
    let rules = read_fields(fields, minor_version)?;
    Ok(Parsed::Head(Head {
        request: Request {
            method,
            target,
            path,
            query,
            minor_version,
            fields,
            framing: rules.framing,
            content: &[],
        },
        bytes: &window[..bytes],
        persistence: rules.persistence,
        expects_continue: rules.expects_continue,
    }))
}

/// Whether `input` begins with a HEAD request: no answer to it has content, and
/// so neither does a refusal (RFC 9110, 9.3.2).
pub(super) fn is_head(input: &[u8]) -> bool {
    after_empty_lines(input).starts_with(b"HEAD ")
}

/// What follows the empty lines that may come before a request line (RFC 9112, 2.2).
fn after_empty_lines(mut input: &[u8]) -> &[u8] {
    while let Some(rest) = input.strip_prefix(b"\r\n") {
        input = rest;
    }
    input
}

/// The refusal of a head that fills its limit and is not complete: by what of it
/// never ended (RFC 9112, 3).
fn too_large(window: &[u8]) -> Refusal {
    let head = after_empty_lines(window);
    if head.is_empty() || head.contains(&b'\n') {
        Refusal::HeadTooLarge
    } else if head.contains(&b' ') {
        Refusal::TargetTooLong
    } else {
        Refusal::MethodTooLong
    }
}

/// The refusal that httparse's error stands for.
fn refuse<'a>(
    error: httparse::Error,
    window: &[u8],
    head_bytes_max: usize,
) -> Result<Parsed<'a>, Refusal> {
    match error {
        httparse::Error::TooManyHeaders => Err(Refusal::HeadTooLarge),
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Err(Refusal::FieldLine),
        httparse::Error::Version => other_version(window, head_bytes_max),
        // NewLine is also the end of the head, but a lone CR there begins a field line.
        _ => Err(Refusal::RequestLine),
    }
}

/// A request line whose version is neither `HTTP/1.0` nor `HTTP/1.1`. httparse
/// says so as soon as it sees it; here the whole line is waited for, so that the
/// answer does not depend on how the line arrives.
fn other_version<'a>(window: &[u8], head_bytes_max: usize) -> Result<Parsed<'a>, Refusal> {
    let start = window.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(0);
    let Some(end) = window[start..].iter().position(|&b| b == b'\n').map(|at| start + at) else {
        return match window.len() < head_bytes_max {
            true => Ok(Parsed::Partial),
            false => Err(Refusal::RequestLine),
        };
    };
    let line = window[start..end].strip_suffix(b"\r").ok_or(Refusal::BareLf)?;
    let mut parts = line.split(|&b| b == b' ');
    let (Some(_), Some(_), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::RequestLine);
    };
    match version {
        // What httparse does know would be read again in vain.
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => {
            Ok(Parsed::MinorVersion { at: start + line.len() - 1 })
        }
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal::Version)
        }
        _ => Err(Refusal::RequestLine),
    }
}

/// Refuses a head in which a line ends in LF alone: httparse lets it pass, and
/// another recipient in the chain may not (RFC 9112, 2.2 and 11.2).
///
/// httparse has seen the LF before each field's name and before the end, so
/// one byte a line is looked at, and a head costs no second scan.
fn check_line_ends(
    head: &[u8],
    method: &str,
    fields: &[httparse::Header<'_>],
) -> Result<(), Refusal> {
    let start = head.as_ptr() as usize;
    let follows_crlf = |at: usize| head.get(at.wrapping_sub(2)) == Some(&b'\r');

    let empty_lines = &head[..method.as_ptr() as usize - start];
    let mut ok = empty_lines.is_empty() || empty_lines.chunks(2).all(|line| line == b"\r\n");
    for field in fields {
        ok &= follows_crlf(field.name.as_ptr() as usize - start);
    }
    ok &= follows_crlf(head.len()) && follows_crlf(head.len() - 2);
    if ok { Ok(()) } else { Err(Refusal::BareLf) }
}

/// What the fields say about the message and the connection.
struct Rules {
    framing: Framing,
    persistence: Persistence,
    expects_continue: bool,
}

/// Reads the fields that the server itself obeys.
fn read_fields(fields: &[httparse::Header<'_>], minor_version: u8) -> Result<Rules, Refusal> {
    let mut hosts = 0;
    let mut length: Option<u64> = None;
    let mut codings = Codings::default();
    let mut connection = Options::default();
    let mut expects_continue = false;

    for field in fields {
        let (name, value) = (field.name, field.value);
        // By length first: most fields are none of these, and one comparison says so.
        match name.len() {
            4 if is(name, b"host") => {
                hosts += 1;
                if hosts > 1 || !target::is_authority(value) {
                    return Err(Refusal::Host);
                }
            }
            6 if is(name, b"expect") => {
                for expectation in members(value) {
                    if !expectation.eq_ignore_ascii_case(b"100-continue") {
                        return Err(Refusal::Expectation);
                    }
                    // That of an HTTP/1.0 client is ignored (RFC 9110, 10.1.1).
                    expects_continue = minor_version > 0;
                }
            }
            10 if is(name, b"connection") => connection.read(value),
            14 if is(name, b"content-length") => {
                let found = content_length(value)?;
                if length.is_some_and(|length| length != found) {
                    return Err(Refusal::ContentLength);
                }
                length = Some(found);
            }
            17 if is(name, b"transfer-encoding") => codings.read(value),
            _ => {}
        }
    }

    if hosts == 0 && minor_version > 0 {
        return Err(Refusal::Host);
    }
    let framing = match (codings.check()?, length) {
        (true, _) if length.is_some() || minor_version == 0 => {
            return Err(Refusal::TransferEncoding);
        }
        (true, _) => Framing::Chunked,
        (false, None | Some(0)) => Framing::None,
        (false, Some(length)) => Framing::Length(length),
    };
    let persistence = match (connection, minor_version) {
        (Options { close: true, .. }, _) => Persistence::Close,
        (_, 1..) => Persistence::Keep,
        (Options { keep_alive: true, .. }, _) => Persistence::KeepSaid,
        _ => Persistence::Close,
    };
    Ok(Rules {
        framing,
        persistence,
        expects_continue: expects_continue && framing != Framing::None,
    })
}

/// Whether a field's name, which is a token of the same length, is `known` in any
/// case. No token has a control character, so one bit makes letters lower case and
/// leaves the rest.
fn is<const N: usize>(name: &str, known: &[u8; N]) -> bool {
    let differs = |differs, (byte, known): (u8, &u8)| differs | ((byte | 0x20) ^ known);
    name.bytes().zip(known).fold(0, differs) == 0
}

/// A decimal number, or a list of the same number, which counts once (RFC 9112, 6.3).
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let mut length = None;
    for member in value.split(|&b| b == b',') {
        let found = decimal(trim(member)).ok_or(Refusal::ContentLength)?;
        if length.is_some_and(|length| length != found) {
            return Err(Refusal::ContentLength);
        }
        length = Some(found);
    }
    length.ok_or(Refusal::ContentLength)
}

/// `1*DIGIT` that fits: no sign, no space, no overflow.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// The options of `connection` that matter here (RFC 9110, 7.6.1).
#[derive(Clone, Copy, Default)]
struct Options {
    close: bool,
    keep_alive: bool,
}

impl Options {
    fn read(&mut self, value: &[u8]) {
        for option in members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

/// The transfer codings, over all field lines, in order (RFC 9112, 6.1).
#[derive(Default)]
struct Codings {
    present: bool,
    chunked: u32,
    /// The last one is `chunked`.
    chunked_last: bool,
    /// Codings other than `chunked` that RFC 9112, 7.2 names.
    compression: bool,
    /// Codings that nobody names.
    unknown: bool,
    malformed: bool,
}

/// RFC 9112, 7.2.
const COMPRESSIONS: [&str; 5] = ["gzip", "x-gzip", "compress", "x-compress", "deflate"];

impl Codings {
    fn read(&mut self, value: &[u8]) {
        self.present = true;
        for coding in members(value) {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.chunked += u32::from(chunked);
            self.chunked_last = chunked;
            let name = coding.split(|&b| b == b';').next().map(trim).unwrap_or_default();
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            if is("chunked") {
                self.malformed |= !chunked;
            } else if COMPRESSIONS.iter().any(|known| is(known)) {
                self.compression = true;
            } else if !name.is_empty() && name.iter().all(|&b| chars::is_token(b)) {
                self.unknown = true;
            } else {
                self.malformed = true;
            }
        }
    }

    /// Whether the content is chunked.
    fn check(&self) -> Result<bool, Refusal> {
        let Codings { present, chunked, chunked_last, compression, unknown, malformed } = *self;
        match () {
            () if !present => Ok(false),
            () if malformed || chunked > 1 => Err(Refusal::TransferEncoding),
            // A MUST, so before the SHOULD of a coding that is not understood.
            () if chunked == 1 && !chunked_last => Err(Refusal::TransferEncoding),
            () if unknown => Err(Refusal::TransferCoding),
            () if !chunked_last => Err(Refusal::TransferEncoding),
            () if compression => Err(Refusal::TransferCoding),
            () => Ok(true),
        }
    }
}

/// The members of a list; empty ones are ignored (RFC 9110, 5.6.1.2).
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim).filter(|member| !member.is_empty())
}

/// Without the optional white space around it (RFC 9110, 5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
