//! A server with the allocator and the diagnostics of the binary, and with a service that fails
//! on demand. The tests run it as a process of its own, because the demo service never panics
//! and keeps no body.

use std::error::Error;

use pinloop::{BodyPolicy, Config, Metrics, Request, Response, Service};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

#[path = "../../../src/diagnostics.rs"]
mod diagnostics;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Panics, logs a warning, or keeps a body, as the path says.
struct Faulty(Metrics);

impl Service for Faulty {
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>) {
        match &*request.path() {
            "/panic" => panic!("a test asked for a panic"),
            "/warn" => log::warn!("a test asked for a warning"),
            "/metrics" => return response.body(self.0.render().as_bytes()),
            _ => {}
        }
        response.body(b"served");
    }

    fn body_policy(&mut self, _: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
        BodyPolicy::Collect
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).ok_or("usage: faulty ADDRESS")?.parse()?;
    let diagnostics = diagnostics::Diagnostics::start()?;
    let metrics = Metrics::default();
    metrics.add_counter("log_lines_dropped", "Dropped messages", diagnostics.dropped());
    metrics.add_counter("panics", "Panics", diagnostics.panics());
    let mut config =
        Config { addr, threads: Some(std::num::NonZeroUsize::MIN), ..Config::default() };
    config.pin = Some(false);
    config.metrics = Some(metrics.clone());
    let mut signals = Signals::new([SIGTERM])?;
    let server = pinloop::start(&config, move |_| Faulty(metrics.clone()))?;
    let stopper = server.stopper();
    std::thread::spawn(move || signals.forever().for_each(|_| stopper.stop()));
    println!("listening on http://{}", server.addr());
    server.join()?;
    diagnostics.send(b"ended\n");
    diagnostics.flush();
    Ok(())
}
