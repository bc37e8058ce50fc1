//! Feeds bytes to the protocol core, without a socket or a clock.

use std::time::{Duration, UNIX_EPOCH};

use pinloop::Limits;
use pinloop::http::{Connection, Context, Date, Next, Service};

/// Feeds `input` to a new connection: pieces of the given lengths first, then the
/// remaining bytes at once. Returns the responses, whether the connection is to be closed,
/// and the number of bytes that were not consumed.
pub(crate) fn feed<S: Service>(
    service: &mut S,
    limits: &Limits,
    input: &[u8],
    pieces: &[usize],
) -> (Vec<u8>, bool, usize) {
    let date = Date::at(UNIX_EPOCH + Duration::from_secs(784_111_777));
    let context = Context::new(limits, &date);
    let mut connection = Connection::default();
    let (mut responses, mut output, mut carry) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = input;
    let mut closed = false;
    for &piece in pieces.iter().chain([&usize::MAX]) {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        rest = later;
        carry.extend_from_slice(now);
        loop {
            let progress = connection.advance(&carry, &mut output, service, &context);
            carry.drain(..progress.consumed);
            responses.append(&mut output);
            match progress.next {
                Next::Read | Next::Wait => break,
                Next::Flush => {}
                Next::Close(_) => {
                    closed = true;
                    break;
                }
            }
        }
        if closed {
            break;
        }
    }
    (responses, closed, carry.len() + rest.len())
}
