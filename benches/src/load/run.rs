//! The state of one run: connections with work to do, and the counts so far.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::comparison::Difference;
use super::conntrack;
use super::errors::Fault;
use super::outcome::Outcome;
use super::pace::{Schedule, as_ns};
use super::watch::Watch;

/// Time between two looks for timeouts. Scanning all connections ten times a second costs less
/// than keeping them in order.
pub(super) const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Time to wait before a connection that failed is opened again.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(10);

/// State of one run. Connections are indices.
pub(super) struct Run<'a> {
    pub(super) schedule: Schedule,
    /// Times at which clients arrive.
    pub(super) arrivals: Peekable<Box<dyn Iterator<Item = u64>>>,
    pub(super) tally: Tally<'a>,
    /// Set by another thread to end this run early.
    halt: Option<&'a AtomicBool>,
    started: u64,
    /// Time of the last answer, in ns.
    pub(super) answered_at: u64,
    /// Connections with nothing in flight, the longest idle first.
    pub(super) idle: VecDeque<usize>,
    /// Connections with more to read than one turn allows.
    pub(super) reread: Vec<usize>,
    /// Connections that failed, to be opened again in the next turn.
    pub(super) restart: Vec<usize>,
    /// Connections that could not be opened, and the time to try again.
    pub(super) retry: VecDeque<(u64, usize)>,
    next_check: u64,
    /// Time to stop waiting for answers, known after the last request.
    give_up_at: Option<u64>,
    /// Set if the server is gone, so that no other answer will arrive.
    pub(super) server_is_gone: bool,
}

/// Counts of a run, and of an interval of it.
pub(super) struct Tally<'a> {
    pub(super) outcome: Outcome,
    watch: Option<Watch<'a>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        schedule: Schedule,
        arrivals: Box<dyn Iterator<Item = u64>>,
        watch: Option<Watch<'a>>,
        halt: Option<&'a AtomicBool>,
        now: u64,
    ) -> Self {
        Self {
            schedule,
            arrivals: arrivals.peekable(),
            tally: Tally::new(watch),
            halt,
            started: now,
            answered_at: now,
            idle: VecDeque::new(),
            reread: Vec::new(),
            restart: Vec::new(),
            retry: VecDeque::new(),
            next_check: now + as_ns(CHECK_EVERY),
            give_up_at: None,
            server_is_gone: false,
        }
    }

    /// Reports whether the last request was sent and no request is in flight.
    pub(super) fn is_done(&self, now: u64) -> bool {
        let settled = self.tally.outcome.requests + self.tally.outcome.unanswered;
        let in_flight = self.schedule.in_hand() - settled;
        self.server_is_gone || (in_flight == 0 && self.schedule.is_over(now))
    }

    /// Returns the time to wait for events.
    pub(super) fn wait_for(&self, now: u64) -> Duration {
        if !(self.reread.is_empty() && self.restart.is_empty()) {
            return Duration::ZERO;
        }
        let mut until = self.next_check;
        if let Some(watch) = &self.tally.watch {
            until = until.min(watch.next_at());
        }
        if now < self.schedule.end() {
            until = until.min(self.schedule.end());
        }
        Duration::from_nanos(until.saturating_sub(now))
    }

    /// Returns the time of the next client or request, to the nanosecond.
    pub(super) fn next_wake(&mut self, now: u64) -> Option<u64> {
        let arrival = self.arrivals.peek().copied();
        // Without an idle connection it is for an answer to wake us.
        let request = if self.idle.is_empty() { None } else { self.schedule.next_due(now) };
        arrival.into_iter().chain(request).min()
    }

    /// Reports whether it is time to look for timeouts.
    pub(super) fn is_time_to_check(&self, now: u64) -> bool {
        now >= self.next_check
    }

    /// Sets the time of the next look for timeouts, sooner if a connection is to be tried again.
    pub(super) fn has_checked(&mut self, now: u64) {
        let every = if self.retry.is_empty() { CHECK_EVERY } else { RETRY_AFTER };
        self.next_check = now + as_ns(every);
    }

    /// Reports whether `timeout` has passed since the last request.
    pub(super) fn gives_up(&mut self, now: u64, timeout: u64) -> bool {
        if self.schedule.is_over(now) {
            self.give_up_at.get_or_insert(now.saturating_add(timeout));
        }
        self.give_up_at.is_some_and(|at| now >= at)
    }

    /// Calls the watch at the end of each interval. The last interval includes the wait for the
    /// last answers, because an interval of a few answers would tell nothing.
    pub(super) fn tell(&mut self, now: u64, clients: usize) {
        if self.schedule.is_over(now) {
            return;
        }
        let Some(watch) = &mut self.tally.watch else { return };
        if now >= watch.next_at() && watch.tell(now, clients).is_break() {
            self.schedule.stop(now);
        }
    }

    /// Starts no further request if another thread has set the flag to halt.
    pub(super) fn heed_halt(&mut self, now: u64) {
        if self.halt.is_some_and(|halt| halt.load(Relaxed)) {
            self.schedule.stop(now);
        }
    }

    /// Notes the time of the first error.
    pub(super) fn note_error(&mut self, now: u64) {
        let outcome = &mut self.tally.outcome;
        if outcome.first_error.is_some() && outcome.first_error_at.is_none() {
            outcome.first_error_at = Some(Duration::from_nanos(now - self.started));
        }
    }

    pub(super) fn finish(mut self, now: u64, clients: usize) -> Outcome {
        self.note_error(now);
        if let Some(watch) = &mut self.tally.watch {
            watch.finish(now, clients);
        }
        let mut outcome = self.tally.outcome;
        outcome.unsent = self.schedule.overdue(now);
        // The time to stop or the last answer, whichever is later. The wait for answers that never
        // arrived is left out, because it does not make the server slower.
        let stopped = match self.schedule.end() {
            _ if self.server_is_gone => now,
            end if end <= now => end,
            _ => self.started,
        };
        outcome.elapsed = Duration::from_nanos(self.answered_at.max(stopped) - self.started);
        outcome
    }
}

impl<'a> Tally<'a> {
    pub(super) fn new(watch: Option<Watch<'a>>) -> Self {
        Self { outcome: Outcome::none(), watch }
    }

    /// Counts an answer. At most one error is counted for it.
    pub(super) fn count_answer(
        &mut self,
        status: u16,
        difference: Option<Difference>,
        latency_ns: u64,
    ) {
        self.outcome.requests += 1;
        self.outcome.statuses.count(status);
        self.outcome.latency_ns.saturating_record(latency_ns);
        if let Some(watch) = &mut self.watch {
            watch.count_answer(latency_ns);
        }
        if !(200..300).contains(&status) {
            self.count_fault(&Fault::Status(status));
        } else if let Some(difference) = difference {
            self.count_fault(&Fault::Different(difference));
        }
    }

    pub(super) fn count_fault(&mut self, fault: &Fault) {
        self.outcome.errors.count(fault);
        if let Some(watch) = &mut self.watch {
            watch.count_error(fault);
        }
        if self.outcome.first_error.is_none() {
            let mut reason = fault.to_string();
            if matches!(fault, Fault::Timeout(_)) {
                reason.push_str(&conntrack::reason_for_silence());
            }
            self.outcome.first_error = Some(reason);
        }
    }
}
