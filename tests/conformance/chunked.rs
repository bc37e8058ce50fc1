//! The chunked coding: RFC 9112, 7.1.

use super::{Requirement, chunks, closed, cut, may, must, open, rejected, request, should, waits};

pub(super) fn requirements() -> Vec<Requirement> {
    [sizes(), lines(), extensions(), trailers(), responses()].concat()
}

/// Returns a chunked request. The service collects its body.
fn collected(body: &str) -> Vec<u8> {
    request("PUT /show HTTP/1.1", "Transfer-Encoding: chunked", body)
}

fn sizes() -> Vec<Requirement> {
    vec![
        must("9112 7.1", "Chunks are decoded in order, up to the last chunk of size 0.")
            .case(
                open([200]).has("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
                chunks("5\r\nhello\r\n0\r\n\r\n"),
            )
            .case(open([200]).has("\r\n\r\n0\r\n\r\n"), chunks("0\r\n\r\n"))
            .case(open([200]).has("in 1.1: hello!"), collected("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"))
            .case(
                open([200]).has("in 1.1: \r\n0\r\n\r\n"),
                collected("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
            )
            .case(
                open([200]).has(format!("in 1.1: {}", "x".repeat(200))),
                collected(&format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(200))),
            )
            .case(
                open([200, 405]),
                [&chunks("2\r\nhi\r\n0\r\n\r\n")[..], b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n"]
                    .concat(),
            ),
        must("9112 7.1", "A chunk size is hexadecimal in either case. Leading zeros are allowed.")
            .each(
                open([200]).has("in 1.1: 0123456789"),
                ["a", "A", "0a", "00A", "000000000000000a"]
                    .map(|size| collected(&format!("{size}\r\n0123456789\r\n0\r\n\r\n"))),
            )
            .each(
                open([200]).has("in 1.1: "),
                ["00", "0000000000000000"].map(|size| collected(&format!("{size}\r\n\r\n"))),
            )
            .case(
                open([200]).has(format!("in 1.1: {}", "x".repeat(0x1b))),
                collected(&format!("1B\r\n{}\r\n0\r\n\r\n", "x".repeat(0x1b))),
            ),
        must("9112 7.1", "A chunk size of more than 16 digits gets 400.")
            .each(
                rejected(400),
                [
                    "10000000000000000",
                    "fffffffffffffffff",
                    "00000000000000002",
                    "100000000000000000000000000000002",
                ]
                .map(|size| chunks(format!("{size}\r\nhi\r\n0\r\n\r\n"))),
            )
            .each(
                waits([]),
                [chunks("ffffffffffffffff\r\nhi"), chunks("7fffffffffffffff\r\nhi\r\n0\r\n\r\n")],
            )
            .case(rejected(413), collected("ffffffffffffffff\r\nhi")),
        must("9112 7.1", "An invalid chunk size gets 400.").each(
            rejected(400),
            [
                "", "-2", "+2", "-0", "0x2", "0X2", "2h", "x", "g", " 2", "\t2", "2.0", "2_0",
                "2,2", "\"2\"", "\0", "２", "\r\n2", "{2}", "2=",
            ]
            .map(|size| chunks(format!("{size}\r\nhi\r\n0\r\n\r\n"))),
        ),
    ]
}

fn lines() -> Vec<Requirement> {
    vec![
        must("9112 7.1", "Only CRLF ends the line of a chunk size.").each(
            rejected(400),
            [
                "2\nhi\r\n0\r\n\r\n",
                "2\rhi\r\n0\r\n\r\n",
                "2\r\rhi\r\n0\r\n\r\n",
                "2 \r\nhi\r\n0\r\n\r\n",
                "2\t\r\nhi\r\n0\r\n\r\n",
                "2 hi\r\n0\r\n\r\n",
                "2\r\nhi\r\n0\n\r\n",
                "2\r\nhi\r\n0 \r\n\r\n",
                "2\n\nhi",
            ]
            .map(chunks),
        ),
        must("9112 7.1", "Only a CRLF directly after the last byte ends a chunk.").each(
            rejected(400),
            [
                "2\r\nhi\n0\r\n\r\n",
                "2\r\nhi\r0\r\n\r\n",
                "2\r\nhi0\r\n\r\n",
                "2\r\nhi\r\r\n0\r\n\r\n",
                "2\r\nhi \r\n0\r\n\r\n",
                "2\r\nhello\r\n0\r\n\r\n",
                "3\r\nhi\r\n0\r\n\r\n",
                "2\r\nhi\r\n\r\n0\r\n\r\n",
                "2\r\nhiGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ]
            .map(chunks),
        ),
        must("9112 7.1", "Only CRLF ends the trailers and the body.")
            .each(
                rejected(400),
                [
                    "0\r\n\n",
                    "0\r\n\r\r",
                    "0\r\n\rX",
                    "0\n\n",
                    "0\r\n \r\n",
                    "2\r\nhi\r\n0\r\n0\r\n\r\n",
                    "0\r\nGET / HTTP/1.1\r\n\r\n",
                ]
                .map(chunks),
            )
            .each(rejected(400), ["0\r\n\n", "5\r\nhello\n", "1;a\nx"].map(collected)),
    ]
}

fn extensions() -> Vec<Requirement> {
    vec![
        must("9112 7.1.1", "Chunk extensions of any name are ignored.").each(
            open([200]).has("in 1.1: hi").lacks("ext"),
            [
                "2;ext",
                "2;ext=1",
                "2;ext=\"1\"",
                "2;ext=\"\"",
                "2;a;b=c;d=\"e\"",
                "2 ; ext",
                "2\t;\text\t=\t1",
                "2;ext = \"a;b\"",
                "2;ext=\"\\\"\\\\\t\"",
                "2;ext=\"ä\"",
                "2;!#$%&'*+-.^_`|~=1",
                "2;ext=\"\\ä\" ;b",
            ]
            .map(|size| collected(&format!("{size}\r\nhi\r\n0;ext=last\r\n\r\n"))),
        ),
        must("9112 7.1.1", "A malformed chunk extension gets 400.")
            .each(
                rejected(400),
                [
                    "2;",
                    "2; ",
                    "2;;",
                    "2;=",
                    "2;=b",
                    "2;a=",
                    "2;a= ",
                    "2;a=;b",
                    "2;a=b=c",
                    "2;a b",
                    "2;a=b c",
                    "2;a ",
                    "2;a=b ",
                    "2;a=\"b",
                    "2;a=\"b\"c",
                    "2;a=b\"c\"",
                    "2;a=\"\x01\"",
                    "2;a=\"\\\x01\"",
                    "2;a=\"\x7f\"",
                    "2;a\0",
                    "2;a=\0",
                    "2;(a)",
                    "2;a=b,c",
                    "2;a=ä",
                    "2 a",
                    "2,a",
                    "2;a\rb",
                    "2;a=\"\r",
                    "2;a\n",
                    "2;a=b\n",
                    "2;a=\"b\n",
                ]
                .map(|size| chunks(format!("{size}\r\nhi\r\n0\r\n\r\n"))),
            )
            .case(rejected(400), chunks("2\r\nhi\r\n0;\r\n\r\n")),
        should("9112 7.1.1", "More than 16 KiB of chunk extensions in one request get 400.")
            .case(rejected(400), collected(&format!("2;{}", "a".repeat(17_000))))
            .case(rejected(400), collected(&format!("2;a=\"{}", "b".repeat(17_000))))
            .case(rejected(400), collected(&"1;a=0123456789\r\nx\r\n".repeat(1_500)))
            .case(open([200]), collected(&format!("2;{}\r\nhi\r\n0\r\n\r\n", "a".repeat(16_000)))),
    ]
}

fn trailers() -> Vec<Requirement> {
    vec![
        may("9112 7.1.2", "Trailers are discarded.").each(
            open([200]).has("in 1.1: hi").lacks("trailer"),
            [
                "trailer: 1\r\n",
                "trailer:\r\n",
                "trailer:1\r\ntrailer: \t2\t\r\nother-trailer: ä\r\n",
                "!#$%&'*+-.^_`|~trailer: 1\r\n",
            ]
            .map(|trailers| collected(&format!("2\r\nhi\r\n0\r\n{trailers}\r\n"))),
        ),
        must("9110 6.5.1", "A trailer never acts as a header.").each(
            open([200]).has("@ a in 1.1: hi").lacks("100 Continue").lacks("connection:"),
            [
                "Content-Length: 100",
                "Transfer-Encoding: gzip",
                "Transfer-Encoding: chunked",
                "Host: b",
                "Connection: close",
                "Expect: 100-continue",
                "Content-Length: x",
            ]
            .map(|trailer| collected(&format!("2\r\nhi\r\n0\r\n{trailer}\r\n\r\n"))),
        ),
        must("9112 7.1.2", "A trailer that is not a field line gets 400.")
            .each(
                rejected(400),
                [
                    "a : b",
                    "a\t: b",
                    " a: b",
                    "\ta: b",
                    "a",
                    ": b",
                    ":",
                    "a b: c",
                    "a(: b",
                    "ä: b",
                    "a: \0",
                    "a: b\x01",
                    "a: \x7f",
                    "a: b\r\n c",
                    "a: b\rc",
                    "a: b\nc: d",
                    "a: b\n",
                    "a\0: b",
                ]
                .map(|trailer| chunks(format!("2\r\nhi\r\n0\r\n{trailer}\r\n\r\n"))),
            )
            .case(rejected(400), chunks(b"0\r\n\xff: b\r\n\r\n")),
        may("9110 5.4", "Trailers of more than 16 KiB get 400.")
            .case(rejected(400), chunks(format!("0\r\na: {}", "b".repeat(17_000))))
            .case(rejected(400), chunks(format!("0\r\n{}", "a".repeat(17_000))))
            .case(rejected(400), chunks(format!("0\r\n{}", "a: b\r\n".repeat(3_000))))
            .case(open([200]), chunks(format!("0\r\na: {}\r\n\r\n", "b".repeat(16_000)))),
    ]
}

fn responses() -> Vec<Requirement> {
    vec![
        should("9112 2.2", "A malformed chunk gets 400 if the response has not begun.")
            .each(rejected(400), [chunks("2\r\nhi\r\nzz\r\n"), chunks("2\r\nhi\r\n2\r\nhix")])
            .case(rejected(400).lacks("xxxx"), chunks(format!("3000\r\n{}zz", "x".repeat(0x3000))))
            .case(rejected(400), collected("2\r\nhi\r\nzz\r\n")),
        must(
            "9112 8",
            "After a malformed chunk, a begun response is cut off so that it looks incomplete.",
        )
        .case(
            cut([200]).lacks("\r\n0\r\n\r\n"),
            chunks(format!("5000\r\n{}\r\nzz\r\n", "x".repeat(0x5000))),
        )
        .case(
            cut([200]).lacks("\r\n0\r\n\r\n"),
            chunks(format!("5000\r\n{}zz", "x".repeat(0x5000))),
        ),
        must("9112 6.1", "A response is chunked for HTTP/1.1 and later, and never for HTTP/1.0.")
            .each(
                open([200])
                    .has("transfer-encoding: chunked\r\n")
                    .has("\r\n\r\n8\r\nstreamed\r\n0\r\n\r\n"),
                [
                    "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
                    "GET /stream HTTP/1.2\r\nHost: a\r\n\r\n",
                    "GET /stream HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
                ],
            )
            .each(
                closed([200]).lacks("transfer-encoding").has("\r\n\r\nstreamed"),
                [
                    "GET /stream HTTP/1.0\r\n\r\n",
                    "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\nTE: chunked\r\n\r\n",
                ],
            ),
    ]
}
