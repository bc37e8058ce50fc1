//! The intervals of several threads as those of one run.

use std::collections::VecDeque;

use super::watch::Interval;

/// Puts the intervals of several threads, or of several machines, together.
///
/// An interval of the run ends when it has ended on every thread. A thread that was off its CPU for
/// longer than an interval ends several at once; they are then one interval of the run.
#[derive(Debug)]
pub struct Intervals {
    threads: Vec<Thread>,
    /// End of the last interval of the run, in ns since its start.
    ended_at: u64,
}

#[derive(Clone, Debug, Default)]
struct Thread {
    /// Intervals that have ended on this thread and not yet on all, the earliest first.
    ended: VecDeque<Interval>,
    /// Number of whole intervals that have passed on this thread.
    passed: u64,
    clients: usize,
}

impl Intervals {
    /// Expects the intervals of so many threads.
    pub fn new(threads: usize) -> Self {
        Self { threads: vec![Thread::default(); threads], ended_at: 0 }
    }

    /// Adds an interval that has ended on a thread. Returns the interval of the run that has ended
    /// thereby on all threads.
    pub fn add(&mut self, thread: usize, interval: Interval) -> Option<Interval> {
        let passed = |threads: &[Thread]| threads.iter().map(|thread| thread.passed).min();
        let before = passed(&self.threads);
        self.threads[thread].passed = interval.nth;
        self.threads[thread].ended.push_back(interval);
        let now = passed(&self.threads)?;
        (Some(now) > before).then(|| self.take(now))
    }

    /// Takes all intervals up to number `nth`.
    fn take(&mut self, nth: u64) -> Interval {
        let mut all = Interval::begin(self.ended_at);
        all.nth = nth;
        let ended = self.threads.iter().flat_map(|thread| &thread.ended);
        let until = ended.filter(|of| of.nth <= nth).map(|of| of.to).max();
        for thread in &mut self.threads {
            let mut of_thread = Interval::begin(0);
            // The last interval of a thread that has ended early belongs to this time too.
            let is_due = |of: &Interval| of.nth <= nth || Some(of.to) <= until;
            while thread.ended.front().is_some_and(is_due) {
                let Some(interval) = thread.ended.pop_front() else { break };
                // Its intervals follow one another, so that the times of its busiest thread add up.
                let busiest_cpu = of_thread.busiest_cpu + interval.busiest_cpu;
                of_thread.add_counts(&interval);
                of_thread.busiest_cpu = busiest_cpu;
                all.to = all.to.max(interval.to);
                thread.clients = interval.clients;
            }
            all.add_counts(&of_thread);
            all.clients += thread.clients;
        }
        self.ended_at = all.to;
        all
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::clock::Used;
    use super::super::errors::Errors;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn interval(nth: u64, to: u64, requests: u64) -> Interval {
        let mut interval = Interval::begin(0);
        (interval.nth, interval.to, interval.requests) = (nth, to, requests);
        interval.clients = requests as usize;
        interval.latency_ns.record_n(1_000 * requests, requests).unwrap();
        interval.errors = Errors { reset: 1, ..Errors::default() };
        let cpu = Duration::from_millis(requests);
        interval.used = Used { cpu, wait: Duration::from_millis(1) };
        interval.busiest_cpu = cpu;
        interval
    }

    #[test]
    fn an_interval_ends_when_it_has_ended_on_every_thread() {
        let mut intervals = Intervals::new(2);
        assert!(intervals.add(0, interval(1, SECOND, 10)).is_none());
        assert!(intervals.add(0, interval(2, 2 * SECOND, 11)).is_none());
        let first = intervals.add(1, interval(1, SECOND + 5, 20)).unwrap();
        assert_eq!((first.requests, first.clients, first.errors.reset), (30, 30, 2));
        assert_eq!((first.from, first.to), (0, SECOND + 5));
        assert_eq!(first.latency_ns.len(), 30);
        assert_eq!(first.used.cpu, Duration::from_millis(30));
        assert_eq!(first.used.wait, Duration::from_millis(2));
        assert_eq!(first.busiest_cpu, Duration::from_millis(20));
        let second = intervals.add(1, interval(2, 2 * SECOND, 21)).unwrap();
        assert_eq!((second.requests, second.from), (32, SECOND + 5));
    }

    #[test]
    fn intervals_that_a_thread_slept_through_are_one_interval() {
        let mut intervals = Intervals::new(2);
        for nth in 1..=3 {
            assert!(intervals.add(0, interval(nth, nth * SECOND, 10)).is_none());
        }
        let all = intervals.add(1, interval(3, 3 * SECOND + 7, 5)).unwrap();
        assert_eq!((all.requests, all.clients, all.to), (35, 15, 3 * SECOND + 7));
        assert_eq!(all.busiest_cpu, Duration::from_millis(30));
    }

    /// The intervals of a machine are those of several threads already.
    #[test]
    fn the_busiest_thread_of_several_machines_is_one_thread() {
        let of_machine = |nth, busiest_ms| {
            let mut interval = interval(nth, nth * SECOND, 10);
            interval.used.cpu = Duration::from_millis(900);
            interval.busiest_cpu = Duration::from_millis(busiest_ms);
            interval
        };
        let mut intervals = Intervals::new(2);
        assert!(intervals.add(0, of_machine(1, 400)).is_none());
        let first = intervals.add(1, of_machine(1, 300)).unwrap();
        assert_eq!(first.busiest_cpu, Duration::from_millis(400));
        assert_eq!(first.used.cpu, Duration::from_millis(1_800));
        // The busiest thread's times in two intervals at once add up.
        assert!(intervals.add(0, of_machine(2, 100)).is_none());
        assert!(intervals.add(0, of_machine(3, 100)).is_none());
        let both = intervals.add(1, of_machine(3, 150)).unwrap();
        assert_eq!(both.busiest_cpu, Duration::from_millis(200));
    }

    #[test]
    fn a_thread_that_has_ended_does_not_hold_up_the_others() {
        let mut intervals = Intervals::new(2);
        assert!(intervals.add(0, interval(u64::MAX, SECOND / 2, 4)).is_none());
        let first = intervals.add(1, interval(1, SECOND, 7)).unwrap();
        assert_eq!((first.nth, first.requests, first.clients), (1, 11, 11));
        let last = intervals.add(1, interval(u64::MAX, 2 * SECOND, 1)).unwrap();
        assert_eq!((last.requests, last.clients), (1, 5));
    }
}
