//! Waiting in a queue: from the load of a server to its latency.
//!
//! Requests arrive at random (as a Poisson process, which the traffic of many independent clients
//! is near to) and wait in the order in which they came for the first of some cores. Service times
//! may have any distribution: only their mean and their variation count here.
//!
//! Exact are the probability to wait and the distribution of the wait with exponential service
//! times (M/M/c: A. K. Erlang, 1917), and the mean wait with one core (M/G/1: F. Pollaczek, 1930).
//! For several cores and other service times the mean wait is M/M/c's times (1 + cv²)/2 (A. M. Lee
//! and P. A. Longton, 1959), and the wait of the requests that wait is taken as exponential.
//! [`super::simulation`] tells how far that is off.

/// Cores that share one queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    /// Number of cores; at least 1.
    pub cores: usize,
    /// Requests per second.
    pub rate: f64,
    /// Mean service time of a request, in seconds.
    pub service_s: f64,
    /// Square of the service time's coefficient of variation: 0 of constant times, 1 of
    /// exponential ones.
    pub variation: f64,
}

impl Queue {
    /// Returns the share of their time that the cores are busy; the queue grows without end from
    /// 1 on.
    pub fn utilization(&self) -> f64 {
        self.rate * self.service_s / self.cores as f64
    }

    /// Returns the probability that a request must wait, by Erlang's formula C; 1 from a
    /// utilization of 1 on.
    pub fn waits(&self) -> f64 {
        let (load, free) = (self.rate * self.service_s, 1.0 - self.utilization());
        if free <= 0.0 {
            return 1.0;
        }
        // Formula B by its recursion, which has no large factorials.
        let blocked =
            (1..=self.cores).fold(1.0, |blocked, n| load * blocked / (n as f64 + load * blocked));
        blocked / (free + (1.0 - free) * blocked)
    }

    /// Returns the mean wait in seconds, of all requests; infinite from a utilization of 1 on.
    pub fn mean_wait_s(&self) -> f64 {
        let free = 1.0 - self.utilization();
        if free <= 0.0 {
            return f64::INFINITY;
        }
        let exponential = self.waits() * self.service_s / (self.cores as f64 * free);
        exponential * (1.0 + self.variation) / 2.0
    }

    /// Returns the wait that `share` of the requests do not exceed, in seconds.
    pub fn wait_s(&self, share: f64) -> f64 {
        let (waits, mean) = (self.waits(), self.mean_wait_s());
        let longer = 1.0 - share;
        if waits <= longer {
            return 0.0;
        }
        mean / waits * (waits / longer).ln()
    }

    /// Returns the highest utilization at which `share` of the requests are answered within
    /// `bound_s` seconds: the wait and one mean service time. 0 if the service time alone exceeds
    /// the bound.
    pub fn utilization_within(&self, share: f64, bound_s: f64) -> f64 {
        let meets = |utilization: f64| {
            let rate = utilization * self.cores as f64 / self.service_s;
            Self { rate, ..*self }.wait_s(share) + self.service_s <= bound_s
        };
        let (mut low, mut high) = (0.0, 1.0);
        // The wait grows with the utilization: 40 halvings are more than a double needs here.
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            *if meets(middle) { &mut low } else { &mut high } = middle;
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(cores: usize, utilization: f64, variation: f64) -> Queue {
        Queue { cores, rate: utilization * cores as f64, service_s: 1.0, variation }
    }

    fn is_near(found: f64, truth: f64) {
        assert!((found / truth - 1.0).abs() < 1e-9, "{found}, not {truth}");
    }

    #[test]
    fn exponential_service_times_give_the_exact_waits_of_the_textbook() {
        // M/M/1: a request waits with probability ρ, ρ/(1 − ρ) service times in the mean, and more
        // than t of them with probability ρ e^(−(1 − ρ) t).
        let one = queue(1, 0.8, 1.0);
        is_near(one.waits(), 0.8);
        is_near(one.mean_wait_s(), 4.0);
        is_near(one.wait_s(0.99), (0.8_f64 / 0.01).ln() / 0.2);
        // M/M/2: C = 2ρ²/(1 + ρ), and the mean wait is ρ²/(1 − ρ²).
        let two = queue(2, 0.8, 1.0);
        is_near(two.waits(), 2.0 * 0.64 / 1.8);
        is_near(two.mean_wait_s(), 0.64 / 0.36);
        // M/M/4 at a load of 3 Erlang: C = 0.50943…
        is_near(queue(4, 0.75, 1.0).waits(), 27.0 / 53.0);
    }

    #[test]
    fn constant_service_times_give_the_exact_mean_wait_of_one_core() {
        // M/D/1: ρ/(2(1 − ρ)).
        for utilization in [0.1, 0.5, 0.9] {
            let found = queue(1, utilization, 0.0).mean_wait_s();
            is_near(found, utilization / (2.0 * (1.0 - utilization)));
        }
    }

    #[test]
    fn a_server_without_time_left_keeps_its_clients_waiting_for_ever() {
        assert_eq!(queue(2, 1.0, 1.0).mean_wait_s(), f64::INFINITY);
        assert_eq!(queue(1, 1.2, 0.0).wait_s(0.5), f64::INFINITY);
        assert_eq!(queue(1, 0.005, 0.0).wait_s(0.99), 0.0);
    }

    #[test]
    fn the_utilization_within_a_bound_meets_it_and_no_more_does() {
        for cores in [1, 2, 64] {
            let found = queue(cores, 0.0, 0.5).utilization_within(0.99, 5.0);
            let latency = |utilization: f64| queue(cores, utilization, 0.5).wait_s(0.99) + 1.0;
            assert!(latency(found) <= 5.0 && latency(found + 1e-6) > 5.0, "{cores}: {found}");
        }
        assert_eq!(queue(1, 0.0, 0.0).utilization_within(0.99, 0.9), 0.0);
    }
}
