//! The event loop: waits, reads answers, sends the next requests, and looks for timeouts from time
//! to time.

mod opening;

use std::io;
use std::iter;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hdrhistogram::Histogram;
use mio::event::Event;
use mio::{Events, Poll, Token};

use super::arrivals::Arrivals;
use super::clock::{Timer, Used, now_ns, wait};
use super::comparison::{Comparison, Expected};
use super::connection::{Connection, Inbox, Received};
use super::deal::{Deal, Part};
use super::descriptors::allow_descriptors;
use super::errors::{Fault, LoadError};
use super::outcome::Outcome;
use super::pace::{Pace, Schedule, Stop, as_ns};
use super::requests::{Requests, Share};
use super::run::{RETRY_AFTER, Run};
use super::target::{Shape, Target};
use super::watch::Watch;

/// Default time that a server may be silent while an answer is due.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of events per wake-up.
const EVENTS_MAX: usize = 1024;

const TIMER: Token = Token(usize::MAX);

/// Loads one server from the calling thread, over connections that stay open from run to run.
#[derive(Debug)]
pub struct Generator {
    server: SocketAddr,
    shape: Shape,
    part: Part,
    deal: Deal,
    requests: Requests,
    timeout: Duration,
    poll: Poll,
    timer: Timer,
    /// Connections; a connection's token is its index.
    connections: Vec<Connection>,
    inbox: Inbox,
    /// Number of connections opened so far, failed ones included.
    connects: u64,
    /// CPU and waiting time of the thread before the current run.
    used: Used,
}

/// What a generator does in a run.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Sends requests over the open connections.
    Paced(Pace, Stop),
    /// Lets clients arrive, each with a new connection.
    Arriving(Arrivals),
}

impl Generator {
    /// Opens all connections. Their number may be 0 if clients arrive later
    /// ([`Self::run_arrivals`]).
    pub fn connect(target: &Target, shape: &Shape) -> Result<Self, LoadError> {
        Self::connect_part(target, shape, Part::WHOLE)
    }

    /// Opens the connections of one of the threads that share a load of this shape.
    pub(super) fn connect_part(
        target: &Target,
        shape: &Shape,
        part: Part,
    ) -> Result<Self, LoadError> {
        if target.request.is_empty() {
            return Err(LoadError::EmptyRequest);
        }
        if shape.pipeline == 0 {
            return Err(LoadError::EmptyShape);
        }
        let connections = part.share(shape.connections);
        allow_descriptors(connections as u64)?;
        let poll = Poll::new()?;
        let timer = Timer::register(poll.registry(), TIMER)?;
        let mut generator = Self {
            server: target.addr,
            shape: *shape,
            part,
            deal: Deal::new(part, shape.connections),
            requests: Requests::one(&target.request, shape.pipeline),
            timeout: TIMEOUT,
            poll,
            timer,
            connections: (0..connections).map(|_| Connection::default()).collect(),
            inbox: Inbox::new(target.method_is_head),
            connects: 0,
            used: Used::default(),
        };
        generator.open_all()?;
        Ok(generator)
    }

    /// Opens all connections, and compares every answer with the first one.
    pub fn connect_comparing(target: &Target, shape: &Shape) -> Result<Self, LoadError> {
        let mut generator = Self::connect(target, shape)?;
        generator.compare_with_first()?;
        Ok(generator)
    }

    /// Sets the time that the server may be silent while an answer is due. It is also the time to
    /// wait for answers at the end of a run. The default is 5 s: longer than any pause of a server
    /// that works, and short enough to wait for.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Sends one request, and compares every later answer with its answer. An answer that differs
    /// is an error.
    pub fn compare_with_first(&mut self) -> Result<(), LoadError> {
        self.inbox.set_comparison(Comparison::learning());
        let connections = self.connections.len();
        // Without connections, clients arrive later; the first answer takes one connection.
        self.connections.resize_with(connections.max(1), Connection::default);
        // Of several threads only this one sends the request.
        let deal = std::mem::replace(&mut self.deal, Deal::WHOLE);
        let run = self.run(Pace::Closed, Stop::Requests(1));
        self.deal = deal;
        self.connections.truncate(connections);
        let comparison = self.inbox.take_comparison();
        run?;
        if let Comparison::Learning { head, body } = comparison {
            self.compare_with(Expected::new(&head, &body));
        }
        Ok(())
    }

