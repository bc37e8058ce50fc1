//! The request line without its target: RFC 9112, 2.2, 2.3 and 3.

use pinloop::Limits;

use super::{Requirement, closed, get, line, may, must, open, rejected, request, should};

pub(super) fn requirements() -> Vec<Requirement> {
    [start(), syntax(), methods(), versions()].concat()
}

fn start() -> Vec<Requirement> {
    vec![
        should("9112 2.2", "Empty lines before a request line are ignored.")
            .each(
                open([200]),
                [
                    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                    "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                    "\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                ],
            )
            .case(
                open([200, 200]),
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n\
                 GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ),
        must("9112 2.2", "A bare CR is rejected at any place.").each(
            rejected(400),
            [
                "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET\r / HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.1\rHost: a\r\r",
                "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\rG",
            ],
        ),
        may(
            "9112 2.2",
            "A bare LF gets 400, because implementations differ on whether it ends a line.",
        )
        .each(
            rejected(400),
            [
                "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.1\nHost: a\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n\n",
                "GET / HTTP/1.1\nHost: a\n\n",
                "GET / HTTP/1.0\n\n",
                "GET / HTTP/1.2\nHost: a\r\n\r\n",
            ],
        ),
        must("9112 2.2", "White space between the request line and the first field is rejected.")
            .each(
                rejected(400),
                [
                    "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
                    "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n",
                    "GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
                    "GET / HTTP/1.1\r\n Host: b\r\nHost: a\r\n\r\n",
                ],
            ),
        should("9112 2.2", "Bytes that are not HTTP get 400, and the connection closes.").each(
            rejected(400),
            [
                &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
                b"\0\0\0\0",
                b"\xff\xfe",
                b"{\"a\": 1}\n",
                b"hello\r\n\r\n",
                b"SSH-2.0-OpenSSH_9.6\r\n",
                b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
                b"HTTP/1.1 200 OK\r\n\r\n",
            ],
        ),
    ]
}

fn syntax() -> Vec<Requirement> {
    let limits = Limits { head_bytes_max: 256, ..Limits::default() };
    let long = "x".repeat(300);
    vec![
        should(
            "9112 3",
            "A line that is not method SP target SP version is rejected, not repaired.",
        )
        .each(
            rejected(400),
            [
                line("GET  / HTTP/1.1"),
                line("GET /  HTTP/1.1"),
                line(" GET / HTTP/1.1"),
                line("GET / HTTP/1.1 "),
                line("GET\t/ HTTP/1.1"),
                line("GET /\tHTTP/1.1"),
                line("GET / HTTP/1.1\t"),
                line("GET\x0b/ HTTP/1.1"),
                line("GET / a HTTP/1.1"),
                line("GET /a b HTTP/1.1"),
                line("GET / HTTP/1.1 HTTP/1.1"),
                line("GET HTTP/1.1"),
                line("GET  HTTP/1.1"),
                line("GET /"),
                line("GET / "),
                line("GET"),
                line("/ HTTP/1.1"),
                line(" / HTTP/1.1"),
                line("GET /HTTP/1.1"),
                line("GET / HTTP/1.1\0"),
                line("GET /\0 HTTP/1.1"),
            ],
        ),
        should("9112 3", "Request lines of more than 8,000 bytes are accepted.")
            .case(open([404]), line(format!("GET /{} HTTP/1.1", "x".repeat(7_986))))
            .case(open([404]), line(format!("GET /{} HTTP/1.1", "x".repeat(16_000))))
            .case(open([200]), line(format!("GET /?{} HTTP/1.1", "x".repeat(16_000)))),
        must("9112 3", "A target longer than the limit on a head gets 414.")
            .within(limits.clone())
            .each(
                rejected(414),
                [
                    line(format!("GET /{long} HTTP/1.1")),
                    line(format!("GET /?{long} HTTP/1.1")),
                    line(format!("\r\nGET http://a/{long} HTTP/1.1")),
                    format!("POST /{long}").into(),
                ],
            ),
        should("9112 3", "A method longer than all known methods gets 501.")
            .within(limits)
            .case(closed([501]).has("longer than any"), line(format!("{long} / HTTP/1.1")))
            .case(closed([501]), long)
            .case(open([501]), line(format!("{} / HTTP/1.1", "X".repeat(100)))),
    ]
}

