//! A small HTTP/1.1 server by hand on mio: one pinned thread, one event loop and
//! one SO_REUSEPORT listener per core, and nothing shared between them.
//!
//! A service is a plain function from [`Request`] to [`Response`]. Each core makes its own service
//! on its own thread, so the service needs no locks:
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
//!                 response.header("content-type", "text/plain").body(text.as_bytes());
//!             }
//!             _ => response.status(404).body(b""),
//!         }
//!     })?;
//!     println!("listening on http://{}", server.addr());
//!     server.join()?;
//!     Ok(())
//! }
//! ```
//!
//! # State
//!
//! There are three ways to keep state, the cheapest first. None of them takes a lock for a request.
//!
//! **One core's own.** The state of a service belongs to its core: a cache, a buffer, a generator
//! of random numbers. The example above counts visits in this way. Each core knows only its own
//! requests.
//!
//! **Read by all cores, and seldom replaced**: a configuration, a table of routes. Each core keeps
//! the `Arc` that it saw last, and checks for a new one with one load of a pointer. (An
//! `RwLock<Arc<T>>` needs no crate, but each reader writes to the lock, so that its cache line
//! moves between the cores with every request.)
//!
//! ```
//! use std::sync::Arc;
//! use arc_swap::{ArcSwap, Cache};
//! use pinloop::{Request, Response, Service};
//!
//! struct Texts {
//!     greeting: String,
//! }
//!
//! fn service(texts: Arc<ArcSwap<Texts>>) -> impl Service {
//!     let mut texts = Cache::new(texts);
//!     move |_: &Request<'_>, response: &mut Response<'_>| {
//!         response.body(texts.load().greeting.as_bytes());
//!     }
//! }
//!
//! let texts = Arc::new(ArcSwap::from_pointee(Texts { greeting: "hello".into() }));
//! let config = pinloop::Config { addr: ([127, 0, 0, 1], 0).into(), ..Default::default() };
//! let shared = texts.clone();
//! let server = pinloop::start(&config, move |_core| service(shared.clone()))?;
//! assert!(get(&server).ends_with("hello"));
//! // From any thread, while requests are answered:
//! texts.store(Arc::new(Texts { greeting: "good day".into() }));
//! assert!(get(&server).ends_with("good day"));
//! # server.stop();
//! # server.join()?;
//! #
//! # fn get(server: &pinloop::Server) -> String {
//! #     use std::io::{Read, Write};
//! #     let mut stream = std::net::TcpStream::connect(server.addr()).unwrap();
//! #     stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
//! #     let mut response = String::new();
//! #     stream.read_to_string(&mut response).unwrap();
//! #     response
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Written by all cores, and seldom read**: counters. Each core writes to a counter of its own,
//! with a load and a store, and a reader adds the counters up. [`Metrics`] works in this way.
//!
//! ```
//! use std::num::NonZeroUsize;
//! use std::sync::Arc;
//! use pinloop::http::Counter;
//! use pinloop::{Request, Response};
//!
//! /// Aligned to two cache lines, because processors fetch lines in pairs.
//! #[derive(Default)]
//! #[repr(align(128))]
//! struct Visits(Counter);
//!
//! let cores: Arc<[Visits]> = (0..2).map(|_| Visits::default()).collect();
//! let config = pinloop::Config {
//!     addr: ([127, 0, 0, 1], 0).into(),
//!     threads: NonZeroUsize::new(2),
//!     pin: Some(false),
//!     ..Default::default()
//! };
//! let all = cores.clone();
//! let server = pinloop::start(&config, move |core| {
//!     let cores = cores.clone();
//!     move |_: &Request<'_>, response: &mut Response<'_>| {
//!         cores[core.index].0.add(1);
//!         response.body(b"counted");
//!     }
//! })?;
//! for _ in 0..10 {
//!     assert!(get(&server).ends_with("counted"));
//! }
//! assert_eq!(all.iter().map(|visits| visits.0.get()).sum::<u64>(), 10);
//! # server.stop();
//! # server.join()?;
//! #
//! # fn get(server: &pinloop::Server) -> String {
//! #     use std::io::{Read, Write};
//! #     let mut stream = std::net::TcpStream::connect(server.addr()).unwrap();
//! #     stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
//! #     let mut response = String::new();
//! #     stream.read_to_string(&mut response).unwrap();
//! #     response
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! State that must be exact for all cores at every request is shared, and costs more:
//! `RateLimiter` is an example, with figures.
//!
//! # The map
//!
//! - [`http`]: the protocol, bytes in, bytes out, without I/O. Begin with its docs.
//! - `server`: all I/O; `event_loop.rs` is its one readable page.
//! - [`Config`]: every limit and timeout, with the reason for its default.
//! - [`AccessLog`]: a line for each request.
//! - `RateLimiter` (feature `rate-limit`): a rate for each client.
//! - [`Workers`]: threads for responses that take long, which a service can defer.
//! - [`testing`]: calls a service without a socket.
//! - [`app`]: the service that the `pinloop` binary serves.
//!
//! # Build
//!
//! The measured build has `lto = "fat"` and `codegen-units = 1`, and on x86-64 the target CPU
//! `x86-64-v2`: see `.cargo/config.toml` and `docs/performance.md` in the repository.
#![forbid(unsafe_code)]

#[cfg(feature = "app")]
pub mod app;
mod config;
pub mod http;
mod ops;
mod server;
pub mod testing;

pub use config::{Balance, Config, ConfigError, Steer, WhenFull};
pub use http::{BodyPolicy, ClientHeader, Limits, Networks, Request, Response, Service, Trust};
pub use ops::access_log::AccessLog;
#[cfg(feature = "access-log")]
pub use ops::access_log::LogFormat;
pub use ops::metrics::Metrics;
#[cfg(feature = "rate-limit")]
pub use ops::rate_limit::{Rate, RateLimiter, TooMany};
pub use ops::readiness::{Phase, Readiness};
pub use ops::workers::{Permit, QueueFigures, Workers};
pub use server::timeouts::{TimeoutOption, Timeouts};
pub use server::{
    Address, Core, Listeners, Server, Settings, StartError, Stopper, UnixSocket, cores, start,
    start_on,
};
