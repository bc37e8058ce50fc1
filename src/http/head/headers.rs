//! Framing rules: where the body of a request ends, and whether another request may follow on
//! its connection (RFC 9112, 6 and 9).

use super::authority;
use crate::http::chars;
use crate::http::rejection::Rejection;

/// Framing of a request body (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// No body.
    None,
    /// By `content-length`, in bytes; never 0.
    Length(u64),
    /// By the chunked coding (RFC 9112, 7.1).
    Chunked,
}

/// Persistence of the connection after a request (RFC 9112, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Persistence {
    /// Persists: the default of HTTP/1.1.
    Keep,
    /// Persists, and the response must say so: HTTP/1.0 with `keep-alive`.
    KeepSaid,
    /// Closes after the response, as the client asked.
    Close,
    /// Closes after the response, as the server decided. The client may still be sending, and
    /// a reset could destroy the response on its way (RFC 9112, 9.6).
    CloseUnasked,
}

impl Persistence {
    /// Returns the value for a connection that the server closes after the response.
    pub(in crate::http) fn ended(self) -> Persistence {
        match self {
            Persistence::Keep | Persistence::KeepSaid => Persistence::CloseUnasked,
            closing => closing,
        }
    }
}

/// Rules for the message and the connection, as the headers state them.
pub(super) struct Rules {
    pub(super) framing: Framing,
    pub(super) persistence: Persistence,
    pub(super) expects_continue: bool,
}

/// Reads the headers that the server itself obeys.
#[derive(Default)]
pub(super) struct Reader {
    has_host: bool,
    length: Option<u64>,
    /// True if there is a `transfer-encoding`, which is read when all headers are known.
    has_codings: bool,
    connection: Options,
    expects_continue: bool,
}

impl Reader {
    /// Reads the next header.
    #[inline]
    pub(super) fn read(&mut self, name: &str, value: &[u8]) -> Result<(), Rejection> {
        // By length and first letter, because most headers differ from all of these in either.
        match (name.len(), name.as_bytes().first().map(|first| first | 0x20)) {
            (4, Some(b'h')) if is(name, b"host") => {
                let is_second = std::mem::replace(&mut self.has_host, true);
                if is_second || !authority::is_authority(value) {
                    return Err(Rejection::Host);
                }
            }
            (6, Some(b'e')) if is(name, b"expect") => {
                for expectation in members(value) {
                    if !expectation.eq_ignore_ascii_case(b"100-continue") {
                        return Err(Rejection::Expectation);
                    }
                    self.expects_continue = true;
                }
            }
            (10, Some(b'c')) if is(name, b"connection") => self.connection.read(value),
            (14, Some(b'c')) if is(name, b"content-length") => {
                let found = content_length(value)?;
                if self.length.is_some_and(|length| length != found) {
                    return Err(Rejection::ContentLength);
                }
                self.length = Some(found);
            }
            (17, Some(b't')) if is(name, b"transfer-encoding") => self.has_codings = true,
            _ => {}
        }
        Ok(())
    }

    /// Returns what all headers together say, in a message of this version.
    #[inline]
    pub(super) fn end(
        self,
        headers: &[httparse::Header<'_>],
        minor_version: u8,
    ) -> Result<Rules, Rejection> {
        if !self.has_host && minor_version > 0 {
            return Err(Rejection::Host);
        }
        let is_chunked = self.has_codings && Codings::of(headers).check()?;
        let framing = match (is_chunked, self.length) {
            (true, Some(_)) => return Err(Rejection::TransferEncoding),
            (true, None) if minor_version == 0 => return Err(Rejection::TransferEncoding),
            (true, None) => Framing::Chunked,
            (false, None | Some(0)) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        };
        let persistence = match (self.connection, minor_version) {
            (Options { close: true, .. }, _) => Persistence::Close,
            (_, 1..) => Persistence::Keep,
            (Options { keep_alive: true, .. }, _) => Persistence::KeepSaid,
            _ => Persistence::Close,
        };
        // The expectation of an HTTP/1.0 client is ignored (RFC 9110, 10.1.1).
        let expects_continue =
            self.expects_continue && framing != Framing::None && minor_version > 0;
        Ok(Rules { framing, persistence, expects_continue })
    }
}

/// Reports whether a header name, a token of the same length, is `known` in any case. No token
/// has a control character, so setting one bit makes letters lower case and leaves the others
/// distinct.
fn is<const N: usize>(name: &str, known: &[u8; N]) -> bool {
    let differs = |differs, (byte, known): (u8, &u8)| differs | ((byte | 0x20) ^ known);
    name.bytes().zip(known).fold(0, differs) == 0
}

/// Reads a decimal number, or a list of the same number, which counts once (RFC 9112, 6.3).
fn content_length(value: &[u8]) -> Result<u64, Rejection> {
    let mut length = None;
    for member in value.split(|&b| b == b',') {
        let found = decimal(trim(member)).ok_or(Rejection::ContentLength)?;
        if length.is_some_and(|length| length != found) {
            return Err(Rejection::ContentLength);
        }
        length = Some(found);
    }
    length.ok_or(Rejection::ContentLength)
}

/// Reads `1*DIGIT` that fits a u64: no sign, no space, no overflow.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// The options of `connection` that the server obeys (RFC 9110, 7.6.1).
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

/// The transfer codings of all header lines, in order (RFC 9112, 6.1).
#[derive(Default)]
struct Codings {
    chunked: u32,
    /// True if the last coding is `chunked`.
    chunked_last: bool,
    /// True if there is a compression that RFC 9112, 7.2 names.
    compression: bool,
    /// True if there is a coding that RFC 9112 does not name.
    unknown: bool,
    malformed: bool,
}

/// Compression codings (RFC 9112, 7.2).
const COMPRESSIONS: [&str; 5] = ["gzip", "x-gzip", "compress", "x-compress", "deflate"];

impl Codings {
    fn of(headers: &[httparse::Header<'_>]) -> Codings {
        let mut codings = Codings::default();
        for header in headers.iter().filter(|header| header.name.len() == 17) {
            if is(header.name, b"transfer-encoding") {
                codings.read(header.value);
            }
        }
        codings
    }

    fn read(&mut self, value: &[u8]) {
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

    /// Reports whether the body is chunked.
    fn check(&self) -> Result<bool, Rejection> {
        let Codings { chunked, chunked_last, compression, unknown, malformed } = *self;
        match () {
            () if malformed || chunked > 1 => Err(Rejection::TransferEncoding),
            // A MUST, and so before the SHOULD of a coding that is not understood.
            () if chunked == 1 && !chunked_last => Err(Rejection::TransferEncoding),
            () if unknown => Err(Rejection::TransferCoding),
            () if !chunked_last => Err(Rejection::TransferEncoding),
            () if compression => Err(Rejection::TransferCoding),
            () => Ok(true),
        }
    }
}

/// Returns the members of a list. Empty members are ignored (RFC 9110, 5.6.1.2).
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim).filter(|member| !member.is_empty())
}

/// Strips the optional white space around a value (RFC 9110, 5.6.3).
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
