//! Time as whole nanoseconds of the monotonic clock, what a thread has used of a CPU, and a timer
//! with a resolution of nanoseconds. epoll's own timeout is in milliseconds, too coarse for a
//! schedule of thousands of requests a second.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use rustix::io::Errno;
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use serde::{Deserialize, Serialize};

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Returns the monotonic clock's time in nanoseconds.
pub(super) fn now_ns() -> u64 {
    as_ns(clock_gettime(ClockId::Monotonic))
}

/// Sleeps until the monotonic clock shows `at`, in ns.
pub(super) fn sleep_until(at: u64) {
    // A signal ends the sleep early.
    while clock_nanosleep_absolute(ClockId::Monotonic, &timespec(at)) == Err(Errno::INTR) {}
}

/// What a thread has used, and what others have used while it could have run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Used {
    /// CPU time. `/proc/thread-self/schedstat` has it too, but lags behind by up to a tick while
    /// the thread runs.
    pub(super) cpu: Duration,
    /// Time that the thread was ready to run and waited for a CPU; 0 if the kernel does not tell.
    pub(super) wait: Duration,
}

impl Used {
    /// Returns what the calling thread has used since its start.
    pub(super) fn so_far() -> Self {
        let wait = fs::read_to_string("/proc/thread-self/schedstat").ok().and_then(|text| {
            let ns = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
            Some(Duration::from_nanos(ns))
        });
        let cpu = Duration::from_nanos(as_ns(clock_gettime(ClockId::ThreadCPUTime)));
        Self { cpu, wait: wait.unwrap_or_default() }
    }

    /// Returns what was used since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            wait: self.wait.saturating_sub(earlier.wait),
        }
    }
}

/// Wakes a `Poll` at a given instant.
#[derive(Debug)]
pub(super) struct Timer {
    fd: OwnedFd,
    /// Time at which it goes off next, in ns of the monotonic clock; 0 if it is not set.
    armed_for: u64,
}

impl Timer {
    pub(super) fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Edge-triggered: each expiry is an event of its own, so the timer need never be read.
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { fd, armed_for: 0 })
    }

    /// Sets the timer to `at`, in ns of the monotonic clock, in place of an earlier setting.
    pub(super) fn arm(&mut self, at: u64) -> io::Result<()> {
        if self.armed_for == at {
            return Ok(());
        }
        let spec =
            Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: timespec(at) };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &spec)?;
        self.armed_for = at;
        Ok(())
    }
}

/// Waits for events. A signal ends the wait without events.
pub(super) fn wait(poll: &mut Poll, events: &mut Events, at_most: Duration) -> io::Result<()> {
    match poll.poll(events, Some(at_most)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        other => other,
    }
}

fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / NS_PER_SECOND) as i64, tv_nsec: (ns % NS_PER_SECOND) as _ }
}

fn as_ns(time: Timespec) -> u64 {
    // Neither clock is ever negative.
    time.tv_sec as u64 * NS_PER_SECOND + time.tv_nsec as u64
}
