//! Field lines, their names and their values: RFC 9112, 5, and RFC 9110, 5.

use pinloop::Limits;

use super::{Requirement, closed, get, may, must, open, post, rejected, should, waits};

pub(super) fn requirements() -> Vec<Requirement> {
    [names(), values(), lists(), sizes()].concat()
}

fn names() -> Vec<Requirement> {
    vec![
        must("9112 5.1", "White space between a field name and its colon gets 400.").each(
            rejected(400),
            [
                get("X : y"),
                get("X\t: y"),
                get("X  :y"),
                get("Content-Length : 2"),
                get("Transfer-Encoding : chunked"),
                get("Connection\t: close"),
                b"GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_vec(),
            ],
        ),
        must("9112 5.2", "A folded line gets 400.").each(
            rejected(400),
            [
                get("X: y\r\n z"),
                get("X: y\r\n\tz"),
                get("X:\r\n y"),
                get("X: y\r\n \r\n z"),
                get("X: y\r\n "),
                get("Transfer-Encoding:\r\n chunked"),
                get("Content-Length: 1\r\n 0"),
                get("Connection:\r\n\tclose"),
                b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n".to_vec(),
            ],
        ),
        must("9110 5.1", "A field line without a token and a colon gets 400.")
            .each(
                rejected(400),
                [
                    ": y",
                    ":",
                    "X",
                    "X y",
                    "X y: z",
                    "X(y): z",
                    "X[]: y",
                    "\"X\": y",
                    "X@: y",
                    "X/y: z",
                    "X,y: z",
                    "X;y: z",
                    "X=: y",
                    "{X}: y",
                    "X\\: y",
                    "X\0: y",
                    "X\x01: y",
                    "X\x7f: y",
                    "ä: y",
                    "\u{feff}X: y",
                    "X?: y",
                    "<X>: y",
                ]
                .map(get),
            )
            .each(rejected(400), [get(b"X\xff: y"), get(b"\x80: y")])
            .case(open([200]), get("!#$%&'*+-.^_`|~09azAZ: y")),
        must("9110 5.1", "Field names are case-insensitive.")
            .case(open([200]), "GET / HTTP/1.1\r\nhOsT: a\r\n\r\n")
            .case(closed([200]), get("CONNECTION: close"))
            .case(open([200]).has("content-length: 2\r\n"), post("content-LENGTH: 2", "hi"))
            .case(
                open([200]).has("2\r\nhi"),
                post("TRANSFER-encoding: chunked", "2\r\nhi\r\n0\r\n\r\n"),
            )
            .case(
                open([200]).has("content-type: x/y\r\n"),
                post("CoNtEnT-tYpE: x/y\r\nContent-Length: 0", ""),
            )
            .case(waits([100]), post("EXPECT: 100-continue\r\nContent-Length: 2", "")),
        should("9110 5.1", "Unknown fields are ignored.").each(
            open([200]),
            [
                get("X-Unknown: y"),
                get("Content-Lengths: 5"),
                get("Content_Length: 5"),
                get("Transfer_Encoding: chunked"),
                get("X-Content-Length: 5\r\nX-Transfer-Encoding: chunked"),
                get("Keep-Alive: timeout=5\r\nProxy-Connection: close"),
            ],
        ),
    ]
}

