//! HTTP/1.1 without I/O: bytes in, bytes out.
//!
//! This module never touches a socket, a clock, a thread or a file. Whoever has
//! those calls [`Connection::advance`] with the bytes that have arrived, sends
//! the bytes that it wrote, and does as [`Next`] says. The same bytes in give
//! the same bytes out, whether they arrive whole, byte by byte or split anywhere.
//! What it keeps of them is memory of its own, which the system has back at once.
//!
//! # The states of a connection
//!
//! ```text
//!                    request without content, or with all of it: answer
//!                  +-------+
//!                  v       |
//!    start ----> Head -----+------------------------------> Closed
//!                  ^  |  |  |     rejection, `connection: close`   ^
//!                  |  |  |  |                                    |
//!                  |  |  |  +--> Collect --- content whole ------+
//!                  |  |  +-----> Stream ---- content whole ------+
//!                  |  +--------> Produce --- answer whole -------+
//!                  |  +--------> Deferred -- answer delivered ---+
//!                  |                                             |
//!                  +------------- the connection persists -------+
//! ```
//!
//! - **Head**: the next byte begins a request. Nothing is kept but the bytes of
//!   an incomplete head, and those by the caller.
//! - **Collect**: the content is gathered until the service can be called.
//! - **Stream**: the content goes to the service as it comes.
//! - **Produce**: the service writes its answer as there is room.
//! - **Deferred**: the answer is being made elsewhere.
//! - **Closed**: whatever else arrives, it is not a request.
//!
//! # Errors
//!
//! Incomplete is not an error: [`Next::Read`] says that more is needed. A
//! [`Rejection`] is, and each one is the last thing that happens on its connection.

//! # What it costs
//!
//! User instructions for one `GET /` with `host`, `user-agent` and `accept` on a
//! kept connection, the event loop's part included, as callgrind counters them
//! (x86-64-v2, rustc 1.95): 2,074 of the program by itself, and 1,394 where 16 are
//! pipelined. `cargo bench -- count` says 2,199 and 1,520, as all variants are one program
//! there, in which httparse, which others use too, is no longer built into its caller.
//! Of the 2,199, httparse takes 599 for three fields, the event loop 451, and libc's
//! wrappers 173; its report has the rest. All of it is some 6 % of a request's CPU time;
//! what remains is the kernel's.
//!
//! | technique | instructions saved |
//! | --- | --- |
//! | deadlines in ticks instead of `Duration`s, targets checked in one pass | 248 |
//! | the request line by hand, in the pass that checks the target, room for 16 fields | 222 |
//! | constant fields checked by the compiler and written in one copy | 210 |
//! | SSE4.2 at compile time (`.cargo/config.toml`); with AVX2 it takes 54 more again | 176 |
//! | one copy for `date` and the end of the head, no drop glue in `Response` | 131 |
//! | steps that are rare in functions of their own, the usual state never moved | 69 |
//! | the usual answer written without a call for each part | 59 |
//! | time divided into ticks only when one has passed | 51 |
//! | names of fields compared in lower case by one bit, the status line of 200 a constant | 42 |
//! | reading and resuming in one loop, so that answering has one caller | 41 |
//! | `content-length` by `itoa` | 35 |
//! | hosts checked by one table, ports of four digits without arithmetic | 34 |
//! | queues and deadlines gone through only when there is something in them | 33 |
//! | a turn that leaves nothing behind not settled, nor asked what it waits for | 84 |
//! | nothing copied where nothing was carried over | 19 |
//! | hosts checked four bytes at a time | 17 |
//! | only the service's own call, and not the answer's end, where a panic is caught | 15 |
//!
//! | tried and left out | instructions |
//! | --- | --- |
//! | routing by path and then by method | 8 saved |
//! | parsing forced into its caller (`inline(always)`) | 73 more |
//! | the fields, or the request line, read in a function of its own | 55 and 65 more |
//! | [`Connection::advance`] in a function of its own | 31 more |
//!
//! Deferred answers cost each request 40, records of requests some 60 where nobody takes
//! them, and memory that goes back to the system 21.

mod body;
mod buffer;
mod chars;
mod connection;
mod counters;
mod date;
mod deferred;
mod head;
mod record;
mod rejection;
mod request;
mod response;
mod service;
mod spares;

pub use crate::header_line;
pub use body::Piece;
pub(crate) use buffer::Buffer;
pub use connection::{Connection, Context, Next, Progress, Waiting};
pub use counters::{Counter, Counters};
pub use date::Date;
pub use deferred::{DeferredResponse, Responder, ResponseSink};
pub use head::headers::Framing;
pub use record::{Record, Recorder};
pub use rejection::Rejection;
pub use request::Request;
pub use response::body_encoder::{BodyWriter, Flow, Producer};
pub use response::{HeaderLine, Response};
pub use service::{BodyPolicy, Receiver, Service};
pub use spares::Spares;

/// The most fields that [`Limits::headers_max`] can allow: their slots live on the
/// stack, 32 bytes each.
pub const HEADERS_MAX_CAP: usize = 256;

/// The bounds on one connection. All are in bytes or counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head, up to and with its empty line. 16 KiB, as Node
    /// and h11 have it; nginx allows 32 KiB in lines of 8, Apache 8 KiB a line.
    pub head_bytes_max: usize,
    /// Field lines of a head. 100, as hyper and Apache have it.
    pub headers_max: usize,
    /// Bytes of content that are collected for a service. 1 MiB, as nginx has it.
    /// What a service streams has no bound.
    pub body_bytes_max: u64,
    /// Bytes of output at which no further request is answered until they are
    /// sent. 64 KiB: some hundred small answers, or a quarter of a default socket
    /// buffer, so that one write still takes it all.
    pub output_bytes_high: usize,
    /// Bytes of a streamed request's answer that are held back until the content
    /// is complete, so that malformed content can be answered with 400. 16 KiB:
    /// what fits in that is refused as a whole, as if it had been collected.
    pub held_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes_max: 16 * 1024,
            headers_max: 100,
            body_bytes_max: 1024 * 1024,
            output_bytes_high: 64 * 1024,
            held_bytes_max: 16 * 1024,
        }
    }
}
