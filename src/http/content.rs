//! The content of an answer, framed as its head has promised (RFC 9112, 6).

use super::body::Piece;
use super::framing::Persistence;
use super::record::Said;

/// Writes the content of an answer, some at each call, as long as the
/// connection takes it: is called again whenever there is room.
pub type Producer = Box<dyn FnMut(&mut ContentWriter<'_>) -> Flow>;

/// Whether a [`Producer`] has more to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is more.
    More,
    /// The content is complete.
    Done,
}

/// An answer whose head is written.
pub(super) struct Answering {
    pub(super) persistence: Persistence,
    pub(super) outgoing: Outgoing,
    pub(super) said: Said,
}

impl Answering {
    pub(super) fn writer<'o>(&'o mut self, output: &'o mut Vec<u8>) -> ContentWriter<'o> {
        ContentWriter {
            output,
            outgoing: &mut self.outgoing,
            content_bytes: &mut self.said.content_bytes,
        }
    }
}

/// How the content of an answer is delimited (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// There is none, whatever is written.
    Nothing,
    /// So many bytes are still to be written.
    Length(u64),
    Chunked {
        /// In the midst of a chunk.
        open: bool,
    },
    UntilClose,
    /// More was written than was promised, or into the midst of a chunk, so the
    /// connection can't go on.
    Broken,
}

impl Outgoing {
    /// Ends the content; says whether it is as was promised.
    pub(super) fn end(self, output: &mut Vec<u8>) -> bool {
        match self {
            Outgoing::Nothing | Outgoing::Length(0) | Outgoing::UntilClose => true,
            Outgoing::Length(_) | Outgoing::Chunked { open: true } | Outgoing::Broken => false,
            Outgoing::Chunked { open: false } => {
                output.extend_from_slice(b"0\r\n\r\n");
                true
            }
        }
    }
}

/// Writes content into the output buffer, framed as its head has promised.
#[derive(Debug)]
pub struct ContentWriter<'o> {
    pub(super) output: &'o mut Vec<u8>,
    pub(super) outgoing: &'o mut Outgoing,
    pub(super) content_bytes: &'o mut u64,
}

impl ContentWriter<'_> {
    /// Writes `data`, as one chunk where the answer is chunked. What goes beyond a
    /// promised length, or between two pieces of one chunk, is dropped, and the
    /// connection closed.
    pub fn write(&mut self, data: &[u8]) {
        let chunk_bytes = Some(data.len() as u64);
        self.write_piece(&Piece { data, chunk_bytes, ends_chunk: true });
    }

    /// Writes a piece of a request's content back, chunk for chunk where both
    /// the request and the answer are chunked.
    pub fn write_piece(&mut self, piece: &Piece<'_>) {
        match self.outgoing {
            _ if piece.data.is_empty() => return,
            Outgoing::Nothing | Outgoing::Broken => return,
            Outgoing::UntilClose => self.output.extend_from_slice(piece.data),
            Outgoing::Length(rest) => match rest.checked_sub(piece.data.len() as u64) {
                Some(left) => {
                    *rest = left;
                    self.output.extend_from_slice(piece.data);
                }
                None => {
                    *self.outgoing = Outgoing::Broken;
                    return;
                }
            },
            Outgoing::Chunked { open } => {
                if *open == piece.chunk_bytes.is_some() {
                    *self.outgoing = Outgoing::Broken;
                    return;
                }
                *open = !piece.ends_chunk;
                if let Some(bytes) = piece.chunk_bytes {
                    write_hexadecimal(self.output, bytes);
                    self.output.extend_from_slice(b"\r\n");
                }
                self.output.extend_from_slice(piece.data);
                if piece.ends_chunk {
                    self.output.extend_from_slice(b"\r\n");
                }
            }
        }
        *self.content_bytes += piece.data.len() as u64;
    }
}

fn write_hexadecimal(output: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789ABCDEF"[(number % 16) as usize];
        number /= 16;
        if number == 0 {
            break;
        }
    }
    output.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_chunk_sizes_as_they_are_read() {
        let mut output = Vec::new();
        for number in [0, 9, 10, 255, 1_000_000, u64::MAX] {
            output.clear();
            write_hexadecimal(&mut output, number);
            assert_eq!(String::from_utf8_lossy(&output), format!("{number:X}"));
        }
    }

    #[test]
    fn a_promise_of_length_that_is_broken_is_noticed() {
        let mut output = Vec::new();
        let mut outgoing = Outgoing::Length(3);
        let mut content_bytes = 0;
        let mut writer = ContentWriter {
            output: &mut output,
            outgoing: &mut outgoing,
            content_bytes: &mut content_bytes,
        };
        writer.write(b"ab");
        assert!(!writer.outgoing.end(&mut Vec::new()));
        writer.write(b"cd");
        assert_eq!(outgoing, Outgoing::Broken);
        assert_eq!(output, b"ab");
    }
}
