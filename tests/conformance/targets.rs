//! The four forms of a request target: RFC 9112, 3.2, and RFC 9110, 4.2, 7.4
//! and 9.3.6.

use super::{Requirement, closed, line, may, must, open, rejected, should};

pub(super) fn requirements() -> Vec<Requirement> {
    [origin_form(), absolute_form(), authority_form(), asterisk_form()].concat()
}

fn origin_form() -> Vec<Requirement> {
    vec![
        must("9112 3.2.1", "The origin-form is a path with an optional query as in RFC 3986.")
            .each(
                open([200]),
                [
                    line("GET / HTTP/1.1"),
                    line("GET /? HTTP/1.1"),
                    line("GET /data?a=b?c/d&e HTTP/1.1"),
                ],
            )
            .each(
                open([404]),
                [
                    line("GET // HTTP/1.1"),
                    line("GET //a/b HTTP/1.1"),
                    line("GET /a//b/ HTTP/1.1"),
                    line("GET /../data HTTP/1.1"),
                    line("GET /http://a/ HTTP/1.1"),
                    line("GET /-._~!$&'()*+,;=:@ HTTP/1.1"),
                    line("GET /*?/?:@-._~!$&'()*+,;= HTTP/1.1"),
                ],
            )
            .case(open([200]).has("/show/b ? c=d?e @ a"), line("GET /show/b?c=d?e HTTP/1.1"))
            .case(open([200]).has("/show/b ?  @ a"), line("GET /show/b? HTTP/1.1"))
            .case(open([200]).has("/show ? - @ a"), line("GET /show HTTP/1.1")),
        should(
            "9112 3.2",
            "A target with characters that the URL standard always escapes gets 400.",
        )
        .each(
            rejected(400),
            [
                "/a#b",
                "/#",
                "/\"",
                "/<a>",
                "/?a=\"b\"",
                "/?#",
                "/\x7f",
                "/\x01",
                "/ä",
                "/?ä",
            ]
            .map(|target| line(format!("GET {target} HTTP/1.1"))),
        ),
        may(
            "9112 3.2",
            "A target with other characters than RFC 3986 has is accepted, if the URL standard leaves \
             them unescaped.",
        )
        .each(
            open([200]),
            [
                "/show[a]",
                "/show\\b",
                "/show^b",
                "/show`b",
                "/show{a}",
                "/show|b",
                "/show%",
                "/show%2",
                "/show%zz",
                "/show?a[]=1",
                "/show?a|b",
                "/show?100%",
                "http://a/show?{x}",
            ]
            .map(|target| line(format!("GET {target} HTTP/1.1"))),
        )
        .each(
            rejected(400),
            [
                line(b"GET /\xff HTTP/1.1"),
                line(b"GET /\xc0\xaf HTTP/1.1"),
                line(b"GET /?\x80 HTTP/1.1"),
            ],
        ),
        may("9112 3.2", "A % without two hexadecimal digits stands for itself.").each(
            open([200]),
            ["%", "%4", "%zz", "%4g", "a%", "%%41", "%u0041", "?%", "?a=100%", "?a=%2"]
                .map(|end| line(format!("GET /show{end} HTTP/1.1"))),
        ),
        should(
            "9110 4.2.3",
            "An escaped unreserved character equals the character. Escapes are case-insensitive.",
        )
        .each(
            open([200]).has("Value: 2"),
            ["/d%61ta", "/%64%61%74%61", "/d%61t%61?x", "/dat%61"]
                .map(|target| line(format!("GET {target} HTTP/1.1"))),
        )
        .case(open([200]).has("/show/~.-_Z ?"), line("GET /show/%7e%2e%2D%5f%5A HTTP/1.1"))
        .case(
            open([200]).has("/show/%2F%3F%C3%A4%25 ?"),
            line("GET /show/%2f%3F%c3%a4%25 HTTP/1.1"),
        )
        .case(open([200]).has("? %61 @"), line("GET /show?%61 HTTP/1.1")),
        must(
            "9110 4.2.3",
            "An escaped reserved character differs from the character. Escapes are resolved once.",
        )
        .each(
            open([404]),
            [
                "/data%2F",
                "/%2Fdata",
                "/data%3F",
                "/%2564ata",
                "/data%00",
                "/data%20",
                "/data%0D%0A",
            ]
            .map(|target| line(format!("GET {target} HTTP/1.1"))),
        ),
        must("9112 11.1", "No escape in a target adds a line to the response.")
            .case(
                open([200]).has("/show/%0D%0Ax:%20y ?").lacks("\r\nx: y"),
                line("GET /show/%0d%0ax:%20y HTTP/1.1"),
            )
            .case(open([404]).lacks("set-cookie"), line("GET /%0d%0aset-cookie:a HTTP/1.1")),
    ]
}

