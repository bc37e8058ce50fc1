//! Admits connections up to the limits, and decides about those beyond them.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Registry;

use super::acceptor::Acceptor;
use super::connection::Connection;
use super::connections::Connections;
use super::inbox::{Arrival, Inbox};
use super::listener::{Accepted, Listener};
use super::shared::Shared;
use crate::config::WhenFull;
use crate::http::{Peer, Rejection, Service};

/// Connections accepted at one wake-up before the open ones have a turn.
const ACCEPTS_MAX: usize = 64;

/// Connections beyond the limit that are told so with 503 at a time. More are closed without a
/// response.
const SHEDDING_MAX: usize = 64;

/// The same for one client.
const SHEDDING_PER_CLIENT_MAX: usize = 8;

/// Time after which a connection that has sent nothing may be closed to make room. A client needs
/// some round trips to send its first request.
const UNUSED_LEAST: Duration = Duration::from_secs(1);

/// Idle connections that are found at a time, so that a full server does not look at all its
/// connections for each new one.
const EVICTIONS_MAX: usize = 64;

/// The part of an event loop that admits connections.
pub(super) struct Admission {
    index: usize,
    /// Usually one. Empty once the loop has stopped accepting.
    listeners: Vec<Listener>,
    /// Listener that is looked at first, so that none has to wait for the others.
    first: usize,
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
    /// Keys and numbers of connections that have been idle for long, the longest last.
    idle: Vec<(usize, u64)>,
}

impl Admission {
    pub(super) fn new(
        index: usize,
        sockets: Vec<Acceptor>,
        registry: &Registry,
        inbox: Arc<Inbox>,
        shared: Arc<Shared>,
    ) -> io::Result<Admission> {
        let new = |socket| Listener::new(socket, registry, shared.reserves_missing.clone());
        let listeners = sockets.into_iter().map(new).collect::<io::Result<_>>()?;
        Ok(Admission { index, listeners, first: 0, inbox, shared, idle: Vec::new() })
    }

    /// Notes that the poll has announced a connection.
    pub(super) fn set_ready(&mut self) {
        self.listeners.iter_mut().for_each(Listener::set_ready);
    }

    /// Reports whether there may be connections to accept, now or at a known time.
    pub(super) fn is_ready(&self) -> bool {
        self.listeners.iter().any(Listener::is_ready)
    }

