//! Writes a response straight into the output buffer.
//!
//! The order of the headers is: those of the service, `connection` if it is needed,
//! `content-length` or `transfer-encoding`, `date`. All names are in lower case.

pub(super) mod body_encoder;
pub(super) mod header_line;
mod number;
mod status;

use super::context::Context;
use super::deferred::{DeferredBody, DeferredResponse, Responder, StreamWaker, check_status};
use super::guard::Guarded;
use super::head::{Head, Persistence};
use super::record::ResponseSummary;
use body_encoder::{BodyEncoder, BodyWriter, Flow, Producer};
use header_line::{HeaderLine, write_header};
use number::write_decimal;
use status::write_status_line;

/// The response to one request.
///
/// Status and headers go into the output buffer as they are set, so the status comes first. A
/// response that is never ended by [`body`](Self::body) or [`stream`](Self::stream) has an
/// empty body.
pub struct Response<'o> {
    output: &'o mut Vec<u8>,
    context: &'o Context<'o>,
    framing: ResponseFraming,
    status: u16,
    stage: Stage,
    is_logged: bool,
    /// Length of a whole body.
    body_bytes: u64,
    /// Place in the output of the `connection` header, written or not.
    connection_at: usize,
    streaming: Option<(BodyEncoder, Guarded<Producer>)>,
}

/// The parts of a request that decide how its response is framed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseFraming {
    pub(super) persistence: Persistence,
    /// True for HEAD: the response is that to GET without its body (RFC 9110, 9.3.2).
    pub(super) is_head: bool,
    pub(super) minor_version: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is written.
    Empty,
    /// The status line and perhaps headers are written.
    Headers,
    /// All is written but the body of a streamed response.
    Ended,
    /// The response is made elsewhere.
    Deferred,
}

/// The work that is left once the service has returned.
pub(super) enum Finished {
    /// Nothing: the response is written.
    Whole(Persistence, ResponseSummary),
    /// To have the body written.
    Streaming(ResponseState, Guarded<Producer>),
    /// To wait for the response.
    Deferred(ResponseFraming, ResponseSummary),
}

/// A response after its head is written.
pub(super) struct ResponseState {
    pub(super) persistence: Persistence,
    pub(super) encoder: BodyEncoder,
    pub(super) summary: ResponseSummary,
    /// Place in the response of the `connection` header, written or not.
    connection_at: usize,
}

impl ResponseFraming {
    /// Returns the framing of the response to a request, which is the last one on its
    /// connection or not.
    #[inline]
    pub(super) fn of(head: &Head<'_>, is_last: bool) -> ResponseFraming {
        let is_last = is_last || head.line.method == "CONNECT";
        ResponseFraming {
            persistence: if is_last { head.persistence.ended() } else { head.persistence },
            is_head: head.is_head(),
            minor_version: head.line.minor_version,
        }
    }
}

impl std::fmt::Debug for Response<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Response { status, stage, .. } = self;
        f.debug_struct("Response").field("status", status).field("stage", stage).finish()
    }
}

