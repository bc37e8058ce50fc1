//! A small discrete-event simulation of a server: requests arrive, wait for a core, and leave.
//!
//! It checks the formulas of [`super::queueing`] on what they leave out, and shows the two ways of
//! a server with several cores: one queue for all of them, as with work stealing, and one for
//! each, as with a listener per core. Time is simulated, so a result depends on its seed alone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use fastrand::Rng;

/// The queue in which requests wait for a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All cores take the oldest request that waits.
    OneQueue,
    /// Each request belongs to one core, drawn at random, and waits for it.
    OneQueueEach,
}

/// Time between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Exponential, as of many independent clients.
    Random,
    /// Always the same, as a load generator sends.
    Even,
}

/// A server, and the requests that it gets.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Number of cores; at least 1.
    pub cores: usize,
    /// The queue in which requests wait.
    pub sharing: Sharing,
    /// Time between two requests.
    pub arrivals: Arrivals,
    /// Requests per second; above 0.
    pub rate: f64,
    /// Number of requests; the first tenth does not count, because the queue begins empty.
    pub requests: usize,
    /// Seed of all random numbers.
    pub seed: u64,
}

/// Result of a simulation.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// Share of their time that the cores were busy.
    pub utilization: f64,
    /// Waits of the requests that count, ascending, in seconds.
    waits_s: Vec<f64>,
    /// Waits and services of these, ascending, in seconds.
    latencies_s: Vec<f64>,
}

/// An event. Times are whole nanoseconds, so that they have an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// The core with this number is done.
    Departure(usize),
}

/// A request that waits.
#[derive(Clone, Copy, Debug)]
struct Request {
    nth: usize,
    arrived_ns: u64,
    service_ns: u64,
}

/// Runs a scene. `service_s` draws the service time of a request in seconds.
pub fn run(scene: &Scene, service_s: impl FnMut(&mut Rng) -> f64) -> Simulated {
    let queues = match scene.sharing {
        Sharing::OneQueue => 1,
        Sharing::OneQueueEach => scene.cores,
    };
    let mut state = State {
        scene: *scene,
        rng: Rng::with_seed(scene.seed),
        service_s,
        events: BinaryHeap::new(),
        queues: vec![VecDeque::new(); queues],
        is_busy: vec![false; scene.cores],
        arrived: 0,
        busy_ns: 0,
        waits_s: Vec::new(),
        latencies_s: Vec::new(),
    };
    state.events.push(Reverse((0, Event::Arrival)));
    let mut now = 0;
    while let Some(Reverse((at, event))) = state.events.pop() {
        now = at;
        state.happen(now, event);
    }
    let all_ns = now.max(1) as f64 * scene.cores as f64;
    state.waits_s.sort_unstable_by(f64::total_cmp);
    state.latencies_s.sort_unstable_by(f64::total_cmp);
    Simulated {
        utilization: state.busy_ns as f64 / all_ns,
        waits_s: state.waits_s,
        latencies_s: state.latencies_s,
    }
}

struct State<F> {
    scene: Scene,
    rng: Rng,
    service_s: F,
    /// The next events, the earliest first.
    events: BinaryHeap<Reverse<(u64, Event)>>,
    /// One for all cores, or one for each.
    queues: Vec<VecDeque<Request>>,
    is_busy: Vec<bool>,
    arrived: usize,
    busy_ns: u64,
    waits_s: Vec<f64>,
    latencies_s: Vec<f64>,
}

impl<F: FnMut(&mut Rng) -> f64> State<F> {
    fn happen(&mut self, now: u64, event: Event) {
        match event {
            Event::Arrival => self.arrive(now),
            Event::Departure(core) => {
                self.is_busy[core] = false;
                self.begin(core, now);
            }
        }
    }