    /// Returns the time until connections can be accepted; `None` to wait for an event.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.listeners.iter().filter_map(|listener| listener.wait(now)).min()
    }

    /// Returns the place of a listener that may have connections to accept now.
    fn ready(&self, now: Instant) -> Option<usize> {
        let count = self.listeners.len();
        let mut places = (0..count).map(|place| (self.first + place) % count);
        places.find(|&place| self.listeners[place].wait(now) == Some(Duration::ZERO))
    }

    /// Accepts again if the listeners wait for a connection to close.
    pub(super) fn resume_if_paused(&mut self) {
        self.listeners.iter_mut().for_each(Listener::resume_if_paused);
    }

    /// Stops accepting.
    pub(super) fn close(&mut self, registry: &Registry) {
        self.listeners.drain(..).for_each(|listener| listener.leave(registry));
    }

    /// Takes connections from the queue of the listener.
    pub(super) fn accept<S: Service>(
        &mut self,
        connections: &mut Connections<S>,
        registry: &Registry,
    ) {
        for _ in 0..ACCEPTS_MAX {
            if !self.accept_one(connections, registry) {
                return;
            }
        }
    }

    /// Takes all connections from the queues, because a client left there would be reset.
    pub(super) fn accept_the_last<S: Service>(
        &mut self,
        connections: &mut Connections<S>,
        registry: &Registry,
    ) {
        self.listeners.iter_mut().for_each(Listener::resume);
        while self.accept_one(connections, registry) {}
    }

    /// Takes the last connections that other loops have passed to this one. From now on, each loop
    /// keeps those that it accepts.
    pub(super) fn take_the_last_arrivals<S: Service>(
        &mut self,
        connections: &mut Connections<S>,
        registry: &Registry,
    ) {
        let arrivals = self.inbox.close();
        arrivals.into_iter().for_each(|arrival| connections.begin(arrival, registry));
    }

    /// Takes a connection from the queue; reports whether there may be another one.
    fn accept_one<S: Service>(
        &mut self,
        connections: &mut Connections<S>,
        registry: &Registry,
    ) -> bool {
        let env = &connections.state.env;
        let (now, max) = (env.now, env.config.connections_max);
        let Some(ready) = self.ready(now) else { return false };
        let waits_when_full = env.config.when_full == WhenFull::Wait && !env.draining;
        let needs_room = waits_when_full && self.shared.connections() >= max;
        if needs_room && !self.has_idle(connections) && self.shared.waits_for_room(self.index, max)
        {
            self.listeners.iter_mut().for_each(Listener::pause);
            return false;
        }
        self.first = ready + 1;
        match self.listeners[ready].accept(now) {
            Accepted::Connection(stream, client) => {
                // Not before a connection is there that needs the room.
                if needs_room {
                    self.evict_idle(connections);
                }
                let trust = connections.state.env.config.trust.as_ref();
                let client = Peer::new(client, trust);
                self.admit(Arrival { stream, client }, connections, registry);
            }
            Accepted::Shed => {
                connections.state.env.count(|metrics| metrics.shed_without_descriptor.add(1));
            }
            // Another listener may have connections.
            Accepted::Failed | Accepted::Empty => {}
        }
        true
    }

    /// Opens a connection, or sheds it if the server is full or the client has too many.
    fn admit<S: Service>(
        &mut self,
        arrival: Arrival,
        connections: &mut Connections<S>,
        registry: &Registry,
    ) {
        let client = &arrival.client;
        let config = &connections.state.env.config;
        let (max, when_full) = (config.connections_max, config.when_full);
        let per_client = config.connections_per_client_max.zip(client.direct_client());
        let of_client = per_client.map_or(0, |(_, address)| self.shared.add_client(address));
        let client_max = per_client.map_or(usize::MAX, |(max, _)| max.get());
        // A client that has waited is served at the end, because the alternative is a reset.
        let open = self.shared.connections();
        let is_full = when_full == WhenFull::Shed && open >= max && !self.evict_idle(connections);
        let is_hopeless = is_full && open >= max.saturating_add(SHEDDING_MAX)
            || of_client > client_max.saturating_add(SHEDDING_PER_CLIENT_MAX);
        if is_hopeless {
            connections.forget_client(client);
            return connections.state.env.count(|metrics| metrics.shed_at_limit.add(1));
        }
        let is_refused = is_full || of_client > client_max;
        if !is_refused {
            return self.deal(arrival, connections, registry);
        }
        self.shared.add_connection(self.index);
        if let Some(key) = connections.open(arrival, registry) {
            shed(key, connections);
        }
    }

    /// Opens an admitted connection, or passes it to the loop with the fewest connections.
    fn deal<S: Service>(
        &self,
        arrival: Arrival,
        connections: &mut Connections<S>,
        registry: &Registry,
    ) {
        if connections.state.env.draining {
            self.shared.add_connection(self.index);
            return connections.begin(arrival, registry);
        }
        let place = self.shared.place_connection(self.index);
        if place == self.index {
            return connections.begin(arrival, registry);
        }
        match self.shared.pass(arrival, self.index, place) {
            Ok(()) => connections.state.env.count(|metrics| metrics.passed.add(1)),
            Err(arrival) => connections.begin(arrival, registry),
        }
    }

    /// Finds connections that have been idle for long, unless some are known; reports whether there
    /// are any.
    fn has_idle<S: Service>(&mut self, connections: &Connections<S>) -> bool {
        self.idle.retain(|&(key, id)| {
            let connection = connections.slab.get(key).filter(|each| each.id() == id);
            connection.is_some_and(Connection::waits_for_a_request)
        });
        if self.idle.is_empty() {
            self.idle = find_idle(connections);
        }
        !self.idle.is_empty()
    }

    /// Closes the connection of this loop that has been idle longest, as nginx does; reports
    /// whether there was one.
    fn evict_idle<S: Service>(&mut self, connections: &mut Connections<S>) -> bool {
        if !self.has_idle(connections) {
            return false;
        }
        while let Some((key, id)) = self.idle.pop() {
            let is_same = |connection: &&Connection| connection.id() == id;
            if connections.slab.get(key).filter(is_same).is_none() {
                continue;
            }
            // A request may have arrived that no event has announced yet.
            connections.wake(key, false);
            let connection = connections.slab.get(key).filter(is_same);
            if connection.is_some_and(Connection::waits_for_a_request) {
                connections.state.env.count(|metrics| metrics.evicted.add(1));
                connections.close(key);
                return true;
            }
        }
        false
    }
}

/// Returns the keys and numbers of the connections that have been idle longest, the longest last.
fn find_idle<S: Service>(connections: &Connections<S>) -> Vec<(usize, u64)> {
    let since = |each: &Connection| each.timer().waiting_since(&connections.timers);
    let latest = connections.timers.wheel.ticks_ago(UNUSED_LEAST);
    let is_old = |each: &Connection| latest.is_some_and(|latest| since(each) <= latest);
    let may_go = |each: &Connection| each.is_idle() || each.is_unused() && is_old(each);
    let idle = connections.slab.iter().filter(|(_, each)| may_go(each));
    let mut idle: Vec<_> = idle.map(|(key, each)| (since(each), each.id(), key)).collect();
    // By the tick of 100 ms since which they wait, and then in the order of their opening.
    idle.sort_unstable();
    idle.truncate(EVICTIONS_MAX);
    idle.into_iter().rev().map(|(_, id, key)| (key, id)).collect()
}

/// Answers a connection with 503, and closes it.
fn shed<S: Service>(key: usize, connections: &mut Connections<S>) {
    connections.state.env.count(|metrics| metrics.shed_at_limit.add(1));
    if let Some(connection) = connections.slab.get_mut(key) {
        let turn = connection.reject(Rejection::Overload, &mut connections.state);
        connections.settle(key, turn);
    }
}