impl<'o> Response<'o> {
    #[inline]
    pub(super) fn new(
        output: &'o mut Vec<u8>,
        context: &'o Context<'o>,
        framing: ResponseFraming,
    ) -> Response<'o> {
        Response {
            output,
            context,
            framing,
            status: 200,
            stage: Stage::Empty,
            is_logged: true,
            body_bytes: 0,
            connection_at: 0,
            streaming: None,
        }
    }

    /// Sets the status code. Default 200. The server sends 1xx by itself.
    ///
    /// # Panics
    /// If a header has been written, or the code is not from 200 to 599. A panic in a service
    /// costs its connection a 500, and nothing else.
    #[track_caller]
    pub fn status(&mut self, status: u16) -> &mut Self {
        assert!(self.stage == Stage::Empty, "set the status before any header or body");
        check_status(status);
        self.status = status;
        self
    }

    /// Adds a header. The name is written as it is given; lower case is the convention. The
    /// server writes `connection`, `content-length`, `transfer-encoding` and `date` itself.
    ///
    /// # Panics
    /// If the name is not a token, or the value has control characters, because they would let a
    /// client forge another header (RFC 9110, 5.5), or if the response has ended.
    #[track_caller]
    pub fn header(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.begin();
        write_header(self.output, name, value.as_ref());
        self
    }

    /// Adds a header that was checked when the program was compiled: see
    /// [`header_line!`](crate::header_line).
    ///
    /// # Panics
    /// If the response has ended.
    #[inline(always)]
    #[track_caller]
    pub fn header_line(&mut self, line: HeaderLine) -> &mut Self {
        self.begin();
        self.output.extend_from_slice(line.as_bytes());
        self
    }

    /// Closes the connection after this response.
    pub fn close(&mut self) -> &mut Self {
        self.framing.persistence = self.framing.persistence.ended();
        self
    }

    /// Ends the response with its body. For HEAD and for the statuses 204, 205 and 304 only the
    /// head is written, with the length of the body if the status allows it.
    ///
    /// # Panics
    /// If the response has ended.
    #[inline]
    #[track_caller]
    pub fn body(&mut self, body: &[u8]) {
        self.end_head(Some(body.len() as u64));
        if self.has_body() {
            self.body_bytes = body.len() as u64;
            self.output.extend_from_slice(body);
        }
    }

    /// Ends the head and has `producer` write the body whenever there is room: `length` bytes
    /// or, with `None`, any number, chunked for HTTP/1.1 and up to the end of the connection for
    /// HTTP/1.0.
    ///
    /// A producer that has nothing to write yet returns [`Flow::Pause`], and is called again
    /// when a [`waker`](Self::waker) is woken. It is dropped when the client leaves.
    ///
    /// ```
    /// use pinloop::http::{BodyWriter, Flow};
    /// use pinloop::{Request, Response};
    ///
    /// let mut service = |_: &Request<'_>, response: &mut Response<'_>| {
    ///     let mut numbers = 1..=3;
    ///     response.stream(None, move |writer: &mut BodyWriter<'_>| match numbers.next() {
    ///         Some(number) => {
    ///             writer.write(format!("{number}\n").as_bytes());
    ///             Flow::More
    ///         }
    ///         None => Flow::Done,
    ///     });
    /// };
    /// let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    /// let response = pinloop::testing::call(&mut service, request);
    /// assert!(response.ends_with(b"2\r\n1\n\r\n2\r\n2\n\r\n2\r\n3\n\r\n0\r\n\r\n"));
    /// ```
    ///
    /// # Panics
    /// If the response has ended.
    #[track_caller]
    pub fn stream(
        &mut self,
        length: Option<u64>,
        producer: impl FnMut(&mut BodyWriter<'_>) -> Flow + 'static,
    ) {
        self.stream_boxed(length, Guarded::new(Box::new(producer)));
    }

    #[track_caller]
    fn stream_boxed(&mut self, length: Option<u64>, producer: Guarded<Producer>) {
        self.end_head(length);
        if self.has_body() {
            self.streaming = Some((self.encoder(length), producer));
        }
    }

    /// Returns a handle that wakes the producer of this response from any thread, after it has
    /// returned [`Flow::Pause`].
    ///
    /// # Panics
    /// If the caller of this service has no [`Context::sink`](super::Context::sink). Servers
    /// and [`testing::call`](crate::testing::call) have one.
    #[track_caller]
    pub fn waker(&self) -> StreamWaker {
        let sink = self.context.sink;
        let sink = sink.expect("a paused stream needs a Context with a sink, such as a server's");
        StreamWaker::new(sink.clone(), self.context.connection_id)
    }

    /// Leaves the response to the holder of the responder, on this thread or another. The
    /// service returns without setting anything.
    ///
    /// # Panics
    /// If a status or a header has been set, or the caller of this service has no
    /// [`Context::sink`](super::Context::sink), or in
    /// [`Service::body_policy`](super::Service::body_policy).
    #[track_caller]
    pub fn defer(&mut self) -> Responder {
        assert!(self.stage == Stage::Empty, "defer the response before setting anything of it");
        assert!(
            self.context.sink.is_some(),
            "a response can be deferred in Service::call, and with a Context that has a sink"
        );
        self.stage = Stage::Deferred;
        Responder::new(self.waker())
    }

    /// Keeps this request out of the access log: for requests that come every few seconds, such
    /// as health checks.
    pub fn exclude_from_log(&mut self) -> &mut Self {
        self.is_logged = false;
        self
    }

    /// Reports whether the server stops, so that this is one of the last responses.
    pub fn is_draining(&self) -> bool {
        self.context.draining
    }

    /// Writes a response that was made elsewhere.
    pub(super) fn write_deferred(&mut self, deferred: DeferredResponse) {
        self.status = deferred.status;
        self.begin();
        self.output.extend_from_slice(&deferred.headers);
        match deferred.body {
            DeferredBody::Whole(body) => self.body(&body),
            DeferredBody::Stream { length, producer } => match producer.into_inner() {
                Some(producer) => self.stream_boxed(length, Guarded::new(producer)),
                None => self.end_head(length),
            },
        }
    }

    #[inline]
    pub(super) fn finish(mut self) -> Finished {
        match self.stage {
            Stage::Ended => {}
            Stage::Deferred => return Finished::Deferred(self.framing, self.summary().unsent()),
            Stage::Empty | Stage::Headers => self.body(b""),
        }
        let (persistence, summary) = (self.framing.persistence, self.summary());
        match self.streaming {
            None => Finished::Whole(persistence, summary),
            Some((encoder, producer)) => {
                // The body begins in this call, so the place of the header is not needed.
                let state = ResponseState { persistence, encoder, summary, connection_at: 0 };
                Finished::Streaming(state, producer)
            }
        }
    }

    pub(super) fn summary(&self) -> ResponseSummary {
        let Response { status, body_bytes, is_logged, .. } = *self;
        ResponseSummary { status, body_bytes, is_logged }
    }

    /// Ends the head; the caller writes the body. The response began at `start` of the output.
    pub(super) fn finish_head(mut self, length: Option<u64>, start: usize) -> ResponseState {
        self.end_head(length);
        ResponseState {
            persistence: self.framing.persistence,
            encoder: self.encoder(length),
            summary: self.summary(),
            connection_at: self.connection_at - start,
        }
    }

    #[inline]
    #[track_caller]
    fn begin(&mut self) {
        match self.stage {
            Stage::Headers => {}
            Stage::Empty => {
                self.stage = Stage::Headers;
                write_status_line(self.output, self.status);
            }
            Stage::Ended => panic!("the response has ended: call body or stream once, and last"),
            Stage::Deferred => panic!("the response is deferred: send it with the responder"),
        }
    }

    #[track_caller]
    fn end_head(&mut self, length: Option<u64>) {
        self.begin();
        self.stage = Stage::Ended;
        // 205 has no body and says so (RFC 9110, 15.3.6).
        let length = if self.status == 205 { Some(0) } else { length };
        if length.is_none() && self.framing.minor_version == 0 && self.has_body() {
            self.close();
        }
        self.connection_at = self.output.len();
        match self.framing.persistence {
            Persistence::Keep => {}
            Persistence::KeepSaid => self.output.extend_from_slice(KEEP_ALIVE),
            Persistence::Close | Persistence::CloseUnasked => {
                self.output.extend_from_slice(CLOSE);
            }
        }
        match length {
            _ if !self.may_have_length() => {}
            Some(length) => {
                self.output.extend_from_slice(b"content-length: ");
                write_decimal(self.output, length);
                self.output.extend_from_slice(b"\r\n");
            }
            None if self.framing.minor_version > 0 => {
                self.output.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            None => {}
        }
        self.output.extend_from_slice(self.context.date.last_line());
    }

    /// Returns how the body is delimited, as the head has promised.
    fn encoder(&self, length: Option<u64>) -> BodyEncoder {
        match length {
            _ if !self.has_body() => BodyEncoder::Nothing,
            Some(length) => BodyEncoder::Length(length),
            None if self.framing.minor_version > 0 => BodyEncoder::Chunked { open: false },
            None => BodyEncoder::UntilClose,
        }
    }

    fn may_have_length(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }

    fn has_body(&self) -> bool {
        !self.framing.is_head && !matches!(self.status, 204 | 205 | 304)
    }
}

const KEEP_ALIVE: &[u8] = b"connection: keep-alive\r\n";
const CLOSE: &[u8] = b"connection: close\r\n";

impl ResponseState {
    pub(super) fn writer<'o>(&'o mut self, output: &'o mut Vec<u8>) -> BodyWriter<'o> {
        BodyWriter { output, encoder: &mut self.encoder, body_bytes: &mut self.summary.body_bytes }
    }

    /// Reports whether the end of the connection ends the body.
    pub(super) fn is_delimited_by_close(&self) -> bool {
        self.encoder == BodyEncoder::UntilClose
    }

    /// Makes this the last response on its connection. It begins at `start` of the output, and
    /// none of it has been sent.
    #[cold]
    pub(super) fn make_last(&mut self, start: usize, output: &mut Vec<u8>) {
        let replaced = match self.persistence {
            Persistence::Keep => 0,
            Persistence::KeepSaid => KEEP_ALIVE.len(),
            Persistence::Close | Persistence::CloseUnasked => return,
        };
        let at = start + self.connection_at;
        output.splice(at..at + replaced, CLOSE.iter().copied());
        self.persistence = self.persistence.ended();
    }
}
