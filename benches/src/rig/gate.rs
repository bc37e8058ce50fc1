//! The gate: no figure before all contenders give the same answers.
//!
//! Every answer must be the same byte for byte, dates masked. What differs is
//! recorded with both answers, for the report to show. A request that a regime
//! measures matters more than an odd one: see [`crate::results::Difference`].

use std::net::SocketAddr;
use std::time::Duration;

use crate::results::{Difference, Failure, Gate, Subject};
use crate::rig::exchange::Reply;
use crate::rig::exchanges;
use crate::rig::regimes::Regime;

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
    /// Whether it is none of the variants: whoever brings it knows what it answers,
    /// and no other answer is a fault.
    pub outside: bool,
    /// Whether it may be asked for the work of `/data`.
    pub works: bool,
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
    for (exchange, subject) in exchanges::all(regimes) {
        if !goes_on() {
            break;
        }
        let mut replies = Vec::new();
        servers.retain(|server| {
            let reply = exchange.with(server.address, PATIENCE);
            let may_hang = match subject {
                Subject::Measured(_) => false,
                Subject::Invalid => true,
                _ => server.outside,
            };
            if reply.hangs() && !may_hang {
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
    let said = |reply: &Reply| match subject {
        Subject::Invalid => reply.verdict(),
        _ => reply.to_string(),
    };
    for (server, found) in servers.iter().zip(replies) {
        let differs = match subject {
            Subject::Invalid => said(found) != said(expected),
            _ => found != expected,
        };
        let subject = match subject {
            Subject::Measured(_) | Subject::Service if server.outside => &Subject::Outside,
            subject => subject,
        };
        if differs {
            gate.differences.push(Difference {
                contender: server.key.clone(),
                exchange: exchange.to_string(),
                subject: subject.clone(),
                expected: said(expected),
                found: said(found),
            });
        }
    }
}