    /// Compares every answer with `expected` from now on. An answer that differs is an error.
    pub fn compare_with(&mut self, expected: Expected) {
        self.inbox.set_comparison(Comparison::With(expected));
    }

    /// Returns the answer that every answer is compared with.
    pub fn expected(&self) -> Option<&Expected> {
        self.inbox.expected()
    }

    /// Sends a mix from now on, in orders that follow from `seed`. The answers must be compared with
    /// that to the first request of the mix.
    pub(super) fn send_mix(&mut self, shares: &[(Share, Expected)], seed: u64) {
        self.requests = Requests::mix(shares, self.connections.len(), seed);
    }

    /// Takes the latencies of each request of a mix since they were last taken, in ns.
    pub(super) fn take_latencies(&mut self) -> Vec<Histogram<u64>> {
        self.requests.take_latencies()
    }

    /// Returns the local address of each open connection, and its number of answers.
    pub fn answered(&self) -> impl Iterator<Item = (SocketAddr, u64)> {
        let of = |connection: &Connection| Some((connection.local_addr()?, connection.answers()));
        self.connections.iter().filter_map(of)
    }

    /// Sends requests until `stop`, and then waits for the outstanding answers.
    pub fn run(&mut self, pace: Pace, stop: Stop) -> Result<Outcome, LoadError> {
        self.run_alone(&Task::Paced(pace, stop), None)
    }

    /// Does the same as [`Self::run`], and calls `watch` during the run.
    pub fn run_watched(
        &mut self,
        pace: Pace,
        stop: Stop,
        watch: Watch<'_>,
    ) -> Result<Outcome, LoadError> {
        self.run_alone(&Task::Paced(pace, stop), Some(watch))
    }

    /// Lets clients arrive, each with a new connection, in a closed loop until all phases are over.
    /// Then closes the new connections.
    pub fn run_arrivals(
        &mut self,
        arrivals: &Arrivals,
        watch: Watch<'_>,
    ) -> Result<Outcome, LoadError> {
        self.run_alone(&Task::Arriving(arrivals.clone()), Some(watch))
    }

    fn run_alone(&mut self, task: &Task, watch: Option<Watch<'_>>) -> Result<Outcome, LoadError> {
        self.prepare(task)?;
        self.carry_out(task, now_ns(), watch, None)?.check()
    }

    /// Checks a task, and prepares the connections for it.
    pub(super) fn prepare(&mut self, task: &Task) -> Result<(), LoadError> {
        match task {
            Task::Paced(pace, _) => {
                if self.connections.is_empty() {
                    return Err(LoadError::EmptyShape);
                }
                pace.check()?;
            }
            Task::Arriving(arrivals) => {
                arrivals.check()?;
                allow_descriptors((self.connections.len() + arrivals.clients()) as u64)?;
            }
        }
        self.catch_up()?;
        // Read before the start, so that the first request is not late.
        self.used = Used::so_far();
        Ok(())
    }

