//! Writes a response straight into the output buffer.
//!
//! The order of the fields is: the service's, `connection` where it is needed,
//! `content-length` or `transfer-encoding`, `date`; all names in lower case.

pub(in crate::http) mod body_encoder;

use core::net::IpAddr;

use crate::http::chars;
use crate::http::connection::Context;
use crate::http::deferred::{DeferredResponse, Responder};
use crate::http::head::headers::Persistence;
use crate::http::record::ResponseSummary;
use body_encoder::{BodyEncoder, BodyWriter, Flow, Producer, ResponseState};

/// The answer to one request.
///
/// Status and fields go into the output buffer as they are said, so the status
/// comes first. An answer that is never ended by [`content`](Self::content) or
/// [`stream`](Self::stream) has no content.
pub struct Response<'o> {
    output: &'o mut Vec<u8>,
    context: &'o Context<'o>,
    to: ResponseFraming,
    status: u16,
    stage: Stage,
    is_private: bool,
    /// Of an answer that is whole.
    body_bytes: u64,
    streaming: Option<(BodyEncoder, Producer)>,
}

/// What of a request decides how its answer is framed.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct ResponseFraming {
    pub(in crate::http) persistence: Persistence,
    /// The answer to HEAD is that to GET without its content (RFC 9110, 9.3.2).
    pub(in crate::http) is_head: bool,
    pub(in crate::http) minor_version: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is written.
    Status,
    /// The status line and perhaps fields are written.
    Fields,
    /// All is written but the content of one that is streamed.
    Ended,
    /// The answer is made elsewhere.
    Deferred,
}

impl std::fmt::Debug for Response<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Response { status, stage, .. } = self;
        f.debug_struct("Response").field("status", status).field("stage", stage).finish()
    }
}

