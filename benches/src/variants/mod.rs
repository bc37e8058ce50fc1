//! The rungs of the ladder: one service, built again with one layer more.
//!
//! Each file begins `Adds …; otherwise as X` and has the same functions in the
//! same order, so that `diff` of two neighbors explains the step between their
//! figures. [`app`](::pinloop::app) alone decides about the answers. Sockets and
//! threads, which the rungs share too, are in [`common`].
//!
//! **Rule**: nothing here times, counts or compares.

mod axum;
pub mod common;
mod floor;
mod floor_batched;
mod floor_on_uring;
mod hyper_offload;
mod hyper_on_mio;
mod hyper_per_core;
mod hyper_per_core_timeouts;
mod hyper_service;
mod hyper_single;
mod hyper_work_stealing;
mod pinloop;
mod pinloop_balanced;
mod pinloop_offload;
mod pinloop_on_tokio;
mod pinloop_on_uring;
mod pinloop_state;
mod pinloop_steered;
mod uring;

use std::net::SocketAddr;
use std::{io, iter};

pub use common::Settings;

/// Function that is called with the address once the kernel queues connections for it.
pub type Ready<'a> = &'a dyn Fn(SocketAddr);

/// One rung.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Name on the command line and in results.
    pub name: &'static str,
    /// Description in one line.
    pub about: &'static str,
    /// The rung that it adds one layer to, as its file begins; `None` for the
    /// lowest.
    pub base: Option<&'static str>,
    /// The layer that it adds, in a few words.
    pub adds: &'static str,
    /// Set if it gives the service's answers; the floor gives constant bytes.
    pub answers: bool,
    /// Serves until the process ends; returns only with an error.
    pub serve: fn(&Settings, Ready<'_>) -> io::Result<()>,
}

/// The rung that ratios are taken to.
pub const REFERENCE: &str = "pinloop";

/// Rungs that differ in hyper and Tokio only: neither, Tokio, hyper, both.
pub const SQUARE: [&str; 4] = ["pinloop", "pinloop_on_tokio", "hyper_on_mio", "hyper_per_core"];

/// All rungs, from the bottom of the ladder up.
pub const VARIANTS: &[Variant] = &[
    Variant {
        name: "floor",
        about: "epoll and constant bytes; parses nothing",
        base: None,
        adds: "the kernel, and a loop",
        answers: false,
        serve: floor::serve,
    },
    Variant {
        name: "floor_batched",
        about: "epoll and constant bytes, the writes of eight connections together",
        base: Some("floor"),
        adds: "writes together",
        answers: false,
        serve: floor_batched::serve,
    },
    Variant {
        name: "pinloop",
        about: "HTTP by hand on mio, with every check, limit and timeout",
        base: Some("floor_batched"),
        adds: "HTTP by hand",
        answers: true,
        serve: pinloop::serve,
    },
    Variant {
        name: "pinloop_on_tokio",
        about: "pinloop's protocol core on a Tokio current-thread runtime per core",
        base: Some("pinloop"),
        adds: "Tokio",
        answers: true,
        serve: pinloop_on_tokio::serve,
    },
    Variant {
        name: "hyper_on_mio",
        about: "hyper on mio, polled by an executor of one page, without Tokio",
        base: Some("pinloop"),
        adds: "hyper, in place of pinloop's core",
        answers: true,
        serve: hyper_on_mio::serve,
    },
    Variant {
        name: "hyper_single",
        about: "hyper on Tokio's current-thread runtime, one thread and listener",
        base: Some("hyper_on_mio"),
        adds: "Tokio, with one listener",
        answers: true,
        serve: hyper_single::serve,
    },
    Variant {
        name: "hyper_per_core",
        about: "hyper on a Tokio current-thread runtime per core, over SO_REUSEPORT",
        base: Some("hyper_single"),
        adds: "a runtime and a listener per core",
        answers: true,
        serve: hyper_per_core::serve,
    },
    Variant {
        name: "hyper_per_core_timeouts",
        about: "hyper per core, with a timer and its timeout for request heads",
        base: Some("hyper_per_core"),
        adds: "a timer and a head timeout",
        answers: true,
        serve: hyper_per_core_timeouts::serve,
    },
    Variant {
        name: "hyper_work_stealing",
        about: "hyper on Tokio's multi-thread runtime, as #[tokio::main] has it",
        base: Some("hyper_single"),
        adds: "a runtime whose threads share work",
        answers: true,
        serve: hyper_work_stealing::serve,
    },
    Variant {
        name: "axum",
        about: "axum on a Tokio current-thread runtime per core, over SO_REUSEPORT",
        base: Some("hyper_per_core"),
        adds: "axum's router, and tower",
        answers: true,
        serve: axum::serve,
    },
];

/// Rungs on io_uring. They stand beside those on epoll with `--full` or by name, if
/// [`unavailable`] has nothing against it.
pub const ON_URING: &[Variant] = &[
    Variant {
        name: "floor_on_uring",
        about: "io_uring and constant bytes; parses nothing",
        base: Some("floor"),
        adds: "io_uring, in place of epoll",
        answers: false,
        serve: floor_on_uring::serve,
    },
    Variant {
        name: "pinloop_on_uring",
        about: "pinloop's protocol core, limits and timeouts on io_uring",
        base: Some("pinloop"),
        adds: "io_uring, in place of epoll",
        answers: true,
        serve: pinloop_on_uring::serve,
    },
];