    /// Carries out this thread's part of a task that starts at `started`, in ns. The run ends
    /// early when another thread sets `halt`.
    pub(super) fn carry_out(
        &mut self,
        task: &Task,
        started: u64,
        mut watch: Option<Watch<'_>>,
        halt: Option<&AtomicBool>,
    ) -> Result<Outcome, LoadError> {
        if let Some(watch) = &mut watch {
            watch.begin(started, self.used);
        }
        match task {
            Task::Paced(pace, stop) => {
                let schedule = Schedule::new(*pace, *stop, self.deal, started)?;
                let run = Run::new(schedule, Box::new(iter::empty()), watch, halt, started);
                let mut outcome = self.drive(run)?;
                outcome.in_flight_max = self.connections.len() * self.shape.pipeline;
                Ok(outcome)
            }
            Task::Arriving(arrivals) => {
                let stay = self.connections.len();
                let until = Stop::After(arrivals.lasts());
                let schedule = Schedule::new(Pace::Closed, until, Deal::WHOLE, started)?;
                let times = Box::new(arrivals.times_of(self.part, started));
                let outcome = self.drive(Run::new(schedule, times, watch, halt, started));
                self.connections.truncate(stay);
                outcome
            }
        }
    }

    fn drive(&mut self, mut run: Run<'_>) -> Result<Outcome, LoadError> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let connects = self.connects;
        for index in 0..self.connections.len() {
            self.go_on(index, &mut run);
        }
        let mut now = now_ns();
        self.let_arrive(now, &mut run)?;
        while !run.is_done(now) {
            now = self.turn(&mut events, now, &mut run)?;
        }
        let clients = self.connections.len();
        for connection in &mut self.connections {
            connection.settle();
        }
        let mut outcome = run.finish(now, clients);
        let used = Used::so_far().since(self.used);
        outcome.threads = 1;
        (outcome.cpu, outcome.busiest_cpu, outcome.wait) = (used.cpu, used.cpu, used.wait);
        outcome.connects = self.connects - connects;
        Ok(outcome)
    }

    /// Waits for events and handles them. Returns the time of the wake-up, in ns.
    fn turn(&mut self, events: &mut Events, now: u64, run: &mut Run<'_>) -> Result<u64, LoadError> {
        wait(&mut self.poll, events, run.wait_for(now))?;
        let now = now_ns();
        run.tally.outcome.wakeups += 1;
        for event in &*events {
            if event.token() != TIMER {
                self.handle(event, now, run);
            }
        }
        for index in std::mem::take(&mut run.reread) {
            self.receive(index, true, now, run);
        }
        for index in std::mem::take(&mut run.restart) {
            self.go_on(index, run);
        }
        self.start_what_is_due(run);
        if run.is_time_to_check(now) {
            self.check(now, run);
        }
        self.let_arrive(now, run)?;
        run.note_error(now);
        run.heed_halt(now);
        run.tell(now, self.connections.len());
        Ok(now)
    }

    /// Lets the clients arrive that are due, and sets the timer for the next client or request.
    fn let_arrive(&mut self, now: u64, run: &mut Run<'_>) -> io::Result<()> {
        while run.arrivals.next_if(|&at| at <= now).is_some() {
            self.connections.push(Connection::default());
            self.go_on(self.connections.len() - 1, run);
        }
        run.next_wake(now).map_or(Ok(()), |at| self.timer.arm(at))
    }

    fn handle(&mut self, event: &Event, now: u64, run: &mut Run<'_>) {
        let index = event.token().0;
        if event.is_writable() {
            self.send(index, now, run);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            let to_the_end = event.is_read_closed() || event.is_error();
            self.receive(index, to_the_end, now, run);
        }
    }

