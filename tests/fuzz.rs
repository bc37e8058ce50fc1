//! The checks of the fuzz targets, over the corpus that fuzzing has gathered.

mod chunked;
mod corpus;
mod heads;
mod splits;

use crate::support::{feed, probe};

/// A target's name, and what holds of each of its inputs.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 3] =
    [("chunked", chunked::check), ("heads", heads::check), ("splits", splits::check)];

#[test]
fn the_corpus_holds_no_surprise() {
    for (name, check) in TARGETS {
        let inputs = corpus::inputs(name);
        assert!(inputs.len() > 100, "{} inputs for {name}", inputs.len());
        inputs.iter().for_each(|input| check(input));
    }
}
