//! The CPU time of a round of the work function, on this machine and in a server.

use std::time::Duration;

use crate::load::{Generator, Outcome, Pace, Shape, Stop, Target};
use crate::rig::fleet::Member;
use crate::rig::meter::{judge, metered};

/// Rounds of the work function while it is calibrated: far more CPU time than the rest of a
/// request, and short enough that many requests fit in.
pub(super) const ROUNDS: u32 = 5_000;

/// Length of the load of each of the two requests.
const LENGTH: Duration = Duration::from_millis(150);

/// Returns the CPU time of one round, in ns: what a request with [`ROUNDS`] takes beyond one
/// without any. The error is a sentence for people.
pub(super) fn round_ns(
    member: &mut Member,
    cores: &[usize],
    light: &Target,
    heavy: &Target,
) -> Result<f64, String> {
    let mut cpu_ns = |target: &Target| {
        let shape = Shape { connections: 1, ..Shape::default() };
        let mut generator =
            Generator::connect_comparing(target, &shape).map_err(|error| error.to_string())?;
        let mut run = |length| {
            let outcome = generator.run(Pace::Closed, Stop::After(length));
            let outcome: Outcome = outcome.map_err(|error| error.to_string())?;
            judge(&outcome)?;
            Ok(outcome.requests)
        };
        run(LENGTH / 5)?;
        let (requests, reading) = metered(&mut member.process, cores, || run(LENGTH))?;
        Ok::<_, String>(reading.used.cpu.as_nanos() as f64 / requests as f64)
    };
    let round_ns = (cpu_ns(heavy)? - cpu_ns(light)?) / f64::from(ROUNDS);
    match round_ns > 0.0 {
        true => Ok(round_ns),
        false => Err("its work takes no time that can be measured".to_string()),
    }
}
