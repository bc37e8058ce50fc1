//! A response from another thread, so that slow work does not hold up the other
//! connections of its core.
//!
//! ```sh
//! cargo run --example deferred
//! curl -i http://127.0.0.1:8080/
//! ```

use std::error::Error;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use pinloop::http::DeferredResponse;
use pinloop::{Config, Request, Response, Workers};

/// Jobs that wait for a worker. A full queue is answered with 503.
const JOBS_MAX: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    if let Some(addr) = std::env::args().nth(1) {
        config.addr = addr.parse()?;
    }
    let threads = NonZeroUsize::new(2).expect("two is not zero");
    let workers = Workers::start(threads, &[], JOBS_MAX)?;
    let server = pinloop::start(&config, move |_core| {
        let workers = workers.clone();
        move |_: &Request<'_>, response: &mut Response<'_>| match workers.reserve() {
            Some(permit) => {
                let responder = response.defer();
                permit.run(move || responder.respond(slow_answer()));
            }
            None => response.status(503).header("retry-after", "1").body(b""),
        }
    })?;
    println!("listening on http://{}", server.addr());
    server.join()?;
    Ok(())
}

/// Stands for a database, a file, or a long computation.
fn slow_answer() -> DeferredResponse {
    thread::sleep(Duration::from_millis(50));
    let thread = thread::current();
    let text = format!("answered by thread {}\n", thread.name().unwrap_or("without a name"));
    DeferredResponse::new(200).header("content-type", "text/plain").body(text)
}
