//! Responses that are made after the service has returned, and wake-ups of paused streams.
//!
//! A service takes a [`Responder`] from its response and returns. Whichever thread holds the
//! responder sends the response with it. The connection waits, so pipelined responses stay in
//! order.

use std::sync::Arc;

use super::guard::Guarded;
use super::response::body_encoder::{BodyWriter, Flow};
use super::response::header_line::{HeaderLine, write_header};

/// A response that can be made on any thread and is written when its turn comes.
#[derive(Debug)]
pub struct DeferredResponse {
    pub(super) status: u16,
    /// Whole header lines.
    pub(super) headers: Vec<u8>,
    pub(super) body: DeferredBody,
}

pub(super) enum DeferredBody {
    Whole(Vec<u8>),
    Stream { length: Option<u64>, producer: Guarded<Box<SendProducer>> },
}

type SendProducer = dyn FnMut(&mut BodyWriter<'_>) -> Flow + Send;

impl DeferredResponse {
    /// Returns a response with this status code and an empty body.
    ///
    /// # Panics
    /// If the code is not from 200 to 599.
    #[track_caller]
    pub fn new(status: u16) -> DeferredResponse {
        check_status(status);
        DeferredResponse { status, headers: Vec::new(), body: DeferredBody::Whole(Vec::new()) }
    }

    /// Adds a header, as [`Response::header`](super::Response::header) does.
    ///
    /// # Panics
    /// If the name or the value is invalid.
    #[track_caller]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> DeferredResponse {
        write_header(&mut self.headers, name, value.as_ref());
        self
    }

    /// Adds a header that was checked when the program was compiled.
    pub fn header_line(mut self, line: HeaderLine) -> DeferredResponse {
        self.headers.extend_from_slice(line.as_bytes());
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> DeferredResponse {
        self.body = DeferredBody::Whole(body.into());
        self
    }

    /// Has `producer` write the body on the connection's thread, as
    /// [`Response::stream`](super::Response::stream) does. Take a waker for it from
    /// [`Responder::waker`] first.
    pub fn stream(
        mut self,
        length: Option<u64>,
        producer: impl FnMut(&mut BodyWriter<'_>) -> Flow + Send + 'static,
    ) -> DeferredResponse {
        self.body =
            DeferredBody::Stream { length, producer: Guarded::new(Box::new(producer) as Box<_>) };
        self
    }
}

/// Panics unless `status` is the code of a final response.
#[track_caller]
pub(super) fn check_status(status: u16) {
    let is_final = (200..600).contains(&status);
    assert!(is_final, "the status of a response must be from 200 to 599, and is {status}");
}

impl std::fmt::Debug for DeferredBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeferredBody::Whole(body) => f.debug_tuple("Whole").field(&body.len()).finish(),
            DeferredBody::Stream { length, .. } => {
                f.debug_struct("Stream").field("length", length).finish_non_exhaustive()
            }
        }
    }
}

/// Takes deferred responses and wake-ups to the connections that wait for them, from any
/// thread.
pub trait ResponseSink: Send + Sync {
    /// Delivers `response` to the connection with this number. If the connection is gone, the
    /// response is dropped.
    fn deliver(&self, connection_id: u64, response: DeferredResponse);

    /// Has the paused producer of the connection with this number called again.
    fn wake(&self, connection_id: u64);
}

/// The right, and the duty, to answer one request. It can be sent to another thread.
///
/// A responder that is dropped without a response, for example by a panic, sends a 500.
pub struct Responder {
    waker: StreamWaker,
    has_responded: bool,
}

impl Responder {
    pub(super) fn new(waker: StreamWaker) -> Responder {
        Responder { waker, has_responded: false }
    }

    /// Sends the response.
    pub fn respond(mut self, response: DeferredResponse) {
        self.has_responded = true;
        self.waker.sink.deliver(self.waker.connection_id, response);
    }

    /// Returns a waker for a response that is streamed: see [`DeferredResponse::stream`].
    pub fn waker(&self) -> StreamWaker {
        self.waker.clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.has_responded {
            let response = DeferredResponse::new(500);
            self.waker.sink.deliver(self.waker.connection_id, response);
        }
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = self.waker.connection_id;
        f.debug_struct("Responder").field("connection_id", &id).finish_non_exhaustive()
    }
}

/// Wakes the paused producer of a streamed response, from any thread. Clones wake the same
/// producer.
///
/// A wake-up is never lost: one that comes before the producer pauses has it called once more.
/// Waking does nothing if the producer is not paused or the connection is gone.
#[derive(Clone)]
pub struct StreamWaker {
    sink: Arc<dyn ResponseSink>,
    connection_id: u64,
}

impl StreamWaker {
    pub(super) fn new(sink: Arc<dyn ResponseSink>, connection_id: u64) -> StreamWaker {
        StreamWaker { sink, connection_id }
    }

    /// Has the producer called again.
    pub fn wake(&self) {
        self.sink.wake(self.connection_id);
    }
}

impl std::fmt::Debug for StreamWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamWaker")
            .field("connection_id", &self.connection_id)
            .finish_non_exhaustive()
    }
}
