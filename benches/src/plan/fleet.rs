//! From the figures of one machine to those of many.

use super::inputs::Inputs;
use crate::stats::bins;
use crate::stats::queueing::Queue;

/// Source ports of one address toward one address and port: Linux's default
/// `net.ipv4.ip_local_port_range`, 32768 to 60999.
pub const PORTS: usize = 28_232;

/// Time for which conntrack keeps a closed connection, in seconds: the default
/// `nf_conntrack_tcp_timeout_time_wait`.
pub const TIME_WAIT_S: f64 = 120.0;

/// Entries that a device tracks: the default `nf_conntrack_max` of a machine with 4 GiB or more.
pub const CONNTRACK_MAX: f64 = 262_144.0;

/// Hosts that one group of equal-cost paths reaches: a usual limit of switches.
pub const PATHS: usize = 64;

/// Addresses in one DNS response: 16 bytes each, in the 1,232 bytes that pass every network, less
/// the question.
pub const ADDRESSES: usize = 70;

/// Share of a generator's core that it may use: beyond, its own queue is in every latency.
pub const GENERATOR_UTILIZATION: f64 = 0.7;

/// Share of the requests that the bound holds for.
const SHARE: f64 = 0.99;

/// Wishes of the user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// Cores of a host.
    pub cores: usize,
    /// Connections for each host, in the mean.
    pub connections: usize,
    /// Requests that a client sends on one connection.
    pub requests_per_connection: f64,
    /// Share of the hosts that may be down, 0 to 1.
    pub spare: f64,
    /// Bound of the 99th percentile of latency within a host, in seconds.
    pub bound_s: f64,
}

/// A plan for a number of hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Hosts.
    pub hosts: usize,
    /// Hosts that may be down.
    pub spare: usize,
    /// Utilization of the busiest host's cores with the spare hosts down.
    pub utilization: f64,
    /// 99th percentile of the wait for a core and the service there, in seconds, if requests arrive
    /// at random.
    pub p99_s: f64,
    /// Load of the busiest host in ratio to the mean, with the spare hosts down.
    pub imbalance: f64,
    /// Requests per second of all hosts together.
    pub rate: f64,
    /// Requests per second of one host, with all hosts up.
    pub host_rate: f64,
    /// Connections of the busiest host, with the spare hosts down.
    pub connections_max: f64,
    /// Memory of these connections in bytes, if it was measured.
    pub memory_bytes: Option<f64>,
    /// Source addresses of a load balancer that translates addresses.
    pub source_addresses: usize,
    /// New connections per second.
    pub opened_per_s: f64,
    /// Connections that a device in between must track, all together.
    pub tracked: f64,
    /// Devices for these, with the default limit.
    pub tracking_devices: usize,
    /// Groups of equal-cost paths.
    pub path_groups: usize,
    /// DNS responses that together name all hosts.
    pub dns_responses: usize,
    /// Cores of the load generators.
    pub generator_cores: usize,
    /// Source addresses of the load generators.
    pub generator_addresses: usize,
}

/// Returns the utilization that is planned for: the formula's within the bound, but no more than was
/// measured at the knee.
pub fn utilization(inputs: &Inputs, wanted: &Wanted) -> f64 {
    of_one_core(inputs, 0.0).utilization_within(SHARE, wanted.bound_s).min(inputs.knee_utilization)
}

/// A core with a queue of its own, and requests that all take the same time.
fn of_one_core(inputs: &Inputs, utilization: f64) -> Queue {
    let service_s = inputs.service_s();
    Queue { cores: 1, rate: utilization / service_s, service_s, variation: 0.0 }
}

