//! Every timeout of a connection: declared here, and nowhere else. The options of the command
//! line, the fields of [`Timeouts`], the labels of the metrics and the slots of the timer derive
//! from the table below.

use std::time::{Duration, Instant};

use super::wheel::{Deadline, Ticks, Wheel};

macro_rules! timeouts {
    (
        connection { $($(#[doc = $doc:literal])* $field:ident $kind:ident $option:literal
            $seconds:literal s, at least $least:literal ms: $help:literal;)* }
        server { $($(#[doc = $server_doc:literal])* $server_field:ident $server_option:literal
            $server_seconds:literal s, at least $server_least:literal ms: $server_help:literal;)* }
    ) => {
        /// Times that a client may take. Each timeout is enforced to within 0.2 s, and is at most a
        /// day.
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

        /// The reason why a connection waits, which decides the timeout that applies.
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

            /// Returns the timeouts in ticks, in the order of the discriminants.
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
        /// For any byte of the response that a client takes while it has not sent all of the
        /// request body. Default 5 s. A client that sends first and reads afterwards, as
        /// browsers do, stops here if the response to a streamed body does not fit into the
        /// memory of [`Config::buffered_bytes_max`](crate::Config::buffered_bytes_max): both
        /// sides wait for the other to read.
        stall Stall "stall-timeout" 5 s, at least 100 ms:
            "Time for a client to read a part of the response before it has sent all of the body";
        /// For a client that goes on sending after the last response on its connection, while the
        /// server discards it, so that the client can read that response. Default 2 s: a
        /// few round trips.
        linger Linger "linger-timeout" 2 s, at least 0 ms:
            "Time that a client may go on sending after the last response on its connection";
    }
    server {
        /// Between the order to stop and its execution, while [`Config::readiness`] is
        /// [`Phase::Leaving`] and everything else is as before. Default 0 s; a load balancer
        /// that asks `/readyz` every 5 s needs some 10 s to send new clients elsewhere.
        ///
        /// [`Config::readiness`]: crate::Config::readiness
        /// [`Phase::Leaving`]: crate::Phase::Leaving
        drain_delay "drain-delay" 0 s, at least 0 ms:
            "Time between a signal to stop and its execution, while /readyz answers 503 and \
             connections are still accepted";
        /// For one more request on each idle connection, answered with `connection: close`, once
        /// the server accepts no more. Default 0 s: idle connections are closed at once, and a
        /// request that is on its way then is lost. The usual pause between two requests of a
        /// client suffices, some 5 s.
        drain_grace "drain-grace" 0 s, at least 0 ms:
            "Time after that for one more request on each idle connection, answered with \
             connection: close";
        /// For unfinished requests once the idle connections are closed. Default 10 s: within the
        /// 30 s that Kubernetes waits and the 90 s of systemd.
        drain "drain-timeout" 10 s, at least 0 ms:
            "Time after that for unfinished requests";
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

/// Time without progress after which a client counts as one that reads late: it sends the whole
/// request body before it reads the response.
const STALL_LOOK: Duration = Duration::from_millis(100);

/// The timer of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    kind: TimeoutKind,
    deadline: Deadline,
    /// Bytes of requests consumed since the timer was started.
    consumed_bytes: u32,
    /// Bytes of responses written since then.
    written_bytes: u32,
    /// The client has taken nothing for [`STALL_LOOK`] while it sends a body.
    has_stalled: bool,
}

impl Timer {
    /// A timer that is started by the first turn of its connection.
    pub(super) const UNSET: Timer = Timer {
        kind: TimeoutKind::Idle,
        deadline: Deadline::NONE,
        consumed_bytes: 0,
        written_bytes: 0,
        has_stalled: false,
    };

    pub(super) fn kind(&self) -> TimeoutKind {
        self.kind
    }

    /// Restarts the timer of connection `key` if it waits for something else than before, or
    /// after progress.
    #[inline]
    pub(super) fn update(&mut self, kind: TimeoutKind, key: usize, timers: &mut Timers) {
        let is_due = kind != self.kind
            || match kind {
                TimeoutKind::Idle | TimeoutKind::Head => self.consumed_bytes > 0,
                TimeoutKind::Body => self.consumed_bytes >= PROGRESS_BYTES,
                TimeoutKind::Write => self.written_bytes >= PROGRESS_BYTES,
                TimeoutKind::Stall => return self.update_stall(key, timers),
                TimeoutKind::Service | TimeoutKind::Linger => false,
            };
        if is_due {
            self.kind = kind;
            self.consumed_bytes = 0;
            self.written_bytes = 0;
            timers.wheel.set(key, &mut self.deadline, timers.ticks[kind as usize]);
        }
    }

    /// Restarts the timer of a client that stalls, after progress and after [`STALL_LOOK`].
    #[cold]
    fn update_stall(&mut self, key: usize, timers: &mut Timers) {
        let has_stalled = self.has_stalled();
        let is_due = has_stalled != self.has_stalled
            || self.written_bytes > 0
            || has_stalled && self.consumed_bytes >= PROGRESS_BYTES;
        if is_due {
            self.has_stalled = has_stalled;
            self.consumed_bytes = 0;
            self.written_bytes = 0;
            let look = Ticks::at_least(STALL_LOOK);
            let timeout = timers.ticks[TimeoutKind::Stall as usize];
            let ticks = if has_stalled { timeout.after(look) } else { look };
            timers.wheel.set(key, &mut self.deadline, ticks);
        }
    }

    /// Reports whether the client has taken nothing for [`STALL_LOOK`] while it sends a body.
    pub(super) fn has_stalled(&self) -> bool {
        self.kind == TimeoutKind::Stall
            && self.written_bytes == 0
            && (self.has_stalled || self.is_expired())
    }

    /// Restarts the timer of connection `key` with a time of its own.
    pub(super) fn set(&mut self, key: usize, timeout: Duration, timers: &mut Timers) {
        timers.wheel.set(key, &mut self.deadline, Ticks::at_least(timeout));
    }

    /// Notes progress of the client.
    pub(super) fn note_consumed(&mut self, bytes: usize) {
        self.consumed_bytes = self.consumed_bytes.saturating_add(bytes as u32);
    }

    /// Notes progress of the client.
    pub(super) fn note_written(&mut self, bytes: usize) {
        self.written_bytes = self.written_bytes.saturating_add(bytes as u32);
    }

    pub(super) fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// Reports whether the deadline has passed and the timer was not restarted since.
    pub(super) fn is_expired(&self) -> bool {
        self.deadline.has_passed()
    }

    /// Returns the tick since which the connection has waited, for a comparison with others.
    pub(super) fn waiting_since(&self, timers: &Timers) -> u32 {
        self.deadline.set_at(timers.ticks[self.kind as usize])
    }
}

/// The timers of one event loop.
#[derive(Debug)]
pub(super) struct Timers {
    ticks: [Ticks; TimeoutKind::NAMES.len()],
    pub(super) wheel: Wheel,
}

impl Timers {
    pub(super) fn new(timeouts: &Timeouts, start: Instant) -> Timers {
        Timers { ticks: TimeoutKind::ticks(timeouts), wheel: Wheel::new(start) }
    }

    /// Sets the times of timers that are started from now on.
    pub(super) fn set_timeouts(&mut self, timeouts: &Timeouts) {
        self.ticks = TimeoutKind::ticks(timeouts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_is_named_after_its_label() {
        let names = Timeouts::OPTIONS.iter().map(|option| option.name);
        let names = names.filter(|name| !name.starts_with("drain"));
        let names: Vec<_> = names.map(|name| name.strip_suffix("-timeout").unwrap()).collect();
        assert_eq!(names, TimeoutKind::NAMES[..names.len()]);
    }
}
