//! Studies that several machines loaded together.

use pinloop_bench::results::{LoadHost, Results, Side};
use pinloop_bench::studies::{arrivals, knee};

use crate::studies::results;

/// Three machines, each with one thread.
fn three() -> Vec<LoadHost> {
    let host = |command: &str| LoadHost {
        command: command.to_string(),
        side: Side::default(),
        agent: None,
        cores: vec![1],
        clock_error_ns: 0,
        round_trips_ns: Vec::new(),
    };
    ["ssh a", "ssh b", "ssh c"].map(host).to_vec()
}

/// The threads of each machine wait for 5 % of the time: three machines are no more disturbed than
/// one.
#[test]
fn threads_on_several_machines_wait_no_longer_than_each_of_them() {
    let mut results = results();
    let disturbed = |results: &Results| {
        let knee = results.studies.knee.as_ref().unwrap();
        let arrivals = results.studies.arrivals.as_ref().unwrap();
        let rows = knee::figures::rows(results, knee);
        let tours = arrivals::figures::rows(results, arrivals);
        (rows[0].figures.as_ref().unwrap().disturbed, tours[0].1.as_ref().unwrap().disturbed)
    };
    let knee = results.studies.knee.as_mut().unwrap();
    knee.occasion.machines.load_hosts = three();
    knee.probes.iter_mut().for_each(|of| of.generator_wait_ns = 3 * of.elapsed_ns / 20);
    let arrivals = results.studies.arrivals.as_mut().unwrap();
    arrivals.occasion.machines.load_hosts = three();
    let seconds = arrivals.tours.iter_mut().flat_map(|tour| &mut tour.seconds);
    seconds.for_each(|of| of.generator_wait_ns = 150_000_000);
    let (at_rates, at_arrivals) = disturbed(&results);
    assert!((at_rates - 0.05).abs() < 1e-6, "{at_rates}");
    assert!((at_arrivals - 0.05).abs() < 1e-6, "{at_arrivals}");
}
