//! Reading from a socket, and the head of a response: what a program of its own shares with the other
//! tests.

use std::io::{self, ErrorKind, Read};

/// Reads the bytes that are there, as `read` does. Unlike `read`, it goes on if a signal, such as
/// SIGCONT after a pause, interrupts it.
pub(crate) fn read_some(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads the head of a response, with the empty line that ends it and nothing behind it.
pub(crate) fn read_head(stream: &mut impl Read) -> String {
    try_read_head(stream).expect("a response before the connection ends")
}

/// Reads the head of a response, or returns `None` if the connection ends before the response begins.
pub(crate) fn try_read_head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read_exact(&mut byte).map_err(|error| error.kind()) {
            Ok(()) => head.push(byte[0]),
            Err(ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) if head.is_empty() => {
                return None;
            }
            Err(kind) => panic!("{kind} in the head {:?}", String::from_utf8_lossy(&head)),
        }
    }
    Some(String::from_utf8(head).expect("a head in UTF-8"))
}

/// Splits a message after the empty line that ends its head. A message without such a line
/// is all body.
pub(crate) fn split_head(message: &[u8]) -> (&[u8], &[u8]) {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n");
    message.split_at(end.map_or(0, |at| at + 4))
}
