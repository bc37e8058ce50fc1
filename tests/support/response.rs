//! The one reader of responses.
//!
//! It shares no code with the server, so that a fault in one cannot hide in the other.

use std::io::Read;

use super::head::try_read_head;
pub(crate) use super::head::{read_head, read_some, split_head};

/// Reads one response with a content-length. Returns its head and its body.
pub(crate) fn read_response(stream: &mut impl Read) -> (String, Vec<u8>) {
    try_read_response(stream).expect("a response before the connection ends")
}

/// Reads one response with a content-length, or returns `None` if the connection ends
/// before the response begins. Panics if the response is cut off.
pub(crate) fn try_read_response(stream: &mut impl Read) -> Option<(String, Vec<u8>)> {
    let head = try_read_head(stream)?;
    let length = header(&head, "content-length");
    let length = length.map_or(0, |value| value.parse().expect("a number of bytes"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap_or_else(|error| panic!("{error} in the body of {head}"));
    Some((head, body))
}

/// Returns the value of a header. Names are matched in lower case, as the server sends them.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Returns the status codes of all responses in `output`, interim responses included.
pub(crate) fn statuses(output: &str) -> Vec<u16> {
    let responses = output.split("HTTP/1.1 ").skip(1);
    responses.map(|response| response[..3].parse().expect("a status code")).collect()
}

/// Decodes a chunked body without extensions and trailers. Panics if anything follows it.
pub(crate) fn dechunk(chunked: &[u8]) -> Vec<u8> {
    let (mut rest, mut body) = (chunked, Vec::new());
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").expect("a size line");
        let size = std::str::from_utf8(&rest[..end]).expect("a size in ASCII");
        let size = usize::from_str_radix(size, 16).expect("a size in hexadecimal");
        let (data, after) = rest[end + 2..].split_at(size);
        body.extend_from_slice(data);
        rest = after.strip_prefix(b"\r\n").expect("a line end after the chunk");
        if size == 0 {
            assert!(rest.is_empty(), "{} bytes after the last chunk", rest.len());
            return body;
        }
    }
}
