//! Answers that are made elsewhere, after the service has returned.
//!
//! A service takes a [`Responder`] from its response and returns; whoever has the
//! responder, on whatever thread, answers the request with it. The connection waits,
//! so pipelined answers stay in order.

use std::sync::Arc;

use super::response::{HeaderLine, write_field};

/// An answer of its own, to be written when its turn comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeferredResponse {
    pub(super) status: u16,
    /// Whole field lines.
    pub(super) fields: Vec<u8>,
    pub(super) content: Vec<u8>,
}

impl DeferredResponse {
    /// An answer with this status code.
    ///
    /// # Panics
    /// If the code is not from 200 to 599.
    pub fn new(status: u16) -> DeferredResponse {
        assert!((200..600).contains(&status), "a final status is from 200 to 599, not {status}");
        DeferredResponse { status, fields: Vec::new(), content: Vec::new() }
    }

    /// Adds a field, as [`Response::field`](super::Response::field) does.
    ///
    /// # Panics
    /// As that does.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> DeferredResponse {
        write_field(&mut self.fields, name, value.as_ref());
        self
    }

    /// Adds a field that is known when the program is compiled.
    pub fn header_line(mut self, line: HeaderLine) -> DeferredResponse {
        self.fields.extend_from_slice(line.as_bytes());
        self
    }

    /// Sets the content.
    pub fn body(mut self, content: impl Into<Vec<u8>>) -> DeferredResponse {
        self.content = content.into();
        self
    }
}

/// Takes deferred answers to the connections that wait for them, from any thread.
pub trait ResponseSink: Send + Sync {
    /// Delivers `answer` to the connection that `address` names. Where that is gone,
    /// the answer is dropped.
    fn deliver(&self, address: u64, response: DeferredResponse);
}

/// The right, and the duty, to answer one request: can be sent to another thread.
///
/// One that is dropped without an answer, as by a panic, answers with 500.
pub struct Responder {
    sink: Arc<dyn ResponseSink>,
    address: u64,
    answered: bool,
}

impl Responder {
    pub(super) fn new(sink: Arc<dyn ResponseSink>, address: u64) -> Responder {
        Responder { sink, address, answered: false }
    }

    /// Answers the request.
    pub fn respond(mut self, response: DeferredResponse) {
        self.answered = true;
        self.sink.deliver(self.address, response);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.answered {
            self.sink.deliver(self.address, DeferredResponse::new(500));
        }
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder").field("address", &self.address).finish_non_exhaustive()
    }
}
