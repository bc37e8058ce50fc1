//! One block: a slice of each server in a random order.
//!
//! The [`Bench`] decides what a slice is, so that the order, and what happens when a
//! server fails or the user interrupts, is tested without a server or a clock.

use fastrand::Rng;

use crate::results::Failure;

/// Takes one slice.
pub trait Bench {
    /// Counts of one slice.
    type Slice;

    /// Loads the server at this place for a moment. The error is a sentence for people: the
    /// server gets no figure.
    fn slice(&mut self, at: usize) -> Result<Self::Slice, String>;

    /// Called before each slice; `false` takes no more of them.
    fn goes_on(&mut self) -> bool;
}

/// Takes a slice of each of `contenders` that has not failed, in an order drawn from `rng`.
/// Servers that fail are added to `failures`. Returns each slice with its server's place, or none
/// if the bench does not go on.
pub fn block<B: Bench>(
    contenders: &[String],
    failures: &mut Vec<Failure>,
    rng: &mut Rng,
    bench: &mut B,
) -> Option<Vec<(usize, B::Slice)>> {
    // Servers that were not started because of an interrupt are no contenders, and none is no block.
    if !bench.goes_on() {
        return None;
    }
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    rng.shuffle(&mut order);
    let mut taken = Vec::new();
    for at in order {
        let contender = &contenders[at];
        if failures.iter().any(|failure| failure.contender == *contender) {
            continue;
        }
        if !bench.goes_on() {
            return None;
        }
        match bench.slice(at) {
            Ok(slice) => taken.push((at, slice)),
            Err(reason) => failures.push(Failure { contender: contender.clone(), reason }),
        }
    }
    Some(taken)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const KEYS: [&str; 3] = ["floor", "pinloop", "hyper"];

    /// Makes up slices: the names of the servers.
    #[derive(Default)]
    struct Script {
        slices: Vec<&'static str>,
        fails: Option<&'static str>,
        slices_max: Option<usize>,
    }

    impl Bench for Script {
        type Slice = &'static str;

        fn slice(&mut self, at: usize) -> Result<&'static str, String> {
            self.slices.push(KEYS[at]);
            if self.fails == Some(KEYS[at]) {
                return Err("it fell over".to_string());
            }
            Ok(KEYS[at])
        }

        fn goes_on(&mut self) -> bool {
            self.slices_max.is_none_or(|max| self.slices.len() < max)
        }
    }

    type Taken = Option<Vec<(usize, &'static str)>>;

    fn take(blocks: u32, seed: u64, script: &mut Script) -> (Vec<Taken>, Vec<Failure>) {
        let keys = KEYS.map(String::from);
        let (mut rng, mut failures) = (Rng::with_seed(seed), Vec::new());
        let blocks = (0..blocks).map(|_| block(&keys, &mut failures, &mut rng, script));
        (blocks.collect(), failures)
    }

    #[test]
    fn each_block_has_every_server_once_and_orders_vary() {
        let (blocks, failures) = take(50, 7, &mut Script::default());
        assert!(failures.is_empty());
        let mut orders = HashSet::new();
        for block in blocks.into_iter().flatten() {
            assert!(block.iter().all(|&(at, slice)| slice == KEYS[at]));
            let mut places: Vec<_> = block.iter().map(|of| of.0).collect();
            orders.insert(places.clone());
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2]);
        }
        assert_eq!(orders.len(), 6, "all orders of three occur in 50 blocks");
    }

    #[test]
    fn the_order_follows_from_the_seed() {
        let taken = |seed| {
            let mut script = Script::default();
            take(9, seed, &mut script);
            script.slices
        };
        assert_eq!(taken(1), taken(1));
        assert_ne!(taken(1), taken(2));
    }

    #[test]
    fn a_server_that_fails_is_named_and_the_others_go_on() {
        let mut script = Script { fails: Some("hyper"), ..Script::default() };
        let (blocks, failures) = take(2, 7, &mut script);
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].contender, "hyper");
        assert_eq!(failures[0].reason, "it fell over");
        assert!(blocks.iter().all(|block| block.as_ref().unwrap().len() == 2));
        assert_eq!(script.slices.len(), 5, "a server that has failed is not asked again");
    }

    #[test]
    fn an_interrupt_while_servers_start_leaves_no_block_without_slices() {
        let mut script = Script { slices_max: Some(0), ..Script::default() };
        let (mut rng, mut failures) = (Rng::with_seed(7), Vec::new());
        assert_eq!(block(&[], &mut failures, &mut rng, &mut script), None);
        // Without contenders for another reason, there is nothing to wait for.
        script.slices_max = None;
        assert_eq!(block(&[], &mut failures, &mut rng, &mut script), Some(Vec::new()));
    }

    #[test]
    fn an_interrupt_drops_the_block_in_progress() {
        let mut script = Script { slices_max: Some(4), ..Script::default() };
        let (blocks, _) = take(3, 7, &mut script);
        assert_eq!(script.slices.len(), 4);
        assert!(blocks[0].is_some() && blocks[1].is_none());
    }
}
