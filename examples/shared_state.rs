//! A counter over all cores without a lock: each core adds to its own counter, and
//! a request reads all of them.
//!
//! ```sh
//! cargo run --example shared_state
//! curl http://127.0.0.1:8080/ http://127.0.0.1:8080/
//! ```

use std::error::Error;
use std::sync::Arc;

use pinloop::http::Counter;
use pinloop::{Config, Request, Response};

/// Two cache lines, because CPUs fetch lines in pairs: a core that counts never
/// takes a line away from another core.
#[derive(Default)]
#[repr(align(128))]
struct Visits(Counter);

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    if let Some(addr) = std::env::args().nth(1) {
        config.addr = addr.parse()?;
    }
    let threads = pinloop::cores(&config)?.len();
    let visits: Arc<[Visits]> = (0..threads).map(|_| Visits::default()).collect();
    let server = pinloop::start(&config, move |core| {
        let visits = visits.clone();
        move |_: &Request<'_>, response: &mut Response<'_>| {
            visits[core.index].0.add(1);
            let total: u64 = visits.iter().map(|of_core| of_core.0.get()).sum();
            let text = format!("{total} visits, answered by core {}\n", core.index);
            response.header("content-type", "text/plain").body(text.as_bytes());
        }
    })?;
    println!("listening on http://{}", server.addr());
    server.join()?;
    Ok(())
}
