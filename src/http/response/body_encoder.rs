//! The body of a response, framed as its head has promised (RFC 9112, 6).

use super::number::write_hexadecimal;
use crate::http::body::Piece;

/// Writes a part of a response body at each call. It is called again when the connection has
/// room, or when its [`StreamWaker`](crate::http::StreamWaker) is woken.
pub type Producer = Box<dyn FnMut(&mut BodyWriter<'_>) -> Flow>;

/// The wish of a [`Producer`] after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flow {
    /// To be called again as soon as there is room. A producer that returns this without
    /// writing anything ends its connection; return [`Flow::Pause`] instead.
    More,
    /// To be called again when the [`StreamWaker`](crate::http::StreamWaker) of the response
    /// is woken.
    Pause,
    /// Nothing: the body is complete.
    Done,
}

/// Framing of a response body (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum BodyEncoder {
    /// No body; writes are ignored.
    Nothing,
    /// Number of bytes that are still to be written.
    Length(u64),
    /// The chunked coding (RFC 9112, 7.1).
    Chunked {
        /// True within a chunk.
        open: bool,
    },
    /// The end of the connection ends the body.
    UntilClose,
    /// More was written than promised, or data within another chunk, so the connection must
    /// end.
    Broken,
}

impl BodyEncoder {
    /// Ends the body; reports whether it is as the head has promised.
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

/// Writes a response body into the output buffer, framed as the head has promised.
#[derive(Debug)]
pub struct BodyWriter<'o> {
    pub(in crate::http) output: &'o mut Vec<u8>,
    pub(in crate::http) encoder: &'o mut BodyEncoder,
    pub(in crate::http) body_bytes: &'o mut u64,
}

impl BodyWriter<'_> {
    /// Writes `data`, as one chunk if the response is chunked. Data beyond the promised length
    /// is dropped, and the connection closed.
    pub fn write(&mut self, data: &[u8]) {
        let chunk_bytes = Some(data.len() as u64);
        self.write_piece(&Piece { data, chunk_bytes, ends_chunk: true });
    }

    /// Writes a piece of a request body back, chunk for chunk if both the request and the
    /// response are chunked.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_a_broken_promise_of_length() {
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
