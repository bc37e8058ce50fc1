//! The report on servers of another machine, from made-up results with known figures.

use pinloop_bench::results::{
    Arrivals, Baseline, HostShare, Interface, Knee, LoadHost, MachineTicks, Machines, Occasion,
    Probe, Remote, Results, Side, Tour,
};

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

#[test]
fn studies_name_their_machines_with_shares_and_limits() {
    let share = |requests, busiest_cpu_ns| HostShare {
        requests,
        elapsed_ns: 1_000_000,
        busiest_cpu_ns,
        late_ns: 0,
        ..HostShare::default()
    };
    let hosts = vec![share(300, 950_000), share(100, 500_000)];
    let occasion = Occasion { machines: loaded(), server_cores: vec![3], ..Occasion::default() };
    let mut results = Results::default();
    let arrivals = |hosts| Arrivals {
        occasion: occasion.clone(),
        tours: vec![Tour { contender: "pinloop".to_string(), hosts, ..Tour::default() }],
        ..Arrivals::default()
    };
    results.studies.arrivals = Some(arrivals(hosts.clone()));
    let report = rendered::text(&results);
    for part in [
        "The servers ran on CPU 3 of far (ssh far) at 10.1.2.3: a round trip takes 60.00 µs",
        "The machines that loaded the servers",
        "one (ssh one)",
        "75.0 %",
        "25.0 %",
        "The busiest thread of one worked 95 % of the time",
        "machine of the load generator, ssh two",
        "agent of the load generator, ssh two: another executable than the measure's, with the SHA-256 12ab",
        "±20.00 µs",
        "ixgbe",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    // Each machine is described once, however many studies have it.
    let probe = Probe { contender: "pinloop".to_string(), hosts, ..Probe::default() };
    let knee = Knee { occasion: occasion.clone(), probes: vec![probe], ..Knee::default() };
    results.studies.knee = Some(knee);
    let both = rendered::text(&results);
    assert_eq!(both.matches("The machines that loaded the servers").count(), 2, "{both}");
    assert!(!both.contains("agent of the load generator, ssh one"), "{both}");
    assert!(!both.contains("apart from the others"), "{both}");
    assert_eq!(both.matches("ixgbe").count(), report.matches("ixgbe").count(), "{both}");
    // An error of 120 µs is more than a tenth of a slice of 1 ms.
    let knee = results.studies.knee.as_mut().unwrap();
    knee.occasion.machines.load_hosts[1].clock_error_ns = 120_000;
    let report = rendered::text(&results);
    let warning = "two (ssh two) began up to 120.00 µs apart from the others";
    assert_eq!(report.matches(warning).count(), 1, "{report}");
    // Without shares, because the measuring machine loaded.
    results.studies.knee = None;
    results.studies.arrivals = Some(arrivals(Vec::new()));
    results.studies.arrivals.as_mut().unwrap().occasion.machines = Machines::default();
    let here = rendered::text(&results);
    assert!(!here.contains("The other machines") && !here.contains("loaded the servers"), "{here}");
}

#[test]
fn load_hosts_that_share_cpus_are_named() {
    let mut machines = loaded();
    machines.load_hosts[1].side.boot = machines.load_hosts[0].side.boot.clone();
    let mut results = Results::default();
    let occasion = Occasion { machines, ..Occasion::default() };
    results.studies.knee = Some(Knee { occasion, ..Knee::default() });
    let report = rendered::text(&results);
    let warning =
        "'ssh one' and 'ssh two' lead to the same machine, two, and both generators run on CPU 1";
    assert!(report.contains(warning), "{report}");
}

/// Servers on one machine, loaded from two others.
fn loaded() -> Machines {
    let remote = remote(false).machines.remote;
    let host = |name: &str, boot: &str| LoadHost {
        command: format!("ssh {name}"),
        side: Side { host: name.to_string(), boot: boot.to_string(), ..Side::default() },
        cores: vec![1],
        clock_error_ns: 20_000,
        agent: (name == "two").then(|| "12ab".to_string()),
        ..LoadHost::default()
    };
    Machines { remote, load_hosts: vec![host("one", "1"), host("two", "2")] }
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
    results.machines.remote = Some(Remote {
        command: "ssh far".to_string(),
        address: Some([10, 1, 2, 3].into()),
        agent: None,
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
