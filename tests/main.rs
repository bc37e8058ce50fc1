//! The tests of the server, grouped by the promises that a user relies on.

mod access_log;
mod balance;
mod batches;
mod binary;
mod conformance;
mod defer_accept;
mod examples;
mod faults;
mod fuzz;
mod hostile;
mod imports;
mod metrics;
mod operating;
mod properties;
mod protocol;
mod rate_limit;
mod regressions;
mod server;
mod steer;
mod support;
