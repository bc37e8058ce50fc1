//! The content of an answer, framed as its head has promised (RFC 9112, 6).

use crate::http::body::Piece;
use crate::http::head::headers::Persistence;
use crate::http::record::ResponseSummary;

/// Writes the content of an answer, some at each call, as long as the
/// connection takes it: is called again whenever there is room.
pub type Producer = Box<dyn FnMut(&mut BodyWriter<'_>) -> Flow>;

/// Whether a [`Producer`] has more to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is more.
    More,
    /// The content is complete.
    Done,
}

/// An answer whose head is written.
pub(in crate::http) struct ResponseState {
    pub(in crate::http) persistence: Persistence,
    pub(in crate::http) encoder: BodyEncoder,
    pub(in crate::http) said: ResponseSummary,
}

impl ResponseState {
    pub(in crate::http) fn writer<'o>(&'o mut self, output: &'o mut Vec<u8>) -> BodyWriter<'o> {
        BodyWriter { output, encoder: &mut self.encoder, body_bytes: &mut self.said.body_bytes }
    }
}

/// How the content of an answer is delimited (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum BodyEncoder {
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

impl BodyEncoder {
    /// Ends the content; says whether it is as was promised.
    pub(in crate::http) fn end(self, output: &mut Vec<u8>) -> bool {
        match self {
            BodyEncoder::Nothing | BodyEncoder::Length(0) | BodyEncoder::UntilClose => true,
            BodyEncoder::Length(_) | BodyEncoder::Chunked { open: true } | BodyEncoder::Broken => {
                false
            }
            BodyEncoder::Chunked { open: false } => {
                output.extend_from_slice(b"0\r\n\r\n");
                true
            }
        }
    }
}

/// Writes content into the output buffer, framed as its head has promised.
#[derive(Debug)]
pub struct BodyWriter<'o> {
    pub(in crate::http) output: &'o mut Vec<u8>,
    pub(in crate::http) encoder: &'o mut BodyEncoder,
    pub(in crate::http) body_bytes: &'o mut u64,
}

impl BodyWriter<'_> {
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
        match self.encoder {
            _ if piece.data.is_empty() => return,
            BodyEncoder::Nothing | BodyEncoder::Broken => return,
            BodyEncoder::UntilClose => self.output.extend_from_slice(piece.data),
            BodyEncoder::Length(rest) => match rest.checked_sub(piece.data.len() as u64) {
                Some(left) => {
                    *rest = left;
                    self.output.extend_from_slice(piece.data);
                }
                None => {
                    *self.encoder = BodyEncoder::Broken;
                    return;
                }
            },
            BodyEncoder::Chunked { open } => {
                if *open == piece.chunk_bytes.is_some() {
                    *self.encoder = BodyEncoder::Broken;
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
        *self.body_bytes += piece.data.len() as u64;
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
        let mut encoder = BodyEncoder::Length(3);
        let mut body_bytes = 0;
        let mut writer =
            BodyWriter { output: &mut output, encoder: &mut encoder, body_bytes: &mut body_bytes };
        writer.write(b"ab");
        assert!(!writer.encoder.end(&mut Vec::new()));
        writer.write(b"cd");
        assert_eq!(encoder, BodyEncoder::Broken);
        assert_eq!(output, b"ab");
    }
}
