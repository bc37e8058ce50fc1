//! The event loop of one core: poll, dispatch, expire.
//!
//! Edge-triggered: a socket is registered once, for reading and writing, and epoll is never told
//! of it again. A connection that has more to do than one turn goes to the back of a queue, so
//! that the other connections have their turns in between.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
use mio::event::Event;
use mio::{Events, Poll, Token};
use slab::Slab;

use super::admission::Admission;
use super::connection::{Connection, Turn, key_of};
use super::drain::Drain;
use super::inbox::{Inbox, WAKER};
use super::listener::LISTENER;
use super::loop_state::LoopState;
use super::shared::Shared;
use super::timeouts::Wheel;
use crate::config::Config;
use crate::http::{Rejection, Service};

/// Events taken at one wake-up: 1,024 of 12 bytes, so that a busy core makes one epoll_wait a few
/// hundred requests.
const EVENTS_MAX: usize = 1024;

/// Time that a wake-up spends on connections with more to do than one turn, before it looks for
/// new events.
const AGAIN_TIME: Duration = Duration::from_micros(500);

/// One core's event loop.
pub(super) struct EventLoop<S> {
    pub(super) poll: Poll,
    inbox: Arc<Inbox>,
    pub(super) admission: Admission,
    pub(super) connections: Slab<Connection>,
    /// Connections with more to do.
    again: VecDeque<usize>,
    pub(super) wheel: Wheel,
    due: Vec<usize>,
    pub(super) state: LoopState<S>,
    pub(super) drain: Drain,
    pub(super) shared: Arc<Shared>,
}

impl<S: Service> EventLoop<S> {
    /// Returns the loop of thread `index`.
    ///
    /// # Errors
    /// If the listener cannot be registered, or no file descriptor is left for a connection.
    pub(super) fn new(
        index: usize,
        poll: Poll,
        listener: std::net::TcpListener,
        inbox: Arc<Inbox>,
        service: S,
        config: Config,
        shared: Arc<Shared>,
    ) -> io::Result<EventLoop<S>> {
        let now = Instant::now();
        let admission = Admission::new(index, listener, poll.registry(), &shared)?;
        Ok(EventLoop {
            poll,
            inbox: inbox.clone(),
            admission,
            connections: Slab::new(),
            again: VecDeque::new(),
            wheel: Wheel::new(&config.timeouts, now),
            due: Vec::new(),
            state: LoopState::new(service, config, inbox, now),
            drain: Drain::default(),
            shared,
        })
    }

    /// Serves until it is told to stop and has drained. Returns the number of requests that were
    /// cut off by the drain timeout.
    pub(super) fn run(mut self) -> io::Result<usize> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.is_drained() {
            match self.poll.poll(&mut events, self.wait()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.begin_wakeup();
            for event in &events {
                self.dispatch(event);
            }
            if !self.again.is_empty() {
                self.turn_again();
            }
            self.end_wakeup();
        }
        Ok(self.cut_off())
    }

    /// Returns how long the poll may wait for events.
    fn wait(&self) -> Option<Duration> {
        let deadline = self.wheel.wait();
        let is_plain =
            self.again.is_empty() && !self.admission.is_ready() && !self.drain.has_begun();
        if is_plain {
            return deadline;
        }
        let now = self.state.env.now;
        let again = (!self.again.is_empty()).then_some(Duration::ZERO);
        let accept = self.admission.wait(now);
        let drain = self.drain.wait(now);
        [deadline, again, accept, drain].into_iter().flatten().min()
    }

    /// Reads the clock, once a wake-up, and begins to drain if the server stops.
    fn begin_wakeup(&mut self) {
        let now = Instant::now();
        self.state.env.set_now(now);
        self.wheel.set_now(now);
        if self.shared.is_stopping() && !self.drain.has_begun() {
            // Before any event, so that the responses of this wake-up say that they are the
            // last ones.
            self.begin_drain();
        }
    }

    fn dispatch(&mut self, event: &Event) {
        match event.token() {
            LISTENER => self.admission.set_ready(),
            WAKER => self.take_messages(),
            Token(key) if event.is_error() => self.lose(key),
            Token(key) => {
                let reads_on = event.is_read_closed() || event.is_priority();
                self.wake(key, reads_on);
            }
        }
    }

