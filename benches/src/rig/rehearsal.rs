//! The rehearsal: the part of the gate in which servers answer under load.
//!
//! One exchange shows that a server can give the right answer. It does not show that the server
//! gives it a thousand times, that it keeps its connections, or that its answers have the length
//! of the others' answers. A server that fails here would be measured with other work than the
//! others do.

use std::net::SocketAddr;
use std::time::Duration;

use crate::load::{Expected, Generator, Pace, Shape, Stop, Target};
use crate::rig::meter::{judge, judge_connections};
use crate::rig::regimes::Regime;

/// Number of requests of a rehearsal, at least: a server that changes its behavior after a
/// thousand requests does so before its measurement begins.
const REQUESTS: u64 = 2_000;

/// Requests on each connection and place in the pipeline, at least.
const REQUESTS_EACH: u64 = 2;

/// Observations of one server in one regime.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The first answer. All others were equal to it.
    pub expected: Option<Expected>,
    /// Bytes of one answer, head and body.
    pub bytes_per_answer: f64,
}

/// Loads the server at an address with the requests of `regime`, in a closed loop. The error is a sentence about
/// the server.
pub fn run(server: SocketAddr, regime: &Regime, patience: Duration) -> Result<Rehearsed, String> {
    let target = Target { addr: server, request: regime.request.clone(), method_is_head: false };
    let shape = Shape {
        connections: regime.connections,
        pipeline: regime.pipeline,
        requests_per_connection: regime.requests_per_connection,
    };
    let mut generator = Generator::connect(&target, &shape).map_err(|error| error.to_string())?;
    generator.set_timeout(patience);
    generator.compare_with_first().map_err(|error| error.to_string())?;
    let requests = REQUESTS.max(REQUESTS_EACH * (regime.connections * regime.pipeline) as u64);
    let outcome = generator.run(Pace::Closed, Stop::Requests(requests));
    let outcome = outcome.map_err(|error| error.to_string())?;
    // A close that meets a request on its way is an error too: both reasons are named.
    match (judge_connections(&outcome, &shape), judge(&outcome)) {
        (Err(closes), Err(errors)) => return Err(format!("{closes}; {errors}")),
        (closes, errors) => closes.and(errors)?,
    }
    Ok(Rehearsed {
        expected: generator.expected().cloned(),
        bytes_per_answer: outcome.bytes_received as f64 / outcome.requests as f64,
    })
}
