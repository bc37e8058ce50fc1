//! Fixed bugs, each with the bytes that showed it.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::{Duration, UNIX_EPOCH};

use pinloop::http::{
    BodyWriter, Close, Connection, Context, Date, DeferredResponse, Flow, Next, Piece, Progress,
    Rejection, Responder,
};
use pinloop::{BodyPolicy, Config, Limits, Request, Response, Service};

use crate::support::{
    APP, GET, connect, exchange, exchange_in, read_response, read_to_end, serve, serve_app,
    statuses, stop,
};

/// Such a version was taken for one above 1.1, and the head was parsed again without end. One
/// request overflowed the stack and ended the process.
#[test]
fn extra_spaces_before_the_version_get_400() {
    for line in ["GET /a b HTTP/1.1", "GET /  HTTP/1.1", "GET / x HTTP/1.0", "GET / a b HTTP/1.2"] {
        let rejected = exchange(&format!("{line}\r\nHost: a\r\n\r\n"));
        assert_eq!((statuses(&rejected), rejected.closed), (vec![400], true), "{line}");
    }
}

/// A head with a later minor version is parsed from a copy. The copy must not include the body.
#[test]
fn later_minor_versions_may_have_bodies_and_pipelined_requests() {
    let post = "POST /echo HTTP/1.2\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let put =
        "PUT /data HTTP/1.9\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    let found = exchange(&format!("{post}{put}{put}{post}"));
    assert_eq!((statuses(&found), found.closed), (vec![200, 405, 405, 200], false));
}

/// `HEAD` was recognized only at the start of the input. A rejection after an empty line or
/// a timeout had a body, but a response to `HEAD` must not have one.
#[test]
fn a_rejection_of_head_has_no_body_after_empty_lines_and_timeouts() {
    for request in [
        "HEAD / HTTP/1.1\r\n\r\n",
        "\r\nHEAD / HTTP/1.1\r\n\r\n",
        "\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let rejected = exchange(request);
        assert_eq!(statuses(&rejected), [400], "{request:?}");
        assert!(rejected.output.ends_with("\r\n\r\n"), "{request:?}: {}", rejected.output);
    }
    assert!(timed_out("HEAD / HTTP/1.1\r\nHo").ends_with("\r\n\r\n"));
    let body = "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe";
    assert!(timed_out(body).ends_with("\r\n\r\n"));
    assert!(timed_out("GET / HTTP/1.1\r\nHo").ends_with("too long to arrive.\n"));
}

/// Empty lines filled the limit on a head, and `HEAD` came behind them. It was recognized only
/// if it had arrived with them, so the rejection's body depended on the split.
#[test]
fn bytes_beyond_the_head_limit_do_not_change_the_rejection() {
    let limits = Limits { head_bytes_max: 64, ..Limits::default() };
    let input = format!("{}HEAD / HTTP/1.1\r\n", "\r\n".repeat(32));
    for pieces in [vec![], vec![64], vec![1; input.len()]] {
        let rejected = exchange_in(&mut APP.clone(), &limits, input.as_bytes(), &pieces);
        assert_eq!(statuses(&rejected), [431], "{pieces:?}");
        assert!(rejected.output.ends_with(".\n"), "{pieces:?}: {}", rejected.output);
    }
}

/// Each head that filled the limit without a line end got 414.
#[test]
fn oversized_heads_get_414_431_or_501() {
    let long = "a".repeat(17_000);
    for (status, request) in [
        (431, "\r\n".repeat(9_000)),
        (501, long.clone()),
        (414, format!("GET /{long}")),
        (400, format!("GET / {long}")),
        (431, format!("GET / HTTP/1.1\r\n{long}")),
        (431, format!("\r\nGET / HTTP/1.1\r\nHost: {long}")),
    ] {
        let rejected = exchange(&request);
        assert_eq!((statuses(&rejected), rejected.closed), (vec![status], true), "{request:.30?}");
    }
}

/// Earlier responses that filled the output buffer made a held-back response begin early. This
/// depended on the split, because it happened only if all requests arrived at once.
#[test]
fn a_malformed_body_gets_400_after_any_number_of_responses() {
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

/// The number of bytes that a rejected body consumed depended on the split.
#[test]
fn splits_do_not_change_how_much_a_rejection_consumes() {
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
            let rejected = exchange_in(&mut APP.clone(), &limits, input.as_bytes(), &pieces);
            assert_eq!((rejected.closed, rejected.rest), (true, rest), "{input:?} {pieces:?}");
        }
    }
}

