//! The protocol core alone: raw requests in, raw responses out.

use crate::support::{APP, Exchange, exchange, exchange_in, statuses};
use pinloop::http::{BodyWriter, Flow};
use pinloop::{BodyPolicy, Limits, Request, Response, Service};

/// Returns an exchange that consumed all input and leaves the connection open.
fn open_with(output: &str) -> Exchange {
    Exchange { output: output.into(), closed: false, rest: 0 }
}

const HINT: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 14\r\n\r\nTry POST /echo";
const DATA: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 48\r\n\r\n\
    {\"street\":\"10 Downing Street\",\"city\":\"Value: 2\"}";

#[test]
fn answers_each_request_of_the_demo_service() {
    assert_eq!(exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), open_with(HINT));
    assert_eq!(exchange("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"), open_with(HINT));
    assert_eq!(exchange("GET /data HTTP/1.1\r\nHost: a\r\n\r\n"), open_with(DATA));
    assert_eq!(
        exchange(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: x/y\r\nContent-Length: 5\r\n\r\nhello"
        ),
        open_with("HTTP/1.1 200 OK\r\ncontent-type: x/y\r\ncontent-length: 5\r\n\r\nhello")
    );
    assert_eq!(
        exchange("POST /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
        open_with(
            "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 0\r\n\r\n"
        )
    );
    assert_eq!(
        exchange("OPTIONS /data HTTP/1.1\r\nHost: a\r\n\r\n"),
        open_with("HTTP/1.1 204 No Content\r\nallow: GET, HEAD, OPTIONS\r\n\r\n")
    );
    assert_eq!(
        exchange("DELETE /data HTTP/1.1\r\nHost: a\r\n\r\n"),
        open_with(
            "HTTP/1.1 405 Method Not Allowed\r\nallow: GET, HEAD, OPTIONS\r\ncontent-length: 0\r\n\r\n"
        )
    );
    assert_eq!(
        exchange("GET /nope HTTP/1.1\r\nHost: a\r\n\r\n"),
        open_with("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    );
}

#[test]
fn answers_head_like_get_without_the_body() {
    let get = exchange("GET /data HTTP/1.1\r\nHost: a\r\n\r\n").output;
    let head = exchange("HEAD /data HTTP/1.1\r\nHost: a\r\n\r\n").output;
    assert_eq!(head, get[..get.find("\r\n\r\n").unwrap() + 4]);
}

#[test]
fn echoes_chunks_as_chunks() {
    let request = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nt: u\r\n\r\n";
    assert_eq!(
        exchange(request),
        open_with(
            "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n\
             5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
        )
    );
}

#[test]
fn answers_pipelined_requests_in_order() {
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\
        GET /data HTTP/1.1\r\nHost: a\r\n\r\n";
    let echo =
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(exchange(requests), open_with(&format!("{HINT}{echo}{DATA}")));
}

#[test]
fn closes_when_the_client_asks_and_reads_no_further_request() {
    let closing = exchange(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(statuses(&closing), [200]);
    assert!(closing.output.contains("\r\nconnection: close\r\n"));
    assert!(closing.closed);
    assert_eq!(closing.rest, "GET / HTTP/1.1\r\nHost: a\r\n\r\n".len());
}

#[test]
fn closes_after_http_1_0_without_keep_alive() {
    let plain = exchange("GET / HTTP/1.0\r\n\r\n");
    assert!(plain.closed && plain.output.contains("\r\nconnection: close\r\n"));
    let kept = exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(!kept.closed && kept.output.contains("\r\nconnection: keep-alive\r\n"));
}

#[test]
fn the_host_of_the_target_replaces_the_host_header() {
    let mut service = |request: &Request<'_>, response: &mut Response<'_>| {
        response.body(format!("for {:?}", request.host()).as_bytes());
    };
    for (head, host) in [
        ("GET /http://b/ HTTP/1.1\r\nHost: a:1\r\n\r\n", "for Some(\"a:1\")"),
        ("GET http://b:2/c?d HTTP/1.1\r\nHost: a:1\r\n\r\n", "for Some(\"b:2\")"),
        ("GET http://b?/c HTTP/1.1\r\nHost: a:1\r\n\r\n", "for Some(\"b\")"),
        ("CONNECT b:2 HTTP/1.1\r\nHost: a:1\r\n\r\n", "for Some(\"b:2\")"),
        ("OPTIONS * HTTP/1.1\r\nHost: a:1\r\n\r\n", "for Some(\"a:1\")"),
        ("GET / HTTP/1.0\r\n\r\n", "for None"),
    ] {
        let found = exchange_in(&mut service, &Limits::default(), head.as_bytes(), &[]);
        assert!(found.output.ends_with(host), "{head:?}: {}", found.output);
    }
}

#[test]
fn an_incomplete_request_is_not_an_error() {
    for partial in [
        "",
        "G",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
    ] {
        let waiting = exchange(partial);
        assert_eq!((waiting.output.as_str(), waiting.closed), ("", false), "{partial:?}");
    }
}

#[test]
fn each_rejection_has_its_status_and_closes() {
    let long = "a".repeat(17_000);
    let fields = "a: b\r\n".repeat(101);
    for (status, request) in [
        (400, "GET / HTTP/1.1\r\n\r\n".to_string()),
        (400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_string()),
        (400, "\x16\x03\x01 not http\r\n\r\n".to_string()),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".to_string()),
        (414, format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\nx: {long}\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")),
        (413, "PUT /data HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n".to_string()),
        (501, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: foo\r\n\r\n".to_string()),
        (505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_string()),
    ] {
        let rejected = exchange(&format!("{request}GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(statuses(&rejected), [status], "{request:.60?}");
        assert!(rejected.closed, "{request:.60?}");
        assert!(rejected.output.contains("\r\nconnection: close\r\n"), "{request:.60?}");
    }
}

#[test]
fn rejects_a_chunked_body_as_soon_as_it_exceeds_the_limit() {
    let limits = Limits { body_bytes_max: 8, ..Limits::default() };
    let request = b"PUT /data HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhello\r\n";
    let rejected = exchange_in(&mut APP.clone(), &limits, request, &[]);
    assert_eq!((statuses(&rejected), rejected.closed), (vec![413], true));
}

#[test]
fn sends_100_continue_before_a_response_but_not_before_a_rejection() {
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    assert_eq!(exchange(head), open_with("HTTP/1.1 100 Continue\r\n\r\n"));
    assert_eq!(statuses(&exchange(&format!("{head}hi"))), [100, 200]);
    let unwanted = exchange(
        "PUT /data HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    assert_eq!((statuses(&unwanted), unwanted.closed), (vec![405], true));
    let other =
        exchange("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n");
    assert_eq!((statuses(&other), other.closed), (vec![417], true));
}

#[test]
fn a_malformed_chunk_gets_400_unless_the_response_has_begun() {
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let early = exchange(&format!("{head}5\r\nhello\r\nzz\r\n"));
    assert_eq!((statuses(&early), early.closed), (vec![400], true));
    let late = exchange(&format!("{head}5000\r\n{}\r\nzz\r\n", "x".repeat(0x5000)));
    assert_eq!((statuses(&late), late.closed), (vec![200], true));
    assert!(!late.output.ends_with("0\r\n\r\n"));
}

/// Panics, streams, breaks the rules of responses, or echoes a collected body.
struct Unruly;

impl Service for Unruly {
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>) {
        match &*request.path() {
            "/panic" => {
                response.header("x", "y");
                panic!("the test asked for a panic");
            }
            "/stream" => {
                let mut left = 3;
                response.stream(None, move |writer: &mut BodyWriter<'_>| {
                    writer.write(format!("part {left};").as_bytes());
                    left -= 1;
                    if left > 0 { Flow::More } else { Flow::Done }
                });
            }
            "/short" => response.stream(Some(9), |writer: &mut BodyWriter<'_>| {
                writer.write(b"short");
                Flow::Done
            }),
            "/inject" => {
                response.header("x", "a\r\nset-cookie: b");
            }
            _ => response.body(request.body()),
        }
    }

    fn body_policy(&mut self, request: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
        match &*request.path() {
            "/ignore" => BodyPolicy::Ignore,
            _ => BodyPolicy::Collect,
        }
    }
}

fn unruly(request: &str) -> Exchange {
    exchange_in(&mut Unruly, &Limits::default(), request.as_bytes(), &[])
}

#[test]
fn a_panic_becomes_a_500_and_closes() {
    let panicked = unruly(
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!((statuses(&panicked), panicked.closed), (vec![200, 500], true));
    assert!(!panicked.output.contains("x: y"));
    assert_eq!(statuses(&unruly("GET /inject HTTP/1.1\r\nHost: a\r\n\r\n")), [500]);
}

#[test]
fn a_streamed_response_is_chunked_in_1_1_and_ends_with_the_connection_in_1_0() {
    assert_eq!(
        unruly("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"),
        open_with(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\npart 3;\r\n7\r\npart 2;\r\n7\r\npart 1;\r\n0\r\n\r\n"
        )
    );
    let old = unruly("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(old.output, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\npart 3;part 2;part 1;");
    assert!(old.closed);
    assert!(
        unruly("GET /short HTTP/1.1\r\nHost: a\r\n\r\n").closed,
        "a stream shorter than its declared length must close"
    );
}

#[test]
fn closes_after_a_response_that_ignores_the_body() {
    let ignored = unruly(
        "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!((statuses(&ignored), ignored.closed), (vec![200], true));
}

#[test]
fn collects_the_whole_body_with_either_framing() {
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(
        unruly("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        open_with(response)
    );
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    assert_eq!(unruly(chunked), open_with(response));
}

/// Inputs that together pass through every state of the core.
const EXCHANGES: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /data HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: a\r\n\r\nHEAD / HTTP/1.9\r\nHost: a\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nt: u\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    "PUT /data HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloPUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX",
    "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.x\r\n\r\n",
    "GET / FTP/1.1\r\n\r\n",
];

#[test]
fn splits_do_not_change_the_responses() {
    for input in EXCHANGES {
        let whole = exchange(input);
        assert!(!whole.output.is_empty(), "{input:?}");
        let limits = Limits::default();
        let bytes = vec![1; input.len()];
        let same = |found: Exchange, how: &str| {
            assert_eq!(
                (&found.output, found.closed),
                (&whole.output, whole.closed),
                "{how} {input:?}"
            );
        };
        same(exchange_in(&mut APP.clone(), &limits, input.as_bytes(), &bytes), "byte by byte");
        for at in 1..input.len() {
            same(
                exchange_in(&mut APP.clone(), &limits, input.as_bytes(), &[at]),
                &format!("split at {at}"),
            );
        }
    }
}
