//! A small HTTP/1.1 server by hand on mio: one pinned thread, one event loop
//! and one SO_REUSEPORT listener per core.
#![forbid(unsafe_code)]

pub mod app;
