//! Admits connections up to the limits, and decides about those beyond them.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use log::debug;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::connection::{Connection, Turn};
use super::event_loop::EventLoop;
use super::listener::{Accepted, Listener};
use super::loop_state::Environment;
use super::shared::Shared;
use crate::config::WhenFull;
use crate::http::{Rejection, Service};

/// Connections accepted at one wake-up before the open ones have a turn.
const ACCEPTS_MAX: usize = 64;

/// Connections beyond the limit that are told so with 503 at a time. More are closed without a
/// response.
const SHEDDING_MAX: usize = 64;

/// The same for one client.
const SHEDDING_PER_CLIENT_MAX: usize = 8;

/// Idle connections that are found at a time, so that a full server does not look at all its
/// connections for each new one.
const EVICTIONS_MAX: usize = 64;

/// The part of an event loop that admits connections.
pub(super) struct Admission {
    index: usize,
    /// `None` once the loop has stopped accepting.
    listener: Option<Listener>,
    /// Number of connections opened so far; wraps.
    opened: u32,
    /// Keys and numbers of connections that have been idle for long, the longest last.
    idle: Vec<(usize, u64)>,
}

impl Admission {
    pub(super) fn new(
        index: usize,
        socket: std::net::TcpListener,
        registry: &Registry,
        shared: &Shared,
    ) -> io::Result<Admission> {
        let listener = Listener::new(socket, registry, shared.reserves_missing.clone())?;
        Ok(Admission { index, listener: Some(listener), opened: 0, idle: Vec::new() })
    }

    /// Notes that the poll has announced a connection.
    pub(super) fn set_ready(&mut self) {
        self.listener.iter_mut().for_each(Listener::set_ready);
    }

    /// Reports whether there may be connections to accept, now or at a known time.
    pub(super) fn is_ready(&self) -> bool {
        self.listener.as_ref().is_some_and(Listener::is_ready)
    }

    /// Returns the time until connections can be accepted; `None` to wait for an event.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.listener.as_ref().and_then(|listener| listener.wait(now))
    }

    /// Accepts again if the listener waits for a connection to close.
    pub(super) fn resume_if_room(&mut self) {
        self.listener.iter_mut().for_each(Listener::resume_if_paused);
    }

    /// Counts the memory of a connection; reports whether its growth is beyond the limit.
    pub(super) fn is_beyond_memory(
        &self,
        connection: &mut Connection,
        env: &mut Environment,
    ) -> bool {
        let has_grown = connection.account(env);
        let is_beyond = has_grown && env.buffered_bytes > env.config.buffered_bytes_max;
        if is_beyond {
            debug!("shedding a connection: the thread buffers {} bytes", env.buffered_bytes);
        }
        is_beyond
    }
}

impl<S: Service> EventLoop<S> {
    /// Takes connections from the queue of the listener.
    pub(super) fn accept(&mut self) {
        for _ in 0..ACCEPTS_MAX {
            if !self.accept_one() {
                return;
            }
        }
    }

    /// Takes all connections from the queue, and stops accepting: a client left in the queue
    /// would be reset.
    pub(super) fn accept_the_last(&mut self) {
        self.admission.listener.iter_mut().for_each(Listener::resume);
        while self.accept_one() {}
        self.admission.listener = None;
    }

    /// Takes a connection from the queue; reports whether there may be another one.
    fn accept_one(&mut self) -> bool {
        let now = self.state.env.now;
        let connections_max = self.state.env.config.connections_max;
        let Some(listener) = &mut self.admission.listener else { return false };
        if listener.wait(now) != Some(Duration::ZERO) {
            return false;
        }
        let waits_when_full =
            self.state.env.config.when_full == WhenFull::Wait && !self.state.env.draining;
        if waits_when_full
            && self.shared.connections() >= connections_max
            && !self.evict_idle()
            && self.shared.waits_for_room(self.admission.index, connections_max)
        {
            self.admission.listener.iter_mut().for_each(Listener::pause);
            return false;
        }
        let Some(listener) = &mut self.admission.listener else { return false };
        match listener.accept(now) {
            Accepted::Connection(stream, client) => self.admit(stream, client.ip()),
            Accepted::Shed => {
                self.state.env.count(|metrics| metrics.shed_without_descriptor.add(1));
            }
            Accepted::Failed => {}
            Accepted::Empty => return false,
        }
        true
    }

