//! The least work of an epoll loop: one read, and one write of constant bytes.
//!
//! It parses nothing: a request ends with an empty line. The constant answer has the length of
//! the answer to `GET /`. Nearly all of its cost is the kernel's; the rungs above it add
//! HTTP.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;

use memchr::memchr;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::Ready;
use super::common::{self, Settings};

pub(super) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
    content-type: text/plain\r\n\
    content-length: 14\r\n\
    date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    \r\n\
    Try POST /echo";

/// Number of answers that one write can carry; more pipelined answers take more writes.
pub(super) const ANSWERS_A_WRITE: usize = 256;

/// Size of one read: enough for all requests that the measure pipelines.
const INPUT_BYTES: usize = 64 * 1024;

/// Number of events taken from the kernel at once, as the server has it.
const EVENTS: usize = 1024;

const LISTENER: Token = Token(usize::MAX);

pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    common::per_core(settings, ready, |listener| run(listener, 1))
}

/// Serves one core. Up to `batch` connections are read before what they are owed is written.
pub(super) fn run(listener: TcpListener, batch: usize) -> io::Result<()> {
    let mut listener = mio::net::TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;

    let mut connections = Slab::new();
    let mut input = vec![0; INPUT_BYTES];
    let answers = ANSWER.repeat(ANSWERS_A_WRITE);
    let mut unwritten = Vec::with_capacity(batch);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, poll.registry(), &mut connections)?,
                Token(key) => {
                    let connection: &mut Connection = &mut connections[key];
                    let drained = event.is_read_closed();
                    if connection.advance(&mut input, &answers, drained).is_err() {
                        connections.remove(key);
                        continue;
                    }
                    unwritten.push(key);
                    if unwritten.len() == batch {
                        write_all(&mut unwritten, &mut connections, &answers);
                    }
                }
            }
        }
        write_all(&mut unwritten, &mut connections, &answers);
    }
}

/// Writes what the connections are owed, as far as their sockets take it.
fn write_all(unwritten: &mut Vec<usize>, connections: &mut Slab<Connection>, answers: &[u8]) {
    for key in unwritten.drain(..) {
        if connections[key].write(answers).is_err() {
            connections.remove(key);
        }
    }
}

fn accept(
    listener: &mio::net::TcpListener,
    registry: &mio::Registry,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let entry = connections.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(entry.key()), both)?;
        entry.insert(Connection { stream, requests: Requests::default(), owed: 0, sent: 0 });
    }
}

struct Connection {
    stream: TcpStream,
    requests: Requests,
    /// Number of bytes of answers not yet written.
    owed: usize,
    /// Number of bytes written of the current answer; less than its length.
    sent: usize,
}

impl Connection {
    /// Reads once, after everything that is owed is written. `Err` closes the connection.
    fn advance(&mut self, input: &mut [u8], answers: &[u8], to_the_end: bool) -> io::Result<()> {
        loop {
            self.write(answers)?;
            if self.owed > 0 {
                return Ok(());
            }
            let read = match self.stream.read(input) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.owed = self.requests.ended_by(&input[..read]) * ANSWER.len();
            // A read that does not fill the buffer has emptied the socket.
            if read < input.len() && !to_the_end {
                return Ok(());
            }
        }
    }

    fn write(&mut self, answers: &[u8]) -> io::Result<()> {
        while self.owed > 0 {
            let end = answers.len().min(self.sent + self.owed);
            match self.stream.write(&answers[self.sent..end]) {
                Ok(written) => {
                    self.owed -= written;
                    self.sent = (self.sent + written) % ANSWER.len();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Counts the empty lines that end requests, even if reads cut them.
#[derive(Default)]
pub(super) struct Requests {
    /// Number of bytes of `\r\n\r\n` at the end of the last read.
    matched: usize,
}

impl Requests {
    /// Returns the number of requests that end in `bytes`, the next that were read.
    pub(super) fn ended_by(&mut self, mut bytes: &[u8]) -> usize {
        const END: &[u8] = b"\r\n\r\n";
        let mut ended = 0;
        while let Some((&byte, rest)) = bytes.split_first() {
            if byte == END[self.matched] {
                self.matched += 1;
                if self.matched == END.len() {
                    self.matched = 0;
                    ended += 1;
                }
                bytes = rest;
            } else if self.matched > 0 {
                self.matched = 0;
            } else {
                bytes = memchr(b'\r', bytes).map_or(&[], |line_end| &bytes[line_end..]);
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_requests_wherever_reads_cut_them() {
        let bytes = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\n\r\nGET";
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let mut requests = Requests::default();
                let ended = [&bytes[..first], &bytes[first..second], &bytes[second..]]
                    .map(|part| requests.ended_by(part));
                assert_eq!(ended.iter().sum::<usize>(), 2, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_carriage_return_too_many_ends_nothing() {
        assert_eq!(Requests::default().ended_by(b"\r\n\r\r\n"), 0);
        assert_eq!(Requests::default().ended_by(b"\r\r\n\r\n"), 1);
    }
}
