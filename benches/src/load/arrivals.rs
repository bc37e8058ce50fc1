//! Clients that arrive one after another and stay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deal::Part;
use super::errors::LoadError;
use super::pace::as_ns;

/// Times at which clients arrive. Each client opens a connection and sends requests in a closed
/// loop until all phases are over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arrivals {
    /// Phases, one after the other.
    pub phases: Vec<Phase>,
    /// Maximum number of clients.
    pub clients_max: usize,
}

/// A time in which clients arrive evenly spaced.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Clients that arrive per second. At 0 nobody arrives, and the present clients go on.
    pub clients_per_second: f64,
    /// Length of the phase.
    pub lasts: Duration,
}

impl Arrivals {
    /// Returns `phases` with a phase of length `hold` behind them, in which all clients stay. The
    /// clients that are missing to `clients_max` arrive in that phase if it is long enough for all
    /// of them at the last rate, so that a rounded rate and time bring the intended number.
    pub fn held(phases: Vec<Phase>, clients_max: usize, hold: Duration) -> Self {
        let mut arrivals = Self { phases, clients_max };
        let last = arrivals.phases.last().map_or(0.0, |phase| phase.clients_per_second);
        let missing = clients_max.saturating_sub(arrivals.clients()) as f64;
        let fit = missing <= last * hold.as_secs_f64();
        let clients_per_second = if fit { last } else { 0.0 };
        arrivals.phases.push(Phase { clients_per_second, lasts: hold });
        arrivals
    }

    /// Returns the length of all phases together.
    pub fn lasts(&self) -> Duration {
        self.phases.iter().map(|phase| phase.lasts).sum()
    }

    /// Returns the number of clients at the end.
    pub fn clients(&self) -> usize {
        let all: u64 = self.phases.iter().map(Phase::clients).sum();
        usize::try_from(all).map_or(self.clients_max, |all| all.min(self.clients_max))
    }

    pub(super) fn check(&self) -> Result<(), LoadError> {
        for phase in &self.phases {
            let rate = phase.clients_per_second;
            if !rate.is_finite() || rate < 0.0 {
                return Err(LoadError::Rate(rate));
            }
        }
        if self.clients() == 0 { Err(LoadError::EmptyShape) } else { Ok(()) }
    }

    /// Returns the times of those clients that arrive on the thread `part`.
    pub(super) fn times_of(&self, part: Part, start: u64) -> impl Iterator<Item = u64> + use<> {
        self.times(start).skip(part.nth).step_by(part.of)
    }

    /// Returns the time at which each client arrives, in ns, for phases that begin at `start`.
    pub(super) fn times(&self, start: u64) -> impl Iterator<Item = u64> + use<> {
        let clients_max = self.clients_max;
        let mut phase_start = start;
        self.phases
            .clone()
            .into_iter()
            .flat_map(move |phase| {
                let begins = phase_start;
                phase_start += as_ns(phase.lasts);
                let spacing = 1e9 / phase.clients_per_second;
                (0..phase.clients()).map(move |nth| begins + (nth as f64 * spacing) as u64)
            })
            .take(clients_max)
    }
}

impl Phase {
    fn clients(&self) -> u64 {
        (self.clients_per_second * self.lasts.as_secs_f64()).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(clients_per_second: f64, seconds: f64) -> Phase {
        Phase { clients_per_second, lasts: Duration::from_secs_f64(seconds) }
    }

    #[test]
    fn clients_arrive_evenly_spaced() {
        let arrivals = Arrivals { phases: vec![phase(8.0, 60.0)], clients_max: 500 };
        let times: Vec<u64> = arrivals.times(7).collect();
        assert_eq!((times.len(), arrivals.clients()), (480, 480));
        assert_eq!(times[..3], [7, 125_000_007, 250_000_007]);
        assert_eq!(times[479], 479 * 125_000_000 + 7);
    }

    #[test]
    fn one_phase_follows_the_other_until_there_are_enough() {
        let phases = vec![phase(2.0, 1.0), phase(0.0, 5.0), phase(10.0, 1.0)];
        let arrivals = Arrivals { phases, clients_max: 4 };
        assert_eq!(arrivals.lasts(), Duration::from_secs(7));
        let times: Vec<u64> = arrivals.times(0).collect();
        assert_eq!(times, [0, 500_000_000, 6_000_000_000, 6_100_000_000]);
    }

    #[test]
    fn the_clients_of_several_threads_arrive_as_one_schedule() {
        let arrivals =
            Arrivals { phases: vec![phase(8.0, 60.0), phase(3.0, 9.0)], clients_max: 500 };
        let one: Vec<u64> = arrivals.times(7).collect();
        for of in [1, 2, 3, 7] {
            let times = |nth| arrivals.times_of(Part { nth, of }, 7);
            let mut all: Vec<u64> = (0..of).flat_map(times).collect();
            all.sort_unstable();
            assert_eq!(all, one, "{of} threads");
            let counts: Vec<usize> = (0..of).map(|nth| times(nth).count()).collect();
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn missing_clients_arrive_during_the_hold_if_there_is_time_for_all() {
        let hold = Duration::from_secs(10);
        let held = |rate, seconds| Arrivals::held(vec![phase(rate, seconds)], 500, hold);
        let seed = held(8.0, 60.0);
        assert_eq!(seed.phases, [phase(8.0, 60.0), phase(8.0, 10.0)]);
        assert_eq!(seed.times(0).count(), 500);
        assert_eq!(seed.times(0).last(), Some(62_375_000_000));
        // There would be 160, which nobody has asked for.
        assert_eq!(held(8.0, 10.0).clients(), 80);
        assert_eq!(held(100.0, 60.0).clients(), 500);
        assert_eq!(held(0.0, 1.0).clients(), 0);
    }

    #[test]
    fn negative_rates_and_no_clients_are_refused() {
        let check = |rate| Arrivals { phases: vec![phase(rate, 1.0)], clients_max: 9 }.check();
        assert!(matches!(check(-1.0), Err(LoadError::Rate(_))));
        assert!(matches!(check(f64::NAN), Err(LoadError::Rate(_))));
        assert!(matches!(check(0.0), Err(LoadError::EmptyShape)));
        assert!(check(1.0).is_ok());
    }
}