fn absolute_form() -> Vec<Requirement> {
    vec![
        must("9112 3.2.2", "The absolute-form is accepted from any client.")
            .each(
                open([200]),
                [
                    line("GET http://a/ HTTP/1.1"),
                    line("GET http://a/data?b HTTP/1.1"),
                    line("GET HTTP://A:80/ HTTP/1.1"),
                    line("GET hTTp://127.0.0.1:8080/data HTTP/1.1"),
                    line("GET http://[::1]:8080/ HTTP/1.1"),
                    line("GET http://a:/ HTTP/1.1"),
                    line("GET http://a.b-c_d~e!$&'()*+,;=/ HTTP/1.1"),
                    line("POST http://a/echo HTTP/1.1"),
                    line("GET http://a/d%61ta HTTP/1.1"),
                ],
            )
            .case(closed([200]), "GET http://a/ HTTP/1.0\r\n\r\n"),
        must("9112 3.2.2", "The authority of the target replaces the host field.")
            .case(open([200]).has("/show ? - @ b in"), line("GET http://b/show HTTP/1.1"))
            .case(open([200]).has("/show ? c @ b:2 in"), line("GET http://b:2/show?c HTTP/1.1"))
            .case(
                open([200]).has("/show ? c://d @ [::1] in"),
                line("GET http://[::1]/show?c://d HTTP/1.1"),
            )
            .case(
                open([200]).has("/show/http://b/ ? - @ a in"),
                line("GET /show/http://b/ HTTP/1.1"),
            ),
        must("9110 4.2.3", "An empty path equals the path /.").each(
            open([200]).has("Try POST /echo"),
            [
                line("GET http://a HTTP/1.1"),
                line("GET http://a:80 HTTP/1.1"),
                line("GET http://a?b HTTP/1.1"),
                line("GET http://a?/data HTTP/1.1"),
            ],
        ),
        must("9110 4.2.1", "An http target without a host is rejected.").each(
            rejected(400),
            [
                "http://",
                "http:///",
                "http:///data",
                "http://:80/",
                "http://?a",
                "http:",
                "http:/a",
                "http:a",
            ]
            .map(|target| line(format!("GET {target} HTTP/1.1"))),
        ),
        should("9110 4.2.4", "Userinfo in a target is an error.").each(
            rejected(400),
            ["http://u@a/", "http://u:p@a/", "http://@a/", "http://a:80@b/", "http://u%40@a/"]
                .map(|target| line(format!("GET {target} HTTP/1.1"))),
        ),
        must("9110 7.4", "An https target on an unsecured connection gets 421.").each(
            rejected(421),
            ["https://a/", "https://a", "HTTPS://a:443/data", "https://a?b"]
                .map(|target| line(format!("GET {target} HTTP/1.1"))),
        ),
        should("9112 3.2", "A target of another scheme or in no valid form gets 400.").each(
            rejected(400),
            [
                "ftp://a/",
                "ws://a/",
                "file:///etc/passwd",
                "urn:a:b",
                "mailto:a@b",
                "://a/",
                "a",
                "a/b",
                "?a",
                "a.example/",
                "http//a/",
                "ht tp://a/",
                "http://a b/",
                "http://a#b",
                "http://a/#b",
                "http://a/\"",
                "http://[::1/",
                "http://::1/",
                "http://a:x/",
                "http://a:99999/",
                "http://a%zz/",
                "http://ä/",
            ]
            .map(|target| line(format!("GET {target} HTTP/1.1"))),
        ),
        must(
            "9112 3.2",
            "A request with an absolute-form target still needs exactly one valid host field.",
        )
        .each(
            rejected(400),
            [
                "GET http://a/ HTTP/1.1\r\n\r\n",
                "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n",
                "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
                "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                "GET http://a/ HTTP/1.1\r\nHost: u@a\r\n\r\n",
            ],
        ),
    ]
}

