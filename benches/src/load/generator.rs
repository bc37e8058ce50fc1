//! The loop: wait, read answers, send what follows them, and see once in a while to those that
//! have waited too long.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::clock::{Timer, now_ns, thread_cpu};
use super::connection::{Batch, Connection, Inbox, Received};
use super::errors::{Fault, LoadError};
use super::outcome::Outcome;
use super::pace::{Pace, Schedule, Stop, as_ns};
use super::source;
use super::target::{Shape, Target};

/// For how long a server may be silent while an answer is due, unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often timeouts are looked for. All connections are scanned: at ten times a second that
/// costs less than keeping them in order would.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// How long to wait before trying again where no connection could be opened.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Connections being opened at once: well below the backlog of any server.
const OPENING_MAX: usize = 128;

/// Descriptors kept for other things than connections: epoll, the timer, files.
const DESCRIPTORS_SPARE: u64 = 32;

/// Events taken per wake-up.
const EVENTS_MAX: usize = 1024;

const TIMER: Token = Token(usize::MAX);

/// Loads one server, over connections that stay open from run to run.
#[derive(Debug)]
pub struct Generator {
    server: SocketAddr,
    shape: Shape,
    request_len: usize,
    batch: Batch,
    timeout: Duration,
    poll: Poll,
    timer: Timer,
    /// A connection's token is its index.
    connections: Vec<Connection>,
    inbox: Inbox,
    /// Connections opened so far, or tried.
    connects: u64,
}

/// What a run has to remember.
#[derive(Debug)]
struct Run {
    schedule: Schedule,
    tally: Outcome,
    started: u64,
    /// When the last answer came, in ns.
    answered_at: u64,
    /// Connections with nothing in flight, the longest idle first.
    idle: VecDeque<usize>,
    /// Connections with more to read than one turn allows.
    reread: Vec<usize>,
    /// Connections that failed, to be opened again in the next turn.
    restart: Vec<usize>,
    /// Connections that could not be opened, and when to try again.
    retry: VecDeque<(u64, usize)>,
    next_check: u64,
    /// When to stop waiting for answers; known once nothing more will be sent.
    give_up_at: Option<u64>,
    /// No answer will come any more: the server is gone.
    server_is_gone: bool,
}

impl Generator {
    /// Opens all connections.
    pub fn connect(target: &Target, shape: &Shape) -> Result<Self, LoadError> {
        if target.request.is_empty() {
            return Err(LoadError::EmptyRequest);
        }
        if shape.connections == 0 || shape.pipeline == 0 {
            return Err(LoadError::EmptyShape);
        }
        allow_descriptors(shape.connections as u64)?;
        let poll = Poll::new()?;
        let timer = Timer::register(poll.registry(), TIMER)?;
        let mut generator = Self {
            server: target.addr,
            shape: *shape,
            request_len: target.request.len(),
            batch: Batch::new(&target.request, shape.pipeline),
            timeout: TIMEOUT,
            poll,
            timer,
            connections: (0..shape.connections).map(|_| Connection::default()).collect(),
            inbox: Inbox::new(target.method_is_head),
            connects: 0,
        };
        generator.open_all()?;
        Ok(generator)
    }

