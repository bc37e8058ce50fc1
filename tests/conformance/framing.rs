//! The end of a message: RFC 9112, 6 and 8, and RFC 9110, 8.6.

use pinloop::Limits;

use super::{
    Requirement, chunks, closed, get, may, must, open, post, rejected, request, should, waits,
};

const CHUNKED: &str = "Transfer-Encoding: chunked";

pub(super) fn requirements() -> Vec<Requirement> {
    [lengths(), codings(), both(), ends()].concat()
}

/// Returns an echo request with these transfer codings and a chunked body.
fn coded(codings: &str) -> Vec<u8> {
    post(format!("Transfer-Encoding: {codings}"), "2\r\nhi\r\n0\r\n\r\n")
}

fn lengths() -> Vec<Requirement> {
    vec![
        must(
            "9112 6.3",
            "Content-length is the length in bytes. The next request follows the body.",
        )
        .case(open([200]).has("\r\n\r\nhi"), post("Content-Length: 2", "hi"))
        .case(open([200]).has("content-length: 0\r\n"), post("Content-Length: 0", ""))
        .case(open([200, 200]), [post("Content-Length: 2", "\r\n"), get("X: y")].concat())
        .case(
            open([200, 200]).has("\r\n\r\nhiHTTP"),
            [post("Content-Length: 2", "hi"), get("X: y")].concat(),
        )
        .case(
            open([200, 405]),
            [post("Content-Length: 4", "GET "), request("PUT / HTTP/1.1", "X: y", "")].concat(),
        )
        .case(
            open([200]).has("in 1.1: hi"),
            request("PUT /show HTTP/1.1", "Content-Length: 2", "hi"),
        ),
        must(
            "9110 8.6",
            "A content-length is decimal and may have leading zeros.",
        )
        .each(
            open([200]).has("content-length: 10\r\n").has("\r\n\r\n0123456789"),
            ["10", "010", "0010", "00000000000000000000000000010"]
                .map(|length| post(format!("Content-Length: {length}"), "0123456789")),
        )
        .case(open([200]).has("content-length: 0\r\n"), post("Content-Length: 00", "")),
        must("9112 6.3", "An invalid content-length gets 400, and the connection closes.")
            .each(
                rejected(400),
                [
                    "", " ", "-1", "-0", "+2", "0x2", "0o2", "2h", "two", "2.0", "2,", ",2", ",",
                    "2 2", "2;", "2;a=b", "\"2\"", "'2'", "1e1", "1_0", "1'000", "٢", "2/2", "*",
                    "NaN", "infinity", "(2)", "2 bytes",
                ]
                .map(|length| post(format!("Content-Length: {length}"), "hi")),
            )
            .case(rejected(400), post(b"Content-Length: 2\xff", "hi"))
            .case(rejected(400), get("Content-Length: -1"))
            .case(rejected(400), "GET / HTTP/1.0\r\nContent-Length: a\r\n\r\n"),
        must("9112 6.3", "Different content-lengths get 400, on two lines or in a list.").each(
            rejected(400),
            [
                "Content-Length: 2\r\nContent-Length: 3",
                "Content-Length: 0\r\nContent-Length: 2",
                "Content-Length: 2\r\nX: y\r\ncontent-length: 0",
                "Content-Length: 2, 3",
                "Content-Length: 2,2,3",
                "Content-Length: 2\r\nContent-Length: 2, 3",
                "Content-Length: 2\r\nContent-Length: 2\r\nContent-Length: -2",
                "Content-Length: 2\r\nContent-Length:",
            ]
            .map(|lines| post(lines, "hi")),
        ),
        may("9112 6.3", "Repeated equal content-lengths count as one.").each(
            open([200]).has("content-length: 2\r\n").lacks("content-length: 2, 2"),
            [
                "Content-Length: 2\r\nContent-Length: 2",
                "Content-Length: 2, 2",
                "Content-Length: 2,2 ,\t2",
                "Content-Length: 2\r\nContent-Length: 02",
            ]
            .map(|lines| post(lines, "hi")),
        ),
        must(
            "9110 8.6",
            "A content-length of more than 64 bits gets 400. The largest 64-bit number is accepted.",
        )
        .each(
            rejected(400),
            ["18446744073709551616", "18446744073709551618", "99999999999999999999999999"]
                .map(|length| post(format!("Content-Length: {length}"), "hi")),
        )
        .case(waits([]), post("Content-Length: 18446744073709551615", "hi"))
        .case(
            rejected(413),
            request("PUT /data HTTP/1.1", "Content-Length: 18446744073709551615", "hi"),
        ),
    ]
}

