//! The questions that the gate asks every server.

use crate::results::Subject;
use crate::rig::exchange::Exchange;
use crate::rig::regimes::Regime;

/// Returns all exchanges: each regime's requests as they are measured, echoes with another end, the
/// requests of the service, and requests that libraries may answer differently.
pub(crate) fn all(regimes: &[Regime]) -> Vec<(Exchange, Subject)> {
    let measured = regimes.iter().map(|regime| {
        let exchange = Exchange {
            name: format!("as measured: {}", regime.title),
            request: regime.request.repeat(regime.pipeline),
            answers: regime.pipeline,
            is_head: false,
        };
        (exchange, Subject::Measured(regime.key.to_string()))
    });
    let other_ends = regimes.iter().filter(|regime| regime.is_echo()).map(with_another_end);
    let measured = measured.chain(other_ends);
    let service = service().into_iter().map(|exchange| (exchange, Subject::Service));
    let protocol = protocol().into_iter().map(|exchange| (exchange, Subject::Protocol));
    let invalid = invalid().into_iter().map(|exchange| (exchange, Subject::Invalid));
    measured.chain(service).chain(protocol).chain(invalid).collect()
}

/// Makes the echo of a regime with another last byte. A server that answers before the body has
/// arrived must guess that byte, and guesses the one that is measured.
fn with_another_end(regime: &Regime) -> (Exchange, Subject) {
    let mut request = regime.request.clone();
    request.last_mut().into_iter().for_each(|last| *last ^= 1);
    let name = format!("as measured, with another last byte: {}", regime.title);
    let exchange = Exchange { name, request, answers: 1, is_head: false };
    (exchange, Subject::Measured(regime.key.to_string()))
}

fn service() -> Vec<Exchange> {
    let bare = |line: &str| one(line, format!("{line} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
    let long_body = "0123456789abcdef".repeat(64 * 1024);
    let long_echo = format!(
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{long_body}",
        long_body.len()
    );
    vec![
        bare("GET /"),
        bare("GET /?query"),
        bare("GET http://a/data"),
        bare("HEAD /"),
        bare("GET /echo"),
        bare("HEAD /echo"),
        bare("GET /data"),
        bare("HEAD /data"),
        bare("GET /bytes/1024"),
        bare("HEAD /bytes/1024"),
        bare("GET /bytes/1048576"),
        bare("GET /bytes/1048577"),
        bare("DELETE /bytes/1024"),
        bare("OPTIONS /"),
        bare("OPTIONS /echo"),
        bare("OPTIONS *"),
        bare("DELETE /data"),
        bare("PUT /echo"),
        bare("GET /nope"),
        bare("HEAD /nope"),
        bare("POST /echo"),
        one(
            "POST /echo with a content type",
            b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-type: text/x\r\ncontent-length: 5\r\n\r\nhello",
        ),
        one(
            "POST /echo without a content type",
            b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
        ),
        one(
            "POST /echo of nothing",
            b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        ),
        one(
            "POST /echo in chunks",
            b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
              5\r\nhello\r\n7;extension\r\n, world\r\n0\r\n\r\n",
        ),
        one("POST /echo of 1 MiB", long_echo.as_bytes()),
        one(
            "POST / with a body that is ignored",
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
        ),
        Exchange {
            name: "GET /, GET /data and GET /nope in one write".to_string(),
            request: ["/", "/data", "/nope"]
                .map(|path| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
                .concat()
                .into_bytes(),
            answers: 3,
            is_head: false,
        },
    ]
}

fn protocol() -> Vec<Exchange> {
    vec![
        one("BREW /", b"BREW / HTTP/1.1\r\nhost: a\r\n\r\n"),
        one(
            "GET / with connection: close",
            b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        ),
        one("GET / in HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n"),
        one(
            "GET / in HTTP/1.0 with keep-alive",
            b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        ),
    ]
}

fn invalid() -> Vec<Exchange> {
    let with = |name: &str, fields: &str| {
        one(name, format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n").as_bytes())
    };
    let echo = |name: &str, rest: &str| {
        one(name, format!("POST /echo HTTP/1.1\r\nhost: a\r\n{rest}").as_bytes())
    };
    let chunks = |name: &str, chunks: &str| {
        echo(name, &format!("transfer-encoding: chunked\r\n\r\n{chunks}"))
    };
    let long = "x".repeat(20 * 1024);
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    vec![
        one("a greeting in place of a request", b"hello\r\n\r\n"),
        one("a method that is not a token", b"G@T / HTTP/1.1\r\nhost: a\r\n\r\n"),
        one("a space in the target", b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n"),
        one("a tab after the method", b"GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n"),
        one("a version of another protocol", b"GET / HTTQ/1.1\r\nhost: a\r\n\r\n"),
        one("HTTP/2.0", b"GET / HTTP/2.0\r\nhost: a\r\n\r\n"),
        one("HTTP/1.2", b"GET / HTTP/1.2\r\nhost: a\r\n\r\n"),
        one("no version", b"GET /\r\nhost: a\r\n\r\n"),
        one("no host", b"GET / HTTP/1.1\r\n\r\n"),
        one("CONNECT a:80", b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n"),
        with("a second host", "host: b\r\n"),
        one("a host with a space", b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n"),
        with("a field without a colon", "field\r\n"),
        with("a space before the colon", "field : 1\r\n"),
        with("a field name that is not a token", "fi(ld: 1\r\n"),
        with("a folded field", "field: 1\r\n 2\r\n"),
        with("a NUL in a field", "field: \0\r\n"),
        with("a bare CR in a field", "field: a\rb\r\n"),
        with("101 fields", &many),
        with("a field of 20 KiB", &format!("field: {long}\r\n")),
        one("a target of 20 KiB", format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()),
        echo("content-length: +5", "content-length: +5\r\n\r\nhello"),
        echo("content-length: -1", "content-length: -1\r\n\r\nhello"),
        echo("content-length: 5x", "content-length: 5x\r\n\r\nhello"),
        echo("content-length: 5, 5", "content-length: 5, 5\r\n\r\nhello"),
        echo("content-length: 2^64", "content-length: 18446744073709551616\r\n\r\nhello"),
        echo("two content-lengths", "content-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
        echo(
            "a content-length beside chunks",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        echo("an unknown transfer coding", "transfer-encoding: zip\r\n\r\n0\r\n\r\n"),
        echo("chunked, but not last", "transfer-encoding: chunked, zip\r\n\r\n0\r\n\r\n"),
        one(
            "chunks in HTTP/1.0",
            b"POST /echo HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        chunks("a chunk size that is not a number", "x\r\nhello\r\n0\r\n\r\n"),
        chunks("a chunk size of 2^64", "10000000000000000\r\nhello\r\n0\r\n\r\n"),
        chunks("a chunk longer than its size", "2\r\nhello\r\n0\r\n\r\n"),
        chunks("a bare LF after a chunk size", "5\nhello\r\n0\r\n\r\n"),
    ]
}

fn one(name: &str, request: &[u8]) -> Exchange {
    Exchange {
        name: name.to_string(),
        request: request.to_vec(),
        answers: 1,
        is_head: request.starts_with(b"HEAD"),
    }
}
