//! Why a server cannot be measured, in words.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

/// Text that a server prints before its address when it accepts connections.
pub const READY: &str = "listening on ";

/// Why a server did not get ready, or is no more.
#[derive(Debug)]
pub enum ProcessError {
    /// It could not be started, or the kernel refused something around it.
    Io(io::Error),
    /// It ended by itself; with what it wrote to stderr.
    Ended(ExitStatus, String),
    /// It did not say its address in this time; with what it wrote to stderr.
    Silent(Duration, String),
    /// It was asked to end and had not in this time; with what it wrote to stderr.
    Stays(Duration, String),
    /// It did not accept a connection at this address in this time; with what it
    /// wrote to stderr.
    Deaf(SocketAddr, Duration, String),
}

impl std::error::Error for ProcessError {}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stderr = match self {
            Self::Io(error) => return write!(f, "cannot be started: {error}"),
            Self::Ended(status, stderr) => {
                write!(f, "ended by itself with {status}")?;
                stderr
            }
            Self::Silent(patience, stderr) => {
                write!(f, "did not print '{READY}ADDRESS' within {patience:?}")?;
                stderr
            }
            Self::Stays(patience, stderr) => {
                write!(f, "did not end within {patience:?} of SIGTERM")?;
                stderr
            }
            Self::Deaf(address, patience, stderr) => {
                write!(f, "did not accept a connection at {address} within {patience:?}")?;
                stderr
            }
        };
        match stderr.as_str() {
            "" => Ok(()),
            stderr => write!(f, "; its last words: {stderr}"),
        }
    }
}

impl From<io::Error> for ProcessError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for ProcessError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}
