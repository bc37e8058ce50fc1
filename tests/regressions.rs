//! Bugs that were found, each with the bytes that showed it.

use std::time::UNIX_EPOCH;

use pinloop::http::{Connection, ContentWriter, Context, Date, Flow, Next, Progress, Refusal};
use pinloop::{Content, Limits, Request, Response, Service};

use crate::support::{APP, exchange, exchange_in, statuses};

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

/// Only a `HEAD` at the very start of the input was seen, so a refusal after an
/// empty line, or for want of time, had content that none may have.
#[test]
fn a_refusal_of_head_has_no_content_wherever_it_begins() {
    for request in [
        "HEAD / HTTP/1.1\r\n\r\n",
        "\r\nHEAD / HTTP/1.1\r\n\r\n",
        "\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let refused = exchange(request);
        assert_eq!(statuses(&refused), [400], "{request:?}");
        assert!(refused.output.ends_with("\r\n\r\n"), "{request:?}: {}", refused.output);
    }
    assert!(timed_out("HEAD / HTTP/1.1\r\nHo").ends_with("\r\n\r\n"));
    let content = "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe";
    assert!(timed_out(content).ends_with("\r\n\r\n"));
    assert!(timed_out("GET / HTTP/1.1\r\nHo").ends_with("too long to arrive.\n"));
}

/// Whatever filled the limit without a line's end was answered with 414.
#[test]
fn what_is_too_large_is_told_by_what_never_ended() {
    let long = "a".repeat(17_000);
    for (status, request) in [
        (431, "\r\n".repeat(9_000)),
        (501, long.clone()),
        (414, format!("GET /{long}")),
        (400, format!("GET / {long}")),
        (431, format!("GET / HTTP/1.1\r\n{long}")),
        (431, format!("\r\nGET / HTTP/1.1\r\nHost: {long}")),
    ] {
        let refused = exchange(&request);
        assert_eq!((statuses(&refused), refused.closed), (vec![status], true), "{request:.30?}");
    }
}

/// Answers that filled the output before a streamed one began made it begin too,
/// but only where all of it arrived at once.
#[test]
fn malformed_content_is_refused_behind_any_number_of_answers() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(560);
    let echo = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n";
    let input = format!("{get}{echo}{}XX", "x".repeat(0x1000));
    let whole = exchange(&input);
    assert_eq!(statuses(&whole).last(), Some(&400));
    for pieces in [vec![get.len()], vec![get.len() + 500, 1_000], vec![20_000; 9]] {
        let split = exchange_in(&mut APP.clone(), &Limits::default(), input.as_bytes(), &pieces);
        assert!(split == whole, "{pieces:?}");
    }
}

/// Bytes of content that is refused counted as consumed or not by how they came.
#[test]
fn what_a_refusal_consumes_does_not_depend_on_how_it_arrives() {
    let limits = Limits { content_bytes_max: 8, ..Limits::default() };
    let chunked = "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n";
    for (input, rest) in [
        (format!("PUT /data {chunked}5;a=b\r\nhello"), 5),
        (format!("PUT /data {chunked}5\r\nhello\r\n"), 7),
        (format!("PUT /data {chunked}5;a=b \r\n"), 2),
        (format!("POST /echo {chunked}5;a=b \r\n"), 2),
        (format!("POST /echo {chunked}0\r\nb c: d\r\n"), 7),
    ] {
        for pieces in [vec![], vec![1; input.len()], vec![input.len() - 3]] {
            let refused = exchange_in(&mut APP.clone(), &limits, input.as_bytes(), &pieces);
            assert_eq!((refused.closed, refused.rest), (true, rest), "{input:?} {pieces:?}");
        }
    }
}

/// `expect` was read as one expectation, and is a list.
#[test]
fn expectations_are_a_list() {
    for (expect, expected) in [
        ("100-continue, 100-Continue", vec![100, 200]),
        (" ,100-continue,", vec![100, 200]),
        ("", vec![200]),
        ("100-continue, tea", vec![417]),
        ("100-continue;q=1", vec![417]),
    ] {
        let answered = exchange(&format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\nhi"
        ));
        assert_eq!(statuses(&answered), expected, "{expect:?}");
    }
}