/// Makes the plan for `hosts`, at least 1.
pub fn plan(inputs: &Inputs, wanted: &Wanted, hosts: usize) -> Fleet {
    let spare = ((hosts as f64 * wanted.spare).ceil() as usize).min(hosts - 1);
    let up = hosts - spare;
    let connections = hosts * wanted.connections;
    let imbalance = bins::imbalance(connections, up);
    let utilization = utilization(inputs, wanted);
    let of_knee = utilization / inputs.knee_utilization;
    let rate = up as f64 * inputs.rate_of(wanted.cores) * of_knee / imbalance;
    let connections_max = connections as f64 / up as f64 * imbalance;
    let opened_per_s = rate / wanted.requests_per_connection;
    let tracked = connections as f64 + opened_per_s * TIME_WAIT_S;
    let queue = of_one_core(inputs, utilization);
    Fleet {
        hosts,
        spare,
        utilization,
        p99_s: queue.wait_s(SHARE) + queue.service_s,
        imbalance,
        rate,
        host_rate: rate / hosts as f64,
        connections_max,
        memory_bytes: inputs.connection_bytes.map(|each| each * connections_max),
        source_addresses: (connections_max / PORTS as f64).ceil() as usize,
        opened_per_s,
        tracked,
        tracking_devices: (tracked / CONNTRACK_MAX).ceil() as usize,
        path_groups: hosts.div_ceil(PATHS),
        dns_responses: hosts.div_ceil(ADDRESSES),
        generator_cores: (rate * inputs.generator_s / GENERATOR_UTILIZATION).ceil() as usize,
        generator_addresses: connections.div_ceil(PORTS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::usl::Law;

    fn inputs() -> Inputs {
        Inputs {
            server: "pinloop".to_string(),
            path: "/data".to_string(),
            server_on: None,
            load_from: Vec::new(),
            knee_rate: 90_000.0,
            knee_cores: 1,
            bound_s: 0.01,
            knee_utilization: 0.9,
            generator_s: 7e-6,
            generator_busy: 0.7,
            law: Law { rate: 100_000.0, contention: 0.0, coherence: 0.0 },
            cores_measured: 2,
            sizes_measured: 2,
            connection_bytes: Some(4_000.0),
        }
    }

    const WANTED: Wanted = Wanted {
        cores: 8,
        connections: 10_000,
        requests_per_connection: 100.0,
        spare: 0.1,
        bound_s: 0.01,
    };

    fn is_near(found: f64, truth: f64) {
        assert!((found / truth - 1.0).abs() < 1e-9, "{found}, not {truth}");
    }

    #[test]
    fn each_figure_follows_from_the_measured_ones() {
        let fleet = plan(&inputs(), &WANTED, 10);
        assert_eq!((fleet.hosts, fleet.spare), (10, 1));
        // 10 ms are far more than the wait at the measured utilization.
        is_near(fleet.utilization, 0.9);
        is_near(fleet.rate, 9.0 * 720_000.0 / fleet.imbalance);
        is_near(fleet.host_rate, fleet.rate / 10.0);
        assert!((1.0..1.03).contains(&fleet.imbalance), "{}", fleet.imbalance);
        is_near(fleet.connections_max, 100_000.0 / 9.0 * fleet.imbalance);
        is_near(fleet.memory_bytes.unwrap(), fleet.connections_max * 4_000.0);
        is_near(fleet.tracked, 100_000.0 + fleet.rate / 100.0 * 120.0);
        assert_eq!(fleet.generator_cores, (fleet.rate * 1e-5).ceil() as usize);
        assert_eq!((fleet.source_addresses, fleet.generator_addresses), (1, 4));
        assert_eq!(plan(&inputs(), &WANTED, 1_000).path_groups, 16);
        assert_eq!(plan(&inputs(), &WANTED, 1_000).dns_responses, 15);
    }

    #[test]
    fn a_tight_bound_leaves_cores_idle() {
        let tight = Wanted { bound_s: 30e-6, ..WANTED };
        let fleet = plan(&inputs(), &tight, 10);
        assert!(fleet.utilization < 0.6, "{}", fleet.utilization);
        is_near(fleet.p99_s, 30e-6);
        let loose = plan(&inputs(), &WANTED, 10);
        is_near(fleet.rate / loose.rate, fleet.utilization / loose.utilization);
    }

    /// The law is taken from the cores of the knee to those of a host, and not from one core.
    #[test]
    fn a_knee_on_several_cores_is_scaled_from_these() {
        let law = Law { rate: 100_000.0, contention: 0.1, coherence: 0.01 };
        let knee = Inputs { law, knee_cores: 4, ..inputs() };
        is_near(knee.rate_of(4), 90_000.0);
        // X(8) is 8 / 2.26, and X(4) is 4 / 1.42.
        is_near(knee.rate_of(8), 90_000.0 * (8.0 / 2.26) / (4.0 / 1.42));
        // 90 % of four cores for 90,000 requests.
        is_near(knee.service_s(), 40e-6);
    }

    #[test]
    fn one_host_has_no_spare_and_no_imbalance() {
        let fleet = plan(&inputs(), &WANTED, 1);
        assert_eq!((fleet.spare, fleet.imbalance, fleet.connections_max), (0, 1.0, 10_000.0));
    }

    #[test]
    fn cores_that_wait_for_each_other_do_less() {
        let law = Law { rate: 100_000.0, contention: 0.1, coherence: 0.0 };
        let slow = plan(&Inputs { law, ..inputs() }, &WANTED, 10);
        is_near(slow.rate * 1.7, plan(&inputs(), &WANTED, 10).rate);
    }
}