    fn receive(&mut self, index: usize, to_the_end: bool, now: u64, run: &mut Run<'_>) {
        let connection = &mut self.connections[index];
        let was_idle = connection.is_idle();
        // One answer was there when the wake-up began; of several, some may have come since.
        let now = if connection.in_flight() > 1 { now_ns() } else { now };
        let (answers, oldest) = (run.tally.outcome.requests, connection.oldest_start());
        self.requests.expect(index, &mut self.inbox);
        let received = connection.receive(&mut self.inbox, to_the_end, now, &mut run.tally);
        if run.tally.outcome.requests > answers {
            run.answered_at = now;
            self.requests.answered(index, now.saturating_sub(oldest.unwrap_or(now)));
        }
        match received {
            Ok(Received::Waiting) => {}
            Ok(Received::More) => run.reread.push(index),
            Ok(Received::Idle) => self.go_on(index, run),
            Ok(Received::Ended) => {
                run.schedule.give_back(connection.close());
                if !was_idle {
                    self.go_on(index, run);
                }
            }
            Err(fault) if was_idle => {
                run.tally.count_fault(&fault);
                drop(connection.close());
            }
            Err(fault) => self.fail(index, &fault, now, run),
        }
    }

    /// Sends the next requests on an idle connection, or leaves it idle if no request is due.
    fn go_on(&mut self, index: usize, run: &mut Run<'_>) {
        if !self.ask(index, run) {
            run.idle.push_back(index);
        }
    }

    /// Sends requests that have become due on idle connections, as happens at a fixed rate.
    fn start_what_is_due(&mut self, run: &mut Run<'_>) {
        while let Some(index) = run.idle.pop_front() {
            if !self.ask(index, run) {
                run.idle.push_front(index);
                return;
            }
        }
    }

    /// Sends the next requests on an idle connection. Returns `false` if no request is due.
    fn ask(&mut self, index: usize, run: &mut Run<'_>) -> bool {
        let connection = &mut self.connections[index];
        debug_assert!(connection.is_idle());
        let now = now_ns();
        let mut room = self.shape.pipeline;
        if let Some(max) = self.shape.requests_per_connection.map(NonZeroU64::get) {
            if connection.answers() >= max {
                run.schedule.give_back(connection.close());
            }
            let left = max - connection.answers();
            room = room.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        for _ in 0..room {
            let Some(start) = run.schedule.take(now) else { break };
            connection.ask(start, self.requests.next(index));
        }
        if connection.is_idle() {
            return false;
        }
        connection.has_asked(now);
        self.send(index, now, run);
        true
    }

    /// Writes unsent bytes, after opening the connection if it is closed.
    fn send(&mut self, index: usize, now: u64, run: &mut Run<'_>) {
        if !self.connections[index].is_open() {
            if self.connections[index].is_idle() {
                return;
            }
            if let Err(fault) = self.open(index) {
                return self.fail(index, &fault, now, run);
            }
        }
        match self.connections[index].send(self.requests.batch(index), &mut run.tally) {
            Ok(true) => {}
            Ok(false) => run.reread.push(index),
            Err(fault) => self.fail(index, &fault, now, run),
        }
    }

    /// Counts `fault` and closes the connection, to open it again later.
    fn fail(&mut self, index: usize, fault: &Fault, now: u64, run: &mut Run<'_>) {
        let connection = &mut self.connections[index];
        let was_established = connection.is_established();
        run.tally.count_fault(fault);
        run.tally.outcome.unanswered += connection.close().count() as u64;
        if !was_established {
            run.retry.push_back((now + as_ns(RETRY_AFTER), index));
        } else {
            run.restart.push(index);
        }
    }

    /// Opens failed connections again, and looks for timeouts and for a server that is gone.
    fn check(&mut self, now: u64, run: &mut Run<'_>) {
        while run.retry.front().is_some_and(|&(at, _)| at <= now) {
            if let Some((_, index)) = run.retry.pop_front() {
                self.go_on(index, run);
            }
        }
        let timeout = as_ns(self.timeout);
        let gives_up = run.gives_up(now, timeout);
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            if !connection.is_idle() && (gives_up || connection.silent_for(now) >= timeout) {
                self.fail(index, &Fault::Timeout(self.timeout), now, run);
            }
        }
        run.server_is_gone = now.saturating_sub(run.answered_at) >= timeout
            && !run.retry.is_empty()
            && !self.connections.iter().any(Connection::is_established);
        run.has_checked(now);
    }
}
