//! Bugs that were found, each with the bytes that showed it.

use std::io::Write;
use std::sync::mpsc;
use std::time::{Duration, UNIX_EPOCH};

use pinloop::http::{
    BodyWriter, Connection, Context, Date, DeferredResponse, Flow, Next, Piece, Progress,
    Rejection, Responder,
};
use pinloop::{BodyPolicy, Config, Limits, Request, Response, Service};

use crate::support::{
    APP, connect, exchange, exchange_in, read_answer, read_to_end, serve, serve_app, statuses, stop,
};

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

/// Only a `HEAD` at the very start of the input was seen, so a rejection after an
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

/// A `HEAD` behind as many empty lines as a head has bytes was seen where it had
/// arrived with them, so the rejection's content depended on how they came.
#[test]
fn what_lies_beyond_a_heads_limit_does_not_change_the_refusal() {
    let limits = Limits { head_bytes_max: 64, ..Limits::default() };
    let input = format!("{}HEAD / HTTP/1.1\r\n", "\r\n".repeat(32));
    for pieces in [vec![], vec![64], vec![1; input.len()]] {
        let refused = exchange_in(&mut APP.clone(), &limits, input.as_bytes(), &pieces);
        assert_eq!(statuses(&refused), [431], "{pieces:?}");
        assert!(refused.output.ends_with(".\n"), "{pieces:?}: {}", refused.output);
    }
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
    let limits = Limits { body_bytes_max: 8, ..Limits::default() };
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
            Some(_) => response.stream(None, |_: &mut BodyWriter<'_>| Flow::Done),
            None => response.body(b"content"),
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
        response.stream(None, |writer: &mut BodyWriter<'_>| {
            writer.write(b"streamed");
            Flow::Done
        });
    }

    fn body_policy(&mut self, _: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
        BodyPolicy::Ignore
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
    connection.refuse(Rejection::Timeout, rest, &mut output, &context);
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

/// The content came out as it was, between the chunk sizes that nobody had written.
#[test]
fn content_of_known_length_is_chunked_where_the_answer_is() {
    struct Echo;
    impl Service for Echo {
        fn call(&mut self, _: &Request<'_>, _: &mut Response<'_>) {}

        fn body_policy(&mut self, _: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
            let receiver = |piece: Option<&Piece<'_>>, answer: &mut BodyWriter<'_>| {
                piece.into_iter().for_each(|piece| answer.write_piece(piece));
            };
            BodyPolicy::Stream { length: None, receiver: Box::new(receiver) }
        }
    }
    let evil = "0\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\n\r\n";
    let input =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{evil}", evil.len());
    let answered = exchange_in(&mut Echo, &Limits::default(), input.as_bytes(), &[]);
    let expected = format!("\r\n\r\n{:X}\r\n{evil}\r\n0\r\n\r\n", evil.len());
    assert!(answered.output.ends_with(&expected), "{}", answered.output);
}

/// What was written between two pieces of one chunk became part of it.
#[test]
fn nothing_is_written_into_the_midst_of_a_chunk() {
    struct Interrupting;
    impl Service for Interrupting {
        fn call(&mut self, _: &Request<'_>, _: &mut Response<'_>) {}

        fn body_policy(&mut self, _: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
            let receiver = |piece: Option<&Piece<'_>>, answer: &mut BodyWriter<'_>| {
                if let Some(piece) = piece {
                    answer.write_piece(piece);
                    answer.write(b"between");
                }
            };
            BodyPolicy::Stream { length: None, receiver: Box::new(receiver) }
        }
    }
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab";
    let rest = b"cd\r\n0\r\n\r\n";
    let input = [&request[..], &rest[..]].concat();
    let split = exchange_in(&mut Interrupting, &Limits::default(), &input, &[request.len()]);
    assert_eq!((statuses(&split), split.closed), (vec![500], true));
    let whole = exchange_in(&mut Interrupting, &Limits::default(), &input, &[]);
    assert!(whole.output.ends_with("4\r\nabcd\r\n7\r\nbetween\r\n0\r\n\r\n"), "{}", whole.output);
}

/// A server that stops answered chunked content as the last on its connection, and
/// dropped the request behind it, which had arrived; and where a head had begun to
/// arrive behind a request it went on, and on.
#[test]
fn the_last_answer_of_a_server_that_stops_is_to_the_last_request_that_arrived() {
    let (limits, date) = (Limits::default(), Date::at(UNIX_EPOCH));
    let context = Context { draining: true, ..Context::new(&limits, &date) };
    let post =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (behind, linger) in [("", true), ("GET / HT", true)] {
        let (mut connection, mut output) = (Connection::default(), Vec::new());
        let input = format!("{post}{get}{behind}");
        let progress =
            connection.advance(input.as_bytes(), &mut output, &mut APP.clone(), &context);
        assert_eq!(progress.next, Next::Close { linger });
        let output = String::from_utf8(output).unwrap();
        assert_eq!(output.matches("HTTP/1.1 200 OK").count(), 2);
        assert_eq!(output.matches("connection: close").count(), 1);
    }
}

/// A request on its way to a connection that the server wanted no more of had the
/// kernel reset it, and the answer was lost.
#[test]
fn an_answer_that_closes_arrives_though_the_client_sends_more() {
    const BYTES: usize = 16 * 1024 * 1024;
    let server = serve(Config::default(), |_| {
        let content = vec![b'x'; BYTES];
        move |_: &Request<'_>, response: &mut Response<'_>| response.close().body(&content)
    });
    let mut stream = connect(&server);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    // More than the sockets hold is not sent yet.
    let mut head = [0];
    std::io::Read::read_exact(&mut stream, &mut head).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_to_end(&mut stream).matches('x').count(), BYTES);
    stop(server);
}

/// A responder names a connection, so that one from before the content was read answered
/// the request after it.
#[test]
fn who_chooses_what_becomes_of_content_cannot_defer() {
    struct Early(mpsc::Sender<Responder>);
    impl Service for Early {
        fn call(&mut self, _: &Request<'_>, response: &mut Response<'_>) {
            self.0.send(response.defer()).unwrap();
        }

        fn body_policy(&mut self, _: &Request<'_>, response: &mut Response<'_>) -> BodyPolicy {
            self.0.send(response.defer()).unwrap();
            BodyPolicy::Collect
        }
    }
    let (sender, responders) = mpsc::channel();
    let server = serve(Config::default(), move |_| Early(sender.clone()));
    let mut stream = connect(&server);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").unwrap();
    assert!(read_to_end(&mut stream).starts_with("HTTP/1.1 500 "));
    let mut stream = connect(&server);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    responders.recv().unwrap().respond(DeferredResponse::new(200).body("for the GET"));
    assert_eq!(read_answer(&mut stream).1, b"for the GET");
    stop(server);
}

/// An empty line behind a request, which some clients send, was taken for the
/// beginning of a head: the connection ended with a 408 that nobody had asked for.
#[test]
fn an_empty_line_does_not_begin_a_head() {
    let mut config = Config::default();
    config.timeouts.idle = Duration::from_millis(100);
    config.timeouts.head = Duration::from_secs(3_600);
    let server = serve_app(config);
    let mut stream = connect(&server);
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n").unwrap();
    assert_eq!(read_answer(&mut stream).1, b"hi");
    assert_eq!(read_to_end(&mut stream), "");
    stop(server);
}