fn methods() -> Vec<Requirement> {
    vec![
        must("9112 3.1", "Methods are case-sensitive: `get` is an unknown method.")
            .each(
                open([501]).lacks("allow:"),
                [
                    line("get / HTTP/1.1"),
                    line("Get / HTTP/1.1"),
                    line("GEt / HTTP/1.1"),
                    line("head / HTTP/1.1"),
                    line("options / HTTP/1.1"),
                    line("PoST /echo HTTP/1.1"),
                ],
            )
            .each(rejected(400), [line("options * HTTP/1.1"), line("connect a:1 HTTP/1.1")]),
        should("9110 9.1", "A method with a character that tokens cannot have is rejected.")
            .each(
                rejected(400),
                [
                    &b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
                    b"G\"T\" / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"G,T / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"G/T / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"{GET} / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"G\x7fT / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"G\xe4T / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"GET\0 / HTTP/1.1\r\nHost: a\r\n\r\n",
                ],
            )
            .each(
                open([501]),
                [line("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1"), line("M-SEARCH / HTTP/1.1")],
            ),
    ]
}

fn versions() -> Vec<Requirement> {
    const CHUNKED: &str = "Transfer-Encoding: chunked";
    vec![
        must("9112 2.3", "A version that is not HTTP/, a digit, a dot and a digit gets 400.").each(
            rejected(400),
            [
                "http/1.1",
                "Http/1.1",
                "HTTP/1",
                "HTTP/1.",
                "HTTP/.1",
                "HTTP/11",
                "HTTP/1.10",
                "HTTP/1.1.1",
                "HTTP/01.1",
                "HTTP/1.01",
                "HTTP/10.1",
                "HTTP/1.x",
                "HTTP/x.1",
                "HTTP/-1.1",
                "HTTP/+1.1",
                "HTTP/1,1",
                "HTTP//1.1",
                "HTTP1.1",
                "HTTPS/1.1",
                "HTCPCP/1.0",
                "FTP/1.1",
                "1.1",
                "HTTP/ 1.1",
                "HTTP /1.1",
                "HTTP/1. 1",
                "H",
            ]
            .map(|version| line(format!("GET / {version}"))),
        ),
        should("9110 2.5", "A later minor version is handled as 1.1.")
            .each(
                open([200]).has("in 1.1"),
                ["1.2", "1.5", "1.9"].map(|v| line(format!("GET /show HTTP/{v}"))),
            )
            .case(rejected(400), "GET / HTTP/1.2\r\n\r\n")
            .case(closed([200]), "GET / HTTP/1.2\r\nHost: a\r\nConnection: close\r\n\r\n")
            .case(
                open([200]).has("2\r\nhi\r\n0\r\n\r\n"),
                request("POST /echo HTTP/1.3", CHUNKED, "2\r\nhi\r\n0\r\n\r\n"),
            )
            .case(
                open([200]).has("in 1.1: hi"),
                request("PUT /show HTTP/1.9", CHUNKED, "2\r\nhi\r\n0\r\n\r\n"),
            )
            .case(
                open([100, 200]),
                request("POST /echo HTTP/1.2", "Expect: 100-continue\r\nContent-Length: 2", "hi"),
            ),
        should(
            "9110 15.6.6",
            "Another major version gets 505, which names the supported versions.",
        )
        .each(
            rejected(505).has("Only HTTP/1.x is served here."),
            ["0.9", "0.0", "2.0", "2.1", "3.0", "9.9"].map(|v| line(format!("GET / HTTP/{v}"))),
        )
        .case(rejected(505), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        should("9110 6.2", "Each response has the version HTTP/1.1.")
            .case(closed([200]).lacks("HTTP/1.0"), "GET / HTTP/1.0\r\n\r\n")
            .case(closed([404]).lacks("HTTP/1.0"), "GET /nope HTTP/1.0\r\n\r\n")
            .case(rejected(400).lacks("HTTP/1.0"), "GET / HTTP/1.0\r\nHost: a b\r\n\r\n")
            .case(open([200]).lacks("HTTP/1.2"), line("GET / HTTP/1.2"))
            .case(rejected(505).lacks("HTTP/2.0"), line("GET / HTTP/2.0"))
            .case(open([200]), get("Accept: */*")),
    ]
}
