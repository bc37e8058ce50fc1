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
//! Three ways, from the cheapest on. None of them locks anything for a request.
//!
//! **Of one core.** What a service owns belongs to its core: a cache, a buffer, a
//! generator of random numbers. The example above counters visits so. Each core knows
//! only what it has seen itself.
//!
//! **Read by all, changed seldom, and as a whole**: a configuration, a table of routes.
//! Each core keeps the `Arc` that it saw last, and looks whether there is another one:
//! a load of a pointer that nobody writes to while nothing changes. (An
//! `RwLock<Arc<T>>` needs no crate, but each reader writes to the lock, and that cache
//! line goes from core to core with every request.)
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
//! #     let mut answer = String::new();
//! #     stream.read_to_string(&mut answer).unwrap();
//! #     answer
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Written by all, read seldom**: counters. Each core writes to one of its own, which
//! is a load and a store, and whoever reads them adds them up. [`Metrics`] is made so.
//!
//! ```
//! use std::num::NonZeroUsize;
//! use std::sync::Arc;
//! use pinloop::http::Counter;
//! use pinloop::{Request, Response};
//!
//! /// On a cache line of its own, and its neighbour, as processors fetch them in pairs.
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
//! #     let mut answer = String::new();
//! #     stream.read_to_string(&mut answer).unwrap();
//! #     answer
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What has to be exact for all cores at every request is shared, and pays for it:
//! `RateLimiter` is an example, and says how much.
//!
//! # The map
//!
//! - [`http`]: the protocol, bytes in, bytes out, without I/O. Begin with its docs.
//! - `server`: all I/O; `event_loop.rs` is its one readable page.
//! - [`Config`]: every limit and timeout, and why it is what it is.
//! - [`AccessLog`]: a line for each request.
//! - `RateLimiter` (feature `rate-limit`): how often each client may ask.
//! - [`Workers`]: threads for answers that take long, which a service can defer.
//! - [`app`]: the service that the `pinloop` binary serves.
#![forbid(unsafe_code)]

#[cfg(feature = "app")]
pub mod app;
mod config;
pub mod http;
mod ops;
mod server;
pub mod testing;

pub use config::{Config, ConfigError, WhenFull};
pub use http::{BodyPolicy, Limits, Request, Response, Service};
pub use ops::access_log::AccessLog;
#[cfg(feature = "access-log")]
pub use ops::access_log::LogFormat;
pub use ops::metrics::Metrics;
#[cfg(feature = "rate-limit")]
pub use ops::rate_limit::{Rate, RateLimiter, TooMany};
pub use ops::workers::{Permit, Workers};
pub use server::timeouts::{TimeoutOption, Timeouts};
pub use server::{Core, Server, StartError, Stopper, cores, start};
