//! What metrics, an access log and a rate limit cost pinloop: the ladder's measurement.

pub(crate) mod args;
