//! Times at which requests start and runs stop. Time is an argument, not read from a clock.

use std::collections::VecDeque;
use std::time::Duration;

use super::errors::LoadError;

/// Event that starts the next request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The answer to the previous request on the same connection.
    Closed,
    /// The clock: requests per second over all connections, evenly spaced. A request waits if no
    /// connection is free, and its wait is part of its latency.
    Rate(f64),
}

/// Event that ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Time. No request is sent after it, but outstanding answers are awaited.
    After(Duration),
    /// A number of requests, answered or failed.
    Requests(u64),
}

/// Start times of the requests of one run.
#[derive(Debug)]
pub(super) struct Schedule {
    started: u64,
    /// Nanoseconds between two requests; `None` in a closed loop.
    interval: Option<f64>,
    /// No request but the first starts at this instant or later.
    end: u64,
    requests_max: u64,
    /// Number of requests that were taken for the first time.
    taken: u64,
    /// Starts of requests that were taken and could not be answered.
    again: VecDeque<u64>,
}

impl Schedule {
    pub(super) fn new(pace: Pace, stop: Stop, now: u64) -> Result<Self, LoadError> {
        let interval = match pace {
            Pace::Closed => None,
            Pace::Rate(rate) if rate.is_finite() && rate > 0.0 => Some(1e9 / rate),
            Pace::Rate(rate) => return Err(LoadError::Rate(rate)),
        };
        let (end, requests_max) = match stop {
            Stop::After(time) => (now.saturating_add(as_ns(time)), u64::MAX),
            Stop::Requests(count) => (u64::MAX, count),
        };
        Ok(Self { started: now, interval, end, requests_max, taken: 0, again: VecDeque::new() })
    }

    /// Takes the next request that is due at `now`, and returns its start.
    pub(super) fn take(&mut self, now: u64) -> Option<u64> {
        if now >= self.end && self.taken > 0 {
            return None;
        }
        if let Some(start) = self.again.pop_front() {
            return Some(start);
        }
        let start = self.next_start(now)?;
        (start <= now).then(|| {
            self.taken += 1;
            start
        })
    }

    /// Gives back requests that were lost because the server closed an idle connection.
    pub(super) fn give_back(&mut self, starts: impl Iterator<Item = u64>) {
        self.again.extend(starts);
    }

    /// Returns the start of the next request after `now`. Returns `None` after the last
    /// request, or if an answer starts the next one.
    pub(super) fn next_due(&self, now: u64) -> Option<u64> {
        self.interval?;
        self.next_start(now).filter(|&start| start > now)
    }

    /// Starts no request at `now` or later.
    pub(super) fn stop(&mut self, now: u64) {
        self.end = self.end.min(now);
    }

    /// Returns the number of requests that were taken and not given back.
    pub(super) fn in_hand(&self) -> u64 {
        self.taken - self.again.len() as u64
    }

    /// Reports whether the last request has started.
    pub(super) fn is_over(&self, now: u64) -> bool {
        now >= self.end || (self.again.is_empty() && self.taken >= self.requests_max)
    }

    /// Returns the number of requests that were due before `now` and were not taken.
    pub(super) fn overdue(&self, now: u64) -> u64 {
        let Some(interval) = self.interval else { return 0 };
        let lasted = now.min(self.end).saturating_sub(self.started) as f64;
        let due = ((lasted / interval).ceil() as u64).min(self.requests_max);
        due.saturating_sub(self.taken) + self.again.len() as u64
    }

    /// Returns the time after which no request is sent; `u64::MAX` without a time to stop.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    fn next_start(&self, now: u64) -> Option<u64> {
        if self.taken >= self.requests_max {
            return None;
        }
        let start = match self.interval {
            None => now,
            Some(interval) => self.started + (self.taken as f64 * interval) as u64,
        };
        // A run has one request at least, even if this thread was off its CPU from the start to the
        // end. Without an answer, the server would seem to have failed.
        (start < self.end || self.taken == 0).then_some(start)
    }
}

pub(super) fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(pace: Pace, stop: Stop) -> Schedule {
        Schedule::new(pace, stop, 1_000).unwrap()
    }

    #[test]
    fn in_a_closed_loop_a_request_starts_whenever_it_can() {
        let mut closed = schedule(Pace::Closed, Stop::After(Duration::from_nanos(500)));
        assert_eq!(closed.take(1_000), Some(1_000));
        assert_eq!(closed.take(1_499), Some(1_499));
        assert!(!closed.is_over(1_499));
        assert_eq!(closed.take(1_500), None);
        assert!(closed.is_over(1_500));
        assert_eq!(closed.next_due(1_200), None);
    }

    #[test]
    fn a_run_that_begins_after_its_end_has_one_request() {
        for pace in [Pace::Closed, Pace::Rate(1e7)] {
            let mut late = schedule(pace, Stop::After(Duration::from_nanos(500)));
            assert!(late.take(1_700).is_some());
            assert_eq!(late.take(1_700), None);
            assert!(late.is_over(1_700));
        }
    }

    #[test]
    fn a_number_of_requests_is_kept_exactly() {
        let mut three = schedule(Pace::Closed, Stop::Requests(3));
        assert_eq!((0..10).filter_map(|_| three.take(2_000)).count(), 3);
        assert!(three.is_over(2_000));
    }

    #[test]
    fn at_a_rate_each_request_has_its_start_however_late_it_is_taken() {
        let mut rate = schedule(Pace::Rate(1e7), Stop::After(Duration::from_nanos(350)));
        assert_eq!(rate.take(1_000), Some(1_000));
        assert_eq!(rate.take(1_000), None);
        assert_eq!(rate.next_due(1_000), Some(1_100));
        assert_eq!(rate.overdue(1_300), 2);
        assert_eq!(rate.take(1_300), Some(1_100));
        assert_eq!(rate.take(1_300), Some(1_200));
        assert_eq!(rate.take(1_300), Some(1_300));
        assert_eq!(rate.next_due(1_300), None); // the next one would start after the end
        assert!(!rate.is_over(1_349));
        assert!(rate.is_over(1_350));
    }

    #[test]
    fn due_requests_that_were_not_taken_are_counted() {
        let mut rate = schedule(Pace::Rate(1e7), Stop::After(Duration::from_nanos(350)));
        rate.take(1_000);
        assert_eq!(rate.overdue(9_000), 3);
    }

    #[test]
    fn a_request_given_back_keeps_its_start() {
        let mut rate = schedule(Pace::Rate(1e7), Stop::Requests(2));
        let first = rate.take(1_000).unwrap();
        rate.give_back([first].into_iter());
        assert_eq!(rate.take(1_400), Some(1_000));
        assert_eq!(rate.take(1_400), Some(1_100));
        assert!(rate.is_over(1_400));
    }

    #[test]
    fn a_rate_that_is_none_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let refused = Schedule::new(Pace::Rate(rate), Stop::Requests(1), 0);
            assert!(matches!(refused, Err(LoadError::Rate(_))));
        }
    }
}
