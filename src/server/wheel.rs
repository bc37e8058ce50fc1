//! A timer wheel: deadlines of many connections without a scan over them, in buckets, one a tick.
//!
//! A connection has one valid entry, in the bucket of [`Deadline::scheduled`]. A deadline that
//! moves later moves no entry: the entry is moved when its bucket comes up. So a request on a
//! busy connection costs a store, and an entry moves once a timeout. A deadline that moves
//! earlier gets a second entry, and the first is ignored when it comes up.

use std::time::{Duration, Instant};

/// Precision of deadlines.
const TICK: Duration = Duration::from_millis(100);

/// Number of buckets of the wheel: 102 s, which is more than the default timeouts. An entry for
/// a later time comes up at the end of the wheel, and is put off again.
const BUCKETS: u32 = 1024;

/// A point in time, in ticks since the wheel was made.
type Tick = u32;

/// A length of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks(Tick);

impl Ticks {
    /// Longer than any connection lasts: three years.
    pub(super) const NEVER: Ticks = Ticks(1 << 30);

    /// Returns at least `duration`: one tick more, because the present tick has begun.
    pub(super) fn at_least(duration: Duration) -> Ticks {
        Ticks(duration.as_millis().div_ceil(TICK.as_millis()) as Tick + 1)
    }

    /// Returns the time that is left when `passed` has passed: at least a tick.
    pub(super) fn after(self, passed: Ticks) -> Ticks {
        Ticks(self.0.saturating_sub(passed.0).max(1))
    }
}

/// The deadline of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// [`Tick::MAX`] without a deadline.
    at: Tick,
    /// Tick of the valid entry.
    scheduled: Tick,
}

impl Deadline {
    pub(super) const NONE: Deadline = Deadline { at: Tick::MAX, scheduled: Tick::MAX };
}

impl Deadline {
    /// Reports whether the deadline has passed and was not set since.
    pub(super) fn has_passed(&self) -> bool {
        self.at == Tick::MAX
    }

    /// Returns the tick at which a deadline of this length was set.
    pub(super) fn set_at(&self, timeout: Ticks) -> u32 {
        self.at.saturating_sub(timeout.0)
    }
}

/// Finds the deadlines of connections.
pub(super) trait Deadlines {
    /// Returns the deadline of connection `key`, if there is such a connection.
    fn deadline(&mut self, key: usize) -> Option<&mut Deadline>;
}

/// The deadlines of one event loop.
#[derive(Debug)]
pub(super) struct Wheel {
    start: Instant,
    now: Tick,
    /// Beginning of the next tick.
    now_until: Instant,
    /// Tick before which no bucket has an entry.
    next: Tick,
    buckets: Vec<Vec<u32>>,
}

impl Wheel {
    pub(super) fn new(start: Instant) -> Wheel {
        Wheel {
            start,
            now: 0,
            now_until: start + TICK,
            next: Tick::MAX,
            buckets: vec![Vec::new(); BUCKETS as usize],
        }
    }

    /// Sets the clock, once a wake-up.
    #[inline]
    pub(super) fn set_now(&mut self, now: Instant) {
        // A comparison, because the difference and its division would cost each wake-up 50
        // instructions.
        if now >= self.now_until {
            let elapsed = now.saturating_duration_since(self.start);
            self.now = (elapsed.as_millis() / TICK.as_millis()) as Tick;
            self.now_until = self.start + TICK * (self.now + 1);
        }
    }

    /// Returns the tick of some time ago, for a comparison with [`Deadline::set_at`]; `None` if the
    /// wheel is younger than that.
    pub(super) fn ticks_ago(&self, time: Duration) -> Option<u32> {
        self.now.checked_sub(Ticks::at_least(time).0)
    }

    /// Sets the deadline of connection `key` to `timeout` from now.
    #[inline]
    pub(super) fn set(&mut self, key: usize, deadline: &mut Deadline, timeout: Ticks) {
        deadline.at = self.now + timeout.0;
        if deadline.at < deadline.scheduled {
            self.schedule(key, deadline);
        }
    }

    /// Returns the time until the next entry; `None` without an entry.
    pub(super) fn wait(&self) -> Option<Duration> {
        let ticks = self.next.saturating_sub(self.now);
        (self.next != Tick::MAX)
            .then(|| Duration::from_millis(u64::from(ticks * TICK.subsec_millis())))
    }

    /// Reports whether deadlines may have passed.
    #[inline]
    pub(super) fn are_due(&self) -> bool {
        self.now >= self.next
    }

