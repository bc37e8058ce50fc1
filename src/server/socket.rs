//! The socket of one connection: reads, writes, and the ways to close it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::SockRef;

use super::loop_state::Environment;

/// Maximum number of sent bytes that are taken to have arrived when a connection closes: the
/// initial congestion window of 10 segments (RFC 6928), less headers.
const SENT_BYTES_SMALL: u32 = 12 * 1024;

/// A TCP socket that does not block.
pub(super) struct Socket {
    stream: TcpStream,
    /// Bytes sent; stops at the largest u32.
    sent_bytes: u32,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Socket {
        Socket { stream, sent_bytes: 0 }
    }

    pub(super) fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Takes the error of the socket, if there is one.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.stream.take_error().ok().flatten()
    }

    /// Reads into `input`; returns the number of bytes, 0 at the end of the input.
    pub(super) fn read(&mut self, input: &mut [u8], env: &Environment) -> io::Result<usize> {
        loop {
            match self.stream.read(input) {
                Ok(read) => {
                    env.count(|metrics| metrics.received_bytes.add(read as u64));
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the number of bytes that the socket took, which is 0 if it is full.
    #[inline]
    pub(super) fn write(&mut self, output: &[u8], env: &Environment) -> io::Result<usize> {
        loop {
            match self.stream.write(output) {
                Ok(written) => {
                    self.sent_bytes = self.sent_bytes.saturating_add(written as u32);
                    env.count(|metrics| metrics.sent_bytes.add(written as u64));
                    return Ok(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reports whether more was sent than is taken to have arrived.
    pub(super) fn has_sent_much(&self) -> bool {
        self.sent_bytes > SENT_BYTES_SMALL
    }

    pub(super) fn shut_down_write(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Has the client see a reset when the socket is dropped.
    #[cold]
    pub(super) fn reset_on_drop(&self) {
        // If it fails, the connection closes as any other.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}