impl<'o> Response<'o> {
    pub(in crate::http) fn new(
        output: &'o mut Vec<u8>,
        context: &'o Context<'o>,
        to: ResponseFraming,
    ) -> Response<'o> {
        Response {
            output,
            context,
            to,
            status: 200,
            stage: Stage::Status,
            is_private: false,
            body_bytes: 0,
            streaming: None,
        }
    }

    /// Sets the status code; 200 where it is not called. 1xx are the server's own.
    ///
    /// # Panics
    /// If a field has been written, or the code is not from 200 to 599. A panic
    /// in a service costs its own connection a 500.
    pub fn status(&mut self, status: u16) -> &mut Self {
        assert!(self.stage == Stage::Status, "the status comes before the fields");
        assert!((200..600).contains(&status), "a final status is from 200 to 599, not {status}");
        self.status = status;
        self
    }

    /// Adds a field. The name is written as it is given; lower case is the
    /// house's style. `connection`, `content-length`, `transfer-encoding` and
    /// `date` are the server's own.
    ///
    /// # Panics
    /// If the name is no token or the value has control characters, with which
    /// a client's bytes could pass for another field (RFC 9110, 5.5), or if the
    /// answer has been ended.
    pub fn header(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.begin();
        write_field(self.output, name, value.as_ref());
        self
    }

    /// Adds a field that is known when the program is compiled: see
    /// [`header_line!`](crate::field_line).
    ///
    /// # Panics
    /// If the answer has been ended.
    #[inline]
    pub fn header_line(&mut self, line: HeaderLine) -> &mut Self {
        self.begin();
        self.output.extend_from_slice(line.as_bytes());
        self
    }

    /// Makes this the last answer on its connection.
    pub fn close(&mut self) -> &mut Self {
        self.to.persistence = self.to.persistence.ended();
        self
    }

    /// Ends the answer with its content. Where none may be (HEAD, 204, 205, 304), only
    /// the head is written, with the content's length where that may be.
    ///
    /// # Panics
    /// If the answer has been ended.
    #[inline]
    pub fn body(&mut self, content: &[u8]) {
        self.end_head(Some(content.len() as u64));
        if self.has_content() {
            self.body_bytes = content.len() as u64;
            self.output.extend_from_slice(content);
        }
    }

    /// Keeps this request out of records such as an access log: for what asks every
    /// few seconds.
    pub fn exclude_from_log(&mut self) -> &mut Self {
        self.is_private = true;
        self
    }

    /// The address of the client, where whoever drives this connection knows it.
    pub fn client(&self) -> Option<IpAddr> {
        self.context.client.copied()
    }

    /// Whether the server stops, and this is one of the last answers.
    pub fn is_draining(&self) -> bool {
        self.context.draining
    }

    /// Leaves the answer to whoever has the responder, on this thread or another; the
    /// service returns without one. Nothing may have been said of it before.
    ///
    /// # Panics
    /// If a status or a field has been said, or whoever drives this connection takes
    /// no deferred answers ([`Context::sink`](super::Context::sink)), or in
    /// [`Service::content`](super::Service::content).
    pub fn defer(&mut self) -> Responder {
        assert!(self.stage == Stage::Status, "an answer is deferred before anything is said of it");
        let sink = self.context.sink.expect("an answer can be deferred here");
        self.stage = Stage::Deferred;
        Responder::new(sink.clone(), self.context.address)
    }

    /// Ends an answer that was made elsewhere.
    pub(in crate::http) fn write(
        mut self,
        answer: &DeferredResponse,
    ) -> (Persistence, ResponseSummary) {
        self.status = answer.status;
        self.begin();
        self.output.extend_from_slice(&answer.fields);
        self.body(&answer.content);
        (self.to.persistence, self.said())
    }

    /// Ends the head and has `producer` write the content when there is room:
    /// `length` bytes or, without, as many as it likes, chunked for HTTP/1.1
    /// and up to the end of the connection for HTTP/1.0.
    ///
    /// # Panics
    /// If the answer has been ended.
    pub fn stream(
        &mut self,
        length: Option<u64>,
        producer: impl FnMut(&mut BodyWriter<'_>) -> Flow + 'static,
    ) {
        self.end_head(length);
        if self.has_content() {
            self.streaming = Some((self.encoder(length), Box::new(producer)));
        }
    }

    /// What is left to do once the service has returned.
    #[inline]
    pub(in crate::http) fn finish(mut self) -> Finished {
        match self.stage {
            Stage::Ended => {}
            Stage::Deferred => return Finished::Deferred(self.to, self.said().unheard()),
            Stage::Status | Stage::Fields => self.body(b""),
        }
        let (persistence, said) = (self.to.persistence, self.said());
        match self.streaming {
            None => Finished::Whole(persistence, said),
            Some((encoder, producer)) => {
                Finished::Streaming(ResponseState { persistence, encoder, said }, producer)
            }
        }
    }

    pub(in crate::http) fn said(&self) -> ResponseSummary {
        let Response { status, body_bytes, is_private, .. } = *self;
        ResponseSummary { status, body_bytes, is_private }
    }

    /// Ends the head of an answer whose content the caller writes.
    pub(in crate::http) fn finish_head(mut self, length: Option<u64>) -> ResponseState {
        self.end_head(length);
        let encoder = self.encoder(length);
        ResponseState { persistence: self.to.persistence, encoder, said: self.said() }
    }

    #[inline]
    fn begin(&mut self) {
        match self.stage {
            Stage::Fields => {}
            Stage::Status => {
                self.stage = Stage::Fields;
                match self.status {
                    200 => self.output.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
                    status => write_status_line(self.output, status),
                }
            }
            Stage::Ended | Stage::Deferred => panic!("the answer has been ended"),
        }
    }

    fn end_head(&mut self, length: Option<u64>) {
        self.begin();
        self.stage = Stage::Ended;
        // 205 has no content and says so (RFC 9110, 15.3.6).
        let length = if self.status == 205 { Some(0) } else { length };
        if length.is_none() && self.to.minor_version == 0 && self.has_content() {
            self.close();
        }
        match self.to.persistence {
            Persistence::Keep => {}
            Persistence::KeepSaid => self.output.extend_from_slice(b"connection: keep-alive\r\n"),
            Persistence::Close | Persistence::CloseUnasked => {
                self.output.extend_from_slice(b"connection: close\r\n")
            }
        }
        match length {
            _ if !self.may_have_length() => {}
            Some(length) => {
                self.output.extend_from_slice(b"content-length: ");
                write_decimal(self.output, length);
                self.output.extend_from_slice(b"\r\n");
            }
            None if self.to.minor_version > 0 => {
                self.output.extend_from_slice(b"transfer-encoding: chunked\r\n")
            }
            None => {}
        }
        self.output.extend_from_slice(self.context.date.last_line());
    }

    /// How content that the head has promised is framed.
    fn encoder(&self, length: Option<u64>) -> BodyEncoder {
        match length {
            _ if !self.has_content() => BodyEncoder::Nothing,
            Some(length) => BodyEncoder::Length(length),
            None if self.to.minor_version > 0 => BodyEncoder::Chunked { open: false },
            None => BodyEncoder::UntilClose,
        }
    }

    fn may_have_length(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }

    fn has_content(&self) -> bool {
        !self.to.is_head && !matches!(self.status, 204 | 205 | 304)
    }
}

