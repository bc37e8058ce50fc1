//! Methods, expectations, preconditions and the fields of responses: RFC 9110.

use super::{Requirement, closed, get, line, may, must, open, post, rejected, should, waits};

pub(super) fn requirements() -> Vec<Requirement> {
    [methods(), expectations(), ignored(), responses()].concat()
}

fn methods() -> Vec<Requirement> {
    vec![
        must("9110 9.1", "Each readable path supports GET and HEAD.").each(
            open([200]),
            ["GET /", "HEAD /", "GET /echo", "HEAD /echo", "GET /data", "HEAD /data"]
                .map(|start| line(format!("{start} HTTP/1.1"))),
        ),
        should("9110 9.1", "An unknown method gets 501 on any path, and the connection persists.")
            .each(
                open([501]).lacks("allow:"),
                ["BREW /", "PROPFIND /data", "FOO /nope", "GETS /", "GE /", "PRI /", "LINK /echo"]
                    .map(|start| line(format!("{start} HTTP/1.1"))),
            ),
        should("9110 9.1", "A known method that the path does not allow gets 405.").each(
            open([405]),
            [
                "POST /",
                "PUT /",
                "DELETE /data",
                "PATCH /echo",
                "PUT /echo",
                "TRACE /",
                "POST /data",
            ]
            .map(|start| line(format!("{start} HTTP/1.1"))),
        ),
        must("9110 15.5.6", "A 405 lists the allowed methods.")
            .case(open([405]).has("allow: GET, HEAD, OPTIONS\r\n"), line("POST / HTTP/1.1"))
            .case(open([405]).has("allow: GET, HEAD, OPTIONS\r\n"), line("DELETE /data?a HTTP/1.1"))
            .case(
                open([405]).has("allow: GET, HEAD, POST, OPTIONS\r\n"),
                line("PUT /echo HTTP/1.1"),
            )
            .case(closed([405]).has("allow: "), "PUT / HTTP/1.0\r\n\r\n"),
        must("9110 9.3.2", "A response to HEAD has no body, not even an error.")
            .each(
                open([200]).lacks("Try").lacks("Value").lacks("streamed"),
                ["/", "/echo", "/data", "/stream", "/show"]
                    .map(|path| line(format!("HEAD {path} HTTP/1.1"))),
            )
            .case(open([404]), line("HEAD /nope HTTP/1.1"))
            .case(
                open([200, 200]),
                [line("HEAD /data HTTP/1.1"), line("HEAD /data HTTP/1.1")].concat(),
            )
            .case(rejected(500).lacks("failed"), line("HEAD /panic HTTP/1.1"))
            .case(rejected(400).lacks("host"), "HEAD / HTTP/1.1\r\n\r\n")
            .case(
                rejected(400).lacks("length is"),
                "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            )
            .case(rejected(505).lacks("Only"), line("\r\nHEAD / HTTP/3.0")),
        should("9110 9.3.2", "A response to HEAD has the fields of a response to GET.")
            .case(
                open([200]).has("content-type: text/plain\r\ncontent-length: 14\r\n"),
                line("HEAD / HTTP/1.1"),
            )
            .case(
                open([200]).has("content-type: application/json\r\ncontent-length: 48\r\n"),
                line("HEAD /data HTTP/1.1"),
            )
            .case(open([200]).has("transfer-encoding: chunked\r\n"), line("HEAD /stream HTTP/1.1"))
            .case(closed([200]).lacks("transfer-encoding"), "HEAD /stream HTTP/1.0\r\n\r\n"),
        should(
            "9110 9.3.7",
            "OPTIONS lists the allowed methods of a path with 204. An unknown path gets 404.",
        )
        .case(open([204]).has("allow: GET, HEAD, OPTIONS\r\n"), line("OPTIONS / HTTP/1.1"))
        .case(open([204]).has("allow: GET, HEAD, OPTIONS\r\n"), line("OPTIONS /data HTTP/1.1"))
        .case(
            open([204]).has("allow: GET, HEAD, POST, OPTIONS\r\n"),
            line("OPTIONS /echo HTTP/1.1"),
        )
        .case(open([404]), line("OPTIONS /nope HTTP/1.1")),
        may("9110 9.3.8", "TRACE is not implemented, so that no request is reflected.")
            .case(
                open([405]).lacks("secret"),
                "TRACE / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n",
            )
            .case(
                open([404]).lacks("secret"),
                "TRACE /secret HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
            ),
    ]
}

fn expectations() -> Vec<Requirement> {
    let asking = |start: &str, framing: &str| {
        format!("{start} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n")
    };
    vec![
        must(
            "9110 10.1.1",
            "A client that expects a 100 gets it before the body is read, and the response afterwards.",
        )
        .each(
            waits([100]),
            [
                post("Expect: 100-continue\r\nContent-Length: 2", ""),
                post("Expect: 100-CONTINUE\r\nContent-Length: 2", ""),
                post("Expect: 100-Continue\r\nTransfer-Encoding: chunked", ""),
                post("Transfer-Encoding: chunked\r\nExpect: 100-continue", "2\r\nhi\r\n"),
                post("Expect: 100-continue\r\nContent-Length: 99", "h"),
            ],
        )
        .each(
            open([100, 200]),
            [
                post("Expect: 100-continue\r\nContent-Length: 2", "hi"),
                post("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 2", "hi"),
                post("Expect: 100-continue\r\nTransfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n"),
            ],
        ),
        may("9110 10.1.1", "A 100 is sent even if the body has already arrived.")
            .each(
                open([100, 200]).has("100 Continue\r\n\r\nHTTP/1.1 200 OK"),
                [
                    post("Expect: 100-continue\r\nContent-Length: 5", "hello"),
                    post(
                        "Expect: 100-continue\r\nTransfer-Encoding: chunked",
                        "1\r\nx\r\n0\r\n\r\n",
                    ),
                ],
            ),
        must("9110 10.1.1", "HTTP/1.0 gets no 100.").each(
            closed([200]).lacks("100"),
            [
                "POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
                "GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            ],
        ),
        must("9110 10.1.1", "A request without a body gets its response and no 100.").each(
            open([200]),
            [
                get("Expect: 100-continue"),
                post("Expect: 100-continue\r\nContent-Length: 0", ""),
                post("Expect: 100-continue", ""),
            ],
        ),
        must(
            "9110 10.1.1",
            "A response that depends on the head alone replaces the 100 and closes.",
        )
        .each(
            closed([405]),
            [
                asking("PUT /data", "Content-Length: 2"),
                asking("PUT /data", "Transfer-Encoding: chunked"),
            ],
        )
        .case(closed([404]), asking("POST /nope", "Content-Length: 2"))
        .case(closed([501]), asking("BREW /echo", "Content-Length: 2"))
        .case(
            rejected(400),
            post("Expect: 100-continue\r\nContent-Length: 2\r\nContent-Length: 3", ""),
        )
        .case(rejected(501), post("Expect: 100-continue\r\nTransfer-Encoding: gzip, chunked", "")),
        may("9110 10.1.1", "Any other expectation gets 417.").each(
            rejected(417),
            [
                post("Expect: tea\r\nContent-Length: 2", "hi"),
                post("Expect: 100-continue, tea\r\nContent-Length: 2", "hi"),
                post("Expect: 100-continue=1\r\nContent-Length: 2", "hi"),
                post("Expect: 100-continue;a=b\r\nContent-Length: 2", "hi"),
                post("Expect: 100\r\nContent-Length: 2", "hi"),
                post("Expect: 100-continue\r\nExpect: tea\r\nContent-Length: 2", "hi"),
                get("Expect: tea"),
            ],
        ),
    ]
}

fn ignored() -> Vec<Requirement> {
    vec![
        may("9110 7.8", "Upgrade is ignored.").each(
            open([200]).lacks("101").lacks("upgrade"),
            [
                get("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"),
                get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA"),
                get("Upgrade: websocket"),
                get("Connection: upgrade\r\nUpgrade: TLS/1.0, foo/2"),
                post("Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2", "hi"),
            ],
        ),
        must("9110 7.8", "Upgrade in HTTP/1.0 is ignored.").each(
            closed([200]).lacks("101"),
            [
                "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                "GET / HTTP/1.0\r\nHost: a\r\nUpgrade: HTTP/1.1\r\n\r\n",
            ],
        ),
        may("9110 14.2", "A range is ignored.").each(
            open([200]).has("content-length: 48\r\n").lacks("content-range"),
            ["bytes=0-1", "bytes=-1", "bytes=99-", "bytes=x", "lines=1-2"]
                .map(|range| format!("GET /data HTTP/1.1\r\nHost: a\r\nRange: {range}\r\n\r\n")),
        ),
        must(
            "9110 13.1",
            "Date preconditions are ignored, because responses have no modification date.",
        )
        .each(
            open([200]),
            [
                get("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"),
                get("If-Modified-Since: Sun, 06 Nov 2094 08:49:37 GMT"),
                get("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"),
                get("If-Modified-Since: yesterday"),
                get("If-Range: \"a\""),
                get("If-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\nRange: bytes=0-1"),
            ],
        ),
        must("9110 13.2.1", "Preconditions do not change an error response.")
            .case(open([404]), "GET /nope HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n")
            .case(open([404]), "GET /nope HTTP/1.1\r\nHost: a\r\nIf-Match: \"a\"\r\n\r\n")
            .case(open([405]), "PUT /data HTTP/1.1\r\nHost: a\r\nIf-Match: \"a\"\r\n\r\n")
            .case(open([204]), "OPTIONS / HTTP/1.1\r\nHost: a\r\nIf-Match: \"a\"\r\n\r\n"),
        may(
            "9110 12.1",
            "Content negotiation is ignored, because each path has one representation.",
        )
        .each(
            open([200]).has("content-type: text/plain\r\n"),
            [
                get("Accept: image/png"),
                get("Accept-Language: x-klingon"),
                get("Accept-Encoding: gzip, identity;q=0"),
                get("TE: gzip, trailers;q=0.5"),
            ],
        ),
    ]
}

fn responses() -> Vec<Requirement> {
    let date = "\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    vec![
        must("9110 6.6.1", "Each final response has a date in the preferred format.")
            .case(open([200]).has(date), get("X: y"))
            .case(open([204]).has(date), line("OPTIONS * HTTP/1.1"))
            .case(open([304]).has(date), line("GET /status/304 HTTP/1.1"))
            .case(open([404]).has(date), line("GET /nope HTTP/1.1"))
            .case(rejected(400).has(date), line("GET"))
            .case(rejected(500).has(date), line("GET /panic HTTP/1.1")),
        must("9110 8.6", "204 and 100 have neither content-length nor transfer-encoding.")
            .case(
                open([204]).lacks("content-length").lacks("transfer-encoding"),
                line("OPTIONS / HTTP/1.1"),
            )
            .case(
                open([204]).lacks("content-length").lacks("\r\n\r\ncontent"),
                line("GET /status/204 HTTP/1.1"),
            )
            .case(
                waits([100]).lacks("content-length").lacks("transfer-encoding"),
                post("Expect: 100-continue\r\nContent-Length: 2", ""),
            ),
        must(
            "9110 15.4.5",
            "204, 205 and 304 have no body, and the next response follows directly.",
        )
        .each(
            open([204, 204]).lacks("\r\n\r\ncontent"),
            [[line("GET /status/204 HTTP/1.1"), line("GET /status/204 HTTP/1.1")].concat()],
        )
        .case(
            open([205]).has("content-length: 0\r\n").lacks("\r\n\r\ncontent"),
            line("GET /status/205 HTTP/1.1"),
        )
        .case(
            open([304]).lacks("\r\n\r\ncontent").lacks("content-length: 0"),
            line("GET /status/304 HTTP/1.1"),
        )
        .case(
            open([304, 200]),
            [line("GET /status/304 HTTP/1.1"), line("GET / HTTP/1.1")].concat(),
        ),
        should("9110 8.6", "A body of known length is sent with a content-length.")
            .case(open([200]).has("content-length: 14\r\n"), get("X: y"))
            .case(open([404]).has("content-length: 0\r\n"), line("GET /nope HTTP/1.1"))
            .case(open([200]).has("content-length: 3\r\n"), post("Content-Length: 3", "abc"))
            .case(rejected(417).has("content-length: "), get("Expect: tea")),
        should("9110 8.3", "A body has a content-type. An echo has that of the request.")
            .case(open([200]).has("content-type: text/plain\r\n"), get("X: y"))
            .case(open([200]).has("content-type: application/json\r\n"), line("GET /data HTTP/1.1"))
            .case(
                open([200]).has("content-type: image/png; a=\"b\"\r\n"),
                post("Content-Type: image/png; a=\"b\"\r\nContent-Length: 2", "hi"),
            )
            .case(
                open([200]).has("content-type: application/octet-stream\r\n"),
                post("Content-Length: 2", "hi"),
            )
            .case(rejected(400).has("content-type: text/plain\r\n"), line("GET")),
        must("9112 4", "A status line has a space after its code, even without a phrase.")
            .case(open([299]).has("HTTP/1.1 299 \r\n"), line("GET /status/299 HTTP/1.1"))
            .case(open([599]).has("HTTP/1.1 599 \r\n"), line("GET /status/599 HTTP/1.1"))
            .case(open([418]).has("HTTP/1.1 418 \r\n"), line("GET /status/418 HTTP/1.1"))
            .case(open([404]).has("HTTP/1.1 404 Not Found\r\n"), line("GET /nope HTTP/1.1")),
        should("9110 15.5", "A rejection names the fault.")
            .case(rejected(400).has("\r\n\r\nThe request line is not"), line("GET"))
            .case(rejected(400).has("\r\n\r\nA field line is not"), get("X : y"))
            .case(rejected(400).has("\r\n\r\nThe content-length"), post("Content-Length: x", ""))
            .case(
                rejected(501).has("\r\n\r\nThe only transfer coding"),
                post("Transfer-Encoding: foo", ""),
            )
            .case(rejected(500).has("\r\n\r\nThe service failed."), line("GET /panic HTTP/1.1")),
    ]
}
