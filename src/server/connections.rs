//! The connections of one event loop: their turns, and the bookkeeping between turns.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::debug;
use mio::{Interest, Registry, Token};
use slab::Slab;

use super::batch::Part;
use super::connection::{Connection, State, Turn, key_of};
use super::inbox::{Arrival, Message};
use super::loop_state::{Environment, LoopState};
use super::shared::Shared;
use super::timeouts::Timers;
use crate::config::Config;
use crate::http::{Peer, Rejection, Service};

/// Time that a wake-up spends on connections with more to do than one turn, before the loop
/// looks for new events.
const AGAIN_TIME: Duration = Duration::from_micros(500);

/// The connections of one event loop.
pub(super) struct Connections<S> {
    /// Number of the loop.
    index: usize,
    pub(super) slab: Slab<Connection>,
    /// Number of connections opened so far; wraps.
    opened: u32,
    /// Keys of connections with more to do.
    again: VecDeque<usize>,
    pub(super) timers: Timers,
    due: Vec<usize>,
    pub(super) state: LoopState<S>,
    shared: Arc<Shared>,
}

impl<S: Service> Connections<S> {
    pub(super) fn new(index: usize, state: LoopState<S>, shared: Arc<Shared>) -> Connections<S> {
        Connections {
            index,
            slab: Slab::new(),
            opened: 0,
            again: VecDeque::new(),
            timers: Timers::new(&state.env.config.timeouts, state.env.now),
            due: Vec::new(),
            state,
            shared,
        }
    }

    /// Sets the time of the wake-up.
    #[inline]
    pub(super) fn set_now(&mut self, now: Instant) {
        self.state.env.set_now(now);
        self.timers.wheel.set_now(now);
    }

    /// Applies the settings that can change while the loop runs.
    pub(super) fn apply(&mut self, config: Config) {
        self.timers.set_timeouts(&config.timeouts);
        self.state.apply(config);
    }

    /// Reports whether a connection has more to do than one turn.
    #[inline]
    pub(super) fn has_more_to_do(&self) -> bool {
        !self.again.is_empty()
    }

    pub(super) fn keys(&self) -> Vec<usize> {
        self.slab.iter().map(|(key, _)| key).collect()
    }

    /// Opens a connection that this loop or another one has admitted.
    pub(super) fn begin(&mut self, arrival: Arrival, registry: &Registry) {
        match self.state.env.config.defer_accept {
            true => self.open_and_read(arrival, registry),
            false => drop(self.open(arrival, registry)),
        }
    }

    /// Opens a connection; returns its key, or `None` if epoll refuses it.
    pub(super) fn open(&mut self, arrival: Arrival, registry: &Registry) -> Option<usize> {
        let key = self.add(arrival);
        self.register(key, registry).then_some(key)
    }

    /// Opens a connection whose first bytes have arrived, and answers them. A connection that is
    /// over then costs epoll nothing.
    fn open_and_read(&mut self, arrival: Arrival, registry: &Registry) {
        let key = self.add(arrival);
        self.turn(key);
        if self.slab.contains(key) {
            // Announces what has arrived since the turn.
            self.register(key, registry);
        }
    }

    fn add(&mut self, Arrival { stream, client, .. }: Arrival) -> usize {
        let entry = self.slab.vacant_entry();
        let key = entry.key();
        self.opened = self.opened.wrapping_add(1);
        let waits_for_proxy = self.state.env.config.proxy_protocol && client.is_proxy();
        let mut connection = Connection::new(stream, client, key, self.opened);
        if waits_for_proxy {
            connection.state = State::ProxyHeader;
        }
        entry.insert(connection);
        self.state.env.count(|metrics| metrics.accepted.add(1));
        key
    }

    /// Has epoll announce a connection's bytes; closes the connection if epoll refuses it.
    fn register(&mut self, key: usize, registry: &Registry) -> bool {
        let Some(connection) = self.slab.get_mut(key) else { return false };
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        if let Err(error) = registry.register(connection.source(), Token(key), interest) {
            debug!("epoll refused a connection: {error}");
            self.close(key);
            return false;
        }
        connection.update_timer(key, &mut self.timers);
        true
    }

    /// Gives a connection a turn, unless it is queued for one: a client that sends much has an
    /// event for each part.
    pub(super) fn wake(&mut self, key: usize, reads_on: bool) {
        // The connection may have closed since the event. Another one with its key finds out
        // that there is nothing to do.
        let Some(connection) = self.slab.get_mut(key) else { return };
        if reads_on {
            connection.set_reads_on();
        }
        if !connection.is_queued {
            self.turn(key);
        }
    }

