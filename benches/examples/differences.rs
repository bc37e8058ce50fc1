//! Sends the requests of the differential test to pinloop and to another server, and prints those
//! that are answered differently. The other server must answer 200 to every valid request.
//!
//! ```sh
//! cargo run -p pinloop-bench --example differences -- 127.0.0.1:8081
//! ```
//!
//! Without an address the other server is hyper.

#[path = "../tests/differential/compare.rs"]
mod compare;
#[path = "../tests/differential/requests.rs"]
mod requests;
#[path = "../tests/differential/servers.rs"]
mod servers;

use std::net::AddrParseError;

use compare::{OTHER_CONTENT, compare};

fn main() -> Result<(), AddrParseError> {
    let other = std::env::args().nth(1).map(|address| address.parse()).transpose()?;
    let (sent, found) = compare(servers::pinloop(), other.unwrap_or_else(servers::hyper));
    println!("{sent} requests");
    for ((topic, ours, theirs), requests) in found {
        if theirs != OTHER_CONTENT {
            let (count, example) = (requests.len(), &requests[0]);
            println!("{count:4} {topic}: {ours} here, {theirs} there, e.g. {example}");
        }
    }
    Ok(())
}
