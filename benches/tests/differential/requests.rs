//! The requests, generated from the parts of a request, by topic.

#[path = "bodies.rs"]
mod bodies;

use self::bodies::{
    both_lengths, chunk_ends, chunk_extensions, chunk_size_digits, chunk_sizes, content_lengths,
    trailers, transfer_encodings,
};

/// Requests that differ in one respect.
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) requests: Vec<Vec<u8>>,
}

/// Returns all requests by topic: several thousand.
pub(crate) fn topics() -> Vec<Topic> {
    vec![
        topic("request line", request_lines()),
        topic("method and target", methods_and_targets()),
        topic("content of CONNECT", FRAMINGS.map(|framing| framed("CONNECT", framing))),
        topic("target's characters", target_characters()),
        topic("version", versions()),
        topic("host", hosts().iter().map(|host| get(&format!("Host: {host}")))),
        topic("host beside an absolute-form target", hosts().iter().map(absolute_with)),
        topic("number of hosts", host_lists()),
        topic("field line", field_lines()),
        topic("octet in a field name", octets().map(|octet| octet_in("X", octet, "Y: z"))),
        topic("octet in a field value", octets().map(|octet| octet_in("X: y", octet, "z"))),
        topic("line end", line_ends()),
        topic("content-length", content_lengths()),
        topic("transfer-encoding", transfer_encodings()),
        topic("content-length and transfer-encoding", both_lengths()),
        topic("chunk size", chunk_sizes()),
        topic("digits of a chunk size", chunk_size_digits()),
        topic("chunk extension", chunk_extensions()),
        topic("chunk's end", chunk_ends()),
        topic("trailer", trailers()),
        topic("connection", connections()),
        topic("expect", expects()),
        topic("pipeline", pipelines()),
    ]
}

fn topic(name: &'static str, requests: impl IntoIterator<Item = Vec<u8>>) -> Topic {
    Topic { name, requests: requests.into_iter().collect() }
}

fn get(fields: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n").into()
}

fn post(fields: &str, content: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{content}").into()
}

fn chunked(content: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked", content)
}

fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n\r\n").into()
}

fn octets() -> impl Iterator<Item = u8> {
    // A CR or LF is a line's end, which is a topic of its own.
    (0..=255).filter(|octet| !b"\r\n".contains(octet))
}

fn octet_in(before: &str, octet: u8, after: &str) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n", before.as_bytes(), &[octet], after.as_bytes(), b"\r\n\r\n"]
        .concat()
}

fn request_lines() -> Vec<Vec<u8>> {
    let lines = [
        "GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1\t",
        "GET / a HTTP/1.1",
        "GET /",
        "GET",
        "GET / ",
        "GET  HTTP/1.1",
        "GET HTTP/1.1",
        " / HTTP/1.1",
        "G\u{e4}T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "G,T / HTTP/1.1",
        "G:T / HTTP/1.1",
        "\"GET\" / HTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET / HTTP/1.1\0",
    ];
    let starts = ["", "\r\n", "\r\n\r\n\r\n", "\n", "\r", " \r\n", "\r\n "];
    let all = starts.iter().flat_map(|start| lines.map(|one| line(&format!("{start}{one}"))));
    all.collect()
}

const METHODS: [&str; 14] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "CONNECT",
    "get",
    "Get",
    "M-SEARCH",
    "X",
    "!#$%&'*+-.^_`|~",
];

