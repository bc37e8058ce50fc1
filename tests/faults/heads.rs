//! Heads cost in proportion to their bytes, and clients may send what the URL standard allows.

use std::time::{Instant, UNIX_EPOCH};

use pinloop::Limits;
use pinloop::http::{Connection, Context, Date, Next, TargetSyntax};

use crate::support::probe::Probe;
use crate::support::{PATIENCE, exchange_in, statuses};

/// Returns the responses to `head`, which arrives byte by byte. Panics when that takes far
/// longer than one look at each byte.
fn feed_bytes(head: &[u8], limits: &Limits) -> String {
    let date = Date::at(UNIX_EPOCH);
    let context = Context::new(limits, &date);
    let (mut connection, mut output) = (Connection::default(), Vec::new());
    let (mut begin, begun) = (0, Instant::now());
    for end in 1..=head.len() {
        let progress = connection.advance(&head[begin..end], &mut output, &mut Probe, &context);
        begin += progress.consumed;
        if progress.next != Next::Read {
            break;
        }
        // Looking at all bytes again for each byte would take minutes.
        assert!(begun.elapsed() < PATIENCE, "{end} of {} bytes", head.len());
    }
    String::from_utf8_lossy(&output).into_owned()
}

/// Heads were parsed anew for each segment: 390 us for each byte with a limit of 1 MiB (issue
/// 13, number 14).
#[test]
fn a_long_head_in_single_bytes_is_not_parsed_anew_for_each() {
    const BYTES: usize = 200_000;
    let limits = Limits { head_bytes_max: 1024 * 1024, headers_max: 256, ..Limits::default() };
    let field = format!("X: {}\r\n", "y".repeat(BYTES / 200));
    for (kind, head) in [
        ("one header", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(BYTES))),
        ("headers", format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", field.repeat(200))),
        ("target", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(BYTES))),
        ("absolute", format!("GET http://a/{} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(BYTES))),
        ("escapes", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "%2f".repeat(BYTES / 3))),
    ] {
        let output = feed_bytes(head.as_bytes(), &limits);
        assert!(output.starts_with("HTTP/1.1 "), "{kind}: {output:.100}");
        assert!(
            !output.starts_with("HTTP/1.1 4") || output.contains(" 404 "),
            "{kind}: {output:.100}"
        );
    }
}

/// A head that is scanned in pieces must get the same response as a whole one.
#[test]
fn a_head_that_is_scanned_in_pieces_gets_the_same_response() {
    let limits = Limits::default();
    for head in [
        "GET /show HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET /show?x HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
        "GET /show HTTP/1.1\nHost: a\n\n",
        "GET /show HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        "GET /show HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n",
        "GET /show HTTP/1.1\r\n\r\n",
        "GET /show HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
    ] {
        let whole = exchange_in(&mut Probe, &limits, head.as_bytes(), &[]);
        for split in 1..head.len() {
            let split = exchange_in(&mut Probe, &limits, head.as_bytes(), &[split]);
            assert_eq!(split, whole, "{head:?}");
        }
        let bytes = vec![1; head.len()];
        assert_eq!(exchange_in(&mut Probe, &limits, head.as_bytes(), &bytes), whole, "{head:?}");
    }
}

/// Targets as the URL standard's serializer leaves them. Chromium, node, httpx and Java's
/// clients send these, and every other server serves them (issue 13, number 19).
const URL_TARGETS: [&str; 16] = [
    "/show?a[]=1",
    "/show?q={x}",
    "/show?a|b",
    "/show?x=^",
    "/show?`",
    "/show?\\",
    "/show?'",
    "/show?%",
    "/show?100%",
    "/show?%zz",
    "/show/[",
    "/show/]",
    "/show/|",
    "/show/%",
    "/show/[]|",
    "/show?[]{}|\\^`%",
];

/// Browsers and common clients got 400 for these (issue 13, number 19).
#[test]
fn targets_of_the_url_standard_are_served() {
    for target in URL_TARGETS {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let found = exchange_in(&mut Probe, &Limits::default(), request.as_bytes(), &[]);
        assert_eq!(statuses(&found), [200], "{target}");
        let absolute = format!("GET http://a{target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let found = exchange_in(&mut Probe, &Limits::default(), absolute.as_bytes(), &[]);
        assert_eq!(statuses(&found), [200], "{target} in absolute form");
    }
}

/// The same characters are refused if the program asks for RFC 3986 to the letter.
#[test]
fn strict_targets_are_rfc_3986_to_the_letter() {
    let limits = Limits { target_syntax: TargetSyntax::Rfc3986, ..Limits::default() };
    for target in URL_TARGETS.into_iter().filter(|target| !target.contains('\'')) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let found = exchange_in(&mut Probe, &limits, request.as_bytes(), &[]);
        assert_eq!(statuses(&found), [400], "{target}");
    }
}

/// No serializer leaves these characters as they are, and a host has no use for them.
#[test]
fn other_characters_in_a_target_or_a_host_get_400() {
    for target in ["/\x01", "/\x7f", "/a#b", "/\"", "/<", "/>", "/\u{e9}", "/a b", "/?\"", "/?<>"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let found = exchange_in(&mut Probe, &Limits::default(), request.as_bytes(), &[]);
        assert_eq!((statuses(&found), found.closed), (vec![400], true), "{target:?}");
    }
    for host in ["a[", "a]", "a|b", "a^", "{a}", "a\\b", "a`", "a%", "a%zz"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let found = exchange_in(&mut Probe, &Limits::default(), request.as_bytes(), &[]);
        assert_eq!((statuses(&found), found.closed), (vec![400], true), "{host:?}");
    }
}
