//! Compares the chunked coding with a second implementation of its grammar (RFC 9112, 7.1): the
//! same inputs are rejected, and the bodies have the same bytes and ends.

use pinloop::{Limits, Request, Response};

use super::feed::feed;
use super::probe::Probe;

/// Checks `input` as the body of a request and the bytes behind it.
pub(crate) fn check(input: &[u8]) {
    let limits = Limits::default();
    let mut reader = Reader { rest: input, body: Vec::new(), limit: limits.body_bytes_max };
    let expected = reader.body();

    let mut collected = None;
    let mut collect = |request: &Request<'_>, response: &mut Response<'_>| {
        collected.get_or_insert_with(|| request.body().to_vec());
        response.body(b"");
    };
    let (response, ..) = feed(&mut collect, &limits, &request("PUT", input), &[]);
    let status = std::str::from_utf8(response.get(9..12).unwrap_or_default()).expect("digits");
    match expected {
        Ok(()) => assert_eq!(collected.as_ref(), Some(&reader.body), "the collected body"),
        Err(End::Incomplete) => assert_eq!(status, "", "the status of an incomplete body"),
        Err(End::Malformed) => assert_eq!(status, "400", "the status of a malformed body"),
        Err(End::TooLarge) => assert_eq!(status, "413", "the status of an oversized body"),
    }

    let (echo, is_closed, rest) = feed(&mut Probe, &limits, &request("POST", input), &[]);
    let end = echo.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
    match expected {
        Ok(()) => {
            let limit = u64::MAX;
            let mut echoed = Reader { rest: &echo[end..], body: Vec::new(), limit };
            assert!(echoed.body().is_ok(), "the echo is not chunked");
            assert!(echoed.body == reader.body, "the echo differs");
            assert!(is_closed || rest <= reader.rest.len(), "bytes behind the body were consumed");
        }
        Err(End::Malformed) => assert!(echo.starts_with(b"HTTP/1.1 400 ") && is_closed),
        Err(End::Incomplete | End::TooLarge) => {
            assert!(!is_closed, "the connection is closed too early")
        }
    }
}

fn request(method: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{method} /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Reason for the lack of a complete body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Incomplete,
    Malformed,
    TooLarge,
}

/// Parses the grammar by recursive descent, with one function for each rule.
struct Reader<'a> {
    rest: &'a [u8],
    body: Vec<u8>,
    limit: u64,
}

impl Reader<'_> {
    /// `chunked-body = *chunk last-chunk trailer-section CRLF`
    fn body(&mut self) -> Result<(), End> {
        loop {
            let size = self.size()?;
            self.extensions()?;
            self.crlf()?;
            if size == 0 {
                return self.trailers();
            }
            self.peek()?;
            if size.saturating_add(self.body.len() as u64) > self.limit {
                return Err(End::TooLarge);
            }
            for _ in 0..size {
                let byte = self.next()?;
                self.body.push(byte);
            }
            self.crlf()?;
        }
    }

    /// `chunk-size = 1*HEXDIG`, of at most 16 digits.
    fn size(&mut self) -> Result<u64, End> {
        let mut digits = String::new();
        while self.peek().is_ok_and(|byte| byte.is_ascii_hexdigit()) {
            digits.push(char::from(self.next()?));
            if digits.len() > 16 {
                return Err(End::Malformed);
            }
        }
        self.peek()?;
        u64::from_str_radix(&digits, 16).map_err(|_| End::Malformed)
    }

    /// `chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS value ] )`
    fn extensions(&mut self) -> Result<(), End> {
        loop {
            let spaces = self.spaces()?;
            if self.peek()? != b';' {
                return if spaces == 0 { Ok(()) } else { Err(End::Malformed) };
            }
            self.next()?;
            self.spaces()?;
            self.token()?;
            // The space may belong to this extension's value or to the next extension.
            let before = self.rest;
            self.spaces()?;
            if self.peek()? != b'=' {
                self.rest = before;
                continue;
            }
            self.next()?;
            self.spaces()?;
            match self.peek()? {
                b'"' => self.quoted()?,
                _ => self.token()?,
            }
        }
    }

    fn quoted(&mut self) -> Result<(), End> {
        self.next()?;
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => self.text()?,
                byte if is_text(byte) => {}
                _ => return Err(End::Malformed),
            }
        }
    }

    fn trailers(&mut self) -> Result<(), End> {
        while self.peek()? != b'\r' {
            self.token()?;
            if self.next()? != b':' {
                return Err(End::Malformed);
            }
            while self.peek()? != b'\r' {
                self.text()?;
            }
            self.crlf()?;
        }
        self.crlf()
    }

    fn text(&mut self) -> Result<(), End> {
        if is_text(self.next()?) { Ok(()) } else { Err(End::Malformed) }
    }

    fn token(&mut self) -> Result<(), End> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !is_token(self.next()?) {
            return Err(End::Malformed);
        }
        while is_token(self.peek()?) {
            self.next()?;
        }
        Ok(())
    }

    fn spaces(&mut self) -> Result<usize, End> {
        let mut count = 0;
        while matches!(self.peek()?, b' ' | b'\t') {
            self.next()?;
            count += 1;
        }
        Ok(count)
    }

    fn crlf(&mut self) -> Result<(), End> {
        match (self.next()?, self.peek()) {
            (b'\r', Err(end)) => Err(end),
            (b'\r', Ok(b'\n')) => self.next().map(drop),
            _ => Err(End::Malformed),
        }
    }

    fn peek(&self) -> Result<u8, End> {
        self.rest.first().copied().ok_or(End::Incomplete)
    }

    fn next(&mut self) -> Result<u8, End> {
        let byte = self.peek()?;
        self.rest = &self.rest[1..];
        Ok(byte)
    }
}

/// HTAB, SP, VCHAR or obs-text.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
