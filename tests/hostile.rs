//! Clients that are slow, rude, greedy or too many, over real sockets.
//!
//! Nothing here asserts how fast something is, only that it happens: a client's
//! time limit on reads ends a test that hangs.

mod burst;
mod crowds;
mod drain;
mod memory;
mod rude;
mod slow;
