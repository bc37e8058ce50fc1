//! Deadlines of many connections without a scan over them: a wheel of buckets,
//! one a tick.
//!
//! A connection has one valid entry, in the bucket of `Deadline::scheduled`.
//! A deadline that moves later moves nothing here: its entry finds that out when
//! its bucket comes up. So a request on a busy connection costs a store, and
//! an entry moves once a timeout. One that moves earlier gets a second entry, and
//! the first is ignored when it comes up.

use std::time::{Duration, Instant};

/// How exact deadlines are.
const TICK: Duration = Duration::from_millis(100);

/// Buckets of the wheel: 102 s, which is more than the default timeouts. An entry
/// for a later time comes up at the wheel's end, and is put off again.
const BUCKETS: u32 = 1024;

/// A point in time, in ticks since the wheel was made.
pub(super) type Tick = u32;

/// A length of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks(Tick);

impl Ticks {
    /// Longer than anybody waits: three years.
    pub(super) const NEVER: Ticks = Ticks(1 << 30);

    /// At least `duration`: one tick more, as the present one has begun.
    pub(super) fn at_least(duration: Duration) -> Ticks {
        Ticks(duration.as_millis().div_ceil(TICK.as_millis()) as Tick + 1)
    }
}

/// The deadline of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Tick,
    /// The tick of the valid entry.
    scheduled: Tick,
}

impl Deadline {
    /// None yet.
    pub(super) const NONE: Deadline = Deadline { at: Tick::MAX, scheduled: Tick::MAX };
}

/// Where the deadlines of connections are.
pub(super) trait Deadlined {
    /// The deadline of connection `key`, if there is one of that key.
    fn deadline(&mut self, key: usize) -> Option<&mut Deadline>;
}

/// The wheel.
#[derive(Debug)]
pub(super) struct Deadlines {
    start: Instant,
    now: Tick,
    /// When the next tick begins.
    now_until: Instant,
    /// No bucket before this tick has an entry.
    next: Tick,
    buckets: Vec<Vec<u32>>,
}

impl Deadlines {
    pub(super) fn new(start: Instant) -> Deadlines {
        let buckets = vec![Vec::new(); BUCKETS as usize];
        Deadlines { start, now: 0, now_until: start + TICK, next: Tick::MAX, buckets }
    }

    /// Sets the clock, once a wake-up.
    pub(super) fn set_now(&mut self, now: Instant) {
        // A comparison, where the difference and its division would cost 50
        // instructions for each wake-up.
        if now >= self.now_until {
            let elapsed = now.saturating_duration_since(self.start);
            self.now = (elapsed.as_millis() / TICK.as_millis()) as Tick;
            self.now_until = self.start + TICK * (self.now + 1);
        }
    }

    /// Sets the deadline of connection `key` to `timeout` from now.
    pub(super) fn set(&mut self, key: usize, deadline: &mut Deadline, timeout: Ticks) {
        deadline.at = self.now + timeout.0;
        if deadline.at < deadline.scheduled {
            self.schedule(key, deadline);
        }
    }

    /// How long there is nothing to do; `None` for ever.
    pub(super) fn wait(&self) -> Option<Duration> {
        let ticks = self.next.saturating_sub(self.now);
        (self.next != Tick::MAX)
            .then(|| Duration::from_millis(u64::from(ticks * TICK.subsec_millis())))
    }

    /// Whether there may be deadlines that have passed.
    pub(super) fn are_due(&self) -> bool {
        self.now >= self.next
    }

    /// Puts the connections whose deadline has passed into `due`.
    pub(super) fn expire(&mut self, due: &mut Vec<usize>, connections: &mut impl Deadlined) {
        if !self.are_due() {
            return;
        }
        let now = self.now;
        // After a long sleep once around is enough.
        let first = self.next.max(now.saturating_sub(BUCKETS - 1));
        for tick in first..=now {
            for key in std::mem::take(&mut self.buckets[(tick % BUCKETS) as usize]) {
                match connections.deadline(key as usize) {
                    // It is for one turn of the wheel later, and came before this bucket
                    // was due.
                    Some(Deadline { scheduled, .. })
                        if *scheduled > now && *scheduled % BUCKETS == tick % BUCKETS =>
                    {
                        self.buckets[(tick % BUCKETS) as usize].push(key);
                    }
                    // Another entry is the valid one.
                    Some(deadline) if deadline.scheduled > now => {}
                    Some(deadline) if deadline.at > now => self.schedule(key as usize, deadline),
                    Some(deadline) => {
                        *deadline = Deadline::NONE;
                        due.push(key as usize);
                    }
                    None => {}
                }
            }
        }
        self.next = (now + 1..=now + BUCKETS - 1)
            .find(|tick| !self.buckets[(tick % BUCKETS) as usize].is_empty())
            .unwrap_or(Tick::MAX);
    }

