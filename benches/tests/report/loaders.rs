//! The section on the machines that loaded the servers, from made-up results.

use pinloop_bench::results::{HostShare, LoadHost, Results, Side};

use crate::{made_up, rendered};

const MS: u64 = 1_000_000;

/// `near` sends three of four requests with two threads, `far` the others with one.
fn results() -> Results {
    let mut results = made_up::results();
    let host = |name: &str, cores: &[usize], clock_error_ns| LoadHost {
        command: format!("ssh {name}"),
        side: Side { host: name.to_string(), ..Side::default() },
        agent: None,
        cores: cores.to_vec(),
        clock_error_ns,
        round_trips_ns: vec![80_000, 100_000, 900_000],
    };
    results.machines.load_hosts = vec![host("near", &[2, 3], 25_000), host("far", &[0], 50_000)];
    let samples = results.regimes[0].blocks.iter_mut().flat_map(|block| &mut block.samples);
    for sample in samples {
        let share = |requests, cpu_ms: u64, busiest_ms: u64| HostShare {
            requests,
            elapsed_ns: 100 * MS,
            cpu_ns: cpu_ms * MS,
            busiest_cpu_ns: busiest_ms * MS,
            ..HostShare::default()
        };
        sample.generator.hosts = vec![share(750, 110, 60), share(250, 30, 30)];
    }
    results
}

#[test]
fn each_machine_has_its_share_and_its_busiest_thread() {
    let text = rendered::markdown(&results());
    let row = |name: &str| {
        let found = text.lines().find(|line| line.starts_with(&format!("| {name} (ssh {name})")));
        let cells = found.unwrap_or_else(|| panic!("{text}")).split('|');
        cells.map(|cell| cell.trim().to_string()).collect::<Vec<_>>()
    };
    // 20 blocks of 3 servers.
    let near = row("near");
    assert_eq!(near[3..6], ["45,000", "75.0 %", "60 % of the time"], "{near:?}");
    assert_eq!(near[7..9], ["100.00 µs", "±25.00 µs"], "{near:?}");
    let far = row("far");
    assert_eq!(far[3..6], ["15,000", "25.0 %", "30 % of the time"], "{far:?}");
    assert!(!text.contains("after the common start"), "{text}");
    assert!(!text.contains("it may be what limits"), "{text}");
}

#[test]
fn a_thread_at_its_limit_is_named_and_threads_that_are_busy_together_are_not() {
    let mut results = results();
    let hosts = |results: &mut Results, change: fn(&mut HostShare)| {
        let samples = results.regimes[0].blocks.iter_mut().flat_map(|block| &mut block.samples);
        samples.for_each(|sample| change(&mut sample.generator.hosts[0]));
    };
    hosts(&mut results, |of| of.cpu_ns = 180 * MS);
    assert!(!rendered::text(&results).contains("it may be what limits"));
    hosts(&mut results, |of| of.busiest_cpu_ns = 95 * MS);
    let text = rendered::text(&results);
    assert!(text.contains("The busiest thread of near worked 95 % of the time"), "{text}");
}

#[test]
fn machines_that_began_late_are_named_with_what_it_means() {
    let mut results = results();
    let blocks = &mut results.regimes[0].blocks;
    for sample in blocks.iter_mut().take(5).flat_map(|block| &mut block.samples) {
        sample.generator.hosts[1].late_ns = 3 * MS;
    }
    let text = rendered::text(&results);
    // 15 of the 120 slices of both machines.
    assert!(text.contains("In 12 % of their slices") || text.contains("In 13 %"), "{text}");
    assert!(text.contains("by up to 3000.00 µs") && text.contains("rates are too low"), "{text}");
    assert!(text.contains("±3000.00 µs") && text.contains("±25.00 µs"), "{text}");
}