/// The `expect` header was read as one expectation. It is a list.
#[test]
fn expect_is_a_list() {
    for (expect, expected) in [
        ("100-continue, 100-Continue", vec![100, 200]),
        (" ,100-continue,", vec![100, 200]),
        ("", vec![200]),
        ("100-continue, tea", vec![417]),
        ("100-continue;q=1", vec![417]),
    ] {
        let found = exchange(&format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\nhi"
        ));
        assert_eq!(statuses(&found), expected, "{expect:?}");
    }
}

/// A 205 was sent with the body that the service gave it.
#[test]
fn a_205_has_no_body() {
    let mut service = |request: &Request<'_>, response: &mut Response<'_>| {
        response.status(205);
        match request.query() {
            Some(_) => response.stream(None, |_: &mut BodyWriter<'_>| Flow::Done),
            None => response.body(b"body"),
        }
    };
    for target in ["/", "/?stream"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let found = exchange_in(&mut service, &Limits::default(), request.as_bytes(), &[]);
        assert_eq!(
            found.output, "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n",
            "{target}"
        );
    }
}

/// `chunked, foo` got 501 because of its `foo`. RFC 9112, 6.3 requires 400 if `chunked` is not
/// the last coding.
#[test]
fn chunked_before_another_coding_gets_400() {
    for (status, codings) in [
        (400, "chunked, gzip"),
        (400, "chunked, foo"),
        (400, "chunked, identity"),
        (501, "foo, chunked"),
        (501, "gzip, chunked"),
        (501, "foo"),
        (400, "gzip"),
    ] {
        let rejected = exchange(&format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {codings}\r\n\r\n0\r\n\r\n"
        ));
        assert_eq!((statuses(&rejected), rejected.closed), (vec![status], true), "{codings}");
    }
}

