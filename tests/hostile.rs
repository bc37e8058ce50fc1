//! Clients that are slow, rude, greedy or too numerous, over real sockets.
//!
//! The tests assert that something happens, not how fast it happens. The read timeout of the
//! clients ends a test that hangs.

mod burst;
mod crowds;
mod drain;
mod memory;
mod rude;
mod slow;
