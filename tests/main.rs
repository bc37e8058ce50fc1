//! The server's tests, by what a user relies on.

mod access_log;
mod binary;
mod conformance;
mod fuzz;
mod hostile;
mod imports;
#[cfg(feature = "metrics")]
mod metrics;
mod properties;
mod protocol;
#[cfg(feature = "rate-limit")]
mod rate_limit;
mod regressions;
mod server;
mod support;
