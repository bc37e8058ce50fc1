//! Stops on SIGINT (ctrl-c) or SIGTERM: accepts no more connections, answers what
//! has arrived, and exits with 0.
//!
//! ```sh
//! cargo run --example graceful_shutdown
//! curl http://127.0.0.1:8080/slow       # press ctrl-c in the other terminal meanwhile
//! ```

use std::error::Error;
use std::thread;
use std::time::Duration;

use pinloop::http::DeferredResponse;
use pinloop::{Config, Request, Response};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    if let Some(addr) = std::env::args().nth(1) {
        config.addr = addr.parse()?;
    }
    // Before `start`, so that no signal after it ends the process at once.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let server = pinloop::start(&config, |_core| service)?;
    let stopper = server.stopper();
    thread::spawn(move || {
        for _ in signals.forever() {
            stopper.stop();
        }
    });
    println!("listening on http://{}", server.addr());
    // Returns when every connection is closed, or after `config.timeouts.drain`.
    server.join()?;
    Ok(())
}

fn service(request: &Request<'_>, response: &mut Response<'_>) {
    match &*request.path() {
        "/slow" => {
            let responder = response.defer();
            thread::spawn(move || {
                thread::sleep(Duration::from_secs(2));
                responder.respond(DeferredResponse::new(200).body("worth the wait\n"));
            });
        }
        _ => response.body(b"hello\n"),
    }
}
