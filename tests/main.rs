//! The server's tests, by what a user relies on.

mod binary;
mod conformance;
mod hostile;
mod imports;
#[cfg(feature = "metrics")]
mod metrics;
mod properties;
mod protocol;
mod regressions;
mod server;
mod support;
