//! One block: a slice of each server in a random order.
//!
//! The [`Bench`] decides what a slice is, so that the order, and what happens when a
//! server fails or the user interrupts, is tested without a server or a clock.

use fastrand::Rng;

use crate::results::{Block, Failure, Sample};

/// Takes one slice.
pub trait Bench {
    /// Loads the server with this key for a moment. The error is a sentence for people:
    /// the server gets no figure in this regime.
    fn slice(&mut self, contender: &str) -> Result<Sample, String>;

    /// Called before each slice; `false` takes no more of them.
    fn goes_on(&mut self) -> bool;
}

/// Takes one block of start number `start`, in an order drawn from `rng`. Servers that
/// fail are added to `failures`. Returns none if the bench does not go on.
pub fn block(
    start: u32,
    contenders: &[String],
    failures: &mut Vec<Failure>,
    rng: &mut Rng,
    bench: &mut impl Bench,
) -> Option<Block> {
    let mut order: Vec<&String> = contenders.iter().collect();
    rng.shuffle(&mut order);
    let mut block = Block { start, ..Block::default() };
    for key in order {
        if !bench.goes_on() {
            return None;
        }
        match bench.slice(key) {
            Ok(sample) => block.samples.push(sample),
            Err(reason) => failures.push(Failure { contender: key.clone(), reason }),
        }
    }
    Some(block)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Makes up samples.
    #[derive(Default)]
    struct Script {
        slices: Vec<String>,
        fails: Option<&'static str>,
        slices_max: Option<usize>,
    }

    impl Bench for Script {
        fn slice(&mut self, contender: &str) -> Result<Sample, String> {
            self.slices.push(contender.to_string());
            if self.fails == Some(contender) {
                return Err("it fell over".to_string());
            }
            Ok(Sample { contender: contender.to_string(), ..Sample::default() })
        }

        fn goes_on(&mut self) -> bool {
            self.slices_max.is_none_or(|max| self.slices.len() < max)
        }
    }

    fn take(blocks: u32, seed: u64, script: &mut Script) -> (Vec<Option<Block>>, Vec<Failure>) {
        let keys = ["floor", "pinloop", "hyper"].map(String::from);
        let (mut rng, mut failures) = (Rng::with_seed(seed), Vec::new());
        let blocks = (0..blocks).map(|at| block(at, &keys, &mut failures, &mut rng, script));
        (blocks.collect(), failures)
    }

    #[test]
    fn each_block_has_every_server_once_and_orders_vary() {
        let (blocks, failures) = take(50, 7, &mut Script::default());
        assert!(failures.is_empty());
        let mut orders = HashSet::new();
        for block in blocks.into_iter().flatten() {
            let order: Vec<_> = block.samples.iter().map(|s| s.contender.clone()).collect();
            let mut sorted = order.clone();
            sorted.sort();
            assert_eq!(sorted, ["floor", "hyper", "pinloop"]);
            orders.insert(order);
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
        let (blocks, failures) = take(1, 7, &mut script);
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].contender, "hyper");
        assert_eq!(failures[0].reason, "it fell over");
        assert_eq!(blocks[0].as_ref().unwrap().samples.len(), 2);
    }

    #[test]
    fn an_interrupt_drops_the_block_in_progress() {
        let mut script = Script { slices_max: Some(4), ..Script::default() };
        let (blocks, _) = take(3, 7, &mut script);
        assert_eq!(script.slices.len(), 4);
        assert!(blocks[0].is_some() && blocks[1].is_none());
    }
}
