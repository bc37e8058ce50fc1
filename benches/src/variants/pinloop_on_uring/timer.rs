//! The server's timeouts, with the same progress that restarts each.
//!
//! When the earliest deadline may have passed, all timers are looked at, which takes microseconds
//! and happens ten times a second at most. So a wheel would not pay.
//!
//! No timeout is shorter than the shortest one, so a connection that starts to wait in between
//! cannot have a deadline before the next look.

use std::time::{Duration, Instant};

use pinloop::Timeouts;

/// Bytes that count as progress, as the server has it.
const PROGRESS_BYTES: usize = 4096;

/// Shortest time between two looks at all connections: 10,000 of them take some 50 µs.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// The reason why a connection waits, as the server has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Head,
    Body,
    Idle,
    Write,
    Stall,
    Linger,
}

/// The timer of a connection.
pub(super) struct Timer {
    kind: Kind,
    deadline: Instant,
    consumed_bytes: usize,
    written_bytes: usize,
}

impl Timer {
    pub(super) fn new(clock: &Clock) -> Timer {
        let deadline = clock.deadline(Kind::Head);
        Timer { kind: Kind::Head, deadline, consumed_bytes: 0, written_bytes: 0 }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn note_consumed(&mut self, bytes: usize) {
        self.consumed_bytes += bytes;
    }

    pub(super) fn note_written(&mut self, bytes: usize) {
        self.written_bytes += bytes;
    }

    /// Restarts the timer if the connection waits for something else than before, or after
    /// progress.
    pub(super) fn update(&mut self, kind: Kind, clock: &Clock) {
        let is_due = kind != self.kind
            || match kind {
                Kind::Idle | Kind::Head => self.consumed_bytes > 0,
                Kind::Body => self.consumed_bytes >= PROGRESS_BYTES,
                Kind::Write => self.written_bytes >= PROGRESS_BYTES,
                Kind::Stall => self.written_bytes > 0,
                Kind::Linger => false,
            };
        if is_due {
            let deadline = clock.deadline(kind);
            *self = Timer { kind, deadline, consumed_bytes: 0, written_bytes: 0 };
        }
    }
}

/// The time of a thread, and its timeouts.
pub(super) struct Clock {
    /// Time of the wake-up.
    now: Instant,
    /// In the order of [`Kind`].
    timeouts: [Duration; 6],
    next_look: Instant,
}

impl Clock {
    pub(super) fn new(timeouts: &Timeouts) -> Clock {
        let Timeouts { head, body, idle, write, stall, linger, .. } = *timeouts;
        let now = Instant::now();
        Clock { now, timeouts: [head, body, idle, write, stall, linger], next_look: now }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Reads the clock, once for each wake-up.
    pub(super) fn update(&mut self) {
        self.now = Instant::now();
    }

    /// Returns the time until the next look, for connections that the clock does not know.
    pub(super) fn wait(&self) -> Duration {
        self.next_look.saturating_duration_since(self.now)
    }

    pub(super) fn is_look_due(&self) -> bool {
        self.now >= self.next_look
    }

    /// Looks at the timers of all connections; returns the keys of those that have expired.
    pub(super) fn expired<'a>(
        &mut self,
        timers: impl Iterator<Item = (usize, &'a Timer)>,
    ) -> Vec<usize> {
        let shortest = self.timeouts.iter().min().copied().unwrap_or_default();
        let mut earliest = self.now + shortest;
        let mut expired = Vec::new();
        for (key, timer) in timers {
            if timer.deadline <= self.now {
                expired.push(key);
            } else {
                earliest = earliest.min(timer.deadline);
            }
        }
        self.next_look = earliest.max(self.now + LOOK_PAUSE);
        expired
    }

    fn deadline(&self, kind: Kind) -> Instant {
        self.now + self.timeouts[kind as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock::new(&Timeouts::default())
    }

    fn after(clock: &mut Clock, seconds: u64) {
        clock.now += Duration::from_secs(seconds);
    }

    #[test]
    fn only_progress_restarts_a_timer() {
        let mut clock = clock();
        let mut timer = Timer::new(&clock);
        timer.update(Kind::Body, &clock);
        let begun = timer.deadline;
        after(&mut clock, 1);
        timer.note_consumed(PROGRESS_BYTES - 1);
        timer.update(Kind::Body, &clock);
        assert_eq!(timer.deadline, begun);
        timer.note_consumed(1);
        timer.update(Kind::Body, &clock);
        assert_eq!(timer.deadline, begun + Duration::from_secs(1));
    }

    #[test]
    fn no_deadline_passes_between_two_looks() {
        let mut clock = clock();
        let mut idle = Timer::new(&clock);
        idle.update(Kind::Idle, &clock);
        assert!(clock.expired([(0, &idle)].into_iter()).is_empty());
        // Begins to wait after the look, with the shortest timeout.
        let mut lingering = Timer::new(&clock);
        lingering.update(Kind::Linger, &clock);
        let wait = clock.wait();
        clock.now += wait;
        assert!(clock.is_look_due());
        assert_eq!(clock.expired([(0, &idle), (1, &lingering)].into_iter()), [1]);
        assert!(!clock.is_look_due());
        after(&mut clock, 75);
        assert_eq!(clock.expired([(0, &idle)].into_iter()), [0]);
    }
}
