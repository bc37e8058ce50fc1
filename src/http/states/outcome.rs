//! Results of the steps of a connection.

use crate::http::head::Persistence;
use crate::http::response::ResponseState;

/// Need of the connection before its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More input, after the rest that was not consumed.
    Read,
    /// To be called again, with the input that was not consumed, once the output is sent.
    Flush,
    /// A deferred response, by [`Connection::deliver`](crate::http::Connection::deliver), or a
    /// wake-up of its producer, by [`Connection::wake`](crate::http::Connection::wake). Then to
    /// be called again with the input that was not consumed.
    Wait,
    /// To be closed once the output is sent.
    Close(Close),
}

/// The way to close a connection once the output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// At once.
    Now,
    /// After the client has read the response. The client may still be sending, so the write
    /// side is to be shut down first, and the input read and discarded: a reset could destroy
    /// the response on its way (RFC 9112, 9.6).
    Linger,
    /// By a reset. The response has no other sign that it is incomplete.
    Reset,
}

/// The result of one step of a state; `T` follows the state.
pub(in crate::http) enum Outcome<T> {
    /// The state goes on when this is there.
    Pending(Next),
    /// The state has ended.
    Over(T),
}

impl<T> Outcome<T> {
    /// Turns the value that follows the state into another one.
    pub(in crate::http) fn map<U>(self, turn: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Outcome::Pending(next) => Outcome::Pending(next),
            Outcome::Over(after) => Outcome::Over(turn(after)),
        }
    }
}

/// The end of a request and its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum End {
    /// The next byte begins another request.
    NextRequest,
    /// The connection closes.
    Close(Close),
}

/// Returns what follows a response. If a part of the request body is left unread, the client
/// may still be sending it.
#[inline]
pub(super) fn end(persistence: Persistence, unread: bool) -> End {
    match persistence {
        Persistence::Keep | Persistence::KeepSaid => End::NextRequest,
        Persistence::Close if unread => End::Close(Close::Linger),
        Persistence::Close => End::Close(Close::Now),
        Persistence::CloseUnasked => End::Close(Close::Linger),
    }
}

/// Returns what follows an incomplete response. If the body ends with the connection, the response
/// looks complete unless the connection is reset.
pub(super) fn end_incomplete(state: &ResponseState, unread: bool) -> End {
    End::Close(match unread {
        _ if state.is_delimited_by_close() => Close::Reset,
        true => Close::Linger,
        false => Close::Now,
    })
}
