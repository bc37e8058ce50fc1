//! The event loop of one core: poll, dispatch, expire.
//!
//! Edge-triggered: a socket is registered once, for reading and writing, and epoll is never told
//! of it again. A connection that has more to do than one turn goes to the back of a queue, so
//! that the other connections have their turns in between.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token};

use super::acceptor::Acceptor;
use super::admission::Admission;
use super::connections::Connections;
use super::drain::Drain;
use super::inbox::{Arrival, Inbox, Queue, WAKER};
use super::listener::LISTENER;
use super::loop_state::LoopState;
use super::shared::Shared;
use crate::config::Config;
use crate::http::Service;

/// Events taken at one wake-up: 1,024 of 12 bytes, so that a busy core makes one epoll_wait a few
/// hundred requests.
const EVENTS_MAX: usize = 1024;

/// One core's event loop.
pub(super) struct EventLoop<S> {
    index: usize,
    poll: Poll,
    inbox: Arc<Inbox>,
    admission: Admission,
    connections: Connections<S>,
    drain: Drain,
    shared: Arc<Shared>,
}

impl<S: Service> EventLoop<S> {
    /// Returns the loop of thread `index`.
    ///
    /// # Errors
    /// If the listener cannot be registered, or no file descriptor is left for a connection.
    pub(super) fn new(
        index: usize,
        poll: Poll,
        sockets: Vec<Acceptor>,
        inbox: Arc<Inbox>,
        service: S,
        config: Config,
        shared: Arc<Shared>,
    ) -> io::Result<EventLoop<S>> {
        let state = LoopState::new(service, config, inbox.clone(), Instant::now());
        let registry = poll.registry();
        Ok(EventLoop {
            index,
            admission: Admission::new(index, sockets, registry, inbox.clone(), shared.clone())?,
            poll,
            inbox,
            connections: Connections::new(index, state, shared.clone()),
            drain: Drain::default(),
            shared,
        })
    }

    /// Serves until it is told to stop and has drained. Returns the number of requests that were
    /// cut off by the drain timeout.
    pub(super) fn run(mut self) -> io::Result<usize> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.drain.is_over(&self.connections) {
            match self.poll.poll(&mut events, self.wait()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.begin_wakeup();
            self.dispatch_all(&events);
            self.end_wakeup();
        }
        self.shared.end(self.index);
        Ok(self.drain.cut_off(&mut self.connections))
    }

    /// Returns how long the poll may wait for events.
    fn wait(&self) -> Option<Duration> {
        let deadline = self.connections.timers.wheel.wait();
        let has_more_to_do = self.connections.has_more_to_do();
        if !has_more_to_do && !self.admission.is_ready() && !self.drain.has_begun() {
            return deadline;
        }
        let now = self.connections.state.env.now;
        let again = has_more_to_do.then_some(Duration::ZERO);
        let accept = self.admission.wait(now);
        let drain = self.drain.wait(now);
        [deadline, again, accept, drain].into_iter().flatten().min()
    }

    /// Reads the clock, once a wake-up, and takes the next step of a stop.
    fn begin_wakeup(&mut self) {
        self.connections.set_now(Instant::now());
        // Before any event, so that the responses of this wake-up say that they are the last.
        if self.shared.is_stopping() {
            self.go_on_stopping();
        }
    }

    fn dispatch_all(&mut self, events: &Events) {
        let LoopState { batch, env, .. } = &mut self.connections.state;
        batch.open(events.iter().nth(1).is_some(), env.now);
        for event in events {
            self.dispatch(event);
        }
        self.connections.send_batch();
        self.connections.state.batch.close();
    }

    #[cold]
    fn go_on_stopping(&mut self) {
        let registry = self.poll.registry();
        self.drain.go_on(&mut self.admission, &mut self.connections, &self.shared, registry);
        if self.shared.is_cut_off() {
            self.drain.end(self.connections.state.env.now);
        }
    }

    /// Applies new settings, and answers the question whether the loop is alive.
    fn apply_settings(&mut self) {
        self.shared.answer_pulse(self.index);
        if let Some(config) = self.shared.take_settings(self.index) {
            self.connections.apply(config);
            self.admission.resume_if_waiting();
        }
    }

    fn dispatch(&mut self, event: &Event) {
        match event.token() {
            LISTENER => self.admission.set_ready(),
            WAKER => {
                self.apply_settings();
                self.admission.resume_if_waiting();
                self.connections.send_batch();
                let Queue { messages, arrivals, .. } = self.inbox.take();
                self.connections.deliver(messages);
                self.take_arrivals(arrivals);
            }
            Token(key) if event.is_error() => self.connections.lose(key),
            Token(key) => {
                let reads_on = event.is_read_closed() || event.is_priority();
                self.connections.wake(key, reads_on);
            }
        }
    }

    /// Takes the connections that other loops have passed to this one, and makes room for those that
    /// wait at another loop.
    fn take_arrivals(&mut self, arrivals: Vec<Arrival>) {
        let registry = self.poll.registry();
        for arrival in arrivals {
            self.admission.take_arrival(arrival, &mut self.connections, registry);
        }
        self.admission.make_room_if_asked(&mut self.connections);
    }

    fn end_wakeup(&mut self) {
        if self.connections.has_more_to_do() {
            self.connections.turn_again();
        }
        let env = &self.connections.state.env;
        if let Some(metrics) = &env.metrics {
            metrics.end_wakeup(env.now.elapsed());
        }
        if self.admission.is_ready() {
            self.admission.accept(&mut self.connections, self.poll.registry());
        }
        if self.connections.timers.wheel.are_due() {
            self.connections.expire();
        }
        if let Some(log) = &self.connections.state.env.log {
            log.end_wakeup();
        }
    }
}

impl<S> Drop for EventLoop<S> {
    fn drop(&mut self) {
        // A loop that fails has not drained. The other loops must not pass connections to it.
        drop(self.inbox.close());
    }
}
