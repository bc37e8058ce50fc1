//! Closes idle connections of a full server, so that new clients are served.

use std::time::Duration;

use super::connection::Connection;
use super::connections::Connections;
use crate::http::Service;

/// Time after which a connection that has sent nothing may be closed to make room. A client needs
/// some round trips to send its first request.
const UNUSED_LEAST: Duration = Duration::from_secs(1);

/// Idle connections that are found at a time, so that a full server does not look at all its
/// connections for each new one.
const EVICTIONS_MAX: usize = 64;

/// The connections of one loop that may be closed to make room.
#[derive(Default)]
pub(super) struct Eviction {
    /// Keys and numbers of connections that have been idle for long, the longest last.
    idle: Vec<(usize, u64)>,
}

impl Eviction {
    /// Finds connections that have been idle for long, unless some are known; reports whether there
    /// are any.
    pub(super) fn has_idle<S: Service>(&mut self, connections: &Connections<S>) -> bool {
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
    pub(super) fn evict<S: Service>(&mut self, connections: &mut Connections<S>) -> bool {
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
            connections.send_batch();
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
