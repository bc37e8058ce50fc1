//! Persistence of connections: RFC 9112, 9, and RFC 9110, 7.6.1.

use super::{
    Requirement, chunks, closed, get, line, may, must, open, post, rejected, request, should,
};

pub(super) fn requirements() -> Vec<Requirement> {
    [persistence(), closing(), pipelining()].concat()
}

fn persistence() -> Vec<Requirement> {
    let old = |fields: &str| format!("GET / HTTP/1.0\r\n{fields}\r\n");
    vec![
        should(
            "9112 9.3",
            "An HTTP/1.1 connection persists, also after an error response of the service.",
        )
        .each(
            open([200]).lacks("connection:"),
            [
                get("X: y"),
                get("Connection: keep-alive"),
                get("Connection: x"),
                post("Content-Length: 0", ""),
            ],
        )
        .case(open([404]).lacks("connection:"), line("GET /nope HTTP/1.1"))
        .case(open([405]).lacks("connection:"), line("PUT / HTTP/1.1"))
        .case(open([501]).lacks("connection:"), line("BREW / HTTP/1.1"))
        .case(open([200; 5]), get("X: y").repeat(5)),
        must(
            "9112 9.3",
            "An HTTP/1.0 connection closes after the response unless the client sends keep-alive.",
        )
        .each(
            closed([200]),
            [
                old(""),
                old("Connection:\r\n"),
                old("Connection: x\r\n"),
                old("Connection: keep-alives\r\n"),
                old("Keep-Alive: timeout=5\r\n"),
                old("Connection: close\r\n"),
                old("Connection: keep-alive, close\r\n"),
                old("Connection: close\r\nConnection: keep-alive\r\n"),
                "POST /echo HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi".into(),
            ],
        ),
        may(
            "9112 9.3",
            "With keep-alive, an HTTP/1.0 connection persists, and the response says so.",
        )
        .each(
            open([200]).has("\r\nconnection: keep-alive\r\n"),
            [
                old("Connection: keep-alive\r\n"),
                old("Connection: Keep-Alive\r\nHost: a\r\n"),
                old("Connection: x, keep-alive\r\n"),
                old("Connection: x\r\nConnection: KEEP-ALIVE\r\n"),
                "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"
                    .into(),
            ],
        ),
        should("9112 C.2.2", "Proxy-connection is ignored, because HTTP never defined it.")
            .case(closed([200]), old("Proxy-Connection: keep-alive\r\n"))
            .case(open([200]), get("Proxy-Connection: close")),
    ]
}

