//! Generators of several requests, in shares that are exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram;

use super::comparison::Expected;
use super::errors::LoadError;
use super::generator::Generator;
use super::latencies::latencies;
use super::placement::Placement;
use super::requests::Share;
use super::target::{Shape, Target};
use super::threads::Threads;

impl Threads {
    /// Opens all connections for a mix of requests, one request at a time on each. Every answer is
    /// compared with the first answer to the same request.
    ///
    /// The request of `target` is not sent. An empty mix, a weight of 0 and an empty request are
    /// [`LoadError::EmptyRequest`].
    pub fn connect_mix(
        target: &Target,
        connections: usize,
        mix: &[Share],
        seed: u64,
        placement: &Placement,
    ) -> Result<Self, LoadError> {
        let is_sent = |share: &Share| share.weight > 0 && !share.request.is_empty();
        if mix.is_empty() || !mix.iter().all(is_sent) {
            return Err(LoadError::EmptyRequest);
        }
        let of = |share: &Share| Target { request: share.request.clone(), ..target.clone() };
        let learned = |share: &Share| Ok((share.clone(), first_answer(&of(share))?));
        let shares = mix.iter().map(learned).collect::<Result<Vec<_>, LoadError>>()?;
        let shape = Shape { connections, ..Shape::default() };
        let mut threads = Self::connect(&of(&mix[0]), &shape, placement)?;
        threads.compare_with(shares[0].1.clone())?;
        // The threads get their seeds one after another.
        let seed = Arc::new(AtomicU64::new(seed));
        threads.for_each(move |generator| {
            generator.send_mix(&shares, seed.fetch_add(1, Relaxed));
        })?;
        Ok(threads)
    }

    /// Takes the latencies of each request of a mix since they were last taken, of all threads
    /// together, in ns and in the order of the mix.
    pub fn take_latencies(&mut self) -> Result<Vec<Histogram<u64>>, LoadError> {
        let mut merged: Vec<Histogram<u64>> = Vec::new();
        for of_thread in self.for_each(Generator::take_latencies)? {
            merged.resize_with(of_thread.len(), latencies);
            merged.iter_mut().zip(of_thread).for_each(|(all, one)| *all += one);
        }
        Ok(merged)
    }
}

/// Asks once, on a connection of its own.
fn first_answer(target: &Target) -> Result<Expected, LoadError> {
    let alone = Shape { connections: 1, ..Shape::default() };
    let generator = Generator::connect_comparing(target, &alone)?;
    Ok(generator.expected().cloned().unwrap_or_default())
}