/// The server waited for the body of a `CONNECT`, which cannot have a body.
#[test]
fn connect_is_rejected_without_waiting_for_a_body() {
    for header in ["Content-Length: 5", "Transfer-Encoding: chunked", "Expect: 100-continue"] {
        let rejected = exchange(&format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{header}\r\n\r\n"));
        assert_eq!((statuses(&rejected), rejected.closed), (vec![501], true), "{header}");
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

/// A streamed response ended with its head if the request's body was ignored.
#[test]
fn a_response_can_be_streamed_while_the_body_is_ignored() {
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let found = exchange_in(&mut StreamsUnread, &Limits::default(), request, &[]);
    assert!(found.output.ends_with("8\r\nstreamed\r\n0\r\n\r\n"), "{}", found.output);
    assert!(found.closed && found.output.contains("connection: close\r\n"));
}

/// When the server stopped, the first of several pipelined requests got `connection: close`.
/// The requests behind it got no response although the server had read them.
#[test]
fn a_draining_server_closes_with_the_last_pipelined_request() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let put = "PUT /data HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for last in [get, post, put] {
        let (progress, output) = advance(&format!("{get}{post}{put}{get}{last}"), true);
        assert!(matches!(progress.next, Next::Close(_)), "{progress:?}");
        assert_eq!(output.matches("HTTP/1.1 ").count(), 5, "{output}");
        assert_eq!(output.matches("connection: close\r\n").count(), 1, "{output}");
        assert!(output.rfind("connection: close") > output.rfind("HTTP/1.1 "), "{output}");
    }
}

/// Returns the response to the unfinished request `input` after a timeout.
fn timed_out(input: &str) -> String {
    let mut connection = Connection::default();
    let (progress, mut output) = advance_in(&mut connection, input, false);
    assert_eq!((progress.next, output.len()), (Next::Read, 0));
    let rest = &input.as_bytes()[progress.consumed..];
    let date = Date::at(UNIX_EPOCH);
    let limits = Limits::default();
    let context = Context::new(&limits, &date);
    connection.reject(Rejection::Timeout, rest, &mut output, &context);
    String::from_utf8(output).expect("a response in UTF-8")
}

fn advance(input: &str, draining: bool) -> (Progress, String) {
    let (progress, output) = advance_in(&mut Connection::default(), input, draining);
    (progress, String::from_utf8(output).expect("responses in UTF-8"))
}

fn advance_in(connection: &mut Connection, input: &str, draining: bool) -> (Progress, Vec<u8>) {
    let date = Date::at(UNIX_EPOCH);
    let limits = Limits::default();
    let context = Context { draining, ..Context::new(&limits, &date) };
    let mut output = Vec::new();
    let progress = connection.advance(input.as_bytes(), &mut output, &mut APP.clone(), &context);
    (progress, output)
}

/// In a chunked response, the body was copied without chunk sizes of its own.
#[test]
fn a_body_of_known_length_is_chunked_if_the_response_is() {
    struct Echo;
    impl Service for Echo {
        fn call(&mut self, _: &Request<'_>, _: &mut Response<'_>) {}

        fn body_policy(&mut self, _: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
            let receiver = |piece: Option<&Piece<'_>>, body: &mut BodyWriter<'_>| {
                piece.into_iter().for_each(|piece| body.write_piece(piece));
            };
            BodyPolicy::Stream { length: None, receiver: Box::new(receiver) }
        }
    }
    let evil = "0\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\n\r\n";
    let input =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{evil}", evil.len());
    let found = exchange_in(&mut Echo, &Limits::default(), input.as_bytes(), &[]);
    let expected = format!("\r\n\r\n{:X}\r\n{evil}\r\n0\r\n\r\n", evil.len());
    assert!(found.output.ends_with(&expected), "{}", found.output);
}

/// Bytes written between two pieces of one chunk became part of that chunk.
#[test]
fn nothing_is_written_between_two_pieces_of_a_chunk() {
    struct Interrupting;
    impl Service for Interrupting {
        fn call(&mut self, _: &Request<'_>, _: &mut Response<'_>) {}

        fn body_policy(&mut self, _: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
            let receiver = |piece: Option<&Piece<'_>>, body: &mut BodyWriter<'_>| {
                if let Some(piece) = piece {
                    body.write_piece(piece);
                    body.write(b"between");
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

/// A draining server closed after a chunked request and dropped the request behind it, which
/// had arrived. With a partial head behind that request, it did not close at all.
#[test]
fn a_draining_server_closes_with_the_last_request_that_arrived() {
    let (limits, date) = (Limits::default(), Date::at(UNIX_EPOCH));
    let context = Context { draining: true, ..Context::new(&limits, &date) };
    let post =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for behind in ["", "GET / HT"] {
        let (mut connection, mut output) = (Connection::default(), Vec::new());
        let input = format!("{post}{get}{behind}");
        let progress =
            connection.advance(input.as_bytes(), &mut output, &mut APP.clone(), &context);
        assert_eq!(progress.next, Next::Close(Close::Linger));
        let output = String::from_utf8(output).unwrap();
        assert_eq!(output.matches("HTTP/1.1 200 OK").count(), 2);
        assert_eq!(output.matches("connection: close").count(), 1);
    }
}

/// A request that arrived after the server had closed made the kernel reset the connection, and
/// the response was lost.
#[test]
fn a_closing_response_arrives_though_the_client_sends_more() {
    const BYTES: usize = 16 * 1024 * 1024;
    let server = serve(Config::default(), |_| {
        let body = vec![b'x'; BYTES];
        move |_: &Request<'_>, response: &mut Response<'_>| response.close().body(&body)
    });
    let mut stream = connect(&server);
    stream.write_all(GET).unwrap();
    // The response is larger than the socket buffers, so most of it is not sent yet.
    stream.read_exact(&mut [0]).unwrap();
    stream.write_all(GET).unwrap();
    assert_eq!(read_to_end(&mut stream).matches('x').count(), BYTES);
    stop(server);
}

/// A responder belongs to a connection. A responder made before the body was read answered the
/// next request.
#[test]
fn body_policy_must_not_defer() {
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
    stream.write_all(GET).unwrap();
    responders.recv().unwrap().respond(DeferredResponse::new(200).body("for the GET"));
    assert_eq!(read_response(&mut stream).1, b"for the GET");
    stop(server);
}

/// Some clients send an empty line behind a request. It was taken for the start of a head.
/// The idle connection then got a 408.
#[test]
fn an_empty_line_does_not_begin_a_head() {
    let mut config = Config::default();
    config.timeouts.idle = Duration::from_millis(100);
    config.timeouts.head = Duration::from_secs(3_600);
    let server = serve_app(config);
    let mut stream = connect(&server);
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n").unwrap();
    assert_eq!(read_response(&mut stream).1, b"hi");
    assert_eq!(read_to_end(&mut stream), "");
    stop(server);
}
