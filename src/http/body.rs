//! Decodes a body that is delimited by its length or by the chunked coding (RFC 9112, 6 and
//! 7.1), as it arrives.
//!
//! Stores nothing: a piece of the body borrows from the input.

use super::chars;
use super::head::Framing;
use super::rejection::Rejection;

/// Maximum number of digits in a chunk size. 16 hold any u64. More are rejected, leading zeros
/// or not, so that a size cannot overflow (RFC 9112, 7.1).
const SIZE_DIGITS_MAX: u8 = 16;

/// Maximum size of chunk extensions and trailers in one body, in bytes. The server ignores them,
/// so this bounds work without effect. 16 KiB is hyper's limit for extensions.
const OVERHEAD_BYTES_MAX: u16 = 16 * 1024;

/// A piece of a request body, as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The bytes; never empty.
    pub data: &'a [u8],
    /// Size of the chunk that begins with these bytes; `None` within a chunk. In a body that is
    /// not chunked, each piece is a chunk of its own.
    pub chunk_bytes: Option<u64>,
    /// True if these bytes end their chunk.
    pub ends_chunk: bool,
}

/// The result of one step of [`Decoder::decode`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    /// A piece of the body.
    Piece(Piece<'a>),
    /// The input is used up and the body is incomplete.
    Partial,
    /// The body is complete.
    End,
}

/// Position of the next byte in a request body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decoder {
    /// Number of bytes that are still to come.
    Length(u64),
    /// Position in the chunked coding.
    Chunked(Chunked),
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Decoder {
        match framing {
            Framing::None => Decoder::Length(0),
            Framing::Length(length) => Decoder::Length(length),
            Framing::Chunked => Decoder::Chunked(Chunked::new()),
        }
    }

    /// Returns the input behind the body that begins `input`, or nothing if the body is
    /// incomplete or malformed. Looks ahead; leaves the decoder as it is.
    pub(super) fn rest_after<'a>(&self, mut input: &'a [u8]) -> &'a [u8] {
        let mut ahead = *self;
        loop {
            let (used, decoded) = ahead.decode(input);
            input = &input[used..];
            match decoded {
                Ok(Decoded::Piece(_)) => {}
                Ok(Decoded::End) => return input,
                Ok(Decoded::Partial) | Err(_) => return &[],
            }
        }
    }

    /// Decodes from the start of `input`. Returns the number of bytes used and what they were;
    /// a malformed part begins behind them.
    pub(super) fn decode<'a>(
        &mut self,
        input: &'a [u8],
    ) -> (usize, Result<Decoded<'a>, Rejection>) {
        match self {
            Decoder::Length(0) => (0, Ok(Decoded::End)),
            Decoder::Length(_) if input.is_empty() => (0, Ok(Decoded::Partial)),
            Decoder::Length(rest) => {
                let data = prefix(input, *rest);
                *rest -= data.len() as u64;
                let chunk_bytes = Some(data.len() as u64);
                let piece = Piece { data, chunk_bytes, ends_chunk: true };
                (data.len(), Ok(Decoded::Piece(piece)))
            }
            Decoder::Chunked(chunked) => chunked.decode(input),
        }
    }
}

/// Position of the next byte in the grammar of the chunked coding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    at: At,
    /// At `Size` the size so far; at `Data` the bytes of the chunk that are still to come.
    size: u64,
    size_digits: u8,
    /// True until the data of the chunk has begun.
    unbegun: bool,
    /// Size of extensions and trailers so far, in bytes.
    overhead_bytes: u16,
}

/// Positions in the grammar (RFC 9112, 7.1), named for the part that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    ExtensionSpace,
    ExtensionNameStart,
    ExtensionName,
    ExtensionNameSpace,
    ExtensionValueStart,
    ExtensionToken,
    Quoted,
    QuotedPair,
    ExtensionValueEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

impl Chunked {
    pub(super) fn new() -> Chunked {
        Chunked { at: At::Size, size: 0, size_digits: 0, unbegun: true, overhead_bytes: 0 }
    }