/// Beside the ladder: pinloop with other choices of the core for a new connection.
pub const BALANCED: &[Variant] = &[
    Variant {
        name: "pinloop_balanced",
        about: "pinloop that passes each new connection to the core with the fewest",
        base: Some("pinloop"),
        adds: "even connections",
        answers: true,
        serve: pinloop_balanced::serve,
    },
    Variant {
        name: "pinloop_steered",
        about: "pinloop that gets each new connection on the CPU that received it",
        base: Some("pinloop"),
        adds: "steering",
        answers: true,
        serve: pinloop_steered::serve,
    },
];

/// Rungs with one thread, whatever the number of CPUs.
pub const SINGLE_THREADED: [&str; 1] = ["hyper_single"];

/// Beside the ladder: servers that give long work to another thread.
pub const OFFLOADING: &[Variant] = &[
    Variant {
        name: "pinloop_offload",
        about: "pinloop with worker threads for GET /data?offload",
        base: Some("pinloop"),
        adds: "worker threads",
        answers: true,
        serve: pinloop_offload::serve,
    },
    Variant {
        name: "hyper_offload",
        about: "hyper with Tokio's blocking threads for GET /data?offload",
        base: Some("hyper_per_core"),
        adds: "blocking threads",
        answers: true,
        serve: hyper_offload::serve,
    },
];

/// Beside the ladder: pinloop with what an operator asks for.
pub const STATE: &[Variant] = &[
    Variant {
        name: "pinloop_metrics",
        about: "pinloop with its counters, as GET /metrics shows them",
        base: Some("pinloop"),
        adds: "metrics",
        answers: true,
        serve: pinloop_state::serve_metrics,
    },
    Variant {
        name: "pinloop_rate_limit",
        about: "pinloop with a limit on the requests of each client that no client reaches",
        base: Some("pinloop"),
        adds: "a rate limit",
        answers: true,
        serve: pinloop_state::serve_rate_limit,
    },
    Variant {
        name: "pinloop_access_log",
        about: "pinloop with an access log as JSON, to /dev/null",
        base: Some("pinloop"),
        adds: "an access log",
        answers: true,
        serve: pinloop_state::serve_access_log,
    },
];

/// Returns all variants, from the bottom of the ladder up, and then those beside it.
pub fn all() -> impl Iterator<Item = &'static Variant> {
    VARIANTS.iter().chain(ON_URING).chain(BALANCED).chain(OFFLOADING).chain(STATE)
}

/// Returns the rungs of the ladder with those on io_uring, each after the one that it is built on.
pub fn full_ladder() -> impl Iterator<Item = &'static Variant> {
    let above = |below: &'static Variant| {
        ON_URING.iter().filter(|variant| variant.base == Some(below.name))
    };
    VARIANTS.iter().flat_map(move |variant| iter::once(variant).chain(above(variant)))
}

/// Returns the variants that the ladder measures by name: all rungs, and pinloop with other choices
/// of the core for a new connection, because their cost shows with a connection for each request.
pub fn measured_by_name() -> impl Iterator<Item = &'static Variant> {
    full_ladder().chain(BALANCED)
}

/// Returns the reason why this machine cannot serve `variant`; `None` if it can.
pub fn unavailable(variant: &Variant) -> Option<String> {
    let is_on_uring = ON_URING.iter().any(|on_uring| on_uring.name == variant.name);
    is_on_uring.then(uring::unavailable).flatten()
}

/// Returns the variant called `name`.
pub fn find(name: &str) -> Option<&'static Variant> {
    all().find(|variant| variant.name == name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn names_are_unique() {
        for variant in all() {
            let same = all().filter(|other| other.name == variant.name);
            assert_eq!(same.count(), 1, "{}", variant.name);
        }
    }

    #[test]
    fn every_file_says_what_its_rung_adds_to_which_other_one() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/variants");
        for variant in VARIANTS
            .iter()
            .chain(ON_URING)
            .chain(BALANCED)
            .chain(OFFLOADING)
            .filter(|variant| variant.base.is_some())
        {
            let text = fs::read_to_string(folder.join(format!("{}.rs", variant.name))).unwrap();
            let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
            let head = lines.map(str::trim).collect::<Vec<_>>().join(" ");
            let otherwise = format!("otherwise as `{}`", variant.base.unwrap());
            let is_plain = head.starts_with("Adds ") && head.contains(&otherwise);
            assert!(is_plain, "{}: {head}", variant.name);
        }
    }

    #[test]
    fn the_base_of_every_variant_exists() {
        let bases = all().filter_map(|variant| variant.base);
        for name in bases.chain(SQUARE).chain([REFERENCE]).chain(SINGLE_THREADED) {
            assert!(find(name).is_some(), "{name}");
        }
    }
}
