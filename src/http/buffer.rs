//! Bytes that are kept for later: input that is not consumed, output that is not sent,
//! content that is not whole.
//!
//! What is large stands in a mapping of its own, so that the system has it back the
//! moment it is given up. An allocator has its own mind about that: glibc cuts an arena
//! only from its end, and one small block there, of a connection that stays or in a
//! thread's cache, keeps whatever lies before it.
//!
//! RSS of one thread, with glibc's defaults, 3 MB before each burst, once all clients of
//! it are gone:
//!
//! | 200 clients | all on the heap | so |
//! | --- | --- | --- |
//! | that read nothing of 64 KiB of echo each, among 600 that are slow or idle | 23.6 MB | 3.5 MB |
//! | that send 1 MiB each, which is collected | 44 to 132 MB | 3.3 MB |

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// From so many bytes on a buffer is a mapping of its own: 2 pages, of which at most one
/// is not full. A mapping costs 1 to 3 µs a page, and another 8, on a virtual machine
/// (see [`Spares`](super::Spares) for who pays that); most requests in a few packets are
/// smaller, and stay on the heap. What 200 clients can leave there is 1.6 MB.
pub(super) const MAPPED_BYTES_MIN: usize = 8 * 1024;

/// Mappings are of whole pages.
const PAGE_BYTES: usize = 4096;

/// PendingRecord bytes, which are taken from the front. One that has never had any is a null
/// pointer.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Option<Box<Block>>);

#[derive(Debug)]
struct Block {
    memory: Memory,
    /// The bytes kept are `memory[begin..end]`.
    begin: usize,
    end: usize,
}

#[derive(Debug)]
enum Memory {
    Heap(Box<[u8]>),
    Mapped(MmapMut),
}

impl Buffer {
    /// Adds bytes at the end.
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            _ if bytes.is_empty() => {}
            Some(block) => block.extend_from_slice(bytes),
            none => *none = Some(Box::new(Block::new(bytes, bytes.len()))),
        }
    }

    /// Takes bytes from the front.
    pub(crate) fn consume(&mut self, bytes: usize) {
        if let Some(block) = &mut self.0 {
            block.begin += bytes;
            debug_assert!(block.begin <= block.end, "no more is taken than there was");
        }
    }

    /// Takes all bytes, and keeps the memory for others.
    pub(crate) fn clear(&mut self) {
        if let Some(block) = &mut self.0 {
            (block.begin, block.end) = (0, 0);
        }
    }

    /// Bytes of memory that it has.
    pub(crate) fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |block| block.memory.len())
    }

    /// Whether its memory is a mapping of its own.
    pub(crate) fn is_mapped(&self) -> bool {
        matches!(&self.0, Some(block) if matches!(block.memory, Memory::Mapped(_)))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |block| &block.memory[block.begin..block.end])
    }
}

impl Block {
    fn new(bytes: &[u8], capacity: usize) -> Block {
        let mut memory = Memory::new(capacity);
        memory[..bytes.len()].copy_from_slice(bytes);
        Block { memory, begin: 0, end: bytes.len() }
    }

    fn extend_from_slice(&mut self, bytes: &[u8]) {
        if self.memory.len() - self.end < bytes.len() {
            // Twice as large, so that one that grows byte by byte is seldom copied.
            // Pages that are never written take no memory.
            let kept = &self.memory[self.begin..self.end];
            *self = Block::new(kept, kept.len() + bytes.len().max(kept.len()));
        }
        self.memory[self.end..][..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }
}

impl Memory {
    fn new(bytes: usize) -> Memory {
        if bytes >= MAPPED_BYTES_MIN
            && let Ok(mapped) = MmapMut::map_anon(bytes.next_multiple_of(PAGE_BYTES))
        {
            return Memory::Mapped(mapped);
        }
        // Also where the system maps no more: it allows only so many.
        Memory::Heap(vec![0; bytes].into())
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(bytes) => bytes,
        }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_without_bytes_owns_no_memory() {
        assert_eq!(size_of::<Buffer>(), size_of::<usize>());
        let mut buffer = Buffer::default();
        buffer.extend_from_slice(b"");
        assert!(buffer.0.is_none() && buffer.is_empty());
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn bytes_come_out_in_order_however_they_went_in() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
        for (add, take) in [(1, 1), (7, 3), (1000, 1), (5000, 4999), (50_000, 20_000)] {
            let (mut buffer, mut taken) = (Buffer::default(), Vec::new());
            for added in bytes.chunks(add) {
                buffer.extend_from_slice(added);
                let part = buffer.len().min(take);
                taken.extend_from_slice(&buffer[..part]);
                buffer.consume(part);
            }
            taken.extend_from_slice(&buffer);
            assert!(taken == bytes, "{add} added and {take} taken at a time");
        }
    }

    #[test]
    fn what_is_large_is_mapped_and_no_larger_than_it_must_be() {
        let mut small = Buffer::default();
        small.extend_from_slice(&[1; MAPPED_BYTES_MIN - 1]);
        assert!(!small.is_mapped());
        assert_eq!(small.capacity(), MAPPED_BYTES_MIN - 1);
        let mut large = Buffer::default();
        large.extend_from_slice(&[1; 100_000]);
        assert!(large.is_mapped());
        assert_eq!(large.capacity(), 102_400);
    }

    #[test]
    fn one_that_is_cleared_has_its_memory_still() {
        let mut buffer = Buffer::default();
        buffer.extend_from_slice(&[1; 20_000]);
        let at = buffer.as_ptr();
        buffer.clear();
        assert!(buffer.is_empty());
        buffer.extend_from_slice(&[2; 10_000]);
        assert_eq!((buffer.as_ptr(), &*buffer), (at, &[2; 10_000][..]));
    }
}