    fn decode<'a>(&mut self, input: &'a [u8]) -> (usize, Result<Decoded<'a>, Rejection>) {
        let mut used = 0;
        loop {
            match self.at {
                At::End => return (used, Ok(Decoded::End)),
                At::Data if used < input.len() => {
                    let data = prefix(&input[used..], self.size);
                    let chunk_bytes = self.unbegun.then_some(self.size);
                    self.unbegun = false;
                    self.size -= data.len() as u64;
                    if self.size == 0 {
                        self.at = At::DataCr;
                    }
                    let piece = Piece { data, chunk_bytes, ends_chunk: self.size == 0 };
                    return (used + data.len(), Ok(Decoded::Piece(piece)));
                }
                _ => {}
            }
            let Some(&byte) = input.get(used) else {
                return (used, Ok(Decoded::Partial));
            };
            match self.step(byte) {
                Ok(at) => self.at = at,
                Err(rejection) => return (used, Err(rejection)),
            }
            used += 1;
        }
    }

    /// Takes one byte that is not chunk data.
    fn step(&mut self, byte: u8) -> Result<At, Rejection> {
        let next = match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => return self.size_digit(byte),
            (At::Size, _) if self.size_digits == 0 => return Err(Rejection::Chunk),
            (At::Size, b'\r') => At::SizeLf,
            (At::Size | At::ExtensionSpace, b';') => At::ExtensionNameStart,
            (At::Size | At::ExtensionSpace, b' ' | b'\t') => At::ExtensionSpace,

            (At::ExtensionNameStart, b' ' | b'\t') => At::ExtensionNameStart,
            (At::ExtensionNameStart | At::ExtensionName, _) if chars::is_token(byte) => {
                At::ExtensionName
            }
            (At::ExtensionName | At::ExtensionNameSpace, b' ' | b'\t') => At::ExtensionNameSpace,
            (At::ExtensionName | At::ExtensionNameSpace, b'=') => At::ExtensionValueStart,
            (At::ExtensionName | At::ExtensionNameSpace, b';') => At::ExtensionNameStart,
            (At::ExtensionName, b'\r') => At::SizeLf,
            (At::ExtensionValueStart, b' ' | b'\t') => At::ExtensionValueStart,
            (At::ExtensionValueStart, b'"') => At::Quoted,
            (At::ExtensionValueStart | At::ExtensionToken, _) if chars::is_token(byte) => {
                At::ExtensionToken
            }
            (At::Quoted, b'"') => At::ExtensionValueEnd,
            (At::Quoted, b'\\') => At::QuotedPair,
            (At::Quoted | At::QuotedPair, _) if chars::is_field_value(byte) => At::Quoted,
            (At::ExtensionToken | At::ExtensionValueEnd, b';') => At::ExtensionNameStart,
            (At::ExtensionToken | At::ExtensionValueEnd, b' ' | b'\t') => At::ExtensionSpace,
            (At::ExtensionToken | At::ExtensionValueEnd, b'\r') => At::SizeLf,

            (At::SizeLf, b'\n') if self.size == 0 => return Ok(At::TrailerStart),
            (At::SizeLf, b'\n') => {
                self.unbegun = true;
                return Ok(At::Data);
            }
            (At::DataCr, b'\r') => return Ok(At::DataLf),
            (At::DataLf, b'\n') => {
                self.size_digits = 0;
                return Ok(At::Size);
            }

            (At::TrailerStart, b'\r') => At::EndLf,
            (At::TrailerStart | At::TrailerName, _) if chars::is_token(byte) => At::TrailerName,
            (At::TrailerName, b':') => At::TrailerValue,
            (At::TrailerValue, b'\r') => At::TrailerLf,
            (At::TrailerValue, _) if chars::is_field_value(byte) => At::TrailerValue,
            (At::TrailerLf, b'\n') => At::TrailerStart,
            (At::EndLf, b'\n') => At::End,
            _ => return Err(Rejection::Chunk),
        };
        // The CR behind a size does not count, or a body of many chunks would reach the limit.
        if self.at != At::Size || next != At::SizeLf {
            self.overhead_bytes += 1;
            if self.overhead_bytes > OVERHEAD_BYTES_MAX {
                return Err(Rejection::Chunk);
            }
        }
        Ok(next)
    }

    fn size_digit(&mut self, byte: u8) -> Result<At, Rejection> {
        if self.size_digits == 0 {
            self.size = 0;
        }
        if self.size_digits == SIZE_DIGITS_MAX {
            return Err(Rejection::Chunk);
        }
        self.size_digits += 1;
        self.size = self.size << 4 | u64::from(chars::hex_value(byte).unwrap_or(0));
        Ok(At::Size)
    }
}

