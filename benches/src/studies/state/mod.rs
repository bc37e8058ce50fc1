//! The cost of metrics, an access log and a rate limit in pinloop, measured as the ladder.

pub(crate) mod args;
