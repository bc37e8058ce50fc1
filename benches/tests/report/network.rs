//! The report on servers of another machine, from made-up results with known figures.

use pinloop_bench::results::{Baseline, Interface, MachineTicks, Remote, Results, Side};

use crate::{made_up, rendered};

#[test]
fn the_whole_machine_costs_what_it_does_beyond_its_idle_time() {
    let report = rendered::text(&remote(false));
    // Each slice has 1000 requests in 100 ms: 3 ticks of 10 ms are busy, of which a tenth of a
    // CPU, one tick, is what the machine does anyhow. One tick is in softirqs.
    for part in ["20.00 µs", "10.00 µs", "30 %", "10.0 % of a CPU"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(report.contains("The servers ran on CPU 0 of far (ssh far) at 10.1.2.3"), "{report}");
    assert!(report.contains("a round trip takes 60.00 µs"), "{report}");
    assert!(report.contains("over the network"), "{report}");
    assert!(!report.contains("Loopback has neither"), "{report}");
}

/// The readings are apart by the slice and by the way of the orders there and back.
#[test]
fn idle_time_is_taken_off_for_all_the_time_between_the_readings() {
    let mut results = remote(false);
    for sample in results.regimes[0].blocks.iter_mut().flat_map(|block| &mut block.samples) {
        // 2 of 4 ticks are idle time, because the readings are 200 ms apart.
        sample.machine = Some(MachineTicks { busy: 4, softirqs: 1, elapsed_ns: 200_000_000 });
    }
    let report = rendered::text(&results);
    for part in ["20.00 µs", "10.00 µs", "30 %"] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn a_machine_that_had_more_to_do_before_the_slices_has_no_share() {
    let mut results = remote(false);
    for start in &mut results.starts {
        for baseline in &mut start.baselines {
            baseline.ticks.busy = 20;
        }
    }
    let report = rendered::text(&results);
    assert!(report.contains("-70.00 µs"), "{report}");
    assert!(!report.contains("-9 %"), "{report}");
    for baseline in results.starts.iter_mut().flat_map(|start| &mut start.baselines) {
        baseline.ticks.busy = 6;
    }
    let report = rendered::text(&results);
    assert!(!report.contains("inf") && !report.contains("NaN"), "{report}");
}

#[test]
fn both_sides_and_their_interfaces_are_named() {
    for render in [rendered::text, rendered::markdown, rendered::page] {
        let report = render(&remote(false));
        for part in ["ixgbe", "MTU 9000", "10000 Mbit/s", "8 receive and 4 send", "gro"] {
            assert!(report.contains(part), "{part}: {report}");
        }
        assert!(report.contains("ethtool is not installed"), "{report}");
    }
}

#[test]
fn one_machine_on_both_sides_has_no_figure_of_its_own() {
    let report = rendered::text(&remote(true));
    assert!(report.contains("A load generator runs on the servers' machine"), "{report}");
    assert!(!report.contains("process / machine"), "{report}");
}

#[test]
fn a_run_on_one_machine_says_nothing_of_a_network() {
    assert!(!rendered::text(&made_up::results()).contains("The network"));
}

fn remote(is_same_machine: bool) -> Results {
    let mut results = made_up::results();
    let interface = Interface {
        name: "eth0".to_string(),
        driver: Some("ixgbe".to_string()),
        mtu: Some(9000),
        speed_mbit_s: Some(10_000),
        receive_queues: 8,
        send_queues: 4,
        offloads: Some(vec!["gro".to_string()]),
    };
    let side = |host: &str, interface| {
        let mut side = Side { host: host.to_string(), interface, ..Side::default() };
        side.machine.ticks_per_s = 100;
        side
    };
    results.settings.machines_differ = !is_same_machine;
    results.remote = Some(Remote {
        command: "ssh far".to_string(),
        address: Some([10, 1, 2, 3].into()),
        server: side("far", Some(interface.clone())),
        client: side("near", Some(Interface { offloads: None, ..interface })),
        is_same_machine,
        round_trips_ns: vec![50_000, 60_000, 90_000],
    });
    let starts = results.regimes[0].blocks.len();
    results.starts.resize_with(starts, Default::default);
    for start in &mut results.starts {
        let ticks = MachineTicks { busy: 2, ..MachineTicks::default() };
        start.baselines = vec![Baseline { elapsed_ns: 200_000_000, ticks }; 2];
    }
    for sample in results.regimes[0].blocks.iter_mut().flat_map(|block| &mut block.samples) {
        (sample.requests, sample.elapsed_ns) = (1000, 100_000_000);
        sample.machine = Some(MachineTicks { busy: 3, softirqs: 1, elapsed_ns: 0 });
    }
    results
}