    /// Puts the keys of the connections with passed deadlines into `due`.
    pub(super) fn expire(&mut self, due: &mut Vec<usize>, deadlines: &mut impl Deadlines) {
        if !self.are_due() {
            return;
        }
        let now = self.now;
        // After a long sleep, one turn of the wheel is enough.
        let first = self.next.max(now.saturating_sub(BUCKETS - 1));
        for tick in first..=now {
            for key in std::mem::take(&mut self.buckets[(tick % BUCKETS) as usize]) {
                let Some(deadline) = deadlines.deadline(key as usize) else { continue };
                let Deadline { at, scheduled } = *deadline;
                if scheduled > now && scheduled % BUCKETS == tick % BUCKETS {
                    // The entry is for the next turn of the wheel, and was made before this
                    // bucket was due.
                    self.buckets[(tick % BUCKETS) as usize].push(key);
                } else if scheduled > now {
                    // Another entry is the valid one.
                } else if at > now {
                    self.schedule(key as usize, deadline);
                } else {
                    *deadline = Deadline::NONE;
                    due.push(key as usize);
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
        wheel: Wheel,
        start: Instant,
        deadlines: Vec<Deadline>,
    }

    impl Deadlines for Vec<Deadline> {
        fn deadline(&mut self, key: usize) -> Option<&mut Deadline> {
            self.get_mut(key)
        }
    }

    impl Bench {
        fn new(connections: usize) -> Bench {
            let start = Instant::now();
            Bench { wheel: Wheel::new(start), start, deadlines: vec![Deadline::NONE; connections] }
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

        /// Returns when each connection fell due, polled every 50 ms.
        fn run(&mut self, until_ms: u64) -> Vec<(u64, usize)> {
            (0..=until_ms)
                .step_by(50)
                .flat_map(|at| self.due(at).into_iter().map(move |key| (at, key)))
                .collect()
        }
    }

    #[test]
    fn a_deadline_falls_due_within_two_ticks_of_its_time() {
        let mut bench = Bench::new(3);
        bench.set(0, 0, 1_000);
        bench.set(1, 0, 250);
        bench.set(2, 0, 400_000);
        let run = bench.run(401_000);
        assert_eq!(run, [(400, 1), (1_100, 0), (400_100, 2)]);
    }

    #[test]
    fn a_deadline_that_moves_later_falls_due_later_and_once() {
        let mut bench = Bench::new(1);
        bench.set(0, 0, 1_000);
        bench.set(0, 0, 5_000);
        assert_eq!(bench.run(20_000), [(5_100, 0)]);
    }

    #[test]
    fn a_deadline_that_moves_earlier_falls_due_earlier_and_once() {
        let mut bench = Bench::new(1);
        bench.set(0, 0, 5_000);
        bench.set(0, 0, 1_000);
        assert_eq!(bench.run(20_000), [(1_100, 0)]);
    }

    #[test]
    fn returns_the_time_until_the_next_entry() {
        let mut bench = Bench::new(1);
        assert_eq!(bench.wheel.wait(), None);
        bench.set(0, 0, 1_000);
        assert_eq!(bench.wheel.wait(), Some(Duration::from_millis(1_100)));
        assert_eq!(bench.due(1_100), [0]);
        assert_eq!(bench.wheel.wait(), None);
    }

    #[test]
    fn a_sleep_longer_than_the_wheel_loses_no_deadline() {
        let mut bench = Bench::new(2);
        bench.set(0, 0, 1_000);
        bench.set(1, 0, 50_000);
        assert_eq!(bench.due(1_000_000).len(), 2);
    }

    #[test]
    fn a_deadline_put_off_by_a_late_wheel_is_kept() {
        let mut bench = Bench::new(2);
        bench.set(1, 0, 1_000);
        bench.set(0, 0, 1_000);
        bench.set(0, 0, 200_000);
        // One wake-up takes 300 ms, so the bucket comes up late.
        assert_eq!(bench.due(1_400), [1]);
        assert_eq!(bench.run(400_000), [(200_100, 0)]);
    }

    #[test]
    fn a_deadline_set_on_a_late_wheel_is_kept() {
        let mut bench = Bench::new(2);
        bench.set(1, 0, 1_000);
        bench.set(0, 1_200, 200_000);
        assert_eq!(bench.due(1_200), [1]);
        assert_eq!(bench.run(400_000), [(201_300, 0)]);
    }
}