fn methods_and_targets() -> Vec<Vec<u8>> {
    let targets = [
        "/",
        "/a/b?c=d&e",
        "//",
        "//a/b",
        "/?",
        "/??",
        "*",
        "/*",
        "**",
        "?a",
        "a",
        "a/b",
        "a:80",
        "a:",
        ":80",
        "[::1]:80",
        "http://a",
        "http://a/",
        "http://a:80/b?c",
        "http://a?b",
        "HTTP://a/",
        "http:/a",
        "http:a",
        "http://",
        "http:///a",
        "http://:80/",
        "http://u@a/",
        "http://u:p@a/",
        "http://a:b/",
        "http://a:99999/",
        "http://[::1]/",
        "http://[::1/",
        "https://a/",
        "ftp://a/",
        "mailto:a",
        "/a#b",
        "http://a/#b",
        "%2f",
        ".",
        "..",
        "/../a",
    ];
    let all = METHODS
        .iter()
        .flat_map(|method| targets.map(|target| line(&format!("{method} {target} HTTP/1.1"))));
    all.collect()
}

fn target_characters() -> Vec<Vec<u8>> {
    let one =
        |octet: u8| [b"GET /a".as_slice(), &[octet], b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let in_query =
        |octet: u8| [b"GET /?a".as_slice(), &[octet], b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let escapes = [
        "%61", "%7E", "%7e", "%2F", "%2f", "%20", "%00", "%", "%6", "%zz", "%6g", "%%61", "%E4",
        "%c3%a4", "%25", "%2e%2e",
    ];
    let escaped = escapes.iter().flat_map(|escape| {
        [format!("GET /{escape} HTTP/1.1"), format!("GET /?{escape} HTTP/1.1")].map(|it| line(&it))
    });
    octets().flat_map(|octet| [one(octet), in_query(octet)]).chain(escaped).collect()
}

fn versions() -> Vec<Vec<u8>> {
    let versions = [
        "HTTP/1.1",
        "HTTP/1.0",
        "HTTP/1.2",
        "HTTP/1.9",
        "HTTP/0.9",
        "HTTP/2.0",
        "HTTP/3.0",
        "HTTP/2",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1.01",
        "http/1.1",
        "Http/1.1",
        "HTTP 1.1",
        "HTTP/1,1",
        "HTTP/1.1.1",
        "HTTP/-1.1",
        "HTTP/1.x",
        "HTTPS/1.1",
        "ICY/1.1",
        "1.1",
        "HTTP/",
    ];
    let hosts = ["Host: a\r\n", ""];
    let connections = ["", "Connection: keep-alive\r\n", "Connection: close\r\n"];
    let all = versions.iter().flat_map(|version| {
        hosts.iter().flat_map(move |host| {
            connections.map(|field| format!("GET / {version}\r\n{host}{field}\r\n").into_bytes())
        })
    });
    all.collect()
}

fn hosts() -> Vec<String> {
    let hosts = [
        "a",
        "A.Example",
        "a:80",
        "a:",
        "a:0",
        "a:65535",
        "a:65536",
        "a:000080",
        "127.0.0.1",
        "[::1]",
        "[::1]:80",
        "[v1.a]",
        "a%20b",
        "a!$&'()*+,;=b",
        "*",
        "a_b",
        "xn--4ca",
        "",
        " ",
        ":",
        ":80",
        "a b",
        "a\tb",
        "a, b",
        "u@a",
        "u:p@a",
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
        "[::g]",
        "a%",
        "a%4",
        "a%zz",
        "a:b",
        "a:80:80",
        "a: 80",
        "a :80",
        "a:+80",
        "a:-1",
        "\u{e4}",
    ];
    hosts.map(Into::into).to_vec()
}

fn absolute_with(host: &String) -> Vec<u8> {
    format!("GET http://b/ HTTP/1.1\r\nHost: {host}\r\n\r\n").into()
}

fn host_lists() -> Vec<Vec<u8>> {
    let lists = [
        "X: y",
        "Host: a\r\nHost: a",
        "Host: a\r\nHost: b",
        "Host: a\r\nX: y\r\nhost: a",
        "Host: a\r\nHost:",
        "Hosts: a",
    ];
    lists.map(get).to_vec()
}

fn field_lines() -> Vec<Vec<u8>> {
    let lines = [
        "X: y",
        "X:y",
        "X:",
        "X: ",
        "X:\ty\t",
        "X: \t y \t ",
        "X : y",
        "X\t: y",
        ": y",
        ":",
        "X",
        "X y",
        " X: y",
        "\tX: y",
        "X: y\r\n z",
        "X: y\r\n\tz",
        "X: y\r\n ",
        "X: \r\n z",
        "X: y: z",
        "X: \"y",
        "X: y\r\nX: z",
        "!#$%&'*+-.^_`|~: y",
        "X: \u{e4}",
    ];
    let all = lines.iter().flat_map(|line| {
        [
            get(&format!("Host: a\r\n{line}")),
            get(&format!("{line}\r\nHost: a")),
            post(&format!("{line}\r\nContent-Length: 2"), "hi"),
        ]
    });
    all.collect()
}

fn line_ends() -> Vec<Vec<u8>> {
    let ends = ["\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\n\n", "\n\n", "\r\n\r"];
    let all = ends.iter().flat_map(|end| {
        [
            format!("GET / HTTP/1.1{end}Host: a\r\nX: y\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: a{end}X: y\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: y{end}\r\n"),
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n{end}"),
            format!("GET / HTTP/1.1{end}Host: a{end}{end}"),
        ]
    });
    all.map(String::into_bytes).collect()
}

fn connections() -> Vec<Vec<u8>> {
    let values = [
        "close",
        "Close",
        "CLOSE",
        "keep-alive",
        "Keep-Alive",
        "close, keep-alive",
        "keep-alive, close",
        "x",
        "x, close",
        "close;a",
        "\"close\"",
        "clos",
        "closed",
        "",
        ",",
        ",close",
        "close ,",
        "x\r\nConnection: close",
        "close\r\nConnection: keep-alive",
        "upgrade\r\nUpgrade: x",
        "upgrade, close\r\nUpgrade: websocket",
        "Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a",
    ];
    let all = values.iter().flat_map(|value| {
        ["1.0", "1.1"].into_iter().flat_map(move |version| {
            [
                format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {value}\r\n\r\n"),
                format!(
                    "POST / HTTP/{version}\r\nHost: a\r\nConnection: {value}\r\nContent-Length: 2\r\n\r\nhi"
                ),
            ]
        })
    });
    all.map(String::into_bytes).collect()
}

fn expects() -> Vec<Vec<u8>> {
    let values = [
        "100-continue",
        "100-Continue",
        "",
        "100-continue, 100-continue",
        "100-continue;a",
        "100",
        "x",
        "100-continue, x",
        "200-ok",
    ];
    let framings = [
        ("Content-Length: 2", "hi"),
        ("Content-Length: 0", ""),
        ("Transfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n"),
        ("X: y", ""),
    ];
    let all = values.iter().flat_map(|value| {
        ["1.0", "1.1"].into_iter().flat_map(move |version| {
            framings.map(|(framing, content)| {
                format!(
                    "POST / HTTP/{version}\r\nHost: a\r\nExpect: {value}\r\n{framing}\r\n\r\n{content}"
                )
            })
        })
    });
    all.map(String::into_bytes).collect()
}

/// Field lines and content.
const FRAMINGS: [(&str, &str); 6] = [
    ("", ""),
    ("Content-Length: 0\r\n", ""),
    ("Content-Length: 5\r\n", "hello"),
    ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Connection: close\r\n", ""),
];

fn framed(method: &str, (fields, content): (&str, &str)) -> Vec<u8> {
    let target = if method == "CONNECT" { "a:80" } else { "/a?b" };
    format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{content}").into()
}

/// Pairs of requests of every method but CONNECT, with every framing.
fn pipelines() -> Vec<Vec<u8>> {
    let methods = || METHODS.iter().filter(|method| **method != "CONNECT");
    let all = methods().flat_map(|first| {
        methods().flat_map(move |second| {
            FRAMINGS.map(|framing| [framed(first, framing), framed(second, framing)].concat())
        })
    });
    all.collect()
}
