//! Runs the checks of the fuzz targets on the corpora that fuzzing has gathered.

mod chunked;
mod corpus;
mod heads;
mod splits;

use crate::support::{feed, probe};

/// Name of a fuzz target, and the check of one input.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 3] =
    [("chunked", chunked::check), ("heads", heads::check), ("splits", splits::check)];

#[test]
fn each_input_of_the_corpora_passes() {
    for (name, check) in TARGETS {
        let inputs = corpus::inputs(name);
        assert!(inputs.len() > 100, "{} inputs for {name}", inputs.len());
        inputs.iter().for_each(|input| check(input));
    }
}