fn values() -> Vec<Requirement> {
    vec![
        must("9110 5.5", "CR, LF and NUL in a field value get 400.").each(
            rejected(400),
            [
                get("X: a\0b"),
                get("X: \0"),
                get("X: a\rb"),
                get("X: a\r"),
                get("X:\r"),
                get("X: a\nb"),
                get("Content-Length: 2\0"),
                get("Transfer-Encoding: chunked\0"),
            ],
        ),
        may("9110 5.5", "Other control characters in a field value get 400.").each(
            rejected(400),
            [
                get("X: a\x01b"),
                get("X: \x08"),
                get("X: a\x0bb"),
                get("X: a\x0cb"),
                get("X: a\x1b[0m"),
                get("X: a\x1f"),
                get("X: a\x7f"),
                get("Transfer-Encoding: \x0bchunked"),
                get("Content-Length: 2\x0c"),
            ],
        ),
        should("9110 5.5", "Bytes above ASCII in a field value are accepted as opaque.")
            .each(open([200]), [get(b"X: \x80\xff"), get("X: äöü"), get(b"X: a\xc0\xafb")])
            .case(
                open([200]).has("content-type: x/ä\r\n"),
                post("Content-Type: x/ä\r\nContent-Length: 0", ""),
            ),
        must("9110 5.5", "Spaces and tabs around a field value are stripped.")
            .case(open([200]).has("\r\n\r\nhi"), post("Content-Length:2", "hi"))
            .case(open([200]).has("\r\n\r\nhi"), post("Content-Length: \t 2\t \t", "hi"))
            .case(
                open([200]).has("2\r\nhi"),
                post("Transfer-Encoding:\tchunked\t", "2\r\nhi\r\n0\r\n\r\n"),
            )
            .case(closed([200]), get("Connection:\t close \t"))
            .case(open([200]), "GET / HTTP/1.1\r\nHost:\ta\t\r\n\r\n")
            .case(
                open([200]).has("content-type: x / y\r\n"),
                post("Content-Type: \t x / y\t \r\nContent-Length: 0", ""),
            ),
        must("9110 5.5", "A field value may be empty.").each(
            open([200]),
            [
                get("X:"),
                get("X: "),
                get("X:\t"),
                get("X:\r\nY:"),
                get("Connection:"),
                get("Expect:"),
            ],
        ),
        must("9110 5.3", "An incomplete head gets no response.").each(
            waits([]),
            [
                "",
                "\r",
                "\r\n",
                "G",
                "GET / HTTP/1.1",
                "GET / HTTP/1.1\r\n",
                "GET / HTTP/1.1\r\nHost: a",
                "GET / HTTP/1.1\r\nHost: a\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n\r",
                "DELETE /data HTTP/1.1\r\nHost: a\r\nX: y\r\n",
                "GET / HTTP/2.0",
            ],
        ),
    ]
}

fn lists() -> Vec<Requirement> {
    vec![
        must("9110 5.6.1.2", "Empty list members are ignored.")
            .each(closed([200]), [get("Connection: ,close"), get("Connection: , ,\t, close , ,")])
            .each(
                open([200]).has("2\r\nhi"),
                ["chunked,", ",chunked", " , chunked , "].map(|codings| {
                    post(format!("Transfer-Encoding: {codings}"), "2\r\nhi\r\n0\r\n\r\n")
                }),
            )
            .case(open([100, 200]), post("Expect: ,100-continue,\r\nContent-Length: 2", "hi")),
        must("9110 5.3", "A list may span several field lines, in order.")
            .each(
                closed([200]),
                [
                    get("Connection: a\r\nConnection: close"),
                    get("Connection: close\r\nX: y\r\nConnection: keep-alive"),
                ],
            )
            .case(rejected(501), post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", ""))
            .each(
                rejected(400),
                [
                    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", ""),
                    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", ""),
                    post("Transfer-Encoding: chunked\r\nX: y\r\ntransfer-encoding: identity", ""),
                ],
            )
            .case(
                open([200]).has("2\r\nhi"),
                post("Transfer-Encoding:\r\nTransfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n"),
            ),
    ]
}

fn sizes() -> Vec<Requirement> {
    let limits = Limits { head_bytes_max: 256, headers_max: 8, ..Limits::default() };
    let long = "x".repeat(300);
    let fields = |count: usize| "X: y\r\n".repeat(count - 1).trim_end().to_string();
    vec![
        must("9110 5.4", "Fields beyond the limits on their number and size get 431.")
            .within(limits)
            .each(
                rejected(431),
                [
                    get(format!("X: {long}")),
                    get(format!("{long}: y")),
                    get(format!("Cookie: {}\r\nCookie: {}", &long[..120], &long[..120])),
                    get(fields(9)),
                    get(fields(30)),
                    "\r\n".repeat(300).into(),
                ],
            )
            .each(open([200]), [get(fields(8)), get(format!("X: {}", &long[..200]))]),
        should("9110 5.4", "100 fields and a head of 16 KiB are accepted.")
            .each(open([200]), [get(fields(100)), get(format!("X: {}", "x".repeat(16_000)))])
            .each(rejected(431), [get(fields(101)), get(format!("X: {}", "x".repeat(17_000)))]),
    ]
}