    fn turn(&mut self, key: usize) {
        let Some(connection) = self.slab.get_mut(key) else { return };
        connection.is_queued = false;
        match connection.turn(&mut self.state) {
            // The usual turn leaves nothing behind, so the bookkeeping is skipped.
            Ok(Turn::Wait) if connection.is_at_rest() && !self.state.env.draining => {
                connection.update_idle_timer(key, &mut self.timers);
            }
            Ok(Turn::Send) => {
                self.state.batch.add(key, self.state.output.len());
                if self.state.batch.is_full() {
                    self.send_batch();
                }
            }
            turn => {
                self.settle(key, turn);
                // The turn may have taken long.
                self.send_batch();
            }
        }
    }

    /// Sends the responses of the batch, if there are any.
    #[inline(always)]
    pub(super) fn send_batch(&mut self) {
        if !self.state.batch.is_empty() {
            self.send_all();
        }
    }

    #[inline(never)]
    fn send_all(&mut self) {
        self.state.batch.begin_sending();
        let (mut index, mut begin) = (0, 0);
        while let Some(Part { key, end }) = self.state.batch.part(index) {
            if let Some(connection) = self.slab.get_mut(key) {
                let sent = connection.send_part(&self.state.output[begin..end], &self.state.env);
                match sent {
                    Ok(()) if connection.is_at_rest() && !self.state.env.draining => {
                        connection.update_idle_timer(key, &mut self.timers);
                    }
                    sent => self.settle(key, sent.map(|()| Turn::Wait)),
                }
            }
            (index, begin) = (index + 1, end);
        }
        self.state.batch.end_sending();
        self.state.clear_output();
    }

    /// Gives turns to connections with more to do, each at most one.
    pub(super) fn turn_again(&mut self) {
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
        let Some(connection) = self.slab.get_mut(key) else { return };
        let turn = match turn {
            Ok(turn) if is_beyond_memory(connection, &mut self.state.env) => match turn {
                Turn::Close => Turn::Close,
                _ => connection.reject(Rejection::Overload, &mut self.state).unwrap_or(Turn::Close),
            },
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
            Turn::Wait if self.state.env.closes_idle && connection.is_idle() => {
                return self.close(key);
            }
            Turn::Wait | Turn::Send => {}
        }
        connection.update_timer(key, &mut self.timers);
    }

    /// Closes a connection after its socket has failed.
    pub(super) fn lose(&mut self, key: usize) {
        if let Some(error) = self.slab.get(key).and_then(Connection::take_error) {
            self.state.env.count(|metrics| metrics.count_error(error.kind()));
        }
        self.close(key);
    }

    pub(super) fn close(&mut self, key: usize) {
        // Closing the socket takes it out of epoll.
        let Some(mut connection) = self.slab.try_remove(key) else { return };
        connection.abandon(&self.state.env);
        connection.reset_if_cut_off();
        self.state.env.buffered_bytes -= connection.buffered_bytes();
        self.state.env.count(|metrics| metrics.closed.add(1));
        self.forget_client(connection.client());
        drop(connection);
        self.shared.remove_connection(self.index);
    }

    /// Takes messages from other threads to their connections.
    pub(super) fn deliver(&mut self, messages: Vec<(u64, Message)>) {
        for (connection_id, message) in messages {
            let key = key_of(connection_id);
            // The client may be gone, and another connection have its key.
            if let Some(connection) = self.slab.get_mut(key)
                && connection.id() == connection_id
            {
                let turn = connection.take_message(message, &mut self.state);
                self.settle(key, turn);
            }
        }
    }

    /// Ends the connections with expired timers. Each has a turn first, because its bytes may have
    /// been in time while the process was stopped.
    pub(super) fn expire(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.timers.wheel.expire(&mut due, &mut self.slab);
        for key in due.drain(..) {
            self.turn(key);
            if let Some(connection) = self.slab.get_mut(key)
                && connection.timer().is_expired()
            {
                let turn = connection.time_out(&mut self.state);
                self.settle(key, turn);
            }
        }
        self.due = due;
    }

    /// Counts a connection of a client that has closed.
    pub(super) fn forget_client(&self, client: &Peer) {
        if self.state.env.config.connections_per_client_max.is_some()
            && let Some(address) = client.direct_client()
        {
            self.shared.remove_client(address);
        }
    }
}

/// Counts the memory of a connection; reports whether its growth is beyond the limit.
fn is_beyond_memory(connection: &mut Connection, env: &mut Environment) -> bool {
    let has_grown = connection.account(env);
    let is_beyond = has_grown && env.buffered_bytes > env.config.buffered_bytes_max;
    if is_beyond {
        debug!("shedding a connection: the thread buffers {} bytes", env.buffered_bytes);
    }
    is_beyond
}
