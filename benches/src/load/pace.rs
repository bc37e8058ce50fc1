//! Times at which requests start and runs stop. Time is an argument, not read from a clock.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::deal::Deal;
use super::errors::LoadError;

/// Event that starts the next request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// The answer to the previous request on the same connection.
    Closed,
    /// The clock: requests per second over all connections, evenly spaced. A request waits if no
    /// connection is free, and its wait is part of its latency.
    Rate(f64),
}

/// Event that ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// Time. No request is sent after it, but outstanding answers are awaited.
    After(Duration),
    /// A number of requests, answered or failed.
    Requests(u64),
}

impl Pace {
    pub(super) fn check(self) -> Result<(), LoadError> {
        match self {
            Self::Rate(rate) if !(rate.is_finite() && rate > 0.0) => Err(LoadError::Rate(rate)),
            Self::Closed | Self::Rate(_) => Ok(()),
        }
    }
}

/// Start times of the requests that one thread sends in a run.
///
/// The times are those of the whole load's schedule. Of several threads each takes the requests
/// that were dealt to it.
#[derive(Debug)]
pub(super) struct Schedule {
    started: u64,
    deal: Deal,
    /// Nanoseconds between two requests; `None` in a closed loop.
    interval: Option<f64>,
    /// No request but the first starts at this instant or later.
    end: u64,
    /// Maximum number of requests of all threads.
    total_max: u64,
    /// Maximum number of requests of this thread.
    requests_max: u64,
    /// Number of requests that were taken for the first time.
    taken: u64,
    /// Starts of requests that were taken and could not be answered.
    again: VecDeque<u64>,
}

impl Schedule {
    pub(super) fn new(pace: Pace, stop: Stop, deal: Deal, now: u64) -> Result<Self, LoadError> {
        pace.check()?;
        let interval = match pace {
            Pace::Closed => None,
            Pace::Rate(rate) => Some(1e9 / rate),
        };
        let (end, total_max, requests_max) = match stop {
            Stop::After(time) => (now.saturating_add(as_ns(time)), u64::MAX, u64::MAX),
            Stop::Requests(count) => (u64::MAX, count, deal.count(count)),
        };
        Ok(Self {
            started: now,
            deal,
            interval,
            end,
            total_max,
            requests_max,
            taken: 0,
            again: VecDeque::new(),
        })
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
        let due = ((lasted / interval).ceil() as u64).min(self.total_max);
        self.deal.count(due).saturating_sub(self.taken) + self.again.len() as u64
    }

    /// Returns the time after which no request is sent; `u64::MAX` without a time to stop.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    fn next_start(&self, now: u64) -> Option<u64> {
        if self.taken >= self.requests_max {
            return None;
        }
        let number = self.deal.number(self.taken);
        let start = match self.interval {
            None => now,
            Some(interval) => self.started + (number as f64 * interval) as u64,
        };
        // A run has one request at least, even if this thread was off its CPU from the start to the
        // end. Without an answer, the server would seem to have failed.
        let is_first = self.taken == 0 && (self.interval.is_none() || number == 0);
        (start < self.end || is_first).then_some(start)
    }
}

pub(super) fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::deal::Part;
    use super::*;

    fn schedule(pace: Pace, stop: Stop) -> Schedule {
        Schedule::new(pace, stop, Deal::WHOLE, 1_000).unwrap()
    }

    /// The schedules of `threads` threads that share a load over `connections` connections.
    fn dealt(pace: Pace, stop: Stop, threads: usize, connections: usize) -> Vec<Schedule> {
        let deal = |nth| Deal::new(Part { nth, of: threads }, connections);
        (0..threads).map(|nth| Schedule::new(pace, stop, deal(nth), 1_000).unwrap()).collect()
    }

    /// Takes every request when it is due.
    fn take_all(mut schedules: Vec<Schedule>) -> Vec<u64> {
        let mut starts = Vec::new();
        for now in 1_000..50_000 {
            for schedule in &mut schedules {
                starts.extend(std::iter::from_fn(|| schedule.take(now)));
            }
        }
        starts
    }

    #[test]
    fn threads_together_have_the_starts_of_one_thread() {
        for stop in [Stop::After(Duration::from_micros(10)), Stop::Requests(997)] {
            for rate in [1e8, 33_333_333.3] {
                let one = take_all(dealt(Pace::Rate(rate), stop, 1, 5));
                assert!(one.len() > 300);
                for threads in [2, 3, 5] {
                    let several = take_all(dealt(Pace::Rate(rate), stop, threads, 5));
                    assert_eq!(several, one, "{threads} threads");
                }
            }
        }
    }

    #[test]
    fn threads_together_miss_as_many_requests_as_one_thread() {
        let stop = Stop::After(Duration::from_nanos(3_333));
        let missed = |threads| -> u64 {
            let mut schedules = dealt(Pace::Rate(1e7), stop, threads, 7);
            schedules[0].take(1_000);
            schedules.iter().map(|schedule| schedule.overdue(99_000)).sum()
        };
        assert_eq!((missed(1), missed(2), missed(7)), (33, 33, 33));
    }

    #[test]
    fn a_number_of_requests_is_dealt_exactly() {
        for count in [0, 1, 2, 10, 101] {
            let mut dealt = dealt(Pace::Closed, Stop::Requests(count), 3, 4);
            let take = |of: &mut Schedule| (0..200).filter_map(|_| of.take(2_000)).count() as u64;
            assert_eq!(dealt.iter_mut().map(take).sum::<u64>(), count);
            assert!(dealt.iter().all(|schedule| schedule.is_over(2_000)));
        }
    }

    #[test]
    fn a_thread_whose_first_request_is_after_the_end_sends_none() {
        // One request every 10 us, and the end after 5 us.
        let stop = Stop::After(Duration::from_micros(5));
        assert_eq!(take_all(dealt(Pace::Rate(1e5), stop, 2, 2)), [1_000]);
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
            let refused = Schedule::new(Pace::Rate(rate), Stop::Requests(1), Deal::WHOLE, 0);
            assert!(matches!(refused, Err(LoadError::Rate(_))));
        }
    }
}
