//! A small HTTP/1.1 server by hand on mio: one pinned thread, one event loop and
//! one SO_REUSEPORT listener per core, and nothing shared between them.
//!
//! A service is a plain function from [`Request`] to [`Response`]. There is one
//! per core, made on that core's thread, so what it owns needs no locks:
//!
//! ```no_run
//! use pinloop::{Config, Request, Response};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = pinloop::start(&Config::default(), |core| {
//!         let mut visits = 0u64; // this core's alone
//!         move |request: &Request<'_>, response: &mut Response<'_>| match &*request.path() {
//!             "/" => {
//!                 visits += 1;
//!                 let text = format!("visit {visits} on core {:?}\n", core.cpu);
//!                 response.field("content-type", "text/plain").content(text.as_bytes());
//!             }
//!             _ => response.status(404).content(b""),
//!         }
//!     })?;
//!     println!("listening on http://{}", server.addr());
//!     server.join()?;
//!     Ok(())
//! }
//! ```
//!
//! # The map
//!
//! - [`http`]: the protocol, bytes in, bytes out, without I/O. Begin with its docs.
//! - `server`: all I/O; `event_loop.rs` is its one readable page.
//! - [`Config`]: every limit and timeout, and why it is what it is.
//! - [`AccessLog`]: a line for each request.
//! - [`Background`]: what is repeated off the loops.
//! - `RateLimiter` (feature `rate-limit`): how often each client may ask.
//! - [`Workers`]: threads for answers that take long, which a service can defer.
//! - [`app`]: the service that the `pinloop` binary serves.
#![forbid(unsafe_code)]

mod access_log;
pub mod app;
mod background;
mod config;
pub mod http;
mod metrics;
#[cfg(feature = "rate-limit")]
mod rate_limit;
mod server;
mod workers;

pub use access_log::{AccessLog, LogFormat};
pub use background::Background;
pub use config::{Config, ConfigError, Timeouts, WhenFull};
pub use http::{Content, Limits, Request, Response, Service};
pub use metrics::Metrics;
#[cfg(feature = "rate-limit")]
pub use rate_limit::{Rate, RateLimiter, TooMany};
pub use server::{Core, Server, StartError, Stopper, cores, start};
pub use workers::{Place, Workers};
