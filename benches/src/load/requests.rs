//! The requests of a generator: one, sent again and again, or a mix of several.
//!
//! A mix has one request at a time on each connection. Each connection sends the requests of the
//! mix in an order of its own, which follows from the seed: a shuffled deck with each request as
//! often as its weight says, and then the next deck. So the shares are exact after each deck, and
//! no connection knows what another sends.

use fastrand::Rng;
use hdrhistogram::Histogram;

use super::comparison::Expected;
use super::connection::{Batch, Inbox};
use super::heads::Heads;
use super::latencies::latencies;

/// One request of a mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The bytes of the request, head and body, sent as they are. Its method is not HEAD.
    pub request: Vec<u8>,
    /// Number of these requests in each deck, at least 1.
    pub weight: usize,
}

/// Requests that a generator sends.
#[derive(Debug)]
pub(super) struct Requests {
    kinds: Vec<Kind>,
    /// Index of the kind that the inbox expects the answer of.
    expected: usize,
    /// Order of each connection; empty if there is one kind only.
    orders: Vec<Order>,
}

/// A request, and the answer to it.
#[derive(Debug)]
struct Kind {
    batch: Batch,
    request_len: usize,
    /// The expected answer and the last head, unless the inbox has them.
    heads: Heads,
    /// Latencies in ns since they were taken.
    latency_ns: Histogram<u64>,
}

/// Order of the requests on one connection.
#[derive(Debug)]
struct Order {
    rng: Rng,
    deck: Vec<usize>,
    /// Number of requests of the deck that were sent.
    sent: usize,
    /// Index of the kind that was sent last.
    current: usize,
}

impl Requests {
    /// Copies of one request.
    pub(super) fn one(request: &[u8], pipeline: usize) -> Self {
        Self { kinds: vec![Kind::new(request, pipeline)], expected: 0, orders: Vec::new() }
    }

    /// A mix of several, each with the answer that is expected, on this number of
    /// connections. The inbox must expect the answer of the first.
    pub(super) fn mix(shares: &[(Share, Expected)], connections: usize, seed: u64) -> Self {
        let kind = |(share, expected): &(Share, Expected)| {
            let mut kind = Kind::new(&share.request, 1);
            kind.heads.expect(expected.clone());
            kind
        };
        let copies = |(kind, (share, _)): (usize, &(Share, Expected))| vec![kind; share.weight];
        let deck: Vec<usize> = shares.iter().enumerate().flat_map(copies).collect();
        let orders = (0..connections).map(|connection| Order::new(&deck, seed, connection));
        let kinds = shares.iter().map(kind).collect();
        Self { kinds, expected: 0, orders: orders.collect() }
    }

    /// Takes the latencies of each kind since they were last taken, in ns.
    pub(super) fn take_latencies(&mut self) -> Vec<Histogram<u64>> {
        let taken = |kind: &mut Kind| std::mem::replace(&mut kind.latency_ns, latencies());
        self.kinds.iter_mut().map(taken).collect()
    }

    /// Takes the next request of a connection, and returns its length in bytes.
    pub(super) fn next(&mut self, connection: usize) -> usize {
        let kind = self.orders.get_mut(connection).map_or(0, Order::next);
        self.kinds[kind].request_len
    }

    /// Returns copies of the request that a connection sends now.
    pub(super) fn batch(&self, connection: usize) -> &Batch {
        &self.kinds[self.current(connection)].batch
    }

    /// Prepares `inbox` for an answer on a connection.
    pub(super) fn expect(&mut self, connection: usize, inbox: &mut Inbox) {
        let current = self.current(connection);
        if current != self.expected {
            inbox.swap_heads(&mut self.kinds[self.expected].heads);
            inbox.swap_heads(&mut self.kinds[current].heads);
            self.expected = current;
        }
    }

    /// Records the latency of an answer on a connection, if there are several kinds.
    pub(super) fn answered(&mut self, connection: usize, latency_ns: u64) {
        if let Some(order) = self.orders.get(connection) {
            self.kinds[order.current].latency_ns.saturating_record(latency_ns);
        }
    }

    fn current(&self, connection: usize) -> usize {
        self.orders.get(connection).map_or(0, |order| order.current)
    }
}

impl Kind {
    fn new(request: &[u8], pipeline: usize) -> Self {
        Self {
            batch: Batch::new(request, pipeline),
            request_len: request.len(),
            heads: Heads::new(false),
            latency_ns: latencies(),
        }
    }
}

impl Order {
    fn new(deck: &[usize], seed: u64, connection: usize) -> Self {
        // Neighboring seeds give unlike orders only after they are mixed.
        let seed = Rng::with_seed(seed).u64(..).wrapping_add(connection as u64);
        Self { rng: Rng::with_seed(seed), deck: deck.to_vec(), sent: deck.len(), current: 0 }
    }

    fn next(&mut self) -> usize {
        if self.sent == self.deck.len() {
            self.rng.shuffle(&mut self.deck);
            self.sent = 0;
        }
        self.current = self.deck[self.sent];
        self.sent += 1;
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_deck_has_every_request_by_its_weight_and_decks_differ() {
        let deck = [[0; 9].as_slice(), &[1]].concat();
        let mut order = Order::new(&deck, 1, 0);
        let mut places = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let kinds: Vec<usize> = (0..10).map(|_| order.next()).collect();
            assert_eq!(kinds.iter().sum::<usize>(), 1, "{kinds:?}");
            places.insert(kinds.iter().position(|&kind| kind == 1));
        }
        assert_eq!(places.len(), 10, "the rare request is at every place at times");
    }

    #[test]
    fn the_order_follows_from_the_seed_and_the_connection() {
        let deck = [0, 0, 0, 0, 1, 1, 1, 1];
        let order = |seed, connection| {
            let mut order = Order::new(&deck, seed, connection);
            (0..64).map(|_| order.next()).collect::<Vec<_>>()
        };
        assert_eq!(order(1, 2), order(1, 2));
        assert_ne!(order(1, 2), order(2, 2));
        assert_ne!(order(1, 2), order(1, 3));
    }
}
