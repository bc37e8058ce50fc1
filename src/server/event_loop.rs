//! The event loop of one core: accept, read, advance, write, expire.
//!
//! Edge-triggered: a socket is registered once, for reading and writing, and
//! epoll is never told of it again. A connection that has more to do than one
//! turn goes to the back of the queue, so the others have theirs in between.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use log::debug;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::admission::{Accepted, Listener};
use super::connection::{self, Connection, Core, LoopState, TIMEOUT_KINDS, TimeoutKind, Turn};
use super::inbox::Inbox;
use super::timeouts::{Deadlines, Ticks};
use crate::config::{Config, WhenFull};
use crate::http::{Date, Rejection, Service, Spares};
use crate::ops::metrics::{CoreMetrics, Metrics};

pub(super) const LISTENER: Token = Token(usize::MAX - 1);
pub(super) const WAKER: Token = Token(usize::MAX - 2);

/// Events taken at one wake-up: 1,024 of 12 bytes, so that a busy core pays for
/// one epoll_wait a few hundred requests.
const EVENTS_MAX: usize = 1024;

/// Connections accepted at one wake-up before those that are open have a turn.
const ACCEPTS_MAX: usize = 64;

/// Connections beyond the limit that are being told so at a time. More are
/// closed without a word.
const SHEDDING_MAX: usize = 64;

/// Turns at one wake-up of those who have more to do than one turn: 16 of 64 KiB
/// take about a millisecond, which is how long they hold up the others.
const AGAIN_MAX: usize = 16;

/// Room to read beyond the largest head: one read takes 64 KiB, which is what a
/// loopback segment holds.
const READ_BYTES: usize = 64 * 1024;

/// How long a connection that has never sent anything keeps a drain waiting: it
/// may have been in the listener's queue, with its request on the way.
const DRAIN_UNUSED: Duration = Duration::from_millis(500);

/// What the threads of a server share. None of it is touched for a request.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Connections open, over all threads.
    pub(super) connections: AtomicUsize,
    /// Threads that are without their spare file descriptor.
    pub(super) spares_missing: Arc<AtomicUsize>,
    pub(super) stop: AtomicBool,
}

/// One core's event loop.
pub(super) struct EventLoop<S> {
    poll: Poll,
    listener: Option<Listener>,
    post: Arc<Inbox>,
    connections: Slab<Connection>,
    /// Connections opened so far; wraps.
    opened: u32,
    /// Connections with more to do.
    again: VecDeque<usize>,
    deadlines: Deadlines,
    timeouts: [Ticks; TIMEOUT_KINDS],
    due: Vec<usize>,
    core: Core<S>,
    date_until: Instant,
    drain_until: Option<Instant>,
    config: Config,
    shared: Arc<Shared>,
}

impl<S: Service> EventLoop<S> {
    pub(super) fn new(
        poll: Poll,
        listener: std::net::TcpListener,
        post: Arc<Inbox>,
        service: S,
        config: Config,
        shared: Arc<Shared>,
    ) -> io::Result<EventLoop<S>> {
        let now = Instant::now();
        let mut listener = Listener::new(listener, shared.spares_missing.clone());
        poll.registry().register(listener.source(), LISTENER, Interest::READABLE)?;
        Ok(EventLoop {
            poll,
            listener: Some(listener),
            post: post.clone(),
            connections: Slab::new(),
            opened: 0,
            again: VecDeque::new(),
            deadlines: Deadlines::new(now),
            timeouts: connection::ticks(&config.timeouts),
            due: Vec::new(),
            core: Core {
                service,
                input: vec![
                    0;
                    config.limits.head_bytes_max.max(config.limits.output_bytes_high)
                        + READ_BYTES
                ],
                output: Vec::new(),
                state: LoopState {
                    date: Date::at(SystemTime::now()),
                    now,
                    draining: false,
                    sink: post,
                    metrics: config.metrics.as_ref().map(Metrics::add_core),
                    log: config.access_log.as_ref().map(|log| log.core(now)),
                    spares: Spares::default(),
                    buffered_bytes: 0,
                },
            },
            date_until: now,
            drain_until: None,
            config,
            shared,
        })
    }

