//! The gate: no figure before all servers give the same answers.
//!
//! First every server is asked the same questions, one at a time, and every answer must have the
//! same bytes, dates masked. Then each answers the requests of each regime under load: see
//! [`rehearsal`]. Differences are recorded with both answers, for the report to show. A request
//! that a regime measures matters more than an odd one: see [`crate::results::Difference`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::load::Expected;
use crate::results::{Difference, Failure, Gate, OutsideAnswers, Subject};
use crate::rig::exchange::Reply;
use crate::rig::regimes::Regime;
use crate::rig::{exchanges, rehearsal};

/// Time to wait for an answer: long enough for a server that shares a busy machine, short enough
/// for a server that hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// A server that answers.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its contender's key.
    pub key: String,
    /// Address that it listens on.
    pub address: SocketAddr,
    /// Set if it gives the service's answers. The floor does not, and takes part in the rehearsal
    /// alone.
    pub answers: bool,
    /// Set for a server from outside, which may give other answers.
    pub outside: bool,
    /// Set if it may be asked for the work of `/data`.
    pub works: bool,
}

/// The findings of the gate.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The exchanges that were compared, and their differences.
    pub gate: Gate,
    /// Servers that hang, and so are not compared further.
    pub failures: Vec<Failure>,
    /// The answer that each server is expected to give in each regime.
    pub expected: Answers,
}

/// Expected answers by key of the server and key of the regime.
pub type Answers = BTreeMap<(String, String), Expected>;

/// Compares the answers of `servers` with those of the first, while `goes_on` is true.
pub fn run(servers: &[Server], regimes: &[Regime], goes_on: &dyn Fn() -> bool) -> Verdict {
    let mut verdict = Verdict::default();
    let (mut answering, floor): (Vec<Server>, Vec<Server>) =
        servers.iter().cloned().partition(|server| server.answers);
    for (exchange, subject) in exchanges::all(regimes) {
        if !goes_on() {
            return verdict;
        }
        let asked = Asked {
            name: &exchange.name,
            work: is_measured(&subject, regimes, |regime| regime.work),
            proves: is_measured(&subject, regimes, |regime| regime.work || regime.is_echo()),
            subject,
        };
        let mut replies = Vec::new();
        answering.retain(|server| {
            if asked.work && !server.works {
                return true;
            }
            let reply = exchange.with(server.address, PATIENCE);
            let may_hang = match asked.subject {
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
            replies.push((server.clone(), reply));
            true
        });
        compare(&asked, &replies, &mut verdict.gate);
    }
    for regime in regimes {
        let in_floor = floor.iter().filter(|_| regime.floor);
        let in_regime = answering.iter().chain(in_floor);
        let in_regime: Vec<&Server> = in_regime.filter(|s| s.works || !regime.work).collect();
        rehearse(&in_regime, regime, &mut verdict, goes_on);
    }
    verdict
}

impl Verdict {
    /// Returns the servers that cannot be measured in the regime with this key, and why.
    pub fn failures_in(&self, regime: &str) -> Vec<Failure> {
        let measured = Subject::Measured(regime.to_string());
        let wrong = self.gate.differences.iter().filter(|found| found.subject == measured);
        let reason = |found: &Difference| match found.under_load {
            true => found.found.clone(),
            false => format!("its answer differs from that of {}", self.gate.reference),
        };
        let failure = |found: &Difference| Failure {
            contender: found.contender.clone(),
            reason: reason(found),
        };
        self.failures.iter().cloned().chain(wrong.map(failure)).collect()
    }
}

/// One exchange of the gate.
struct Asked<'a> {
    name: &'a str,
    subject: Subject,
    /// Set if the answer takes the work of `/data`.
    work: bool,
    /// Set if the body of the answer shows that the server has done what it is measured for.
    proves: bool,
}

fn is_measured(subject: &Subject, regimes: &[Regime], is_of: fn(&Regime) -> bool) -> bool {
    let Subject::Measured(key) = subject else { return false };
    regimes.iter().any(|regime| regime.key == key && is_of(regime))
}

fn compare(asked: &Asked<'_>, replies: &[(Server, Reply)], gate: &mut Gate) {
    let Some((reference, expected)) = replies.first() else { return };
    gate.reference.clone_from(&reference.key);
    gate.exchanges.push(asked.name.to_string());
    let said = |reply: &Reply| match asked.subject {
        Subject::Invalid => reply.verdict(),
        _ => reply.to_string(),
    };
    for (server, found) in replies {
        let differs = match asked.subject {
            Subject::Invalid => said(found) != said(expected),
            _ => found != expected,
        };
        let is_service = matches!(asked.subject, Subject::Measured(_) | Subject::Service);
        let is_same = found.has_same_content(expected);
        if server.outside && is_service {
            count_outside(&server.key, is_same, gate);
        }
        // A server from outside may give other answers, but not another result of the work, and
        // no echo of bytes that it was not sent.
        let may_differ = server.outside && is_service && (is_same || !asked.proves);
        if differs {
            gate.differences.push(Difference {
                contender: server.key.clone(),
                exchange: asked.name.to_string(),
                subject: if may_differ { Subject::Outside } else { asked.subject.clone() },
                under_load: false,
                expected: said(expected),
                found: said(found),
            });
        }
    }
}

fn count_outside(key: &str, is_same: bool, gate: &mut Gate) {
    let at = gate.outside.iter().position(|counted| counted.contender == key);
    let at = at.unwrap_or_else(|| {
        let contender = key.to_string();
        gate.outside.push(OutsideAnswers { contender, same: 0, different: 0 });
        gate.outside.len() - 1
    });
    let counted = &mut gate.outside[at];
    *if is_same { &mut counted.same } else { &mut counted.different } += 1;
}

/// Loads `servers` with the requests of `regime`. The length of the answers must be that of the
/// first server's.
fn rehearse(
    servers: &[&Server],
    regime: &Regime,
    verdict: &mut Verdict,
    goes_on: &dyn Fn() -> bool,
) {
    let said = |bytes: f64| format!("its answers under load have {bytes} bytes each");
    let mut first = None;
    for server in servers.iter().take_while(|_| goes_on()) {
        let rehearsed = rehearsal::run(server.address, regime, PATIENCE);
        let measured = Subject::Measured(regime.key.to_string());
        let difference = match rehearsed.as_ref().map(|rehearsed| rehearsed.bytes_per_answer) {
            Err(reason) => Some((measured, reason.clone())),
            Ok(bytes) if bytes == *first.get_or_insert(bytes) => None,
            Ok(bytes) if server.outside => Some((Subject::Outside, said(bytes))),
            Ok(bytes) => Some((measured, said(bytes))),
        };
        if let Some((subject, found)) = difference {
            verdict.gate.differences.push(Difference {
                contender: server.key.clone(),
                exchange: format!("under load: {}", regime.title),
                subject,
                under_load: true,
                expected: first.map_or("it answers under load".to_string(), said),
                found,
            });
        }
        if let Some(expected) = rehearsed.ok().and_then(|rehearsed| rehearsed.expected) {
            verdict.expected.insert((server.key.clone(), regime.key.to_string()), expected);
        }
    }
}
