//! One connection of the generator, with its unsent and its unanswered requests.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

use super::comparison::{Comparison, Expected};
use super::errors::{Fault, Malformed};
use super::heads::Heads;
use super::response::{Answer, AtEnd, Reader};
use super::run::Tally;

/// Large enough for a full pipeline of small answers in one read, small enough for the L2 cache.
const INPUT_BYTES: usize = 64 * 1024;

/// Number of full buffers that are read from a connection before the others have their turn.
const READS_IN_A_ROW_MAX: usize = 16;

/// Idle time after which a server may close a connection just as a request is sent on it. The
/// request is then sent again, as any client does (RFC 9110, section 9.2.2). Servers wait longer
/// than this time before they close.
const STALE_AFTER_NS: u64 = 1_000_000_000;

/// Input buffer and parser, shared by all connections of a generator.
#[derive(Debug)]
pub(super) struct Inbox {
    input: Box<[u8]>,
    heads: Heads,
}

impl Inbox {
    pub(super) fn new(method_is_head: bool) -> Self {
        let input = vec![0; INPUT_BYTES].into_boxed_slice();
        Self { input, heads: Heads::new(method_is_head) }
    }

    /// Compares every answer in this way from now on.
    pub(super) fn set_comparison(&mut self, comparison: Comparison) {
        self.heads.set_comparison(comparison);
    }

    /// Returns the answer that every answer is compared with.
    pub(super) fn expected(&self) -> Option<&Expected> {
        match &self.heads.comparison {
            Comparison::With(expected) => Some(expected),
            Comparison::Off | Comparison::Learning { .. } => None,
        }
    }

    /// Exchanges what is known of the answers.
    pub(super) fn swap_heads(&mut self, heads: &mut Heads) {
        std::mem::swap(&mut self.heads, heads);
    }

    /// Ends the comparison, and returns it.
    pub(super) fn take_comparison(&mut self) -> Comparison {
        std::mem::take(&mut self.heads.comparison)
    }
}

/// Copies of one request, end to end, as all connections of a generator send them.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    request_len: usize,
}

impl Batch {
    /// Maximum size of all copies. More would not save a call, because a socket takes no more.
    const BYTES_MAX: usize = 256 * 1024;

    /// Makes up to `pipeline` copies of `request`, which must not be empty.
    pub(super) fn new(request: &[u8], pipeline: usize) -> Self {
        let copies = pipeline.min(Self::BYTES_MAX / request.len()).max(1);
        Self { bytes: request.repeat(copies), request_len: request.len() }
    }

    /// Returns the next bytes to write if `unsent` bytes are left of complete requests.
    fn next(&self, unsent: usize) -> &[u8] {
        let begun = unsent % self.request_len;
        let start = if begun == 0 { 0 } else { self.request_len - begun };
        let end = self.bytes.len().min(start + unsent);
        &self.bytes[start..end]
    }
}

/// A connection: see the module's description.
#[derive(Debug, Default)]
pub(super) struct Connection {
    link: Link,
    /// Bytes of requests in flight that aren't written yet.
    unsent: usize,
    /// Start of each unanswered request, in ns, oldest first.
    in_flight: VecDeque<u64>,
    reader: Reader,
    /// Number of answers received since the connection was opened.
    answers: u64,
    /// Time of the last request or the last bytes received, in ns.
    active_at: u64,
    /// Set if the requests in flight were sent after a long idle time and nothing came back since.
    stale: bool,
}

#[derive(Debug, Default)]
enum Link {
    #[default]
    Closed,
    /// Being opened, and not known to be open.
    Opening(TcpStream),
    Open(TcpStream),
}

