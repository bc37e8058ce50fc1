//! Answers that are made elsewhere, after the service has returned.
//!
//! A service takes a [`Ticket`] from its response and returns; whoever has the
//! ticket, on whatever thread, answers the request with it. The connection waits,
//! so pipelined answers stay in order.

use std::sync::Arc;

use super::response::{FieldLine, write_field};

/// An answer of its own, to be written when its turn comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub(super) status: u16,
    /// Whole field lines.
    pub(super) fields: Vec<u8>,
    pub(super) content: Vec<u8>,
}

impl Answer {
    /// An answer with this status code.
    ///
    /// # Panics
    /// If the code is not from 200 to 599.
    pub fn new(status: u16) -> Answer {
        assert!((200..600).contains(&status), "a final status is from 200 to 599, not {status}");
        Answer { status, fields: Vec::new(), content: Vec::new() }
    }

    /// Adds a field, as [`Response::field`](super::Response::field) does.
    ///
    /// # Panics
    /// As that does.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Answer {
        write_field(&mut self.fields, name, value.as_ref());
        self
    }

    /// Adds a field that is known when the program is compiled.
    pub fn line(mut self, line: FieldLine) -> Answer {
        self.fields.extend_from_slice(line.as_bytes());
        self
    }

    /// Sets the content.
    pub fn content(mut self, content: impl Into<Vec<u8>>) -> Answer {
        self.content = content.into();
        self
    }
}

/// Takes deferred answers to the connections that wait for them, from any thread.
pub trait Mailbox: Send + Sync {
    /// Delivers `answer` to the connection that `address` names. Where that is gone,
    /// the answer is dropped.
    fn deliver(&self, address: u64, answer: Answer);
}

/// The right, and the duty, to answer one request: can be sent to another thread.
///
/// One that is dropped without an answer, as by a panic, answers with 500.
pub struct Ticket {
    mailbox: Arc<dyn Mailbox>,
    address: u64,
    answered: bool,
}

impl Ticket {
    pub(super) fn new(mailbox: Arc<dyn Mailbox>, address: u64) -> Ticket {
        Ticket { mailbox, address, answered: false }
    }

    /// Answers the request.
    pub fn answer(mut self, answer: Answer) {
        self.answered = true;
        self.mailbox.deliver(self.address, answer);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            self.mailbox.deliver(self.address, Answer::new(500));
        }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("address", &self.address).finish_non_exhaustive()
    }
}
