//! Bytes that are kept for later: input that was not consumed, output that was not sent.

use std::ops::Deref;

/// Kept bytes, which are taken from the front. An empty buffer is a null pointer, because most
/// connections keep nothing.
#[derive(Debug, Default)]
pub(super) struct Buffer(Option<Box<Kept>>);

#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    /// The bytes before this index have been taken.
    begin: usize,
}

impl Buffer {
    /// Adds bytes at the end.
    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            _ if bytes.is_empty() => {}
            Some(kept) => {
                kept.make_room(bytes.len());
                kept.bytes.extend_from_slice(bytes);
            }
            none => *none = Some(Box::new(Kept { bytes: bytes.to_vec(), begin: 0 })),
        }
    }

    /// Takes bytes from the front; gives the memory back when none are left.
    pub(super) fn consume(&mut self, bytes: usize) {
        if let Some(kept) = &mut self.0 {
            kept.begin += bytes;
            debug_assert!(kept.begin <= kept.bytes.len(), "more bytes taken than kept");
            if kept.begin >= kept.bytes.len() {
                self.0 = None;
            }
        }
    }

    /// Returns the memory that the buffer holds, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.bytes.capacity())
    }
}

impl Kept {
    /// Moves the bytes to the front if that saves growing the memory.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes.capacity() - self.bytes.len() < bytes && self.begin > self.bytes.len() / 2 {
            self.bytes.drain(..self.begin);
            self.begin = 0;
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |kept| &kept.bytes[kept.begin..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_buffer_owns_no_memory() {
        assert_eq!(size_of::<Buffer>(), size_of::<usize>());
        let mut buffer = Buffer::default();
        buffer.extend_from_slice(b"");
        assert!(buffer.0.is_none() && buffer.is_empty());
        buffer.extend_from_slice(b"ab");
        buffer.consume(1);
        assert_eq!(&*buffer, b"b");
        buffer.consume(1);
        assert!(buffer.0.is_none());
    }

    #[test]
    fn bytes_come_out_in_order_and_memory_stays_in_proportion() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
        for (add, take) in [(1, 1), (7, 3), (1000, 1), (5000, 4999), (50_000, 20_000)] {
            let (mut buffer, mut taken) = (Buffer::default(), Vec::new());
            for added in bytes.chunks(add) {
                buffer.extend_from_slice(added);
                let part = buffer.len().min(take);
                taken.extend_from_slice(&buffer[..part]);
                buffer.consume(part);
                assert!(buffer.capacity() <= 5 * (buffer.len() + add) + 8, "{add} and {take}");
            }
            taken.extend_from_slice(&buffer);
            assert!(taken == bytes, "{add} added and {take} taken at a time");
        }
    }
}
