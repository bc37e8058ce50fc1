//! One connection, and what it waits for.

use pinloop::http::{Connection, Next, Waiting};

use super::timer::{Clock, Kind, Timer};

/// Bytes of requests that are held for a client that does not read its responses, before its
/// connection is paused. Bytes that arrive until the kernel knows come on top.
const HELD_BYTES: usize = 64 * 1024;

/// One connection. An idle one owns no heap memory.
pub(super) struct Client {
    pub(super) http: Connection,
    /// Need of the protocol core once the output is sent.
    pub(super) next: Next,
    /// Input that is not consumed.
    pub(super) carry: Vec<u8>,
    /// Set if the protocol core has not seen all of the carried input.
    pub(super) has_unseen: bool,
    /// Output to send at the end of the wake-up.
    pub(super) output: Vec<u8>,
    pub(super) is_sending: bool,
    /// Number of bytes of the output that the socket did not take at once.
    pub(super) blocked_bytes: usize,
    pub(super) sent_bytes: usize,
    /// Set while input is discarded after the last response; true if more was sent than is taken
    /// to have arrived.
    pub(super) lingers: Option<bool>,
    pub(super) is_paused: bool,
    /// Set if the client has shut down its side.
    pub(super) has_ended: bool,
    /// Set once a request was read.
    pub(super) is_used: bool,
    pub(super) timer: Timer,
    pub(super) buffered_bytes: usize,
}

impl Client {
    pub(super) fn new(clock: &Clock) -> Client {
        Client {
            http: Connection::default(),
            next: Next::Read,
            carry: Vec::new(),
            has_unseen: false,
            output: Vec::new(),
            is_sending: false,
            blocked_bytes: 0,
            sent_bytes: 0,
            lingers: None,
            is_paused: false,
            has_ended: false,
            is_used: false,
            timer: Timer::new(clock),
            buffered_bytes: 0,
        }
    }

    /// Reports whether the protocol core may see what arrives now. Output of this wake-up is sent
    /// at its end, so that several buffers of input make one send.
    pub(super) fn can_answer(&self) -> bool {
        self.next == Next::Read && !self.is_sending
    }

    /// Holds input until the output is sent, or discards it after the last request. Returns true
    /// if the connection is to be paused.
    pub(super) fn hold(&mut self, bytes: &[u8]) -> bool {
        if self.lingers.is_some() || matches!(self.next, Next::Close(_)) {
            return false;
        }
        self.carry.extend_from_slice(bytes);
        self.has_unseen = true;
        let pauses = !self.is_paused && self.carry.len() >= HELD_BYTES;
        self.is_paused |= pauses;
        pauses
    }

    /// Has a paused connection received from again if there is room for what arrives; reports
    /// whether it is.
    pub(super) fn may_resume(&mut self) -> bool {
        let has_room = self.next == Next::Read || self.carry.len() < HELD_BYTES / 2;
        let may_resume = self.is_paused && has_room;
        self.is_paused &= !may_resume;
        may_resume
    }

    /// Reports whether all complete requests are answered, and the answers sent.
    pub(super) fn is_done(&self) -> bool {
        self.can_answer() && !self.has_unseen && self.output.is_empty()
    }

    /// Returns the memory that unfinished requests and responses hold.
    pub(super) fn held_bytes(&self) -> usize {
        self.carry.capacity() + self.blocked_bytes + self.http.buffered_bytes()
    }

    /// Reports whether there is more than empty lines, which may come before a head.
    pub(super) fn has_head_begun(&self) -> bool {
        self.carry.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// Returns the reason why the connection waits. Output counts once the socket has refused it.
    pub(super) fn timeout_kind(&self) -> Kind {
        match (self.lingers, self.http.waiting()) {
            (Some(false), _) => Kind::Linger,
            (Some(true), _) => Kind::Write,
            (None, Waiting::Body) if self.blocked_bytes > 0 => Kind::Stall,
            _ if self.blocked_bytes > 0 || self.next != Next::Read => Kind::Write,
            (None, Waiting::Body) => Kind::Body,
            _ if self.is_used && !self.has_head_begun() => Kind::Idle,
            _ => Kind::Head,
        }
    }
}