fn authority_form() -> Vec<Requirement> {
    vec![
        must(
            "9112 3.2.3",
            "Only CONNECT may use the authority-form, and it may use no other form.",
        )
        .each(
            rejected(400),
            [
                line("GET a:80 HTTP/1.1"),
                line("OPTIONS a:80 HTTP/1.1"),
                line("POST [::1]:80 HTTP/1.1"),
                line("CONNECT / HTTP/1.1"),
                line("CONNECT * HTTP/1.1"),
                line("CONNECT http://a:80 HTTP/1.1"),
                line("CONNECT a:80/ HTTP/1.1"),
                line("CONNECT a:80?b HTTP/1.1"),
                line("CONNECT u@a:80 HTTP/1.1"),
            ],
        ),
        must("9110 9.3.6", "A CONNECT to an empty or invalid port is rejected.").each(
            rejected(400),
            ["a", "a:", "[::1]", "[::1]:", ":80", "a:x", "a:-1", "a:65536", "a:80:80"]
                .map(|target| line(format!("CONNECT {target} HTTP/1.1"))),
        ),
        may("9110 9.3.6", "CONNECT is not implemented: it gets 501, and nothing more is read.")
            .each(
                rejected(501),
                [
                    line("CONNECT a:80 HTTP/1.1"),
                    line("CONNECT [::1]:443 HTTP/1.1"),
                    [line("CONNECT a:80 HTTP/1.1"), line("GET / HTTP/1.1")].concat(),
                    "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\n".into(),
                    "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n"
                        .into(),
                ],
            ),
    ]
}

fn asterisk_form() -> Vec<Requirement> {
    vec![
        must("9112 3.2.4", "OPTIONS * lists the methods of the whole server.")
            .case(
                open([204]).has("allow: GET, HEAD, POST, OPTIONS\r\n"),
                line("OPTIONS * HTTP/1.1"),
            )
            .case(open([204]), "OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            .case(closed([204]), "OPTIONS * HTTP/1.0\r\n\r\n"),
        should(
            "9112 3.2.4",
            "OPTIONS of an absolute-form without path and query equals OPTIONS *.",
        )
        .each(
            open([204]).has("allow: GET, HEAD, POST, OPTIONS\r\n"),
            [line("OPTIONS http://a HTTP/1.1"), line("OPTIONS http://a:80 HTTP/1.1")],
        )
        .each(
            open([204]).has("allow: GET, HEAD, OPTIONS\r\n"),
            [line("OPTIONS http://a/ HTTP/1.1"), line("OPTIONS http://a?b HTTP/1.1")],
        ),
        must("9112 3.2.4", "Only OPTIONS may use the asterisk-form, which is exactly *.").each(
            rejected(400),
            [
                line("GET * HTTP/1.1"),
                line("HEAD * HTTP/1.1"),
                line("POST * HTTP/1.1"),
                line("BREW * HTTP/1.1"),
                line("OPTIONS ** HTTP/1.1"),
                line("OPTIONS *?a HTTP/1.1"),
                line("OPTIONS */ HTTP/1.1"),
            ],
        ),
    ]
}
