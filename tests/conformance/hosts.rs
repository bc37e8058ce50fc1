//! The host field: RFC 9112, 3.2, and RFC 9110, 7.2.

use super::{Requirement, closed, may, must, open, rejected};

pub(super) fn requirements() -> Vec<Requirement> {
    vec![
        must("9112 3.2", "A request of HTTP/1.1 or later without a host field gets 400.")
            .each(
                rejected(400).has("exactly one host field"),
                [
                    "GET / HTTP/1.1\r\n\r\n",
                    "GET / HTTP/1.1\r\nX-Host: a\r\nHosts: a\r\nHos: a\r\n\r\n",
                    "GET / HTTP/1.2\r\n\r\n",
                    "OPTIONS * HTTP/1.1\r\n\r\n",
                    "POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
                    "BREW / HTTP/1.1\r\n\r\n",
                ],
            )
            .case(rejected(400).lacks("exactly"), "HEAD /nope HTTP/1.1\r\nAccept: */*\r\n\r\n"),
        may("9112 3.2", "HTTP/1.0 needs no host field.")
            .case(closed([200]), "GET / HTTP/1.0\r\n\r\n")
            .case(closed([200]), "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            .case(closed([200]).has("@ - in 1.0"), "GET /show HTTP/1.0\r\n\r\n"),
        must(
            "9112 3.2",
            "More than one host field gets 400, even if they are equal, in any version.",
        )
        .each(
            rejected(400),
            [
                "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST: a\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n",
                "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            ],
        ),
        must("9110 7.2", "A host that is not a uri-host with an optional port gets 400.")
            .each(
                rejected(400),
                [
                    "",
                    " ",
                    ":",
                    ":80",
                    "a b",
                    "a\tb",
                    "a, b",
                    "a b:80",
                    "u@a",
                    "u:p@a",
                    "@a",
                    "a/",
                    "a/b",
                    "/",
                    "http://a",
                    "a?b",
                    "a#b",
                    "a\\b",
                    "\"a\"",
                    "<a>",
                    "a|b",
                    "a^b",
                    "{a}",
                    "[a]",
                    "[]",
                    "[::1",
                    "::1",
                    "[::1]a",
                    "[::1]]",
                    "[::g]",
                    "[1:2]",
                    "[fe80::1%25lo]",
                    "[v1]",
                    "[v1.]",
                    "[v.a]",
                    "a%",
                    "a%4",
                    "a%zz",
                    "a:b",
                    "a:80:80",
                    "a:8 0",
                    "a: 80",
                    "a :80",
                    "a:+80",
                    "a:-1",
                    "a:0x50",
                    "a:65536",
                    "a:99999",
                    "a:800000000000000000000",
                    "ä",
                    "a\u{0}",
                ]
                .map(|host| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            )
            .case(rejected(400), "GET / HTTP/1.0\r\nHost: a b\r\n\r\n")
            .case(rejected(400), &b"GET / HTTP/1.1\r\nHost: a\xff\r\n\r\n"[..]),
        must("9110 7.2", "Any uri-host and any TCP port are accepted.")
            .each(
                open([200]),
                [
                    "a",
                    "A.Example",
                    "a:80",
                    "a:",
                    "a:0",
                    "a:000080",
                    "a:65535",
                    "127.0.0.1",
                    "127.0.0.1:8080",
                    "999.0.0.1",
                    "[::1]",
                    "[::1]:80",
                    "[::ffff:127.0.0.1]",
                    "[2001:DB8::7]",
                    "[v1.a:b]",
                    "a-b_c~d",
                    "a.",
                    "xn--4ca",
                    "a%20b",
                    "a!$&'()*+,;=b",
                    "*",
                    "localhost",
                ]
                .map(|host| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")),
            )
            .case(open([200]).has("@ b:8080 in"), "GET /show HTTP/1.1\r\nhost:b:8080\r\n\r\n")
            .case(open([200]).has("@ b in"), "GET /show HTTP/1.1\r\nHOST:\t b \t\r\n\r\n"),
    ]
}
