//! The threads of a generator: their number, their cores, and their part of a load that other
//! machines share.

use serde::{Deserialize, Serialize};

use super::cores::available;
use super::deal::Part;
use super::errors::LoadError;

/// Threads of a generator on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Core of each thread, as numbered by the kernel; `None` for a thread that is not pinned.
    pub cores: Vec<Option<usize>>,
    /// Number of threads on the machines before this one.
    pub first: usize,
    /// Number of threads on all machines together.
    pub total: usize,
}

impl Placement {
    /// Returns a thread on each of `cores`, but at most `connections` threads, so that each has a
    /// connection. Without cores it is one thread, which is not pinned.
    pub fn on(cores: &[usize], connections: usize) -> Self {
        match cores {
            [] => Self::of(vec![None]),
            cores => Self::of(cores.iter().copied().map(Some).take(connections.max(1)).collect()),
        }
    }

    /// Returns `threads` threads. Several threads have the last cores of this machine if there are
    /// enough cores. Otherwise, and if it is one thread, the kernel chooses the cores.
    pub fn anywhere(threads: usize) -> Self {
        let available = available();
        let pinned = threads > 1 && threads <= available.len();
        Self::of(match available.len().checked_sub(threads) {
            Some(skipped) if pinned => available[skipped..].iter().copied().map(Some).collect(),
            _ => vec![None; threads],
        })
    }

    /// Returns these threads as a part of a load: `first` threads are on the machines before this
    /// one, and `total` threads on all machines together.
    #[must_use]
    pub fn within(self, first: usize, total: usize) -> Self {
        Self { first, total, ..self }
    }

    fn of(cores: Vec<Option<usize>>) -> Self {
        Self { first: 0, total: cores.len(), cores }
    }

    /// Returns the part and the core of each thread.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Part, Option<usize>)> {
        let part = |nth| Part { nth: self.first + nth, of: self.total };
        self.cores.iter().enumerate().map(move |(nth, &core)| (part(nth), core))
    }

    /// Fails if there are more threads than `connections`, the number of connections or clients.
    pub(super) fn check(&self, connections: usize) -> Result<(), LoadError> {
        if connections > 0 && self.total > connections {
            return Err(LoadError::TooManyThreads { threads: self.total, connections });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_a_core_if_there_are_enough() {
        let cores = available();
        assert_eq!(Placement::anywhere(1).cores, [None]);
        if cores.len() > 1 {
            let all: Vec<Option<usize>> = cores.iter().copied().map(Some).collect();
            assert_eq!(Placement::anywhere(cores.len()).cores, all);
        }
        assert_eq!(Placement::anywhere(cores.len() + 1).cores, vec![None; cores.len() + 1]);
    }

    #[test]
    fn there_are_no_more_threads_than_connections() {
        assert_eq!(Placement::on(&[2, 3, 4], 2).cores, [Some(2), Some(3)]);
        assert_eq!(Placement::on(&[2, 3, 4], 64).total, 3);
        assert_eq!(Placement::on(&[], 64).cores, [None]);
    }

    #[test]
    fn the_threads_of_several_machines_are_numbered_on() {
        let there = Placement::on(&[0, 1], 64).within(3, 5);
        let numbers: Vec<usize> = there.parts().map(|(part, _)| part.nth).collect();
        assert_eq!(numbers, [3, 4]);
        assert!(there.parts().all(|(part, _)| part.of == 5));
    }

    #[test]
    fn threads_without_a_connection_are_refused_by_number() {
        let placement = Placement::on(&[0, 1, 2], 64);
        assert!(placement.check(3).is_ok());
        assert_eq!(
            placement.check(2).unwrap_err().to_string(),
            "3 threads cannot share 2 connections or clients: each thread needs one or more; use \
             at most 2 threads"
        );
    }
}
