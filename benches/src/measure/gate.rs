//! The gate: no figure before all contenders give the same answers.
//!
//! Every answer must be the same byte for byte, dates masked. What differs is
//! recorded with both answers, for the report to show. A request that a regime
//! measures matters more than an odd one: see [`crate::results::Difference`].

use std::net::SocketAddr;
use std::time::Duration;

use super::exchange::{Exchange, Reply};
use super::regimes::Regime;
use crate::results::{Difference, Failure, Gate, Subject};

/// Long enough for a server that shares a busy machine, short enough for one
/// that hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// A server that answers.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its contender's key.
    pub key: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What the gate lets through.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What was compared, and what differs.
    pub gate: Gate,
    /// Those that hang, and so are not even compared further.
    pub failures: Vec<Failure>,
}

/// Holds the answers of `servers` against those of the first, as long as it
/// `goes_on`.
pub fn run(servers: &[Server], regimes: &[Regime], goes_on: &dyn Fn() -> bool) -> Verdict {
    let mut verdict = Verdict::default();
    let mut servers = servers.to_vec();
    for (exchange, subject) in exchanges(regimes) {
        if !goes_on() {
            break;
        }
        let mut replies = Vec::new();
        servers.retain(|server| {
            let reply = exchange.with(server.address, PATIENCE);
            if reply.hangs() {
                verdict.failures.push(Failure {
                    contender: server.key.clone(),
                    reason: format!("hangs at '{}', for {PATIENCE:?}", exchange.name),
                });
                return false;
            }
            replies.push(reply);
            true
        });
        compare(&exchange.name, &subject, &servers, &replies, &mut verdict.gate);
    }
    verdict
}

fn compare(
    exchange: &str,
    subject: &Subject,
    servers: &[Server],
    replies: &[Reply],
    gate: &mut Gate,
) {
    let (Some(reference), Some(expected)) = (servers.first(), replies.first()) else { return };
    gate.reference.clone_from(&reference.key);
    gate.exchanges.push(exchange.to_string());
    for (server, found) in servers.iter().zip(replies) {
        if found != expected {
            gate.differences.push(Difference {
                contender: server.key.clone(),
                exchange: exchange.to_string(),
                subject: subject.clone(),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
}

/// All that is compared: each regime's requests as they are measured, all that
/// the service is to answer, and what libraries may answer differently.
fn exchanges(regimes: &[Regime]) -> Vec<(Exchange, Subject)> {
    let measured = regimes.iter().map(|regime| {
        let exchange = Exchange {
            name: format!("as measured: {}", regime.title),
            request: regime.request.repeat(regime.pipeline),
            answers: regime.pipeline,
            is_head: false,
        };
        (exchange, Subject::Measured(regime.key.to_string()))
    });
    let service = service().into_iter().map(|exchange| (exchange, Subject::Service));
    let protocol = protocol().into_iter().map(|exchange| (exchange, Subject::Protocol));
    measured.chain(service).chain(protocol).collect()
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
        bare("OPTIONS /"),
        bare("OPTIONS /echo"),
        bare("OPTIONS *"),
        bare("DELETE /data"),
        bare("PUT /echo"),
        bare("GET /nope"),
        bare("HEAD /nope"),
        bare("BREW /"),
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
            "POST / with a body that nobody wants",
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
        ),
        one("GET / with connection: close", b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
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
        one("GET / in HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n"),
        one(
            "GET / in HTTP/1.0 with keep-alive",
            b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        ),
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
