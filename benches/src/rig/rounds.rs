//! The order of slices: blocks, and a random order within each.
//!
//! What a slice is, is the [`Bench`]'s affair, so that the order, and what
//! happens when a server fails or the user interrupts, is tested without a
//! server or a clock.

use fastrand::Rng;

use crate::results::{Block, Failure, Results, Sample};

/// Takes one slice.
pub trait Bench {
    /// Loads the contender with this key for a moment. The error is a sentence
    /// for people: the contender gets no figure in this regime.
    fn slice(&mut self, contender: &str) -> Result<Sample, String>;

    /// Called before each slice; `false` takes no more of them.
    fn goes_on(&mut self) -> bool;

    /// Called when `results` have one block more.
    fn block_done(&mut self, results: &Results);
}

/// Whether rounds came to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All blocks are there.
    Complete,
    /// The [`Bench`] did not want to go on; the block that was under way is
    /// dropped.
    Interrupted,
}

/// What blocks are to be added.
#[derive(Clone, Copy, Debug)]
pub struct Rounds<'a> {
    /// To which regime of the results.
    pub regime: usize,
    /// As they are marked.
    pub pass: u32,
    /// How many.
    pub blocks: usize,
    /// Keys of those who take part.
    pub contenders: &'a [String],
}

/// Adds blocks to a regime of `results`; in each of them every contender has its
/// slice, in an order drawn from `rng`. Whoever has failed before is left out.
pub fn run(
    results: &mut Results,
    rounds: &Rounds<'_>,
    rng: &mut Rng,
    bench: &mut impl Bench,
) -> Ending {
    for _ in 0..rounds.blocks {
        let regime = &mut results.regimes[rounds.regime];
        let mut order: Vec<&String> = rounds.contenders.iter().collect();
        order.retain(|key| !regime.has_failed(key));
        rng.shuffle(&mut order);
        let mut block = Block { pass: rounds.pass, ..Block::default() };
        for key in order {
            if !bench.goes_on() {
                return Ending::Interrupted;
            }
            match bench.slice(key) {
                Ok(sample) => block.samples.push(sample),
                Err(reason) => {
                    regime.failures.push(Failure { contender: key.clone(), reason });
                }
            }
        }
        regime.blocks.push(block);
        bench.block_done(results);
    }
    Ending::Complete
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::results::Regime;

    /// Makes up samples; `fails` fails from its third slice on.
    #[derive(Default)]
    struct Script {
        slices: Vec<String>,
        blocks_done: usize,
        fails: Option<&'static str>,
        slices_max: Option<usize>,
    }

    impl Bench for Script {
        fn slice(&mut self, contender: &str) -> Result<Sample, String> {
            self.slices.push(contender.to_string());
            let taken = self.slices.iter().filter(|key| *key == contender).count();
            if self.fails == Some(contender) && taken == 3 {
                return Err("it fell over".to_string());
            }
            Ok(Sample { contender: contender.to_string(), ..Sample::default() })
        }

        fn goes_on(&mut self) -> bool {
            self.slices_max.is_none_or(|max| self.slices.len() < max)
        }

        fn block_done(&mut self, _: &Results) {
            self.blocks_done += 1;
        }
    }

    fn results() -> Results {
        Results { regimes: vec![Regime::default()], ..Results::default() }
    }

    fn run_blocks(results: &mut Results, blocks: usize, seed: u64, script: &mut Script) -> Ending {
        let rounds = Rounds { regime: 0, pass: 0, blocks, contenders: &keys() };
        run(results, &rounds, &mut Rng::with_seed(seed), script)
    }

    fn keys() -> Vec<String> {
        ["floor", "pinloop", "hyper"].map(String::from).to_vec()
    }

    #[test]
    fn each_block_has_every_contender_once_and_orders_vary() {
        let (mut results, mut script) = (results(), Script::default());
        let ending = run_blocks(&mut results, 50, 7, &mut script);
        assert_eq!(ending, Ending::Complete);
        assert_eq!(script.blocks_done, 50);
        let mut orders = HashSet::new();
        for block in &results.regimes[0].blocks {
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
            run_blocks(&mut results(), 9, seed, &mut script);
            script.slices
        };
        assert_eq!(taken(1), taken(1));
        assert_ne!(taken(1), taken(2));
    }

    #[test]
    fn who_fails_is_named_and_left_out_from_then_on() {
        let mut results = results();
        let mut script = Script { fails: Some("hyper"), ..Script::default() };
        let ending = run_blocks(&mut results, 5, 7, &mut script);
        assert_eq!(ending, Ending::Complete);
        let regime = &results.regimes[0];
        assert_eq!(regime.failures.len(), 1);
        assert_eq!(regime.failures[0].contender, "hyper");
        assert_eq!(regime.failures[0].reason, "it fell over");
        assert_eq!(script.slices.iter().filter(|key| *key == "hyper").count(), 3);
        assert_eq!(
            regime.blocks.iter().map(|b| b.samples.len()).collect::<Vec<_>>(),
            [3, 3, 2, 2, 2]
        );
    }

    #[test]
    fn an_interrupt_drops_the_block_under_way() {
        let mut results = results();
        let mut script = Script { slices_max: Some(7), ..Script::default() };
        let ending = run_blocks(&mut results, 5, 7, &mut script);
        assert_eq!(ending, Ending::Interrupted);
        assert_eq!(script.slices.len(), 7);
        assert_eq!(results.regimes[0].blocks.len(), 2);
    }
}