fn codings() -> Vec<Requirement> {
    vec![
        must("9112 6.1", "The chunked coding is decoded. Its name is case-insensitive.").each(
            open([200]).has("transfer-encoding: chunked\r\n").has("\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            ["chunked", "Chunked", "CHUNKED", "cHuNkEd"].map(coded),
        ),
        should("9112 6.1", "An unknown coding gets 501, and the body is not read.").each(
            rejected(501),
            [
                "gzip, chunked",
                "deflate, chunked",
                "x-compress,chunked",
                "gzip, deflate, chunked",
                "identity, chunked",
                "foo, chunked",
                "foo;a=b, chunked",
                "foo;a=\"b\", chunked",
                "foo",
                "identity",
                "xchunked",
                "chunked1",
                "chunke",
                "x-chunked",
            ]
            .map(coded),
        ),
        must(
            "9112 6.3",
            "If chunked is not the last coding, the request gets 400, and the connection closes.",
        )
        .each(
            rejected(400),
            [
                "chunked, gzip",
                "chunked, foo",
                "chunked, identity",
                "chunked, gzip, foo",
                "gzip, chunked, deflate",
                "gzip",
                "deflate",
                "x-gzip",
                "compress",
                "gzip, deflate",
                "",
                ",",
                "chunked,a=b",
                "chunked, chunked1",
            ]
            .map(coded),
        )
        .case(rejected(400), get("Transfer-Encoding: chunked, gzip"))
        .case(rejected(400), get("Transfer-Encoding:")),
        must("9112 7", "Chunked twice gets 400.").each(
            rejected(400),
            [
                "chunked, chunked",
                "chunked,Chunked",
                "chunked, gzip, chunked",
                "chunked,,chunked",
                "chunked, foo, chunked",
            ]
            .map(coded),
        ),
        should("9112 7.1", "Parameters of chunked get 400.").each(
            rejected(400),
            ["chunked;a=b", "chunked; a=b", "chunked;", "chunked;q=1", "gzip, chunked;a"]
                .map(coded),
        ),
        must("9112 7", "A coding that is not a token gets 400.").each(
            rejected(400),
            [
                "\"chunked\"",
                "'chunked' x",
                "chunked chunked",
                "chunk ed",
                "chunked x",
                "x chunked",
                "chunked\u{a0}",
                "{chunked}",
                "chunked/1",
                "=chunked",
                ";chunked",
                "@, chunked",
                "chunked\x0b",
                "\x0cchunked",
                "chu\0nked",
                "chünked",
            ]
            .map(coded),
        ),
    ]
}

fn both() -> Vec<Requirement> {
    vec![
        may("9112 6.1", "Transfer-encoding together with content-length gets 400.").each(
            rejected(400),
            [
                "Content-Length: 12\r\nTransfer-Encoding: chunked",
                "Transfer-Encoding: chunked\r\nContent-Length: 12",
                "Transfer-Encoding: chunked\r\nContent-Length: 0",
                "Content-Length: 12\r\nContent-Length: 12\r\nTransfer-Encoding: chunked",
                "Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 5",
            ]
            .map(|lines| post(lines, "2\r\nhi\r\n0\r\n\r\n")),
        ),
        must(
            "9112 6.1",
            "After a request with both, the connection closes, also if it has other faults.",
        )
        .case(rejected(501), post("Content-Length: 2\r\nTransfer-Encoding: foo", "hi"))
        .each(
            rejected(400),
            [
                "Content-Length: 2\r\nTransfer-Encoding: chunked, identity",
                "Content-Length: x\r\nTransfer-Encoding: chunked",
                "Content-Length: 2\r\nTransfer-Encoding: x y",
                "Content-Length: 2\r\nTransfer-Encoding:",
            ]
            .map(|lines| post(lines, "hi")),
        ),
        must(
            "9112 6.1",
            "Transfer-encoding in HTTP/1.0 is a framing error, and the connection closes.",
        )
        .each(
            rejected(400),
            [
                "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
                "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi",
                "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            ],
        )
        .case(rejected(501), "POST /echo HTTP/1.0\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    ]
}

fn ends() -> Vec<Requirement> {
    let limits = Limits { body_bytes_max: 8, ..Limits::default() };
    let put = |fields: &str, body: &str| request("PUT /data HTTP/1.1", fields, body);
    vec![
        must("9112 6.3", "A request with neither has no body.")
            .case(
                open([200]).has("content-length: 0\r\n"),
                "POST /echo HTTP/1.1\r\nHost: a\r\n\r\n",
            )
            .case(open([405]), "PUT /data HTTP/1.1\r\nHost: a\r\n\r\n")
            .case(
                open([200, 200]),
                [b"POST /echo HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), get("X: y")].concat(),
            )
            .case(closed([200]), "POST /echo HTTP/1.0\r\n\r\n"),
        must("9112 6", "A request of any method may have a body, and the body is read.")
            .each(
                open([200]),
                [
                    request("GET / HTTP/1.1", "Content-Length: 5", "GET /"),
                    request("GET /data HTTP/1.1", CHUNKED, "2\r\nhi\r\n0\r\n\r\n"),
                    request("HEAD / HTTP/1.1", "Content-Length: 2", "hi"),
                ],
            )
            .case(open([405]), request("DELETE / HTTP/1.1", "Content-Length: 2", "hi"))
            .case(open([405]), request("TRACE / HTTP/1.1", "Content-Length: 2", "hi"))
            .case(open([204]), request("OPTIONS / HTTP/1.1", CHUNKED, "0\r\n\r\n"))
            .case(open([404]), request("POST /nope HTTP/1.1", "Content-Length: 2", "hi"))
            .case(open([501]), request("BREW / HTTP/1.1", "Content-Length: 2", "hi")),
        must("9112 8", "An incomplete body gets no final response.").each(
            waits([]),
            [
                post("Content-Length: 5", ""),
                post("Content-Length: 5", "hell"),
                chunks(""),
                chunks("5\r\nhello"),
                chunks("5\r\nhello\r\n0\r\n"),
                chunks("5\r\nhello\r\n0\r\na: b\r\n"),
                b"PUT /data HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell".to_vec(),
                b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n".to_vec(),
            ],
        ),
        may(
            "9110 15.5.14",
            "A collected body over the limit gets 413 as soon as its size is known.",
        )
        .within(limits)
        .each(
            rejected(413),
            [
                put("Content-Length: 9", ""),
                put("Content-Length: 9", "123456789"),
                put(CHUNKED, "9\r\n1"),
                put(CHUNKED, "5\r\nhello\r\n4\r\nx"),
                put(CHUNKED, "ffffffffffffffff\r\nx"),
                get("Content-Length: 9"),
            ],
        )
        .case(open([405]), put("Content-Length: 8", "12345678"))
        .case(open([405]), put(CHUNKED, "5\r\nhello\r\n3\r\nxyz\r\n0\r\n\r\n"))
        .case(open([200]), post("Content-Length: 9", "123456789")),
    ]
}