/// A field line that was checked when the program was compiled, and is written
/// in one copy. Made by [`header_line!`](crate::field_line).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderLine(&'static str);

impl HeaderLine {
    /// What [`header_line!`](crate::field_line) makes of its name and value.
    #[doc(hidden)]
    pub const fn new(name: &'static str, value: &'static str, line: &'static str) -> HeaderLine {
        assert!(!name.is_empty() && chars::all!(name, chars::is_token), "this is no field name");
        assert!(chars::all!(value, chars::is_field_value), "the value has control characters");
        assert!(line.len() == name.len() + value.len() + 4, "made by header_line!");
        HeaderLine(line)
    }

    pub(in crate::http) fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }
}

/// A [`HeaderLine`](crate::http::HeaderLine) of a name and a value.
///
/// ```
/// const TEXT: pinloop::http::HeaderLine = pinloop::header_line!("content-type", "text/plain");
/// ```
///
/// What can't be a field does not compile:
///
/// ```compile_fail
/// const WRONG: pinloop::http::HeaderLine = pinloop::header_line!("content type", "text/plain");
/// ```
#[macro_export]
macro_rules! header_line {
    ($name:literal, $value:literal) => {
        $crate::http::HeaderLine::new($name, $value, concat!($name, ": ", $value, "\r\n"))
    };
}

/// What the service left to the connection.
pub(in crate::http) enum Finished {
    /// Nothing: the answer is written.
    Whole(Persistence, ResponseSummary),
    /// To have the content written.
    Streaming(ResponseState, Producer),
    /// To wait for the answer.
    Deferred(ResponseFraming, ResponseSummary),
}

/// Writes a field line that is checked as it is written.
pub(in crate::http) fn write_field(output: &mut Vec<u8>, name: &str, value: &[u8]) {
    let is_name = !name.is_empty() && name.bytes().all(chars::is_token);
    assert!(is_name, "{name:?} is no field name");
    let is_value = value.iter().all(|&b| chars::is_field_value(b));
    assert!(is_value, "the value of {name} has control characters");
    debug_assert!(!is_the_servers_own(name), "{name} is the server's own field");
    output.extend_from_slice(name.as_bytes());
    output.extend_from_slice(b": ");
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

fn write_status_line(output: &mut Vec<u8>, status: u16) {
    output.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(output, u64::from(status));
    output.push(b' ');
    output.extend_from_slice(reason_phrase(status).as_bytes());
    output.extend_from_slice(b"\r\n");
}

/// The phrases of RFC 9110, 15, and RFC 6585. A code without one has an empty
/// phrase, which the grammar allows (RFC 9112, 4).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

fn write_decimal(output: &mut Vec<u8>, number: u64) {
    output.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn is_the_servers_own(name: &str) -> bool {
    ["connection", "content-length", "transfer-encoding", "date"]
        .iter()
        .any(|own| name.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers_as_they_are_read() {
        let mut output = Vec::new();
        for number in [0, 9, 10, 255, 1_000_000, u64::MAX] {
            output.clear();
            write_decimal(&mut output, number);
            assert_eq!(String::from_utf8_lossy(&output), number.to_string());
        }
    }
}
