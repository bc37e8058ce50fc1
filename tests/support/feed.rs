//! The core fed from bytes alone: no socket, no clock.

use std::time::{Duration, UNIX_EPOCH};

use pinloop::Limits;
use pinloop::http::{Connection, Context, Date, Next, Service, Spares};

thread_local! {
    /// What requests in pieces leave to those after them, of whatever test.
    static SPARES: Spares = Spares::default();
}

/// Feeds `input` to a new connection, in pieces of the given lengths and the rest
/// whole: the answers, whether the connection is to be closed, and how many bytes
/// were not consumed. What is fed in pieces has its memory from what was fed before.
pub(crate) fn feed<S: Service>(
    service: &mut S,
    limits: &Limits,
    input: &[u8],
    pieces: &[usize],
) -> (Vec<u8>, bool, usize) {
    SPARES.with(|spares| {
        feed_with((!pieces.is_empty()).then_some(spares), service, limits, input, pieces)
    })
}

fn feed_with<S: Service>(
    spares: Option<&Spares>,
    service: &mut S,
    limits: &Limits,
    input: &[u8],
    pieces: &[usize],
) -> (Vec<u8>, bool, usize) {
    let date = Date::at(UNIX_EPOCH + Duration::from_secs(784_111_777));
    let context = Context { spares, ..Context::new(limits, &date) };
    let mut connection = Connection::default();
    let (mut answers, mut output, mut carry) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = input;
    let mut closed = false;
    for &piece in pieces.iter().chain([&usize::MAX]) {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        rest = later;
        carry.extend_from_slice(now);
        loop {
            let progress = connection.advance(&carry, &mut output, service, &context);
            carry.drain(..progress.consumed);
            answers.append(&mut output);
            match progress.next {
                Next::Read | Next::Wait => break,
                Next::Flush => {}
                Next::Close { .. } => {
                    closed = true;
                    break;
                }
            }
        }
        if closed {
            break;
        }
    }
    (answers, closed, carry.len() + rest.len())
}
