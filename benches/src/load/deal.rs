//! One load, dealt to several generator threads as cards are dealt to players.
//!
//! Connections, requests and clients are numbered from 0 over all threads. Thread `nth` of `of`
//! gets the connections and clients `nth`, `nth + of`, `nth + 2 of`, … A request belongs to a
//! connection: request `k` to connection `k` modulo the number of connections. Each connection
//! thus gets its share of a rate, even if one thread has a connection more than another one. All
//! shares together are the whole load, to the last request.

/// Place of one thread among all threads that share a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Number of the thread, from 0 on.
    pub(super) nth: usize,
    /// Number of threads, on all machines together.
    pub(super) of: usize,
}

impl Part {
    /// The only thread.
    pub(super) const WHOLE: Self = Self { nth: 0, of: 1 };

    /// Returns the number of connections or clients that this thread gets of `total`.
    pub(super) fn share(self, total: usize) -> usize {
        (total + self.of - 1 - self.nth) / self.of
    }

    /// Returns the number, among those of all threads, of this thread's connection `own`.
    pub(super) fn number(self, own: u64) -> u64 {
        own * self.of as u64 + self.nth as u64
    }
}

/// Requests that one thread sends of a load's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deal {
    part: Part,
    /// Number of connections of all threads.
    connections: u64,
    /// Number of connections of this thread.
    own: u64,
}

impl Deal {
    /// All requests.
    pub(super) const WHOLE: Self = Self { part: Part::WHOLE, connections: 1, own: 1 };

    /// Returns the requests of `part` of a load over `connections` connections.
    pub(super) fn new(part: Part, connections: usize) -> Self {
        Self { part, connections: connections as u64, own: part.share(connections) as u64 }
    }

    /// Returns the number, among the requests of all threads, of this thread's request `own`.
    pub(super) fn number(&self, own: u64) -> u64 {
        let connections = self.own.max(1);
        own / connections * self.connections + self.part.number(own % connections)
    }

    /// Returns how many of the first `total` requests are this thread's.
    pub(super) fn count(&self, total: u64) -> u64 {
        let connections = self.connections.max(1);
        let rest = (total % connections) as usize;
        total / connections * self.own + self.part.share(rest) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deals(threads: usize, connections: usize) -> Vec<Deal> {
        (0..threads).map(|nth| Deal::new(Part { nth, of: threads }, connections)).collect()
    }

    #[test]
    fn shares_of_connections_add_up_and_differ_by_one_at_most() {
        for (threads, total) in [(1, 5), (2, 5), (3, 64), (7, 500), (4, 3)] {
            let shares: Vec<usize> =
                (0..threads).map(|nth| Part { nth, of: threads }.share(total)).collect();
            assert_eq!(shares.iter().sum::<usize>(), total);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn every_request_is_dealt_once() {
        for (threads, connections) in [(1, 1), (2, 2), (2, 3), (3, 64), (5, 7)] {
            for total in [0, 1, 2, 10, 99, 1_000] {
                let mut dealt: Vec<u64> = Vec::new();
                for deal in deals(threads, connections) {
                    let own = (0..deal.count(total)).map(|own| deal.number(own));
                    assert!(own.clone().all(|number| number < total));
                    dealt.extend(own);
                }
                dealt.sort_unstable();
                assert_eq!(dealt, (0..total).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_thread_with_twice_the_connections_gets_twice_the_requests() {
        let counts: Vec<u64> = deals(2, 3).iter().map(|deal| deal.count(3_000)).collect();
        assert_eq!(counts, [2_000, 1_000]);
    }

    #[test]
    fn the_only_thread_gets_all_requests() {
        for deal in [Deal::WHOLE, Deal::new(Part::WHOLE, 64)] {
            assert_eq!(deal.count(12_345), 12_345);
            assert!((0..1_000).all(|own| deal.number(own) == own));
        }
    }
}