/// 205 was answered with whatever content the service gave.
#[test]
fn reset_content_has_none() {
    let mut service = |request: &Request<'_>, response: &mut Response<'_>| {
        response.status(205);
        match request.query() {
            Some(_) => response.stream(None, |_: &mut ContentWriter<'_>| Flow::Done),
            None => response.content(b"content"),
        }
    };
    for target in ["/", "/?stream"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answered = exchange_in(&mut service, &Limits::default(), request.as_bytes(), &[]);
        assert_eq!(
            answered.output, "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n",
            "{target}"
        );
    }
}

/// `chunked, foo` was 501 for its `foo`; RFC 9112, 6.3 has 400 for a `chunked`
/// that is not last.
#[test]
fn chunked_that_is_not_last_is_400_whatever_follows_it() {
    for (status, codings) in [
        (400, "chunked, gzip"),
        (400, "chunked, foo"),
        (400, "chunked, identity"),
        (501, "foo, chunked"),
        (501, "gzip, chunked"),
        (501, "foo"),
        (400, "gzip"),
    ] {
        let refused = exchange(&format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {codings}\r\n\r\n0\r\n\r\n"
        ));
        assert_eq!((statuses(&refused), refused.closed), (vec![status], true), "{codings}");
    }
}

/// Content was waited for that a `CONNECT` does not have.
#[test]
fn connect_is_answered_at_once_whatever_its_fields_say() {
    for field in ["Content-Length: 5", "Transfer-Encoding: chunked", "Expect: 100-continue"] {
        let refused = exchange(&format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{field}\r\n\r\n"));
        assert_eq!((statuses(&refused), refused.closed), (vec![501], true), "{field}");
    }
}

struct StreamsUnread;

impl Service for StreamsUnread {
    fn call(&mut self, _: &Request<'_>, response: &mut Response<'_>) {
        response.stream(None, |writer: &mut ContentWriter<'_>| {
            writer.write(b"streamed");
            Flow::Done
        });
    }

    fn content(&mut self, _: &Request<'_>, _: &mut Response<'_>) -> Content {
        Content::Ignore
    }
}

/// The answer ended with its head where the request's content was not wanted.
#[test]
fn an_answer_to_content_that_is_ignored_can_be_streamed() {
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let answered = exchange_in(&mut StreamsUnread, &Limits::default(), request, &[]);
    assert!(answered.output.ends_with("8\r\nstreamed\r\n0\r\n\r\n"), "{}", answered.output);
    assert!(answered.closed && answered.output.contains("connection: close\r\n"));
}

/// The first of several pipelined requests was told that it is the last one when
/// the server stopped, and the others, though read, had no answer.
#[test]
fn a_server_that_stops_answers_all_that_has_arrived_and_closes_with_the_last() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let put = "PUT /data HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for last in [get, post, put] {
        let (progress, output) = advance(&format!("{get}{post}{put}{get}{last}"), true);
        assert!(matches!(progress.next, Next::Close { .. }), "{progress:?}");
        assert_eq!(output.matches("HTTP/1.1 ").count(), 5, "{output}");
        assert_eq!(output.matches("connection: close\r\n").count(), 1, "{output}");
        assert!(output.rfind("connection: close") > output.rfind("HTTP/1.1 "), "{output}");
    }
}

/// What a request that begins so is answered with when its time is up.
fn timed_out(input: &str) -> String {
    let mut connection = Connection::default();
    let (progress, mut output) = advance_in(&mut connection, input, false);
    assert_eq!((progress.next, output.len()), (Next::Read, 0));
    let rest = &input.as_bytes()[progress.consumed..];
    let date = Date::at(UNIX_EPOCH);
    let limits = Limits::default();
    let context = Context::new(&limits, &date);
    connection.refuse(Refusal::Timeout, rest, &mut output, &context);
    String::from_utf8(output).expect("an answer of text")
}

fn advance(input: &str, draining: bool) -> (Progress, String) {
    let (progress, output) = advance_in(&mut Connection::default(), input, draining);
    (progress, String::from_utf8(output).expect("answers of text"))
}

fn advance_in(connection: &mut Connection, input: &str, draining: bool) -> (Progress, Vec<u8>) {
    let date = Date::at(UNIX_EPOCH);
    let limits = Limits::default();
    let context = Context { draining, ..Context::new(&limits, &date) };
    let mut output = Vec::new();
    let progress = connection.advance(input.as_bytes(), &mut output, &mut APP.clone(), &context);
    (progress, output)
}
