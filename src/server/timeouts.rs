//! Every timeout of a connection: declared here, and nowhere else. The options of the command
//! line, the fields of [`Timeouts`], the labels of the metrics and the slots of the timer derive
//! from the table below.
//!
//! # The wheel
//!
//! Deadlines of many connections without a scan over them: buckets of connections, one a tick.
//!
//! A connection has one valid entry, in the bucket of [`Deadline::scheduled`]. A deadline that
//! moves later moves no entry: the entry is moved when its bucket comes up. So a request on a
//! busy connection costs a store, and an entry moves once a timeout. A deadline that moves
//! earlier gets a second entry, and the first is ignored when it comes up.

use std::time::{Duration, Instant};

macro_rules! timeouts {
    (
        connection { $($(#[doc = $doc:literal])* $field:ident $kind:ident $option:literal
            $seconds:literal s, at least $least:literal ms: $help:literal;)* }
        server { $($(#[doc = $server_doc:literal])* $server_field:ident $server_option:literal
            $server_seconds:literal s, at least $server_least:literal ms: $server_help:literal;)* }
    ) => {
        /// How long a client may take. Each timeout is enforced to within 0.2 s, and is at most
        /// a day.
        ///
        /// Build it with `..Timeouts::default()`, because fields will be added.
        #[derive(Clone, Debug)]
        pub struct Timeouts {
            $($(#[doc = $doc])* pub $field: Duration,)*
            $($(#[doc = $server_doc])* pub $server_field: Duration,)*
        }

        impl Default for Timeouts {
            fn default() -> Timeouts {
                Timeouts {
                    $($field: Duration::from_secs($seconds),)*
                    $($server_field: Duration::from_secs($server_seconds),)*
                }
            }
        }

        impl Timeouts {
            /// Every timeout as an option of a command line, in the order of the fields.
            pub const OPTIONS: &'static [TimeoutOption] = &[
                $(TimeoutOption {
                    name: $option,
                    help: $help,
                    least: Duration::from_millis($least),
                    get: |timeouts| timeouts.$field,
                    set: |timeouts, value| timeouts.$field = value,
                },)*
                $(TimeoutOption {
                    name: $server_option,
                    help: $server_help,
                    least: Duration::from_millis($server_least),
                    get: |timeouts| timeouts.$server_field,
                    set: |timeouts, value| timeouts.$server_field = value,
                },)*
            ];
        }

        /// What a connection waits for, which decides the timeout that applies.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum TimeoutKind {
            $($(#[doc = $doc])* $kind,)*
            /// A response that is made elsewhere, or a paused stream. No timeout applies.
            Service,
        }

        impl TimeoutKind {
            /// Labels of the metrics, in the order of the discriminants.
            pub(crate) const NAMES: [&'static str; [$($option),*].len() + 1] =
                [$(stringify!($field),)* "service"];

            fn ticks(timeouts: &Timeouts) -> [Ticks; TimeoutKind::NAMES.len()] {
                [$(Ticks::at_least(timeouts.$field),)* Ticks::NEVER]
            }
        }
    };
}

timeouts! {
    connection {
        /// From the beginning of a connection, or the first byte of a head, to the end of the
        /// head. Default 10 s: a head fits in a few packets; Apache allows 20 s.
        head Head "head-timeout" 10 s, at least 100 ms:
            "Time from the first byte of a request head, or the beginning of the connection, to \
             the end of the head";
        /// For every 4 KiB of a request body, and for its last bytes. Default 30 s, so that 140
        /// bytes a second suffice; nginx allows 60 s for each read.
        body Body "body-timeout" 30 s, at least 100 ms:
            "Time for every 4 KiB of a request body";
        /// Between a response and the first byte of the next request. Default 75 s, as nginx
        /// has it.
        idle Idle "idle-timeout" 75 s, at least 100 ms:
            "Time between a response and the next request";
        /// For every 4 KiB of responses that a client takes, and for the last bytes. Default
        /// 30 s. Also how long a client may take to read the end of a large response before its
        /// connection closes, and how long a paused stream may stay silent after the client
        /// has shut down its side.
        write Write "write-timeout" 30 s, at least 100 ms:
            "Time for every 4 KiB of responses that a client takes";
        /// How long a client may go on sending after the last response on its connection, while
        /// the server discards it, so that the client can read that response. Default 2 s: a
        /// few round trips.
        linger Linger "linger-timeout" 2 s, at least 0 ms:
            "Time that a client may go on sending after the last response on its connection";
    }
    server {
        /// For unfinished requests once the server is told to stop. Default 10 s: within the
        /// 30 s that Kubernetes waits and the 90 s of systemd.
        drain "drain-timeout" 10 s, at least 0 ms:
            "Time for unfinished requests after SIGTERM or SIGINT";
    }
}

/// A timeout as an option of a command line.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TimeoutOption {
    /// Name without dashes, for example `head-timeout`.
    pub name: &'static str,
    /// One sentence of help.
    pub help: &'static str,
    /// Smallest value.
    pub least: Duration,
    /// Returns the value.
    pub get: fn(&Timeouts) -> Duration,
    /// Sets the value.
    pub set: fn(&mut Timeouts, Duration),
}

/// Bytes that count as progress: a client that moves fewer within a timeout is too slow.
const PROGRESS_BYTES: u32 = 4096;

/// The timer of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    kind: TimeoutKind,
    deadline: Deadline,
    /// Bytes of requests consumed since the timer was started.
    pub(crate) consumed_bytes: u32,
    /// Bytes of responses written since then.
    pub(crate) written_bytes: u32,
}

impl Timer {
    /// A timer that is started by the first turn of its connection.
    pub(crate) const UNSET: Timer = Timer {
        kind: TimeoutKind::Idle,
        deadline: Deadline::NONE,
        consumed_bytes: 0,
        written_bytes: 0,
    };

    pub(crate) fn kind(&self) -> TimeoutKind {
        self.kind
    }

    /// Restarts the timer of connection `key` if it waits for something else than before, or
    /// after progress.
    #[inline]
    pub(crate) fn update(&mut self, kind: TimeoutKind, key: usize, wheel: &mut Wheel) {
        let is_due = kind != self.kind
            || match kind {
                TimeoutKind::Idle | TimeoutKind::Head => self.consumed_bytes > 0,
                TimeoutKind::Body => self.consumed_bytes >= PROGRESS_BYTES,
                TimeoutKind::Write => self.written_bytes >= PROGRESS_BYTES,
                TimeoutKind::Service | TimeoutKind::Linger => false,
            };
        if is_due {
            self.kind = kind;
            self.consumed_bytes = 0;
            self.written_bytes = 0;
            wheel.set(key, &mut self.deadline, wheel.timeouts[kind as usize]);
        }
    }

    /// Restarts the timer of connection `key` with a time of its own.
    pub(crate) fn set(&mut self, key: usize, timeout: Duration, wheel: &mut Wheel) {
        wheel.set(key, &mut self.deadline, Ticks::at_least(timeout));
    }

    /// Reports whether the deadline has passed and the timer was not restarted since.
    pub(crate) fn is_expired(&self) -> bool {
        self.deadline.at == Tick::MAX
    }

    /// Returns the tick since which the connection has waited, for a comparison with others.
    pub(crate) fn waiting_since(&self, wheel: &Wheel) -> u32 {
        self.deadline.at.saturating_sub(wheel.timeouts[self.kind as usize].0)
    }
}

/// Precision of deadlines.
const TICK: Duration = Duration::from_millis(100);

/// Number of buckets of the wheel: 102 s, which is more than the default timeouts. An entry for
/// a later time comes up at the end of the wheel, and is put off again.
const BUCKETS: u32 = 1024;

/// A point in time, in ticks since the wheel was made.
type Tick = u32;

/// A length of time.
#[derive(Clone, Copy, Debug)]
struct Ticks(Tick);

impl Ticks {
    /// Longer than any connection lasts: three years.
    const NEVER: Ticks = Ticks(1 << 30);

    /// Returns at least `duration`: one tick more, because the present tick has begun.
    fn at_least(duration: Duration) -> Ticks {
        Ticks(duration.as_millis().div_ceil(TICK.as_millis()) as Tick + 1)
    }
}

/// The deadline of one connection.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    /// [`Tick::MAX`] without a deadline.
    at: Tick,
    /// Tick of the valid entry.
    scheduled: Tick,
}

impl Deadline {
    const NONE: Deadline = Deadline { at: Tick::MAX, scheduled: Tick::MAX };
}

/// Finds the timers of connections.
pub(crate) trait Timers {
    /// Returns the timer of connection `key`, if there is such a connection.
    fn timer(&mut self, key: usize) -> Option<&mut Timer>;
}

/// The timers of one event loop.
#[derive(Debug)]
pub(crate) struct Wheel {
    timeouts: [Ticks; TimeoutKind::NAMES.len()],
    start: Instant,
    now: Tick,
    /// Beginning of the next tick.
    now_until: Instant,
    /// Tick before which no bucket has an entry.
    next: Tick,
    buckets: Vec<Vec<u32>>,
}

impl Wheel {
    pub(crate) fn new(timeouts: &Timeouts, start: Instant) -> Wheel {
        Wheel {
            timeouts: TimeoutKind::ticks(timeouts),
            start,
            now: 0,
            now_until: start + TICK,
            next: Tick::MAX,
            buckets: vec![Vec::new(); BUCKETS as usize],
        }
    }

    /// Sets the clock, once a wake-up.
    #[inline]
    pub(crate) fn set_now(&mut self, now: Instant) {
        // A comparison, because the difference and its division would cost each wake-up 50
        // instructions.
        if now >= self.now_until {
            let elapsed = now.saturating_duration_since(self.start);
            self.now = (elapsed.as_millis() / TICK.as_millis()) as Tick;
            self.now_until = self.start + TICK * (self.now + 1);
        }
    }

    /// Returns the tick of some time ago, for a comparison with [`Timer::waiting_since`].
    pub(crate) fn ticks_ago(&self, time: Duration) -> u32 {
        self.now.saturating_sub(Ticks::at_least(time).0)
    }

    fn set(&mut self, key: usize, deadline: &mut Deadline, timeout: Ticks) {
        deadline.at = self.now + timeout.0;
        if deadline.at < deadline.scheduled {
            self.schedule(key, deadline);
        }
    }

    /// Returns the time until the next entry; `None` without an entry.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let ticks = self.next.saturating_sub(self.now);
        (self.next != Tick::MAX)
            .then(|| Duration::from_millis(u64::from(ticks * TICK.subsec_millis())))
    }

    /// Reports whether deadlines may have passed.
    #[inline]
    pub(crate) fn are_due(&self) -> bool {
        self.now >= self.next
    }

    /// Puts the keys of the connections whose deadline has passed into `due`.
    pub(crate) fn expire(&mut self, due: &mut Vec<usize>, timers: &mut impl Timers) {
        if !self.are_due() {
            return;
        }
        let now = self.now;
        // After a long sleep, one turn of the wheel is enough.
        let first = self.next.max(now.saturating_sub(BUCKETS - 1));
        for tick in first..=now {
            for key in std::mem::take(&mut self.buckets[(tick % BUCKETS) as usize]) {
                let Some(timer) = timers.timer(key as usize) else { continue };
                let Deadline { at, scheduled } = timer.deadline;
                if scheduled > now && scheduled % BUCKETS == tick % BUCKETS {
                    // The entry is for the next turn of the wheel, and was made before this
                    // bucket was due.
                    self.buckets[(tick % BUCKETS) as usize].push(key);
                } else if scheduled > now {
                    // Another entry is the valid one.
                } else if at > now {
                    self.schedule(key as usize, &mut timer.deadline);
                } else {
                    timer.deadline = Deadline::NONE;
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
        timers: Vec<Timer>,
    }

    impl Timers for Vec<Timer> {
        fn timer(&mut self, key: usize) -> Option<&mut Timer> {
            self.get_mut(key)
        }
    }

    impl Bench {
        fn new(connections: usize) -> Bench {
            let start = Instant::now();
            Bench {
                wheel: Wheel::new(&Timeouts::default(), start),
                start,
                timers: vec![Timer::UNSET; connections],
            }
        }

        fn set(&mut self, key: usize, at_ms: u64, timeout_ms: u64) {
            self.wheel.set_now(self.start + Duration::from_millis(at_ms));
            self.timers[key].set(key, Duration::from_millis(timeout_ms), &mut self.wheel);
        }

        fn due(&mut self, at_ms: u64) -> Vec<usize> {
            let mut due = Vec::new();
            self.wheel.set_now(self.start + Duration::from_millis(at_ms));
            self.wheel.expire(&mut due, &mut self.timers);
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

    #[test]
    fn each_option_is_named_after_its_label() {
        let names = Timeouts::OPTIONS.iter().map(|option| option.name.strip_suffix("-timeout"));
        let names: Vec<_> = names.map(Option::unwrap).filter(|&name| name != "drain").collect();
        assert_eq!(names, TimeoutKind::NAMES[..names.len()]);
    }
}
