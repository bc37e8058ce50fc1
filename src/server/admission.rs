//! Admits connections up to the limits, and decides about those beyond them.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Registry;

use super::acceptor::Acceptor;
use super::connections::Connections;
use super::eviction::Eviction;
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

/// The part of an event loop that admits connections.
pub(super) struct Admission {
    index: usize,
    /// Usually one. Empty once the loop has stopped accepting.
    listeners: Vec<Listener>,
    /// Listener that is looked at first, so that none has to wait for the others.
    first: usize,
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
    eviction: Eviction,
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
        Ok(Admission { index, listeners, first: 0, inbox, shared, eviction: Eviction::default() })
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
    pub(super) fn resume_if_waiting(&mut self) {
        self.listeners.iter_mut().for_each(Listener::resume_if_waiting);
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
        if needs_room
            && !self.eviction.has_idle(connections)
            && self.shared.waits_for_room(self.index, max)
        {
            self.listeners.iter_mut().for_each(|listener| listener.wait_for_room(now));
            if self.is_ready() {
                self.shared.ask_for_room(self.index, now);
            }
            return false;
        }
        self.first = ready + 1;
        match self.listeners[ready].accept(now) {
            Accepted::Connection(stream, client) => {
                // Not before a connection is there that needs the room.
                if needs_room {
                    self.eviction.evict(connections);
                }
                let trust = connections.state.env.config.trust.as_ref();
                let client = Peer::new(client, trust);
                self.admit(Arrival::new(stream, client), connections, registry);
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
        let is_full =
            when_full == WhenFull::Shed && open >= max && !self.eviction.evict(connections);
        let is_hopeless = is_full && open >= max.saturating_add(SHEDDING_MAX)
            || of_client > client_max.saturating_add(SHEDDING_PER_CLIENT_MAX);
        if is_hopeless {
            connections.forget_client(client);
            return connections.state.env.count(|metrics| metrics.shed_at_limit.add(1));
        }
        if !is_full && of_client <= client_max {
            return self.deal(arrival, connections, registry);
        }
        self.shared.add_connection(self.index);
        match of_client > client_max {
            true => refuse(arrival, connections, registry),
            false => self.seek_room(arrival, connections, registry),
        }
    }

    /// Passes a connection beyond the limit to the next loop, because this one has no idle
    /// connection to close. Refuses the connection if no loop has one.
    fn seek_room<S: Service>(
        &self,
        arrival: Arrival,
        connections: &mut Connections<S>,
        registry: &Registry,
    ) {
        let now = connections.state.env.now;
        if let Err(arrival) = self.shared.pass_on(arrival, self.index, now) {
            refuse(arrival, connections, registry);
        }
    }

    /// Takes a connection that another loop has passed to this one. If the server was full, an idle
    /// connection makes room.
    pub(super) fn take_arrival<S: Service>(
        &mut self,
        arrival: Arrival,
        connections: &mut Connections<S>,
        registry: &Registry,
    ) {
        let env = &connections.state.env;
        let max = env.config.connections_max;
        let needs_room = arrival.tried > 0 && !env.draining && self.shared.connections() > max;
        match needs_room && !self.eviction.evict(connections) {
            true => self.seek_room(arrival, connections, registry),
            false => connections.begin(arrival, registry),
        }
    }

    /// Closes an idle connection if another loop waits for room.
    pub(super) fn make_room_if_asked<S: Service>(&mut self, connections: &mut Connections<S>) {
        if self.shared.is_asked_for_room(self.index)
            && self.eviction.has_idle(connections)
            && self.shared.grants_room()
        {
            self.eviction.evict(connections);
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
}

/// Answers a connection with 503, and closes it.
fn refuse<S: Service>(arrival: Arrival, connections: &mut Connections<S>, registry: &Registry) {
    let Some(key) = connections.open(arrival, registry) else { return };
    connections.state.env.count(|metrics| metrics.shed_at_limit.add(1));
    if let Some(connection) = connections.slab.get_mut(key) {
        let turn = connection.reject(Rejection::Overload, &mut connections.state);
        connections.settle(key, turn);
    }
}
