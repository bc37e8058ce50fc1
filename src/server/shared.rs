//! State that the threads of a server share. None of it is touched for a request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::inbox::{Arrival, Inbox};
use super::loads::Loads;
use super::room::Room;
use super::unix_socket::SocketFile;
use crate::config::{Balance, Config};
use crate::ops::readiness::{Phase, Readiness};

#[derive(Debug)]
pub(super) struct Shared {
    /// Number of open connections, over all threads.
    connections: AtomicUsize,
    /// Number of connections of each loop, if that decides where a new one goes.
    loads: Loads,
    room: Room,
    /// File of a Unix socket that is to be removed at the end.
    file: Option<SocketFile>,
    /// Number of threads that are without their reserved file descriptor.
    pub(super) reserves_missing: Arc<AtomicUsize>,
    stop: AtomicBool,
    /// Settings that the loops with [`Loop::has_settings`] have yet to apply.
    settings: Mutex<Option<Config>>,
    pub(super) readiness: Readiness,
    /// Another process has the listening sockets, and takes what is left in their queues.
    leaves_queue: AtomicBool,
    is_handed_over: AtomicBool,
    cut_off: AtomicBool,
    loops: Vec<Loop>,
    /// Number of open connections by [`subscriber`]. Only used with a limit for each client.
    clients: Mutex<HashMap<IpAddr, usize>>,
}