    fn end_wakeup(&mut self) {
        if let Some(metrics) = &self.state.env.metrics {
            metrics.end_wakeup(self.state.env.now.elapsed());
        }
        if self.admission.is_ready() {
            self.accept();
        }
        if self.wheel.are_due() {
            self.expire();
        }
        if let Some(log) = &self.state.env.log {
            log.end_wakeup();
        }
    }

    /// Gives a connection a turn, unless it is queued for one: a client that sends much has an
    /// event for each part.
    pub(super) fn wake(&mut self, key: usize, reads_on: bool) {
        // The connection may have closed since the event. Another one with its key finds out
        // that there is nothing to do.
        let Some(connection) = self.connections.get_mut(key) else { return };
        if reads_on {
            connection.set_reads_on();
        }
        if !connection.is_queued {
            self.turn(key);
        }
    }

    fn turn(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.is_queued = false;
        match connection.turn(&mut self.state) {
            // The usual turn leaves nothing behind, so the bookkeeping is skipped.
            Ok(Turn::Wait) if connection.is_at_rest() && !self.state.env.draining => {
                connection.update_idle_timer(key, &mut self.wheel);
            }
            turn => self.settle(key, turn),
        }
    }

    /// Gives turns to connections with more to do, each at most one.
    fn turn_again(&mut self) {
        let begun = Instant::now();
        for _ in 0..self.again.len() {
            if let Some(key) = self.again.pop_front() {
                self.turn(key);
            }
            if begun.elapsed() >= AGAIN_TIME {
                return;
            }
        }
    }

    /// Acts on the result of a turn.
    #[inline(never)]
    pub(super) fn settle(&mut self, key: usize, turn: io::Result<Turn>) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let turn = match turn {
            Ok(turn) if self.admission.is_beyond_memory(connection, &mut self.state.env) => {
                match turn {
                    Turn::Close => Turn::Close,
                    _ => connection
                        .reject(Rejection::Overload, &mut self.state)
                        .unwrap_or(Turn::Close),
                }
            }
            Ok(turn) => turn,
            Err(error) => {
                self.state.env.count(|metrics| metrics.count_error(error.kind()));
                debug!("a connection failed: {error}");
                Turn::Close
            }
        };
        match turn {
            Turn::Close => return self.close(key),
            Turn::Again if connection.is_queued => {}
            Turn::Again => {
                connection.is_queued = true;
                self.again.push_back(key);
            }
            Turn::Wait if self.state.env.draining && connection.is_idle() => {
                return self.close(key);
            }
            Turn::Wait => {}
        }
        connection.update_timer(key, &mut self.wheel);
    }

    /// Closes a connection whose socket has failed.
    fn lose(&mut self, key: usize) {
        if let Some(error) = self.connections.get(key).and_then(Connection::take_error) {
            self.state.env.count(|metrics| metrics.count_error(error.kind()));
        }
        self.close(key);
    }

    pub(super) fn close(&mut self, key: usize) {
        // Closing the socket takes it out of epoll.
        let Some(mut connection) = self.connections.try_remove(key) else { return };
        connection.abandon(&self.state.env);
        connection.reset_if_cut_off();
        self.state.env.buffered_bytes -= connection.buffered_bytes();
        self.state.env.count(|metrics| metrics.closed.add(1));
        self.forget_client(connection.client());
        drop(connection);
        self.shared.remove_connection();
        self.admission.resume_if_room();
    }

    /// Takes messages from other threads to their connections.
    fn take_messages(&mut self) {
        self.admission.resume_if_room();
        for (connection_id, message) in self.inbox.take() {
            let key = key_of(connection_id);
            // The client may be gone, and another connection have its key.
            if let Some(connection) = self.connections.get_mut(key)
                && connection.id() == connection_id
            {
                let turn = connection.take_message(message, &mut self.state);
                self.settle(key, turn);
            }
        }
    }

    /// Ends the connections whose time is up. Each has a turn first, because its bytes may have
    /// been in time while the process was stopped.
    fn expire(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.expire(&mut due, &mut self.connections);
        for key in due.drain(..) {
            self.turn(key);
            if let Some(connection) = self.connections.get_mut(key)
                && connection.timer().is_expired()
            {
                let turn = connection.time_out(&mut self.state);
                self.settle(key, turn);
            }
        }
        self.due = due;
    }

    pub(super) fn keys(&self) -> Vec<usize> {
        self.connections.iter().map(|(key, _)| key).collect()
    }
}
