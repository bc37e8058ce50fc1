//! The rungs of the ladder: one service, built again with one layer more.
//!
//! Each file begins `Adds …; otherwise as X` and has the same functions in the
//! same order, so that `diff` of two neighbours is the explanation of what lies
//! between their figures. What every rung answers is decided by [`app`](::pinloop::app)
//! alone; what they share besides (the sockets, the threads) is in [`common`].
//!
//! What may not live here: anything that times, counts or compares.

pub mod common;
mod floor;
mod hyper_per_core;
mod hyper_service;
mod hyper_single;
mod pinloop;

use std::io;
use std::net::SocketAddr;

pub use common::Settings;

/// Told the address once the kernel queues connections for it.
pub type Ready<'a> = &'a dyn Fn(SocketAddr);

/// One rung.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// As on the command line and in results.
    pub name: &'static str,
    /// What it adds to the rung before, in one line.
    pub about: &'static str,
    /// Whether it gives the service's answers; the floor gives constant bytes.
    pub answers: bool,
    /// Serves until the process ends; returns only with an error.
    pub serve: fn(&Settings, Ready<'_>) -> io::Result<()>,
}

/// The rung that ratios are taken to.
pub const REFERENCE: &str = "pinloop";

/// All rungs, from the bottom of the ladder up.
pub const VARIANTS: &[Variant] = &[
    Variant {
        name: "floor",
        about: "epoll and constant bytes; parses nothing",
        answers: false,
        serve: floor::serve,
    },
    Variant {
        name: "pinloop",
        about: "HTTP by hand on mio, with every check, limit and timeout",
        answers: true,
        serve: pinloop::serve,
    },
    Variant {
        name: "hyper_single",
        about: "hyper on Tokio's current-thread runtime, one thread",
        answers: true,
        serve: hyper_single::serve,
    },
    Variant {
        name: "hyper_per_core",
        about: "hyper on a current-thread runtime per core, over SO_REUSEPORT",
        answers: true,
        serve: hyper_per_core::serve,
    },
];

/// The rung called `name`.
pub fn find(name: &str) -> Option<&'static Variant> {
    VARIANTS.iter().find(|variant| variant.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for variant in VARIANTS {
            let same = VARIANTS.iter().filter(|other| other.name == variant.name);
            assert_eq!(same.count(), 1, "{}", variant.name);
        }
    }
}