    /// Serves until it is told to stop and has drained.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.is_drained() {
            match self.poll.poll(&mut events, self.wait()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.read_clock();
            for event in &events {
                match event.token() {
                    LISTENER => self.listener.iter_mut().for_each(Listener::set_ready),
                    WAKER => {
                        self.deliver();
                        self.drain();
                    }
                    Token(key) if is_gone(event) => self.lose(key),
                    Token(key) => self.wake(key, event.is_read_closed()),
                }
            }
            if !self.again.is_empty() {
                self.turn_again();
            }
            if let Some(metrics) = &self.core.state.metrics {
                metrics.end_wakeup(self.core.state.now.elapsed());
            }
            if self.is_accepting() {
                self.accept();
            }
            if self.deadlines.are_due() {
                self.expire();
            }
            if let Some(log) = &self.core.state.log {
                log.end_wakeup();
            }
        }
        // Whoever has no answer by now gets none.
        self.keys().into_iter().for_each(|key| self.close(key));
        Ok(())
    }

    /// How long the poll may wait for events.
    fn wait(&self) -> Option<Duration> {
        let deadline = self.deadlines.wait();
        let is_plain = self.again.is_empty() && !self.is_accepting() && self.drain_until.is_none();
        if is_plain {
            return deadline;
        }
        let now = self.core.state.now;
        let again = (!self.again.is_empty()).then_some(Duration::ZERO);
        let accept = self.listener.as_ref().and_then(|listener| listener.wait(now));
        let drain = self.drain_until.map(|until| until.saturating_duration_since(now));
        [deadline, again, accept, drain].into_iter().flatten().min()
    }

    /// Whether there may be connections in the listener's queue.
    fn is_accepting(&self) -> bool {
        self.listener.as_ref().is_some_and(Listener::is_ready)
    }

    /// Reads the clock, once a wake-up.
    fn read_clock(&mut self) {
        self.core.state.now = Instant::now();
        if let Some(log) = &self.core.state.log {
            log.begin_wakeup(self.core.state.now);
        }
        self.deadlines.set_now(self.core.state.now);
        if self.core.state.now >= self.date_until {
            let date = SystemTime::now();
            self.core.state.date.update(date);
            let into_second =
                date.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.subsec_nanos());
            self.date_until = self.core.state.now + Duration::from_secs(1)
                - Duration::from_nanos(into_second.into());
        }
    }

    /// Gives a connection its turn, unless it waits for one anyway: whoever sends
    /// much has one after another, and an event each.
    fn wake(&mut self, key: usize, read_closed: bool) {
        // It may have been closed since the event, or be another one by now, which
        // finds out that there is nothing to do.
        let Some(connection) = self.connections.get_mut(key) else { return };
        if read_closed {
            connection.set_read_closed();
        }
        if !connection.is_queued() {
            self.turn(key);
        }
    }

    fn turn(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.set_queued(false);
        match connection.turn(&mut self.core, &self.config) {
            // The usual turn leaves nothing behind.
            Ok(Turn::Wait) if connection.is_at_rest() && !self.core.state.draining => {
                let (timeouts, deadlines) = (&self.timeouts, &mut self.deadlines);
                connection.keep_time_of(TimeoutKind::Idle, key, timeouts, deadlines);
            }
            turn => self.settle(key, turn),
        }
    }

    /// Gives those a turn who have more to do than one.
    fn turn_again(&mut self) {
        for _ in 0..self.again.len().min(AGAIN_MAX) {
            if let Some(key) = self.again.pop_front() {
                self.turn(key);
            }
        }
    }

    /// Does what a turn came to.
    #[inline(never)]
    fn settle(&mut self, key: usize, turn: io::Result<Turn>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let turn = match turn {
            Ok(turn)
                if connection.account(&mut self.core)
                    && self.core.state.buffered_bytes > self.config.buffered_bytes_max =>
            {
                debug!(
                    "shedding a connection: the thread keeps {} bytes",
                    self.core.state.buffered_bytes
                );
                match turn {
                    Turn::Close => Turn::Close,
                    _ => connection
                        .refuse(Rejection::Overload, &mut self.core, &self.config)
                        .unwrap_or(Turn::Close),
                }
            }
            Ok(turn) => turn,
            Err(error) => {
                if let Some(metrics) = &self.core.state.metrics {
                    metrics.count_error(error.kind());
                }
                debug!("a connection failed: {error}");
                Turn::Close
            }
        };
        match turn {
            Turn::Close => return self.close(key),
            Turn::Again if connection.is_queued() => {}
            Turn::Again => {
                connection.set_queued(true);
                self.again.push_back(key);
            }
            Turn::Wait if self.core.state.draining && connection.is_idle() => {
                return self.close(key);
            }
            Turn::Wait => {}
        }
        connection.keep_time(key, &self.timeouts, &mut self.deadlines);
    }

    /// Closes a connection that has ended by itself.
    fn lose(&mut self, key: usize) {
        if let Some(metrics) = &self.core.state.metrics
            && let Some(error) = self.connections.get(key).and_then(Connection::take_error)
        {
            metrics.count_error(error.kind());
        }
        self.close(key);
    }

    fn close(&mut self, key: usize) {
        // Closing the socket takes it out of epoll.
        let Some(mut connection) = self.connections.try_remove(key) else { return };
        connection.abandon(&self.core.state, &self.config);
        self.core.state.buffered_bytes -= connection.buffered_bytes();
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.count(|metrics| metrics.closed.add(1));
    }

    /// Takes connections from the listener's queue.
    fn accept(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            let now = self.core.state.now;
            let Some(listener) = &mut self.listener else { return };
            if listener.wait(now) != Some(Duration::ZERO) {
                return;
            }
            let open = self.shared.connections.load(Ordering::Relaxed);
            let may_wait = self.config.when_full == WhenFull::Wait && !self.core.state.draining;
            if open >= self.config.connections_max && may_wait {
                return listener.pause(now);
            }
            match listener.accept(now) {
                Accepted::Connection(stream, client) => self.open(stream, client.ip(), open),
                Accepted::Shed => self.count(|metrics| metrics.shed_without_descriptor.add(1)),
                Accepted::Failed => {}
                Accepted::Empty => return,
            }
        }
    }

    /// Begins a connection, or refuses it where as many as may be are `open`.
    fn open(&mut self, stream: TcpStream, client: IpAddr, open: usize) {
        // Whoever has waited is served at the end: the alternative is a reset.
        let may_shed = self.config.when_full == WhenFull::Shed;
        let is_full = may_shed && open >= self.config.connections_max;
        if may_shed && open >= self.config.connections_max.saturating_add(SHEDDING_MAX) {
            return self.count(|metrics| metrics.shed_at_limit.add(1));
        }
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        self.opened = self.opened.wrapping_add(1);
        let mut connection = Connection::new(stream, client, key, self.opened);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(connection.source(), Token(key), interest)
        {
            return debug!("epoll refused a connection: {error}");
        }
        let connection = entry.insert(connection);
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        if let Some(metrics) = &self.core.state.metrics {
            metrics.accepted.add(1);
            metrics.shed_at_limit.add(u64::from(is_full));
        }
        let turn = match is_full {
            true => connection.refuse(Rejection::Overload, &mut self.core, &self.config),
            false => Ok(Turn::Wait),
        };
        self.settle(key, turn);
    }

    /// Takes the answers that were made elsewhere to their connections.
    fn deliver(&mut self) {
        for (address, answer) in self.post.take() {
            let key = connection::key(address);
            // The client may be gone, and another one be in its place.
            if let Some(connection) = self.connections.get_mut(key)
                && connection.address() == address
            {
                let turn = connection.deliver(&answer, &mut self.core, &self.config);
                self.settle(key, turn);
            }
        }
    }

    /// Ends the connections whose time is up.
    fn expire(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.deadlines.expire(&mut due, &mut self.connections);
        for key in due.drain(..) {
            if let Some(connection) = self.connections.get_mut(key) {
                let turn = connection.time_out(&mut self.core, &self.config);
                self.settle(key, turn);
            }
        }
        self.due = due;
    }

    /// Begins to stop, once told to: takes no more connections, answers what has
    /// arrived, and closes whoever has nothing unfinished.
    fn drain(&mut self) {
        if self.core.state.draining || !self.shared.stop.load(Ordering::Acquire) {
            return;
        }
        self.core.state.draining = true;
        self.drain_until = Some(self.core.state.now + self.config.timeouts.drain);
        // Whoever is in the listener's queue would be reset.
        self.listener.iter_mut().for_each(Listener::resume);
        while self
            .listener
            .as_ref()
            .is_some_and(|listener| listener.wait(self.core.state.now) == Some(Duration::ZERO))
        {
            self.accept();
        }
        self.listener = None;
        for key in self.keys() {
            self.wake(key, false);
            if let Some(connection) =
                self.connections.get_mut(key).filter(|connection| connection.is_unused())
            {
                self.deadlines.set(key, connection.deadline(), Ticks::at_least(DRAIN_UNUSED));
            }
        }
    }

    fn keys(&self) -> Vec<usize> {
        self.connections.iter().map(|(key, _)| key).collect()
    }

    fn count(&self, add: impl FnOnce(&CoreMetrics)) {
        if let Some(metrics) = &self.core.state.metrics {
            add(metrics);
        }
    }

    fn is_drained(&self) -> bool {
        let timed_out = self.drain_until.is_some_and(|until| self.core.state.now >= until);
        self.core.state.draining && (self.connections.is_empty() || timed_out)
    }
}

/// Whether nothing can be said to the peer any more.
fn is_gone(event: &Event) -> bool {
    event.is_write_closed() || event.is_error()
}
