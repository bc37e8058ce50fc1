//! Whatever arrives, one piece and many give the same answers, consume the same
//! bytes, and leave a connection that answers what follows in the same way.

use pinloop::Limits;

use super::feed::feed;
use super::probe::Probe;

/// What is sent behind an input, to see in which state it has left the connection.
const FOLLOWER: &[u8] = b"GET /show HTTP/1.1\r\nHost: follower\r\n\r\n";

/// The first byte of `input` chooses limits, the next two how the rest is split.
pub(crate) fn check(input: &[u8]) {
    let [choice, first, second, input @ ..] = input else { return };
    let limits = limits(*choice);
    let lengths = [usize::from(*first).max(1), usize::from(*second).max(1)];
    let many: Vec<usize> = lengths.into_iter().cycle().take(input.len()).collect();

    let whole = feed(&mut Probe, &limits, input, &[]);
    assert!(feed(&mut Probe, &limits, input, &vec![1; input.len()]) == whole, "byte by byte");
    assert!(feed(&mut Probe, &limits, input, &many) == whole, "in pieces of {lengths:?} bytes");

    let followed = [input, FOLLOWER].concat();
    let after_whole = feed(&mut Probe, &limits, &followed, &[input.len()]);
    let after_many = feed(&mut Probe, &limits, &followed, &many);
    assert!(after_whole == after_many, "behind pieces of {lengths:?} bytes");
    assert!(after_whole.0.starts_with(&whole.0), "what follows changes what was answered");
    assert!(!whole.1 || after_whole.0 == whole.0, "something is answered after the end");
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
