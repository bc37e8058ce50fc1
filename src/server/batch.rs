//! Responses of several connections that are sent together.
//!
//! A loop that has several connections to serve answers some of them first, and sends their
//! responses then, one write after another. The code of the server and the kernel's code for
//! sending each run several times in a row, with warm caches, and a client that the first write
//! wakes is awake when the others arrive. `docs/performance.md` has the figures.
//!
//! A response waits until the others of its batch are computed. So a batch is bounded in
//! connections, in bytes and in time: where the service takes long, fewer wait for each other.

use std::time::{Duration, Instant};

/// Bytes of a batch: some 100 small responses, and a quarter of what one connection may put
/// into the output.
const BYTES_MAX: usize = 16 * 1024;

/// Time that a response may wait for the others of its batch: eight that take 12 µs each.
/// Small ones take 2 µs.
const TIME_MAX: Duration = Duration::from_micros(100);

/// Responses that stand in the output of the loop, one after another.
pub(super) struct Batch {
    parts: Vec<Part>,
    /// Number of bytes of the output that belong to the batch.
    end: usize,
    connections_max: usize,
    /// Connections that a batch may have now, by the time that the last one took.
    connections: usize,
    bytes_max: usize,
    /// Responses may wait for others: false while the loop does something else.
    is_open: bool,
    /// Time at which the first request of the batch was due: that of the wake-up, or of the end
    /// of the batch before.
    since: Instant,
}

/// The responses of one connection.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) key: usize,
    /// Place in the output where they end.
    pub(super) end: usize,
}

impl Batch {
    /// Returns the batches of a loop: of `connections_max` connections each, and of at most a
    /// quarter of `output_bytes_high` bytes, so that a batch leaves room for another response.
    pub(super) fn new(connections_max: usize, output_bytes_high: usize, now: Instant) -> Batch {
        Batch {
            parts: Vec::with_capacity(connections_max.min(64)),
            end: 0,
            connections_max,
            connections: connections_max,
            bytes_max: BYTES_MAX.min(output_bytes_high / 4),
            is_open: false,
            since: now,
        }
    }

    /// Begins a wake-up at `now`. If it `has_several` events, responses may wait.
    #[inline]
    pub(super) fn open(&mut self, has_several: bool, now: Instant) {
        self.since = now;
        self.is_open = has_several && self.connections_max > 1;
    }

    /// Ends the time in which responses may wait.
    #[inline]
    pub(super) fn close(&mut self) {
        self.is_open = false;
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns the number of bytes of the output that belong to the batch.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Adds the responses of a connection, which end at `end` in the output.
    #[inline]
    pub(super) fn add(&mut self, key: usize, end: usize) {
        self.parts.push(Part { key, end });
        self.end = end;
    }

    /// Reports whether the batch is to be sent now.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.parts.len() >= self.connections || self.end() >= self.bytes_max
    }

    /// Returns the `index`th part.
    #[inline]
    pub(super) fn part(&self, index: usize) -> Option<Part> {
        self.parts.get(index).copied()
    }

    /// Adapts the next batch to the time that this one took, before it is sent.
    #[inline]
    pub(super) fn begin_sending(&mut self) {
        if self.has_to_tell() {
            self.adapt(self.since.elapsed());
        }
    }

    fn adapt(&mut self, took: Duration) {
        let fitting = TIME_MAX.as_nanos() * self.parts.len() as u128 / took.as_nanos().max(1);
        let more = self.connections_max.min(self.connections + 1);
        self.connections = more.min(fitting as usize).max(1);
    }

    /// Forgets the parts after they have been sent.
    #[inline]
    pub(super) fn end_sending(&mut self) {
        if self.has_to_tell() {
            self.since = Instant::now();
        }
        self.parts.clear();
        self.end = 0;
    }

    /// Reports whether its time says how many connections the next batch may have. A response
    /// alone has waited for no other one, so that the clock is read only if there were others.
    #[inline]
    fn has_to_tell(&self) -> bool {
        self.is_open && self.parts.len() >= self.connections.min(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(connections_max: usize) -> Batch {
        Batch::new(connections_max, 64 * 1024, Instant::now())
    }

    /// Fills and sends a batch whose requests take `each`; returns the number of connections.
    fn send(batch: &mut Batch, each: Duration) -> usize {
        while !batch.is_full() {
            batch.add(0, 1);
        }
        let connections = batch.parts.len();
        batch.adapt(each * connections as u32);
        batch.parts.clear();
        connections
    }

    #[test]
    fn a_batch_ends_with_its_connections_or_bytes() {
        let mut batch = batch(3);
        batch.add(7, 100);
        batch.add(8, 200);
        assert!(!batch.is_full());
        batch.add(9, 300);
        assert!(batch.is_full());
        batch.end_sending();
        assert!(batch.is_empty() && batch.end() == 0);
        batch.add(7, BYTES_MAX);
        assert!(batch.is_full());
    }

    #[test]
    fn one_connection_a_batch_and_one_event_a_wakeup_open_none() {
        let mut single = batch(1);
        single.open(true, Instant::now());
        assert!(!single.is_open());
        let mut several = batch(8);
        several.open(false, Instant::now());
        assert!(!several.is_open());
        several.open(true, Instant::now());
        assert!(several.is_open());
    }

    #[test]
    fn a_batch_never_fills_the_output() {
        let mut small = Batch::new(8, 3, Instant::now());
        small.add(0, 1);
        assert!(small.is_full());
    }

    #[test]
    fn the_first_response_waits_for_at_most_a_tenth_of_a_millisecond() {
        let mut batch = batch(8);
        let micros = Duration::from_micros;
        let sizes = |batch: &mut Batch, each| [(); 9].map(|()| send(batch, each));
        assert_eq!(sizes(&mut batch, micros(12)), [8; 9]);
        assert_eq!(sizes(&mut batch, micros(30)), [8, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!(sizes(&mut batch, micros(60)), [3, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(sizes(&mut batch, micros(5000)), [1; 9]);
        assert_eq!(sizes(&mut batch, micros(2)), [1, 2, 3, 4, 5, 6, 7, 8, 8]);
    }
}
