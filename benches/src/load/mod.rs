//! The load generator: one thread, one mio event loop, any HTTP/1.1 server.