    fn schedule(&mut self, key: usize, deadline: &mut Deadline) {
        deadline.scheduled = deadline.at.clamp(self.now + 1, self.now + BUCKETS - 1);
        self.next = self.next.min(deadline.scheduled);
        self.buckets[(deadline.scheduled % BUCKETS) as usize].push(key as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        wheel: Deadlines,
        start: Instant,
        deadlines: Vec<Deadline>,
    }

    impl Deadlined for Vec<Deadline> {
        fn deadline(&mut self, key: usize) -> Option<&mut Deadline> {
            self.get_mut(key)
        }
    }

    impl Bench {
        fn new(connections: usize) -> Bench {
            let start = Instant::now();
            Bench {
                wheel: Deadlines::new(start),
                start,
                deadlines: vec![Deadline::NONE; connections],
            }
        }

        fn set(&mut self, key: usize, at_ms: u64, timeout_ms: u64) {
            self.wheel.set_now(self.start + Duration::from_millis(at_ms));
            let timeout = Ticks::at_least(Duration::from_millis(timeout_ms));
            self.wheel.set(key, &mut self.deadlines[key], timeout);
        }

        fn due(&mut self, at_ms: u64) -> Vec<usize> {
            let mut due = Vec::new();
            self.wheel.set_now(self.start + Duration::from_millis(at_ms));
            self.wheel.expire(&mut due, &mut self.deadlines);
            due
        }

        /// When each of the connections fell due, polled every 50 ms.
        fn run(&mut self, until_ms: u64) -> Vec<(u64, usize)> {
            (0..=until_ms)
                .step_by(50)
                .flat_map(|at| self.due(at).into_iter().map(move |key| (at, key)))
                .collect()
        }
    }

    #[test]
    fn falls_due_after_its_time_and_within_two_ticks_of_it() {
        let mut bench = Bench::new(3);
        bench.set(0, 0, 1_000);
        bench.set(1, 0, 250);
        bench.set(2, 0, 400_000);
        let run = bench.run(401_000);
        assert_eq!(run, [(400, 1), (1_100, 0), (400_100, 2)]);
    }

    #[test]
    fn one_that_moves_later_falls_due_later_and_once() {
        let mut bench = Bench::new(1);
        bench.set(0, 0, 1_000);
        bench.set(0, 0, 5_000);
        assert_eq!(bench.run(20_000), [(5_100, 0)]);
    }

    #[test]
    fn one_that_moves_earlier_falls_due_earlier_and_once() {
        let mut bench = Bench::new(1);
        bench.set(0, 0, 5_000);
        bench.set(0, 0, 1_000);
        assert_eq!(bench.run(20_000), [(1_100, 0)]);
    }

    #[test]
    fn says_how_long_there_is_nothing_to_do() {
        let mut bench = Bench::new(1);
        assert_eq!(bench.wheel.wait(), None);
        bench.set(0, 0, 1_000);
        assert_eq!(bench.wheel.wait(), Some(Duration::from_millis(1_100)));
        assert_eq!(bench.due(1_100), [0]);
        assert_eq!(bench.wheel.wait(), None);
    }

    #[test]
    fn a_sleep_longer_than_the_wheel_loses_nothing() {
        let mut bench = Bench::new(2);
        bench.set(0, 0, 1_000);
        bench.set(1, 0, 50_000);
        assert_eq!(bench.due(1_000_000).len(), 2);
    }

    #[test]
    fn one_that_is_put_off_by_a_late_wheel_is_kept() {
        let mut bench = Bench::new(2);
        bench.set(1, 0, 1_000);
        bench.set(0, 0, 1_000);
        bench.set(0, 0, 200_000);
        // One wake-up takes 300 ms, so its bucket comes up late.
        assert_eq!(bench.due(1_400), [1]);
        assert_eq!(bench.run(400_000), [(200_100, 0)]);
    }

    #[test]
    fn one_that_is_set_on_a_late_wheel_is_kept() {
        let mut bench = Bench::new(2);
        bench.set(1, 0, 1_000);
        bench.set(0, 1_200, 200_000);
        assert_eq!(bench.due(1_200), [1]);
        assert_eq!(bench.run(400_000), [(201_300, 0)]);
    }
}