    /// Opens a connection, or sheds it if the server is full or the client has too many.
    fn admit(&mut self, stream: TcpStream, client: IpAddr) {
        let config = &self.state.env.config;
        let (connections_max, when_full) = (config.connections_max, config.when_full);
        let mut is_over = false;
        if let Some(max) = config.connections_per_client_max {
            let count = self.shared.add_client(client);
            is_over = count > max.get();
            if count > max.get().saturating_add(SHEDDING_PER_CLIENT_MAX) {
                self.shared.remove_client(client);
                return self.state.env.count(|metrics| metrics.shed_at_limit.add(1));
            }
        }
        // A client that has waited is served at the end, because the alternative is a reset.
        let open = self.shared.connections();
        let is_full = when_full == WhenFull::Shed && open >= connections_max && !self.evict_idle();
        if is_full && open >= connections_max.saturating_add(SHEDDING_MAX) {
            self.forget_client(client);
            return self.state.env.count(|metrics| metrics.shed_at_limit.add(1));
        }
        match self.open(stream, client) {
            None => self.forget_client(client),
            Some(key) if is_full || is_over => self.shed(key),
            Some(_) => {}
        }
    }

    /// Counts a connection of a client that has closed.
    pub(super) fn forget_client(&self, client: IpAddr) {
        if self.state.env.config.connections_per_client_max.is_some() {
            self.shared.remove_client(client);
        }
    }

    /// Closes the connection of this loop that has been idle longest, as nginx does; reports
    /// whether there was one.
    fn evict_idle(&mut self) -> bool {
        if self.admission.idle.is_empty() {
            self.find_idle();
        }
        while let Some((key, id)) = self.admission.idle.pop() {
            let is_same = |connection: &&Connection| connection.id() == id;
            if self.connections.get(key).filter(is_same).is_none() {
                continue;
            }
            // A request may have arrived that no event has announced yet.
            self.wake(key, false);
            let connection = self.connections.get(key).filter(is_same);
            if connection.is_some_and(Connection::waits_for_a_request) {
                self.state.env.count(|metrics| metrics.evicted.add(1));
                self.close(key);
                return true;
            }
        }
        false
    }

    /// Finds the connections that have been idle longest.
    fn find_idle(&mut self) {
        let idle = self.connections.iter().filter(|(_, each)| each.waits_for_a_request());
        let mut idle: Vec<_> = idle
            .map(|(key, each)| (each.timer().waiting_since(&self.wheel), each.id(), key))
            .collect();
        // By the tick of 100 ms since which they wait, and then in the order of their opening.
        idle.sort_unstable();
        idle.truncate(EVICTIONS_MAX);
        self.admission.idle = idle.into_iter().rev().map(|(_, id, key)| (key, id)).collect();
    }

    /// Opens a connection; returns its key.
    fn open(&mut self, stream: TcpStream, client: IpAddr) -> Option<usize> {
        let entry = self.connections.vacant_entry();
        let key = entry.key();
        self.admission.opened = self.admission.opened.wrapping_add(1);
        let mut connection = Connection::new(stream, client, key, self.admission.opened);
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        let registered = self.poll.registry().register(connection.source(), Token(key), interest);
        if let Err(error) = registered {
            debug!("epoll refused a connection: {error}");
            return None;
        }
        entry.insert(connection);
        self.shared.add_connection();
        self.state.env.count(|metrics| metrics.accepted.add(1));
        self.settle(key, Ok(Turn::Wait));
        Some(key)
    }

    /// Answers a connection with 503, and closes it.
    fn shed(&mut self, key: usize) {
        self.state.env.count(|metrics| metrics.shed_at_limit.add(1));
        if let Some(connection) = self.connections.get_mut(key) {
            let turn = connection.reject(Rejection::Overload, &mut self.state);
            self.settle(key, turn);
        }
    }
}
