//! Memory that a request leaves to the next one of its core.
//!
//! A large [`Buffer`] is a mapping, and a new one for each answer that the socket does not
//! take at once would cost more than all else: 29 to 40 µs for 64 KiB, on a virtual
//! machine, where to copy as much takes 1.2. But whoever has sent what was left soon needs
//! the same again, so that one buffer, left by one connection to the next, is enough.

use std::cell::{Cell, RefCell};

use super::buffer::{Buffer, MAPPED_BYTES_MIN};
use super::connection::Streaming;

/// The largest buffer that is left to the next request, in bytes. 1 MiB: a larger one goes
/// back to the system.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// How many times what is asked for the buffer may be that is given for it: it counters as a
/// whole among the bytes that its connection keeps, and may be kept for long.
const BUFFER_SHARE: usize = 8;

/// Requests whose memory is left to others: so many with content that comes in pieces
/// can be under way at a time, and none of them allocates. With what each may have held
/// back that is half a MiB.
const STREAMING_MAX: usize = 16;

/// The most of [`Streaming::held`] that is left to others, in bytes: twice what is held
/// back by default.
const HELD_BYTES_MAX: usize = 32 * 1024;

/// What requests leave to others: whoever drives connections has one for each thread.
#[derive(Default)]
pub struct Spares {
    buffer: Cell<Buffer>,
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    streaming: RefCell<Vec<Box<Streaming>>>,
}

impl Spares {
    /// A buffer without bytes, for so many.
    pub(crate) fn buffer(&self, bytes: usize) -> Buffer {
        let spare = self.buffer.take();
        if bytes >= MAPPED_BYTES_MIN && spare.capacity() / BUFFER_SHARE <= bytes {
            return spare;
        }
        self.buffer.set(spare);
        Buffer::default()
    }

    /// Leaves a buffer to the next request.
    pub(crate) fn leave(&self, mut buffer: Buffer) {
        if buffer.is_mapped() && buffer.capacity() <= BUFFER_BYTES_MAX {
            buffer.clear();
            self.buffer.set(buffer);
        }
    }

    /// `streaming`, which holds nothing back, in a box.
    pub(super) fn boxed(&self, streaming: Streaming) -> Box<Streaming> {
        match self.streaming.borrow_mut().pop() {
            None => Box::new(streaming),
            Some(mut spare) => {
                let old = std::mem::replace(&mut *spare, streaming);
                spare.held = old.held;
                spare
            }
        }
    }

    /// Leaves the box of a request that is over to the next one.
    pub(super) fn leave_box(&self, mut streaming: Box<Streaming>) {
        // What a receiver owns goes with its request.
        streaming.receiver = Box::new(|_, _| ());
        streaming.held.clear();
        if streaming.held.capacity() > HELD_BYTES_MAX {
            streaming.held = Buffer::default();
        }
        let mut spares = self.streaming.borrow_mut();
        if spares.len() < STREAMING_MAX {
            spares.push(streaming);
        }
    }
}

impl std::fmt::Debug for Spares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spares").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_goes_to_whoever_needs_as_much_and_not_to_whoever_needs_little() {
        let spares = Spares::default();
        let mut large = Buffer::default();
        large.extend_from_slice(&[1; 512 * 1024]);
        spares.leave(large);
        assert_eq!(spares.buffer(MAPPED_BYTES_MIN).capacity(), 0);
        assert_eq!(spares.buffer(100).capacity(), 0);
        let again = spares.buffer(64 * 1024);
        assert!(again.is_empty());
        assert_eq!(again.capacity(), 512 * 1024);
        assert_eq!(spares.buffer(64 * 1024).capacity(), 0);
    }
}