fn closing() -> Vec<Requirement> {
    vec![
        must(
            "9112 9.6",
            "A request with `connection: close` is the last one that is read and answered.",
        )
        .each(
            closed([200]),
            [
                get("Connection: close"),
                get("Connection: Close"),
                get("Connection: CLOSE\r\n\r\n"),
                get("Connection: close, keep-alive"),
                get("Connection: keep-alive, close"),
                get("Connection: x,close,y"),
                get("Connection: x\r\nConnection: close"),
                get("Connection:\tclose\t,\tx"),
                get("Connection: close, close"),
                post("Connection: close\r\nContent-Length: 2", "hi"),
                post("Connection: close\r\nTransfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n"),
                [get("Connection: close"), get("X: y")].concat(),
            ],
        ),
        should("9112 9.6", "Only the last response has `connection: close`.")
            .case(closed([200]).has("\r\nconnection: close\r\n"), get("Connection: close"))
            .case(
                closed([200, 200]).has("Try POST /echoHTTP/1.1"),
                [get("X: y"), get("Connection: close")].concat(),
            )
            .case(closed([200]).has("\r\nconnection: close\r\n"), "GET / HTTP/1.0\r\n\r\n")
            .case(closed([404]), request("GET /nope HTTP/1.1", "Connection: close", ""))
            .case(closed([204]), request("OPTIONS * HTTP/1.1", "Connection: close", ""))
            .case(rejected(400).has("\r\nconnection: close\r\n"), line("GET")),
        should("9110 7.6.1", "Other connection options neither close nor remove a field.")
            .each(
                open([200]),
                [
                    get("Connection: closed"),
                    get("Connection: close-notify"),
                    get("Connection: x-close"),
                    get("Connection: close;a=b"),
                    get("Connection: clo se"),
                    get("Connection: \"close\""),
                    get("X-Connection: close"),
                    get("Close: close"),
                    get("Connection: host"),
                ],
            )
            .case(
                open([200]).has("\r\n\r\nhi"),
                post("Connection: content-length\r\nContent-Length: 2", "hi"),
            )
            .case(
                open([200]).has("2\r\nhi"),
                post(
                    "Connection: transfer-encoding\r\nTransfer-Encoding: chunked",
                    "2\r\nhi\r\n0\r\n\r\n",
                ),
            ),
        must(
            "9112 9.3",
            "The body of a request is read, or the connection closes after the response.",
        )
        .case(
            open([404]),
            request("POST /nope HTTP/1.1", "Content-Length: 27", line("GET / HTTP/1.1")),
        )
        .case(closed([404]), request("POST /unwanted HTTP/1.1", "Content-Length: 2", ""))
        .case(closed([404]), request("POST /unwanted HTTP/1.1", "Content-Length: 2", "hi"))
        .case(closed([404]), request("POST /unwanted HTTP/1.1", "Transfer-Encoding: chunked", "")),
        must("9112 11.2", "After a framing error, nothing more is read as a request.")
            .each(
                closed([200, 400]),
                [
                    [
                        get("X: y"),
                        post("Content-Length: 2\r\nContent-Length: 3", "hi"),
                        get("X: y"),
                    ]
                    .concat(),
                    [
                        get("X: y"),
                        post("Transfer-Encoding: chunked\r\nContent-Length: 2", "hi"),
                        get("X: y"),
                    ]
                    .concat(),
                    [get("X: y"), post("Transfer-Encoding : chunked", ""), get("X: y")].concat(),
                    [get("X: y"), chunks("2\r\nhi\n0\r\n\r\n"), get("X: y")].concat(),
                    [get("X: y"), chunks("2\r\nhi\r\n0\r\nx\r\n\r\n"), get("X: y")].concat(),
                    [get("X: y"), get("X: y\n"), get("X: y")].concat(),
                ],
            )
            .case(
                closed([200, 501]),
                [get("X: y"), post("Transfer-Encoding: foo", "0\r\n\r\n"), get("X: y")].concat(),
            )
            .case(closed([200, 505]), [get("X: y"), line("GET / HTTP/2.0"), get("X: y")].concat()),
        should("9110 15.6.1", "A failure of the service gets 500, and the connection closes.")
            .case(rejected(500), line("GET /panic HTTP/1.1"))
            .case(
                closed([200, 500]),
                [get("X: y"), line("GET /panic HTTP/1.1"), get("X: y")].concat(),
            )
            .case(rejected(500), request("POST /panic HTTP/1.1", "Content-Length: 2", "hi")),
    ]
}

fn pipelining() -> Vec<Requirement> {
    let post = || post("Content-Length: 2", "hi");
    vec![
        must("9112 9.3.2", "Pipelined requests are answered in order.")
            .case(open([200, 404]), [get("X: y"), line("GET /nope HTTP/1.1")].concat())
            .case(open([404, 200]), [line("GET /nope HTTP/1.1"), get("X: y")].concat())
            .case(
                open([200, 405, 200, 204, 501]),
                [
                    post(),
                    line("PUT / HTTP/1.1"),
                    chunks("2\r\nhi\r\n0\r\n\r\n"),
                    line("OPTIONS * HTTP/1.1"),
                    line("BREW / HTTP/1.1"),
                ]
                .concat(),
            )
            .case(open([200, 200, 200]), [post(), b"\r\n".to_vec(), post(), get("X: y")].concat())
            .case(
                open([200, 200])
                    .has("streamed\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: text/plain"),
                [line("GET /stream HTTP/1.1"), get("X: y")].concat(),
            )
            .case(open([200; 60]), get("X: y").repeat(60)),
    ]
}