    /// For how long the server may be silent while an answer is due, and how long answers are
    /// waited for at the end of a run. 5 s at first: longer than any pause that a server that
    /// works makes, short enough to wait for.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Sends requests until `stop`, and then waits for the answers outstanding.
    pub fn run(&mut self, pace: Pace, stop: Stop) -> Result<Outcome, LoadError> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.drop_closed(&mut events)?;
        let (cpu, connects, started) = (thread_cpu(), self.connects, now_ns());
        let mut run = Run::new(Schedule::new(pace, stop, started)?, started);
        for index in 0..self.connections.len() {
            self.go_on(index, started, &mut run);
        }
        let mut now = started;
        while !run.is_done(now) {
            now = self.turn(&mut events, &mut run)?;
        }
        for connection in &mut self.connections {
            connection.settle();
        }
        let mut outcome = run.finish(now);
        outcome.cpu = thread_cpu().saturating_sub(cpu);
        outcome.connects = self.connects - connects;
        if outcome.requests == 0 && outcome.errors.total() > 0 {
            return Err(LoadError::NoAnswer {
                reason: outcome.first_error.unwrap_or_default(),
                errors: outcome.errors,
            });
        }
        Ok(outcome)
    }

    /// One wake-up: when it began, in ns.
    fn turn(&mut self, events: &mut Events, run: &mut Run) -> Result<u64, LoadError> {
        wait(&mut self.poll, events, run.wait_for())?;
        let now = now_ns();
        run.tally.wakeups += 1;
        for event in &*events {
            if event.token() != TIMER {
                self.handle(event, now, run);
            }
        }
        for index in std::mem::take(&mut run.reread) {
            self.receive(index, true, now, run);
        }
        for index in std::mem::take(&mut run.restart) {
            self.go_on(index, now, run);
        }
        self.start_what_is_due(now, run);
        if now >= run.next_check {
            self.check(now, run);
        }
        if let Some(at) = run.schedule.next_wake(now) {
            self.timer.arm(at)?;
        }
        Ok(now)
    }

    fn handle(&mut self, event: &Event, now: u64, run: &mut Run) {
        let index = event.token().0;
        if event.is_writable() {
            self.send(index, now, run);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            let to_the_end = event.is_read_closed() || event.is_error();
            self.receive(index, to_the_end, now, run);
        }
    }

    fn receive(&mut self, index: usize, to_the_end: bool, now: u64, run: &mut Run) {
        let connection = &mut self.connections[index];
        let was_idle = connection.is_idle();
        let answers = run.tally.requests;
        let received = connection.receive(&mut self.inbox, to_the_end, now, &mut run.tally);
        if run.tally.requests > answers {
            run.answered_at = now;
        }
        match received {
            Ok(Received::Waiting) => {}
            Ok(Received::More) => run.reread.push(index),
            Ok(Received::Idle) => self.go_on(index, now, run),
            Ok(Received::Ended) => {
                run.schedule.give_back(connection.close());
                if !was_idle {
                    self.go_on(index, now, run);
                }
            }
            Err(fault) if was_idle => {
                run.tally.count_fault(&fault);
                drop(connection.close());
            }
            Err(fault) => self.fail(index, &fault, now, run),
        }
    }

    /// Sends the next requests on an idle connection, or leaves it idle where none are due.
    fn go_on(&mut self, index: usize, now: u64, run: &mut Run) {
        if !self.ask(index, now, run) {
            run.idle.push_back(index);
        }
    }

    /// At a rate, requests become due while connections are idle.
    fn start_what_is_due(&mut self, now: u64, run: &mut Run) {
        while let Some(index) = run.idle.pop_front() {
            if !self.ask(index, now, run) {
                run.idle.push_front(index);
                return;
            }
        }
    }

    /// Sends the next requests on an idle connection; `false` where none are due.
    fn ask(&mut self, index: usize, now: u64, run: &mut Run) -> bool {
        let connection = &mut self.connections[index];
        debug_assert!(connection.is_idle());
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
            connection.ask(start, self.request_len);
        }
        if connection.is_idle() {
            return false;
        }
        connection.has_asked(now);
        self.send(index, now, run);
        true
    }

    /// Writes what is unsent, opening the connection before that where it is closed.
    fn send(&mut self, index: usize, now: u64, run: &mut Run) {
        if !self.connections[index].is_open() {
            if self.connections[index].is_idle() {
                return;
            }
            if let Err(fault) = self.open(index) {
                return self.fail(index, &fault, now, run);
            }
        }
        match self.connections[index].send(&self.batch, &mut run.tally) {
            Ok(true) => {}
            Ok(false) => run.reread.push(index),
            Err(fault) => self.fail(index, &fault, now, run),
        }
    }

    /// Counts `fault` and closes the connection, which had something to do and so is opened again.
    fn fail(&mut self, index: usize, fault: &Fault, now: u64, run: &mut Run) {
        let connection = &mut self.connections[index];
        let was_established = connection.is_established();
        run.tally.count_fault(fault);
        run.tally.unanswered += connection.close().count() as u64;
        if !was_established {
            run.retry.push_back((now + as_ns(RETRY_AFTER), index));
        } else {
            run.restart.push(index);
        }
    }

    /// What needs no haste: connections to try again, timeouts, a server that is gone.
    fn check(&mut self, now: u64, run: &mut Run) {
        while run.retry.front().is_some_and(|&(at, _)| at <= now) {
            if let Some((_, index)) = run.retry.pop_front() {
                self.go_on(index, now, run);
            }
        }
        let timeout = as_ns(self.timeout);
        if run.schedule.is_over(now) {
            run.give_up_at.get_or_insert(now.saturating_add(timeout));
        }
        let gives_up = run.give_up_at.is_some_and(|at| now >= at);
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            if !connection.is_idle() && (gives_up || connection.silent_for(now) >= timeout) {
                self.fail(index, &Fault::Timeout(self.timeout), now, run);
            }
        }
        let unheard = now - run.answered_at >= timeout;
        run.server_is_gone = unheard
            && !run.retry.is_empty()
            && !self.connections.iter().any(Connection::is_established);
        run.next_check = now + as_ns(run.check_every());
    }

    fn open(&mut self, index: usize) -> Result<(), Fault> {
        let nth = self.connects;
        self.connects += 1;
        let mut stream = source::connect(self.server, nth).map_err(Fault::connecting)?;
        // Once, for both, edge-triggered: no epoll_ctl after that.
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(index), interest)
            .map_err(Fault::connecting)?;
        self.connections[index].open(stream);
        Ok(())
    }

    /// Opens all connections, some at a time.
    fn open_all(&mut self) -> Result<(), LoadError> {
        let addr = self.server;
        let failed = |reason: String| LoadError::Connect { addr, reason };
        let mut events = Events::with_capacity(EVENTS_MAX);
        let (mut begun, mut opened) = (0, 0);
        let mut progress_at = now_ns();
        while opened < self.connections.len() {
            while begun < self.connections.len() && begun - opened < OPENING_MAX {
                self.open(begun).map_err(|fault| failed(fault.to_string()))?;
                begun += 1;
            }
            wait(&mut self.poll, &mut events, CHECK_EVERY)?;
            for event in &events {
                if let Some(confirmed) = self.connections[event.token().0].confirm() {
                    confirmed.map_err(|fault| failed(fault.to_string()))?;
                    opened += 1;
                    progress_at = now_ns();
                }
            }
            if now_ns() - progress_at > as_ns(self.timeout) {
                return Err(failed(format!("it did not answer for {:?}", self.timeout)));
            }
        }
        Ok(())
    }

    /// Closes the connections that the server closed while they were idle, which it may. They
    /// are opened again when they are needed.
    fn drop_closed(&mut self, events: &mut Events) -> Result<(), LoadError> {
        let mut unheeded = Outcome::new();
        loop {
            wait(&mut self.poll, events, Duration::ZERO)?;
            if events.is_empty() {
                return Ok(());
            }
            for event in events.iter().filter(|event| event.token() != TIMER) {
                let connection = &mut self.connections[event.token().0];
                let received = connection.receive(&mut self.inbox, true, 0, &mut unheeded);
                if !matches!(received, Ok(Received::Waiting)) {
                    drop(connection.close());
                }
            }
        }
    }
}

