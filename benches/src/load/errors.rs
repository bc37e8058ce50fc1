//! Errors: those that are counted by kind during a run ([`Errors`]), and those that end it without
//! a figure ([`LoadError`]).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::comparison::Difference;

/// Number of errors of each kind. `status` and `different` count answers; the others count
/// connections that the error ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// No server listened.
    pub refused: u64,
    /// The connection failed for another reason.
    pub connect: u64,
    /// The connection failed because this machine has no free port left towards the server.
    pub no_port: u64,
    /// The server reset the connection while an answer was due.
    pub reset: u64,
    /// Reading failed otherwise.
    pub read: u64,
    /// Writing failed otherwise.
    pub write: u64,
    /// Nothing arrived for as long as the generator's timeout while an answer was due.
    pub timeout: u64,
    /// The server closed the connection, unannounced, while an answer was due.
    pub closed_early: u64,
    /// The bytes that arrived are not an HTTP/1 answer.
    pub malformed: u64,
    /// Answers with a status other than 2xx.
    pub status: u64,
    /// Answers with a 2xx status that are not the expected one, byte by byte.
    #[serde(default)]
    pub different: u64,
}

impl Errors {
    /// Returns each kind's name and number.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("refused", self.refused),
            ("connect", self.connect),
            ("no_port", self.no_port),
            ("reset", self.reset),
            ("read", self.read),
            ("write", self.write),
            ("timeout", self.timeout),
            ("closed_early", self.closed_early),
            ("malformed", self.malformed),
            ("status", self.status),
            ("different", self.different),
        ]
        .into_iter()
    }

    /// Returns the number of complete answers that were errors.
    pub fn answers(&self) -> u64 {
        self.status + self.different
    }

    /// Returns the sum over all kinds.
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }

    pub(super) fn count(&mut self, fault: &Fault) {
        *match fault {
            Fault::Refused => &mut self.refused,
            Fault::Connect(_) => &mut self.connect,
            Fault::NoPort => &mut self.no_port,
            Fault::Reset => &mut self.reset,
            Fault::Read(_) => &mut self.read,
            Fault::Write(_) => &mut self.write,
            Fault::Timeout(_) => &mut self.timeout,
            Fault::ClosedEarly { .. } => &mut self.closed_early,
            Fault::Malformed(_) => &mut self.malformed,
            Fault::Status(_) => &mut self.status,
            Fault::Different(_) => &mut self.different,
        } += 1;
    }
}

impl AddAssign for Errors {
    fn add_assign(&mut self, other: Self) {
        self.refused += other.refused;
        self.connect += other.connect;
        self.no_port += other.no_port;
        self.reset += other.reset;
        self.read += other.read;
        self.write += other.write;
        self.timeout += other.timeout;
        self.closed_early += other.closed_early;
        self.malformed += other.malformed;
        self.status += other.status;
        self.different += other.different;
    }
}

/// One error, of one connection or one answer.
#[derive(Debug)]
pub(super) enum Fault {
    Refused,
    Connect(io::Error),
    NoPort,
    Reset,
    Read(io::Error),
    Write(io::Error),
    Timeout(Duration),
    ClosedEarly { amid_an_answer: bool },
    Malformed(Malformed),
    Status(u16),
    Different(Difference),
}

impl Fault {
    /// Returns the reason why a connection could not be opened.
    pub(super) fn connecting(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => Self::NoPort,
            _ => Self::Connect(error),
        }
    }

    /// Returns the reason why an open connection could not be read or written.
    pub(super) fn using(error: io::Error, otherwise: fn(io::Error) -> Self) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            _ => otherwise(error),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the connection was refused"),
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::NoPort => f.write_str("this machine has no free port left towards the server"),
            Self::Reset => f.write_str("the server reset the connection while an answer was due"),
            Self::Read(error) => write!(f, "reading failed: {error}"),
            Self::Write(error) => write!(f, "writing failed: {error}"),
            Self::Timeout(after) => write!(f, "nothing arrived for {after:?}"),
            Self::ClosedEarly { amid_an_answer: true } => {
                f.write_str("the server closed the connection amid an answer")
            }
            Self::ClosedEarly { amid_an_answer: false } => {
                f.write_str("the server closed the connection without an answer")
            }
            Self::Malformed(what) => write!(f, "the answer is malformed: {what}"),
            Self::Status(status) => write!(f, "the answer's status was {status}"),
            Self::Different(how) => write!(f, "the answer differs from the first one: {how}"),
        }
    }
}

/// Reason why bytes are not an HTTP/1 answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    StatusLine,
    LineEnd,
    Field,
    HeadTooLong,
    ContentLength,
    TransferEncoding,
    Chunk,
    Upgrade,
    Unasked,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StatusLine => "it doesn't begin with an HTTP/1 status line",
            Self::LineEnd => "a line of its head doesn't end with CR LF",
            Self::Field => "its head has a line that is not a header field",
            Self::HeadTooLong => "its head has more than 64 KiB",
            Self::ContentLength => "its content-length is not a number, or has several values",
            Self::TransferEncoding => "its transfer-encoding contradicts the rest of its head",
            Self::Chunk => "its chunks are not well-formed",
            Self::Upgrade => "it switches to another protocol, unasked",
            Self::Unasked => "it answers more than was asked",
        })
    }
}

/// Reason why a run has no figure.
#[derive(Debug)]
pub enum LoadError {
    /// The request has no bytes.
    EmptyRequest,
    /// The number of connections, or of requests on each, is 0.
    EmptyShape,
    /// This rate, in requests per second, is not above 0.
    Rate(f64),
    /// Some threads would have no connection or client.
    TooManyThreads {
        /// Number of threads, on all machines together.
        threads: usize,
        /// Number of connections, or of clients that arrive.
        connections: usize,
    },
    /// A thread cannot be pinned to its core.
    Core(io::Error),
    /// The connections need more descriptors than this process may have.
    Descriptors {
        /// Number of descriptors needed, for connections and other purposes.
        wanted: u64,
        /// The hard limit.
        allowed: u64,
    },
    /// The first connections could not be opened.
    Connect {
        /// The server.
        addr: SocketAddr,
        /// The reason, as a clause.
        reason: String,
    },
    /// A run ended without a single answer.
    NoAnswer {
        /// The first error, as a clause.
        reason: String,
        /// All errors.
        errors: Errors,
    },
    /// A thread of the generator has panicked.
    Panicked,
    /// The operating system refused something other than a connection.
    Io(io::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyRequest => f.write_str("the request to send is empty"),
            Self::EmptyShape => {
                f.write_str("connections and requests at once on each must be 1 or more")
            }
            Self::Rate(rate) => write!(f, "a rate of {rate} per second: it must be above 0"),
            Self::Descriptors { wanted, allowed } => write!(
                f,
                "the connections need {wanted} file descriptors and this process may have \
                 {allowed}: use fewer connections, or raise the limit (ulimit -n)"
            ),
            Self::Connect { addr, reason } => write!(f, "cannot connect to {addr}: {reason}"),
            Self::NoAnswer { reason, errors } => {
                write!(f, "nothing was measured: {reason} ({} errors in all)", errors.total())
            }
            Self::TooManyThreads { threads, connections } => write!(
                f,
                "{threads} threads cannot share {connections} connections or clients: each thread \
                 needs one or more; use at most {connections} threads"
            ),
            Self::Panicked => f.write_str("a thread of the load generator has panicked"),
            Self::Core(error) | Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Core(error) | Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