/// Returns at most `bytes_max` bytes from the start of `input`.
fn prefix(input: &[u8], bytes_max: u64) -> &[u8] {
    let bytes = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(input.len());
    &input[..bytes]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the body in `input`, the number of bytes used, and whether it was complete.
    fn decode_whole(input: &[u8]) -> Result<(Vec<u8>, usize, bool), Rejection> {
        let mut decoder = Decoder::Chunked(Chunked::new());
        let (mut content, mut used) = (Vec::new(), 0);
        loop {
            let (step, decoded) = decoder.decode(&input[used..]);
            used += step;
            match decoded? {
                Decoded::Piece(piece) => content.extend_from_slice(piece.data),
                Decoded::Partial => return Ok((content, used, false)),
                Decoded::End => return Ok((content, used, true)),
            }
        }
    }

    fn decodes(input: &str, content: &str) {
        let (found, used, complete) = decode_whole(input.as_bytes()).expect(input);
        assert_eq!(String::from_utf8_lossy(&found), content, "{input:?}");
        assert!(complete, "{input:?}");
        assert_eq!(used, input.len(), "{input:?}");
    }

    #[test]
    fn decodes_chunks_extensions_and_trailers() {
        decodes("0\r\n\r\n", "");
        decodes("5\r\nhello\r\n0\r\n\r\n", "hello");
        decodes("05\r\nhello\r\nA\r\n0123456789\r\n000\r\n\r\n", "hello0123456789");
        decodes("5;a=b\r\nhello\r\n0;c\r\n\r\n", "hello");
        decodes("5 ; a = \"q\\\"\t;\" ;b\r\nhello\r\n0\r\nx-sum: 1\r\nempty:\r\n\r\n", "hello");
    }

    #[test]
    fn rejects_input_outside_the_grammar() {
        for input in [
            "\r\n",
            ";a\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x5\r\n",
            " 5\r\n",
            "5 \r\n",
            "5\n",
            "5\rx",
            "5\r\nhelloX",
            "5\r\nhello\n",
            "5\r\nhello\r0",
            "5;\r\n",
            "5;=b\r\n",
            "5;a=\r\n",
            "5;a b\r\n",
            "5;a=\"b\r\n",
            "5;a=\"\x01\"\r\n",
            "5;a=b c\r\n",
            "00000000000000005\r\n",
            "fffffffffffffffff\r\n",
            "0\r\nbad trailer: 1\r\n",
            "0\r\n: 1\r\n",
            "0\r\na: 1\n",
            "0\r\na: \x00\r\n",
            "0\r\n a: 1\r\n",
            "0\r\n\n",
        ] {
            assert_eq!(decode_whole(input.as_bytes()), Err(Rejection::Chunk), "{input:?}");
        }
    }

    #[test]
    fn limits_extensions_and_trailers_but_not_the_number_of_chunks() {
        let extension = format!("1;{}", "a".repeat(20_000));
        assert_eq!(decode_whole(extension.as_bytes()), Err(Rejection::Chunk));
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(4_000));
        assert_eq!(decode_whole(trailers.as_bytes()), Err(Rejection::Chunk));
        decodes(&format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(50_000)), &"x".repeat(50_000));
    }

    #[test]
    fn marks_the_begin_and_the_end_of_a_chunk_however_it_arrives() {
        let mut decoder = Decoder::Chunked(Chunked::new());
        let begun = Piece { data: b"he", chunk_bytes: Some(5), ends_chunk: false };
        assert_eq!(decoder.decode(b"5\r\nhe"), (5, Ok(Decoded::Piece(begun))));
        let ended = Piece { data: b"llo", chunk_bytes: None, ends_chunk: true };
        assert_eq!(decoder.decode(b"llo\r\n"), (3, Ok(Decoded::Piece(ended))));
    }
}