impl Run {
    fn new(schedule: Schedule, now: u64) -> Self {
        Self {
            schedule,
            tally: Outcome::new(),
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

    /// Nothing more will be sent, and nothing is in flight.
    fn is_done(&self, now: u64) -> bool {
        let settled = self.tally.requests + self.tally.unanswered;
        let in_flight = self.schedule.in_hand() - settled;
        self.server_is_gone || (in_flight == 0 && self.schedule.is_over(now))
    }

    fn wait_for(&self) -> Duration {
        let at_once = !(self.reread.is_empty() && self.restart.is_empty());
        if at_once { Duration::ZERO } else { self.check_every() }
    }

    fn check_every(&self) -> Duration {
        if self.retry.is_empty() { CHECK_EVERY } else { RETRY_AFTER }
    }

    fn finish(self, now: u64) -> Outcome {
        let mut outcome = self.tally;
        outcome.unsent = self.schedule.overdue(now);
        // The time to stop, where there was one, or the last answer, whichever came later. Not
        // the wait after that for answers that never came: the server is not the slower for it.
        let stopped = if self.schedule.end() < now { self.schedule.end() } else { self.started };
        outcome.elapsed = Duration::from_nanos(self.answered_at.max(stopped) - self.started);
        outcome
    }
}

/// Waits for events; an interruption by a signal is a wait without any.
fn wait(poll: &mut Poll, events: &mut Events, at_most: Duration) -> io::Result<()> {
    match poll.poll(events, Some(at_most)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        other => other,
    }
}

/// Makes sure that this process may have so many connections, raising its own limit as far as it
/// may itself.
fn allow_descriptors(connections: u64) -> Result<(), LoadError> {
    let wanted = connections + DESCRIPTORS_SPARE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| wanted <= current) {
        return Ok(());
    }
    if let Some(allowed) = limit.maximum.filter(|&maximum| wanted > maximum) {
        return Err(LoadError::Descriptors { wanted, allowed });
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })
        .map_err(|error| LoadError::Io(error.into()))
}