/// State of a connection after reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// All bytes that have arrived are read.
    Waiting,
    /// More bytes have arrived than one turn allows.
    More,
    /// All requests are answered.
    Idle,
    /// The server has closed the connection as it may; requests in flight may be sent again.
    Ended,
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.link, Link::Closed)
    }

    /// Reports whether the server is known to have accepted the connection.
    pub(super) fn is_established(&self) -> bool {
        matches!(self.link, Link::Open(_))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Returns the number of unanswered requests.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) fn answers(&self) -> u64 {
        self.answers
    }

    /// Returns the start of the oldest unanswered request, in ns.
    pub(super) fn oldest_start(&self) -> Option<u64> {
        self.in_flight.front().copied()
    }

    /// Returns the local address, or `None` if the connection is closed.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        match &self.link {
            Link::Closed => None,
            Link::Opening(stream) | Link::Open(stream) => stream.local_addr().ok(),
        }
    }

    /// Returns the time since the last request or the last bytes received, in ns.
    pub(super) fn silent_for(&self, now: u64) -> u64 {
        now.saturating_sub(self.active_at)
    }

    pub(super) fn open(&mut self, stream: TcpStream) {
        debug_assert!(!self.is_open());
        self.link = Link::Opening(stream);
    }

    /// Closes the connection, and returns the starts of the requests that are lost.
    pub(super) fn close(&mut self) -> impl Iterator<Item = u64> {
        self.link = Link::Closed;
        self.unsent = 0;
        self.reader = Reader::default();
        self.answers = 0;
        self.stale = false;
        self.in_flight.drain(..)
    }

    /// Closes the connection at the end of a run if bytes of an answered request are still unsent,
    /// because they would be in the way of the next run.
    pub(super) fn settle(&mut self) {
        if self.unsent > 0 {
            drop(self.close());
        }
    }

    /// Reports whether a connection that was being opened is open now or has failed. Returns `None`
    /// if it is neither, or was not being opened.
    pub(super) fn confirm(&mut self) -> Option<Result<(), Fault>> {
        let Link::Opening(stream) = &self.link else { return None };
        match stream.take_error() {
            Ok(Some(error)) | Err(error) => return Some(Err(Fault::connecting(error))),
            Ok(None) => {}
        }
        stream.peer_addr().ok()?;
        self.has_used();
        Some(Ok(()))
    }

    /// Adds a request of `bytes` bytes that started at `start`, for [`Self::send`].
    pub(super) fn ask(&mut self, start: u64, bytes: usize) {
        self.in_flight.push_back(start);
        self.unsent += bytes;
    }

    /// Records that requests were added at `now`.
    pub(super) fn has_asked(&mut self, now: u64) {
        self.stale = self.answers > 0 && self.silent_for(now) >= STALE_AFTER_NS;
        self.active_at = now;
    }

    /// Writes unsent bytes until the socket is full. Returns `false` if the server has closed the
    /// connection; its last bytes are then still to be read.
    pub(super) fn send(&mut self, batch: &Batch, tally: &mut Tally<'_>) -> Result<bool, Fault> {
        while self.unsent > 0 {
            let (stream, is_open) = match &mut self.link {
                Link::Closed => return Ok(true),
                Link::Opening(stream) => (stream, false),
                Link::Open(stream) => (stream, true),
            };
            tally.outcome.writes += 1;
            match stream.write(batch.next(self.unsent)) {
                Ok(len) => {
                    tally.outcome.bytes_sent += len as u64;
                    self.unsent -= len;
                    self.has_used();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if !is_open => return Err(Fault::connecting(error)),
                Err(error) => match Fault::using(error, Fault::Write) {
                    Fault::Reset => {
                        self.unsent = 0;
                        return Ok(false);
                    }
                    fault => return Err(fault),
                },
            }
        }
        Ok(true)
    }

    /// Reads the bytes that have arrived and counts the answers in them. Unless `to_the_end` is
    /// set, a read that does not fill the buffer is the last one: the socket is empty then, and
    /// later bytes cause another event.
    pub(super) fn receive(
        &mut self,
        inbox: &mut Inbox,
        to_the_end: bool,
        now: u64,
        tally: &mut Tally<'_>,
    ) -> Result<Received, Fault> {
        let mut received = Received::Waiting;
        for _ in 0..READS_IN_A_ROW_MAX {
            let (stream, is_open) = match &mut self.link {
                Link::Closed => return Ok(Received::Waiting),
                Link::Opening(stream) => (stream, false),
                Link::Open(stream) => (stream, true),
            };
            tally.outcome.reads += 1;
            let len = match stream.read(&mut inbox.input) {
                Ok(0) => return self.receive_end(&inbox.heads, now, tally),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(received),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if !is_open => return Err(Fault::connecting(error)),
                Err(_) if self.stale || self.is_idle() => return Ok(Received::Ended),
                Err(error) => return Err(Fault::using(error, Fault::Read)),
            };
            self.has_used();
            self.stale = false;
            self.active_at = now;
            tally.outcome.bytes_received += len as u64;
            let Inbox { input, heads } = &mut *inbox;
            received = self.read_answers(&input[..len], heads, now, tally)?;
            let drained = len < input.len() && !to_the_end;
            if drained || received == Received::Ended {
                return Ok(received);
            }
        }
        Ok(if received == Received::Idle { received } else { Received::More })
    }

    fn read_answers(
        &mut self,
        input: &[u8],
        heads: &mut Heads,
        now: u64,
        tally: &mut Tally<'_>,
    ) -> Result<Received, Fault> {
        if self.is_idle() {
            // Some servers say that they have waited long enough before they close.
            let timed_out =
                input.starts_with(b"HTTP/1.1 408") || input.starts_with(b"HTTP/1.0 408");
            return if timed_out { Ok(Received::Ended) } else { Err(unasked()) };
        }
        let mut at = 0;
        while at < input.len() {
            if self.is_idle() {
                return Err(unasked());
            }
            let (used, answer) = self.reader.read(&input[at..], heads).map_err(Fault::Malformed)?;
            at += used;
            let Some(answer) = answer else { break };
            self.count(answer, now, tally);
            if answer.closes {
                return Ok(Received::Ended);
            }
        }
        Ok(if self.is_idle() { Received::Idle } else { Received::Waiting })
    }

    fn receive_end(
        &mut self,
        heads: &Heads,
        now: u64,
        tally: &mut Tally<'_>,
    ) -> Result<Received, Fault> {
        match self.reader.end(heads) {
            AtEnd::Complete(answer) => {
                self.count(answer, now, tally);
                Ok(Received::Ended)
            }
            AtEnd::Nothing if self.stale || self.is_idle() => Ok(Received::Ended),
            AtEnd::Nothing => Err(Fault::ClosedEarly { amid_an_answer: false }),
            AtEnd::Truncated => Err(Fault::ClosedEarly { amid_an_answer: true }),
        }
    }

    fn count(&mut self, answer: Answer, now: u64, tally: &mut Tally<'_>) {
        let start = self.in_flight.pop_front().unwrap_or(now);
        self.answers += 1;
        let difference = self.reader.take_difference();
        tally.count_answer(answer.status, difference, now.saturating_sub(start));
    }

    /// Records that the socket was read or written, and so is open.
    fn has_used(&mut self) {
        self.link = match std::mem::take(&mut self.link) {
            Link::Opening(stream) => Link::Open(stream),
            link => link,
        };
    }
}

fn unasked() -> Fault {
    Fault::Malformed(Malformed::Unasked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_goes_on_wherever_the_socket_stopped() {
        let batch = Batch::new(b"abc", 3);
        assert_eq!(batch.next(9), b"abcabcabc");
        assert_eq!(batch.next(8), b"bcabcabc");
        assert_eq!(batch.next(4), b"cabc");
        assert_eq!(batch.next(3), b"abc");
        assert_eq!(batch.next(1), b"c");
        // More than there are copies, as after a pipeline that was too long to be copied out.
        assert_eq!(batch.next(100), b"cabcabc");
    }

    #[test]
    fn a_batch_of_large_requests_is_one_request() {
        let large = vec![b'x'; 1 << 20];
        assert_eq!(Batch::new(&large, 16).bytes.len(), 1 << 20);
    }
}