#[derive(Debug)]
struct Loop {
    inbox: Arc<Inbox>,
    /// True while the loop leaves connections in its queue until one closes.
    waits_for_room: AtomicBool,
    /// True until the loop wakes after [`Shared::ask_for_room`].
    is_asked_for_room: AtomicBool,
    has_settings: AtomicBool,
    /// True until the loop wakes after a [`Shared::pulse`].
    is_asked: AtomicBool,
    /// True once the loop has drained, while other loops may have connections.
    has_ended: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        inboxes: &[Arc<Inbox>],
        readiness: Readiness,
        are_shared: bool,
        balance: Balance,
        file: Option<SocketFile>,
    ) -> Shared {
        let new_loop = |inbox: &Arc<Inbox>| Loop {
            inbox: inbox.clone(),
            waits_for_room: false.into(),
            is_asked_for_room: false.into(),
            has_settings: false.into(),
            is_asked: false.into(),
            has_ended: false.into(),
        };
        Shared {
            connections: AtomicUsize::new(0),
            loads: Loads::new(balance, inboxes.len()),
            room: Room::default(),
            file,
            reserves_missing: Arc::default(),
            stop: AtomicBool::new(false),
            settings: Mutex::default(),
            readiness,
            leaves_queue: are_shared.into(),
            is_handed_over: AtomicBool::new(false),
            cut_off: AtomicBool::new(false),
            loops: inboxes.iter().map(new_loop).collect(),
            clients: Mutex::default(),
        }
    }

    /// Counts a connection of a client; returns the number of its connections.
    pub(super) fn add_client(&self, client: IpAddr) -> usize {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(subscriber(client)).or_default();
        *count += 1;
        *count
    }

    /// Counts a connection of a client that has closed.
    pub(super) fn remove_client(&self, client: IpAddr) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let std::collections::hash_map::Entry::Occupied(mut count) =
            clients.entry(subscriber(client))
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Returns the number of open connections.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Counts a connection that stays on loop `index`, which has accepted it.
    pub(super) fn add_connection(&self, index: usize) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        self.loads.add(index);
    }

    /// Counts a connection that loop `index` has accepted. Returns the loop that it goes to.
    pub(super) fn place_connection(&self, index: usize) -> usize {
        self.connections.fetch_add(1, Ordering::SeqCst);
        self.loads.place(index, |other| self.loops[other].inbox.takes_arrivals(Instant::now()))
    }

    /// Passes a connection from loop `from` to loop `to`, which
    /// [`place_connection`](Self::place_connection) has chosen. Returns the connection if that
    /// loop takes none any more, and counts it for loop `from` then.
    pub(super) fn pass(&self, arrival: Arrival, from: usize, to: usize) -> Result<(), Arrival> {
        self.loops[to].inbox.pass(arrival, Instant::now()).inspect_err(|_| {
            self.loads.remove(to);
            self.loads.add(from);
        })
    }

    /// Passes a connection beyond the limit from loop `from`, which counts it and has no idle
    /// connection to close, to the next loop that takes connections. Returns the connection if it has
    /// been at all loops, or if the one before it has just been at all of them in vain.
    pub(super) fn pass_on(
        &self,
        mut arrival: Arrival,
        from: usize,
        now: Instant,
    ) -> Result<(), Arrival> {
        if arrival.tried == 0 && !self.room.may_be_found(now) {
            return Err(arrival);
        }
        let count = self.loops.len();
        let mut to = from;
        while arrival.tried + 1 < count {
            arrival.tried += 1;
            to = (to + 1) % count;
            // First, because that loop may close the connection at once.
            self.loads.add(to);
            match self.loops[to].inbox.pass(arrival, Instant::now()) {
                Ok(()) => {
                    self.loads.remove(from);
                    return Ok(());
                }
                Err(returned) => arrival = returned,
            }
            self.loads.remove(to);
        }
        self.room.is_not_found(now);
        Err(arrival)
    }

    /// Asks the other loops to close an idle connection, because loop `index` has none and a
    /// connection waits in its queue.
    pub(super) fn ask_for_room(&self, index: usize, now: Instant) {
        if !self.room.may_ask(now) {
            return;
        }
        for (_, other) in self.loops.iter().enumerate().filter(|&(at, _)| at != index) {
            other.is_asked_for_room.store(true, Ordering::SeqCst);
            other.inbox.wake_loop();
        }
    }

    /// Reports whether loop `index` has been asked for room since the last call.
    pub(super) fn is_asked_for_room(&self, index: usize) -> bool {
        let is_asked = &self.loops[index].is_asked_for_room;
        is_asked.load(Ordering::Relaxed) && is_asked.swap(false, Ordering::SeqCst)
    }

    /// Reports whether the caller is the one loop that closes an idle connection for a loop that has
    /// asked.
    pub(super) fn grants_room(&self) -> bool {
        self.room.grant()
    }

    /// Counts a connection of loop `index` that has closed, and wakes the loops that wait for
    /// room.
    pub(super) fn remove_connection(&self, index: usize) {
        self.connections.fetch_sub(1, Ordering::SeqCst);
        self.loads.remove(index);
        for waiting in &self.loops {
            if waiting.waits_for_room.load(Ordering::SeqCst)
                && waiting.waits_for_room.swap(false, Ordering::SeqCst)
            {
                waiting.inbox.wake_loop();
            }
        }
    }

    /// Has loop `index` woken when there are fewer than `connections_max` connections; reports
    /// whether it must wait for that.
    pub(super) fn waits_for_room(&self, index: usize, connections_max: usize) -> bool {
        let waits = &self.loops[index].waits_for_room;
        waits.store(true, Ordering::SeqCst);
        // A connection that closed before the store has woken nobody.
        let is_full = self.connections() >= connections_max;
        if !is_full {
            waits.store(false, Ordering::SeqCst);
        }
        is_full
    }

    /// Tells all loops to stop.
    pub(super) fn stop(&self) {
        self.readiness.enter(Phase::Leaving);
        self.stop.store(true, Ordering::Release);
        self.loops.iter().for_each(|each| each.inbox.wake_loop());
    }

    /// Tells all loops to stop, because another process serves on the same sockets.
    pub(super) fn hand_over(&self) {
        self.leaves_queue.store(true, Ordering::Release);
        self.is_handed_over.store(true, Ordering::Release);
        self.keep_file();
        self.stop();
    }

    pub(super) fn is_handed_over(&self) -> bool {
        self.is_handed_over.load(Ordering::Acquire)
    }

    /// Reports whether the queues of the listening sockets outlive this process.
    pub(super) fn leaves_queue(&self) -> bool {
        self.leaves_queue.load(Ordering::Acquire)
    }

    /// Leaves the file of a Unix socket to another process.
    pub(super) fn keep_file(&self) {
        self.file.iter().for_each(SocketFile::keep);
    }

    /// Removes the file of a Unix socket, so that its queue gets no more connections.
    pub(super) fn remove_file(&self) {
        self.file.iter().for_each(SocketFile::remove);
    }

    /// Has all loops apply these settings.
    pub(super) fn change(&self, config: Config) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Some(config);
        for each in &self.loops {
            each.has_settings.store(true, Ordering::Release);
            each.inbox.wake_loop();
        }
    }

    /// Returns the settings that loop `index` has yet to apply, if there are any.
    pub(super) fn take_settings(&self, index: usize) -> Option<Config> {
        if !self.loops[index].has_settings.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Wakes all loops; reports whether each has woken since the last call, or has drained.
    pub(super) fn pulse(&self) -> bool {
        let mut are_alive = true;
        for each in self.loops.iter().filter(|each| !each.has_ended.load(Ordering::Acquire)) {
            are_alive &= !each.is_asked.swap(true, Ordering::AcqRel);
            each.inbox.wake_loop();
        }
        are_alive
    }

    /// Notes that loop `index` has woken.
    pub(super) fn answer_pulse(&self, index: usize) {
        self.loops[index].is_asked.store(false, Ordering::Release);
    }

    /// Notes that loop `index` has drained.
    pub(super) fn end(&self, index: usize) {
        self.loops[index].has_ended.store(true, Ordering::Release);
    }

    /// Tells all loops to stop without waiting for unfinished requests.
    pub(super) fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Release);
        self.stop();
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// Returns the network that stands for a client: the address, or the /64 of an IPv6 address,
/// because one subscriber has a /64.
pub(crate) fn subscriber(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_connections_of_a_client_by_its_network() {
        let shared = Shared::new(&[], Readiness::default(), false, Balance::Kernel, None);
        let client = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(shared.add_client(client("2001:db8::1")), 1);
        assert_eq!(shared.add_client(client("2001:db8::2")), 2);
        assert_eq!(shared.add_client(client("192.0.2.1")), 1);
        assert_eq!(shared.add_client(client("::ffff:192.0.2.1")), 2);
        shared.remove_client(client("2001:db8::1"));
        shared.remove_client(client("2001:db8::2"));
        assert_eq!(shared.clients.lock().unwrap().len(), 1);
    }
}