    fn arrive(&mut self, now: u64) {
        let service_ns = nanoseconds((self.service_s)(&mut self.rng));
        let request = Request { nth: self.arrived, arrived_ns: now, service_ns };
        self.arrived += 1;
        let queue = self.rng.usize(..self.queues.len());
        self.queues[queue].push_back(request);
        let its_cores = match self.scene.sharing {
            Sharing::OneQueue => 0..self.scene.cores,
            Sharing::OneQueueEach => queue..queue + 1,
        };
        if let Some(core) = its_cores.into_iter().find(|&core| !self.is_busy[core]) {
            self.begin(core, now);
        }
        if self.arrived < self.scene.requests {
            let gap_s = match self.scene.arrivals {
                Arrivals::Random => exponential(&mut self.rng) / self.scene.rate,
                Arrivals::Even => 1.0 / self.scene.rate,
            };
            self.events.push(Reverse((now + nanoseconds(gap_s), Event::Arrival)));
        }
    }

    /// Lets a free core take the oldest request of its queue, if there is one.
    fn begin(&mut self, core: usize, now: u64) {
        let queue = core.min(self.queues.len() - 1);
        let Some(request) = self.queues[queue].pop_front() else { return };
        self.is_busy[core] = true;
        self.busy_ns += request.service_ns;
        if request.nth >= self.scene.requests / 10 {
            let waited_ns = now - request.arrived_ns;
            self.waits_s.push(waited_ns as f64 / 1e9);
            self.latencies_s.push((waited_ns + request.service_ns) as f64 / 1e9);
        }
        self.events.push(Reverse((now + request.service_ns, Event::Departure(core))));
    }
}

impl Simulated {
    /// Returns the mean wait, in seconds.
    pub fn mean_wait_s(&self) -> f64 {
        self.waits_s.iter().sum::<f64>() / self.waits_s.len().max(1) as f64
    }

    /// Returns the wait that `share` of the requests did not exceed, in seconds.
    pub fn wait_s(&self, share: f64) -> f64 {
        at(&self.waits_s, share)
    }

    /// Returns the latency that `share` of the requests did not exceed, in seconds.
    pub fn latency_s(&self, share: f64) -> f64 {
        at(&self.latencies_s, share)
    }
}

