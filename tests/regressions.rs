//! Bugs that were found, each with the bytes that showed it.

use crate::support::{exchange, statuses};

/// The version of such a line was read as one above 1.1, and the head read again,
/// and again, until the stack was used up: one request ended the process.
#[test]
fn a_space_too_many_before_a_known_version_is_refused() {
    for line in ["GET /a b HTTP/1.1", "GET /  HTTP/1.1", "GET / x HTTP/1.0", "GET / a b HTTP/1.2"] {
        let refused = exchange(&format!("{line}\r\nHost: a\r\n\r\n"));
        assert_eq!((statuses(&refused), refused.closed), (vec![400], true), "{line}");
    }
}

/// A later minor version is read from a copy of the head, and only of the head.
#[test]
fn later_minor_versions_have_content_and_followers_too() {
    let post = "POST /echo HTTP/1.2\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let put =
        "PUT /data HTTP/1.9\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let answered = exchange(&format!("{post}{put}{put}{post}"));
    assert_eq!((statuses(&answered), answered.closed), (vec![200, 405, 405, 200], false));
}
