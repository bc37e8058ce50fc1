//! HTTP/1.1 without I/O: bytes in, bytes out.
//!
//! This module never touches a socket, a clock, a thread or a file. Its caller hands the bytes
//! that have arrived to [`Connection::advance`], sends the bytes that it wrote, and does as
//! [`Next`] says. The same bytes in give the same bytes out, whether they arrive whole, byte by
//! byte or split anywhere.
//!
//! # The states of a connection
//!
//! ```text
//!                    request without a body, or with all of it: respond
//!                  +-------+
//!                  v       |
//!    start ----> Head -----+------------------------------> Closed
//!                  ^  |  |  |     rejection, `connection: close`  ^
//!                  |  |  |  |                                    |
//!                  |  |  |  +--> Collect --- body complete ------+
//!                  |  |  +-----> Stream ---- body complete ------+
//!                  |  +--------> Produce --- response complete --+
//!                  |  +--------> Deferred -- response delivered -+
//!                  |                                             |
//!                  +------------- the connection persists -------+
//! ```
//!
//! - **Head**: the next byte begins a request. An incomplete head stays with the caller, and
//!   the state remembers how far it is known to be valid.
//! - **Collect**: the body is gathered until the service can be called.
//! - **Stream**: the body goes to a receiver as it arrives.
//! - **Produce**: a producer writes the response as there is room, and may pause.
//! - **Deferred**: the response is made elsewhere.
//! - **Closed**: nothing else that arrives is a request.
//!
//! # Errors
//!
//! Incomplete is not an error: [`Next::Read`] says that more input is needed. A [`Rejection`]
//! is an error, and the last thing that happens on its connection.

mod body;
mod chars;
mod connection;
mod context;
mod counters;
mod date;
mod deferred;
mod forwarded;
pub(crate) mod guard;
mod head;
mod peer;
mod record;
mod rejection;
mod request;
mod response;
mod service;
mod states;
mod trust;

pub use crate::header_line;
pub use body::Piece;
pub use chars::TargetSyntax;
pub use connection::{Connection, Progress, Waiting};
pub use context::{Context, HEADERS_MAX_CAP, Limits};
pub use counters::{Counter, Counters};
pub use date::Date;
pub use deferred::{DeferredResponse, Responder, ResponseSink, StreamWaker};
pub use head::Framing;
pub use peer::Peer;
pub use record::{Record, Recorder};
pub use rejection::Rejection;
pub use request::Request;
pub use response::Response;
pub use response::body_encoder::{BodyWriter, Flow, Producer};
pub use response::header_line::HeaderLine;
pub use service::{BodyPolicy, Receiver, Service};
pub use states::outcome::{Close, Next};
pub use trust::{ClientHeader, Networks, Trust};
