//! Checks that splits change nothing: not the responses, not the consumed bytes, and not the
//! state of the connection afterwards.

use pinloop::Limits;

use super::feed::feed;
use super::probe::Probe;

/// Request that is sent behind an input, to show the state of the connection.
const FOLLOWER: &[u8] = b"GET /show HTTP/1.1\r\nHost: follower\r\n\r\n";

/// The first byte of `input` chooses the limits. The next two choose how the other bytes are
/// split.
pub(crate) fn check(input: &[u8]) {
    let [choice, first, second, input @ ..] = input else { return };
    let limits = limits(*choice);
    let lengths = [usize::from(*first).max(1), usize::from(*second).max(1)];
    let many: Vec<usize> = lengths.into_iter().cycle().take(input.len()).collect();

    let text = String::from_utf8_lossy(input);
    let whole = feed(&mut Probe, &limits, input, &[]);
    assert!(
        feed(&mut Probe, &limits, input, &vec![1; input.len()]) == whole,
        "byte by byte: {text:?}"
    );
    assert!(
        feed(&mut Probe, &limits, input, &many) == whole,
        "in pieces of {lengths:?} bytes: {text:?}"
    );

    let followed = [input, FOLLOWER].concat();
    let after_whole = feed(&mut Probe, &limits, &followed, &[input.len()]);
    let after_many = feed(&mut Probe, &limits, &followed, &many);
    assert!(after_whole == after_many, "behind pieces of {lengths:?} bytes");
    assert!(
        after_whole.0.starts_with(&whole.0),
        "a request behind the input changed the earlier responses"
    );
    assert!(
        !whole.1 || after_whole.0 == whole.0,
        "there is a response after the end of the connection"
    );
}

fn limits(choice: u8) -> Limits {
    let default = Limits::default();
    match choice % 4 {
        0 => default,
        1 => Limits { head_bytes_max: 64, headers_max: 2, ..default },
        2 => Limits { body_bytes_max: 8, output_bytes_high: 1, ..default },
        _ => Limits { output_bytes_high: 200, held_bytes_max: 4, ..default },
    }
}
