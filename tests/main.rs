//! The server's tests, by what a user relies on.

mod binary;
mod imports;
mod protocol;
mod regressions;
mod server;
mod support;
