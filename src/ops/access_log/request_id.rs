//! Names of requests that came without one.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};

/// Makes names that are unique in all processes: a random number of this core, and a counter.
#[derive(Debug)]
pub(super) struct RequestIds {
    random: u64,
    count: u64,
    text: String,
}

impl Default for RequestIds {
    fn default() -> RequestIds {
        // Each `RandomState` has other keys, which the system's random numbers began with.
        RequestIds { random: RandomState::new().hash_one(0), count: 0, text: String::new() }
    }
}

impl RequestIds {
    /// Returns the next name, of 16 hexadecimal digits, a dash and some more digits.
    pub(super) fn next(&mut self) -> &str {
        self.count += 1;
        self.text.clear();
        // Writing to a String does not fail.
        let _ = write!(self.text, "{:016x}-{:x}", self.random, self.count);
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_names_are_equal() {
        let mut cores = [RequestIds::default(), RequestIds::default()];
        let names = (0..100).map(|number| cores[number % 2].next().to_string());
        assert_eq!(names.collect::<HashSet<_>>().len(), 100);
    }
}