fn at(ascending: &[f64], share: f64) -> f64 {
    let rank = (share * ascending.len() as f64).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Draws from the exponential distribution with mean 1.
pub fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::queueing::Queue;

    const SERVICE_S: f64 = 1e-3;

    fn simulate(
        cores: usize,
        utilization: f64,
        sharing: Sharing,
        service_s: impl FnMut(&mut Rng) -> f64,
    ) -> Simulated {
        let rate = utilization * cores as f64 / SERVICE_S;
        let arrivals = Arrivals::Random;
        run(&Scene { cores, sharing, arrivals, rate, requests: 400_000, seed: 7 }, service_s)
    }

    fn queue(cores: usize, utilization: f64, variation: f64) -> Queue {
        let rate = utilization * cores as f64 / SERVICE_S;
        Queue { cores, rate, service_s: SERVICE_S, variation }
    }

    fn is_within(found: f64, truth: f64, off: f64) {
        assert!((found / truth - 1.0).abs() < off, "{found}, not {truth}");
    }

    fn constant(_: &mut Rng) -> f64 {
        SERVICE_S
    }

    fn random(rng: &mut Rng) -> f64 {
        SERVICE_S * exponential(rng)
    }

    /// 9 of 10 requests are short, and one takes 50 times as long: cv² is 6.2.
    fn mixed(rng: &mut Rng) -> f64 {
        let unit = SERVICE_S / 5.9;
        if rng.usize(..10) == 0 { 50.0 * unit } else { unit }
    }

    const VARIATION_MIXED: f64 = (0.9 + 0.1 * 2500.0) / (5.9 * 5.9) - 1.0;

    #[test]
    fn the_simulation_has_the_exact_answers_of_random_service_times() {
        for cores in [1, 2, 4] {
            let (found, exact) =
                (simulate(cores, 0.7, Sharing::OneQueue, random), queue(cores, 0.7, 1.0));
            is_within(found.utilization, 0.7, 0.01);
            is_within(found.mean_wait_s(), exact.mean_wait_s(), 0.03);
            is_within(found.wait_s(0.99), exact.wait_s(0.99), 0.03);
        }
    }

    #[test]
    fn the_simulation_has_the_exact_mean_waits_of_one_core() {
        let constant = simulate(1, 0.7, Sharing::OneQueue, constant);
        is_within(constant.mean_wait_s(), queue(1, 0.7, 0.0).mean_wait_s(), 0.02);
        let mixed = simulate(1, 0.5, Sharing::OneQueue, mixed);
        is_within(mixed.mean_wait_s(), queue(1, 0.5, VARIATION_MIXED).mean_wait_s(), 0.05);
    }

    /// Erlang's distribution of the wait in M/D/1, in service times.
    fn exact_of_constant(utilization: f64, wait: f64) -> f64 {
        let term = |k: i32| {
            let left = utilization * (wait - f64::from(k));
            let factorial: f64 = (1..=k).map(f64::from).product();
            (-left).powi(k) / factorial * left.exp()
        };
        (1.0 - utilization) * (0..=wait as i32).map(term).sum::<f64>()
    }

    #[test]
    fn the_simulation_has_the_exact_distribution_of_constant_service_times() {
        let found = simulate(1, 0.7, Sharing::OneQueue, constant);
        for share in [0.5, 0.9, 0.99] {
            is_within(exact_of_constant(0.7, found.wait_s(share) / SERVICE_S), share, 0.01);
        }
    }

    #[test]
    fn the_formula_is_near_the_simulation_of_two_cores() {
        for utilization in [0.5, 0.7, 0.85] {
            let found = simulate(2, utilization, Sharing::OneQueue, constant);
            let formula = queue(2, utilization, 0.0);
            is_within(found.utilization, formula.utilization(), 0.01);
            is_within(formula.mean_wait_s(), found.mean_wait_s(), 0.12);
            is_within(formula.wait_s(0.99), found.wait_s(0.99), 0.15);
            let found = simulate(2, utilization, Sharing::OneQueue, mixed);
            let formula = queue(2, utilization, VARIATION_MIXED);
            is_within(formula.mean_wait_s(), found.mean_wait_s(), 0.15);
            is_within(formula.wait_s(0.99), found.wait_s(0.99), 0.2);
        }
    }

    #[test]
    fn a_queue_for_each_of_two_cores_is_as_one_core_with_half_the_requests() {
        let each = simulate(2, 0.7, Sharing::OneQueueEach, random);
        let alone = queue(1, 0.7, 1.0);
        is_within(each.mean_wait_s(), alone.mean_wait_s(), 0.05);
        is_within(each.wait_s(0.99), alone.wait_s(0.99), 0.06);
    }

    /// The plan of many machines uses this formula: constant service times, and a queue for each core.
    #[test]
    fn the_formula_of_the_plan_is_near_the_simulation_of_a_queue_for_each_core() {
        for (utilization, off) in [(0.5, 0.17), (0.7, 0.1), (0.85, 0.08), (0.93, 0.05)] {
            let found = simulate(2, utilization, Sharing::OneQueueEach, constant);
            let formula = queue(1, utilization, 0.0);
            is_within(found.utilization, utilization, 0.01);
            is_within(formula.mean_wait_s(), found.mean_wait_s(), 0.04);
            is_within(formula.wait_s(0.99), found.wait_s(0.99), off);
            assert!(formula.wait_s(0.99) > found.wait_s(0.99), "the plan promises too much");
        }
        for utilization in [0.5, 0.7, 0.85] {
            let found = simulate(2, utilization, Sharing::OneQueueEach, mixed);
            let formula = queue(1, utilization, VARIATION_MIXED);
            is_within(formula.mean_wait_s(), found.mean_wait_s(), 0.1);
            is_within(formula.wait_s(0.99), found.wait_s(0.99), 0.17);
        }
    }

    #[test]
    fn evenly_spaced_requests_of_constant_work_never_wait() {
        let scene = Scene {
            cores: 1,
            sharing: Sharing::OneQueue,
            arrivals: Arrivals::Even,
            rate: 0.99 / SERVICE_S,
            requests: 10_000,
            seed: 7,
        };
        let found = run(&scene, constant);
        assert_eq!(found.wait_s(1.0), 0.0);
        is_within(found.latency_s(0.5), SERVICE_S, 1e-9);
    }
}
