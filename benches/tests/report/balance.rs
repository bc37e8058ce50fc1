//! The report of the study `balance`, from made-up results with figures that are known beforehand.

use pinloop_bench::results::{
    Balance, BalanceLoad, BalanceSample, BalanceSlice, Contender, EventLoop, Failure, Latency,
    Occasion, Records, Remote, Results, SCHEMA,
};
use pinloop_bench::studies::balance::figures::{self, Metric, P99};
use pinloop_bench::studies::balance::verdicts;

use crate::rendered;

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const STARTS: usize = 12;
const SERVERS: [&str; 6] = [
    "pinloop",
    "pinloop_again",
    "pinloop_balanced",
    "hyper_per_core",
    "hyper_work_stealing",
    "broken",
];

#[test]
fn throughput_is_the_mean_of_all_starts_with_those_in_which_connections_collide() {
    let results = results();
    let load = &balance(&results).loads[0];
    let of = |key| figures::figures(load, 2, key).unwrap();
    // 20,000 a second, and half of that in every other start.
    assert_eq!(of("pinloop").throughput.value, 15_000.0);
    assert_eq!(of("pinloop_balanced").throughput.value, 20_000.0);
    let ratio = figures::ratio(load, "pinloop_balanced", "pinloop", Metric::Throughput).unwrap();
    assert!((ratio.value - 4.0 / 3.0).abs() < 1e-9);
    let bounds = ratio.interval.unwrap();
    assert!(1.1 < bounds.low && bounds.low < bounds.high && bounds.high < 1.7, "{bounds:?}");
}

#[test]
fn the_busiest_core_is_held_against_a_random_choice() {
    let results = results();
    let load = &balance(&results).loads[0];
    assert_eq!(figures::expected_share(balance(&results), load), 0.75);
    let of = |key| figures::figures(load, 2, key).unwrap();
    assert_eq!(of("pinloop").busiest_cpu.value, 0.75);
    assert_eq!(of("pinloop").busiest_connections, Some(0.75));
    assert_eq!(of("pinloop_balanced").busiest_connections, Some(0.5));
    assert_eq!(of("hyper_work_stealing").busiest_connections, None, "all threads share one epoll");
}

#[test]
fn percentiles_are_of_all_requests_and_the_light_ones_are_apart() {
    let results = results();
    let load = &balance(&results).loads[1];
    let [p50, p99, _, light] =
        figures::figures(load, 2, "hyper_per_core").unwrap().latency_ns.map(|of| of.unwrap().value);
    let is_near = |found: f64, truth: u64| (1.0..1.03).contains(&(found / truth as f64));
    assert!(is_near(p50, 100 * US) && is_near(p99, 8 * MS) && is_near(light, 5 * MS), "{light}");
}

#[test]
fn requests_that_were_not_sent_are_slower_than_all_others() {
    let mut results = results();
    let load = &mut results.studies.balance.as_mut().unwrap().loads[1];
    for sample in load.starts.iter_mut().flatten() {
        sample.paced.unsent = 20;
    }
    let of = figures::figures(load, 2, "hyper_per_core").unwrap();
    assert!(of.latency_ns[0].is_some() && of.latency_ns[1].is_none());
    let text = rendered::text(&results);
    assert!(text.contains("found no free connection in time at pinloop"), "{text}");
    // Throughput is still compared.
    let said = verdicts::sentences(&results, balance(&results));
    assert!(said[0].contains("more requests per second"), "{said:?}");
}

#[test]
fn the_answer_says_where_work_stealing_pays_and_where_it_does_not() {
    let results = results();
    let said = verdicts::sentences(&results, balance(&results));
    assert!(said[0].starts_with(
        "Work stealing pays under some loads: beside hyper_per_core, hyper_work_stealing has lower \
         p99 with 4 connections for each core, 1 of 10 requests with 5 ms of work (0.39 [0.39–0.39])"
    ), "{said:?}");
    assert!(
        said[1]
            .ends_with(": hyper_work_stealing 2, pinloop 1, pinloop_balanced 1, hyper_per_core 1."),
        "{said:?}"
    );
    let (best, p99, alike) =
        verdicts::lowest(&results, balance(&results), &balance(&results).loads[1]).unwrap();
    assert!(
        best == "hyper_work_stealing" && alike.is_empty() && (p99.value / 2e6 - 1.0).abs() < 0.03
    );
    let balanced = said.last().unwrap();
    assert!(balanced.contains("pinloop_balanced has more requests per second with 1 connection for each core, light requests (1.33 ["), "{said:?}");
}

#[test]
fn more_than_two_loads_are_counted_and_their_ratios_ranged() {
    let mut results = results();
    let loads = &mut results.studies.balance.as_mut().unwrap().loads;
    loads.extend([loads[1].clone(), loads[1].clone()]);
    let said = verdicts::sentences(&results, balance(&results));
    let part = "hyper_work_stealing has lower p99 under 3 of 4 loads (0.39 to 0.39 times, with intervals \
         within 0.39–0.39), and more";
    assert!(said[0].contains(part), "{said:?}");
}

/// The words of the report are free to change: they decide nothing.
#[test]
fn a_server_that_is_worse_everywhere_is_not_said_to_pay() {
    let mut results = results();
    for sample in results
        .studies
        .balance
        .as_mut()
        .unwrap()
        .loads
        .iter_mut()
        .flat_map(|load| &mut load.starts)
        .flatten()
    {
        if sample.contender == TWINS[0] {
            sample.saturated.requests /= 10;
            sample.latency = Latency::of([(90 * MS, 1_000)]);
            sample.light = Latency::default();
        }
    }
    let said = verdicts::sentences(&results, balance(&results));
    assert!(said[0].starts_with("Work stealing is not seen to pay: beside"), "{said:?}");
    assert!(said[0].contains("higher p99") && said[0].contains("fewer requests"), "{said:?}");
}

#[test]
fn throughput_over_all_loads_has_an_interval_that_more_loads_narrow() {
    let mut results = results();
    let of = |results: &Results| {
        let found =
            figures::pooled(balance(results), "pinloop_balanced", "pinloop", Metric::Throughput);
        let found = found.unwrap();
        (found.value, found.interval.unwrap())
    };
    let loads = &mut results.studies.balance.as_mut().unwrap().loads;
    loads.truncate(1);
    let (one, alone) = of(&results);
    assert!((one - 4.0 / 3.0).abs() < 1e-9);
    let loads = &mut results.studies.balance.as_mut().unwrap().loads;
    *loads = vec![loads[0].clone(), loads[0].clone(), loads[0].clone(), loads[0].clone()];
    let (four, together) = of(&results);
    assert!((four - one).abs() < 1e-9);
    let near = |found: f64, truth: f64| (found - truth).abs() < 1e-9;
    assert!(near((together.high / four).ln(), (alone.high / one).ln() / 2.0), "{together:?}");
    assert!(near((together.low / four).ln(), (alone.low / one).ln() / 2.0), "{together:?}");
    let text = rendered::text(&results);
    assert!(text.contains("in the geometric mean of the loads: pinloop_balanced 1.33 ["), "{text}");
    assert!(text.contains("; a second process of pinloop 1.00 ["), "{text}");
}

/// A load without one server of a pair has a dash there, and keeps its other ratios in their columns.
#[test]
fn ratios_stand_below_their_pair() {
    let mut results = results();
    let load = &mut results.studies.balance.as_mut().unwrap().loads[1];
    load.starts.iter_mut().for_each(|start| start.retain(|of| of.contender != "hyper_per_core"));
    let text = rendered::markdown(&results);
    let row = |name: &str| {
        let (_, table) = text.split_once("Ratios of requests per second").unwrap();
        let row = table.lines().find(|line| line.starts_with(&format!("| {name}"))).unwrap();
        row.split('|').map(|cell| cell.trim().to_string()).collect::<Vec<_>>()
    };
    let (head, first, second) = (row("load"), row("1 connection"), row("4 connections"));
    assert_eq!(head[2], "hyper_work_stealing to hyper_per_core");
    assert!(first[2].starts_with('1') && second[2] == "–", "{first:?}, {second:?}");
    assert!(second[3].contains('['), "{second:?}");
}

#[test]
fn steered_connections_are_shown_with_what_they_mean_on_loopback() {
    let mut results = results();
    let rename = |key: &mut String| {
        if *key == "pinloop_balanced" {
            *key = "pinloop_steered".to_string();
        }
    };
    results.contenders.iter_mut().for_each(|of| rename(&mut of.key));
    let balance = results.studies.balance.as_mut().unwrap();
    let samples = balance.loads.iter_mut().flat_map(|load| &mut load.starts).flatten();
    samples.for_each(|of| rename(&mut of.contender));
    let text = rendered::text(&results);
    assert!(text.contains("pinloop_steered has more requests per second"), "{text}");
    let caveat = "On loopback that is the CPU of the client";
    assert!(text.contains(caveat), "{text}");
    let machines = &mut results.studies.balance.as_mut().unwrap().occasion.machines;
    machines.remote = Some(Remote::default());
    assert!(!rendered::text(&results).contains(caveat));
}

#[test]
fn where_nothing_is_told_apart_that_is_said() {
    let mut results = results();
    for load in &mut results.studies.balance.as_mut().unwrap().loads {
        for start in &mut load.starts {
            let model = start[0].clone();
            for sample in start {
                *sample = BalanceSample { contender: sample.contender.clone(), ..model.clone() };
            }
        }
    }
    let said = verdicts::sentences(&results, balance(&results));
    assert_eq!(
        said[0],
        "Work stealing is not seen to pay: hyper_work_stealing and hyper_per_core are not told \
         apart in p99 or throughput."
    );
}

#[test]
fn a_load_that_tells_equal_servers_apart_judges_nobody() {
    let mut results = results();
    let load = &mut results.studies.balance.as_mut().unwrap().loads[1];
    for sample in load.starts.iter_mut().flatten().filter(|of| of.contender == "pinloop_again") {
        sample.light = Latency::of([(100 * US, 800), (9 * MS, 100)]);
    }
    let text = rendered::text(&results);
    assert!(text.contains("two processes of pinloop differ in p99"), "{text}");
    let balance = balance(&results);
    let found = figures::ratio(&balance.loads[1], TWINS[0], TWINS[1], Metric::Latency(P99));
    assert!(found.is_some());
    let said = verdicts::sentences(&results, balance);
    // Throughput tells the two processes of pinloop as alike as before.
    assert!(said[0].contains("more requests") && !said[0].contains("p99"), "{said:?}");
}

const TWINS: [&str; 2] = verdicts::TWINS;

#[test]
fn the_page_the_terminal_and_markdown_have_it() {
    let results = results();
    let page = rendered::page(&results);
    assert!(page.contains("Balance: does sharing work pay on 2 CPUs?"));
    assert!(page.matches("<svg ").count() >= 2, "wide and narrow");
    for text in [page, rendered::text(&results)] {
        assert!(text.contains("broken has no figures: it fell over"), "{text}");
        assert!(text.contains("one queue") && text.contains("75 %"), "{text}");
        assert!(text.contains("hyper_work_stealing to hyper_per_core"), "{text}");
        assert!(text.contains("have no CPUs of their own"), "{text}");
    }
    assert!(rendered::markdown(&results).contains("Work stealing pays"));
}

#[test]
fn an_interrupted_study_has_what_was_measured() {
    let mut results = results();
    let balance = results.studies.balance.as_mut().unwrap();
    balance.loads.iter_mut().for_each(|load| load.starts.clear());
    balance.occasion.complete = false;
    let text = rendered::text(&results);
    assert!(text.contains("This study was interrupted"), "{text}");
}

pub(super) fn balance(results: &Results) -> &Balance {
    results.studies.balance.as_ref().unwrap()
}

pub(super) fn results() -> Results {
    let contender = |key: &str| Contender {
        key: key.to_string(),
        variant: key.trim_end_matches("_again").to_string(),
        about: String::new(),
        base: None,
        adds: String::new(),
        command: None,
    };
    let load = |connections, heavy_ns: Option<u64>| BalanceLoad {
        connections,
        heavy_ns,
        work_rounds: 50_000,
        generator_cores: vec![1, 0],
        rate_per_s: Some(7_500.0),
        starts: (0..STARTS).map(|at| start(at, heavy_ns.is_some())).collect(),
    };
    Results {
        schema: SCHEMA,
        contenders: SERVERS.map(contender).to_vec(),
        reference: "pinloop".to_string(),
        studies: Records {
            balance: Some(Balance {
                occasion: Occasion {
                    complete: true,
                    server_cores: vec![0, 1],
                    path: "/".to_string(),
                    ..Occasion::default()
                },
                reference: "pinloop".to_string(),
                again: "pinloop_again".to_string(),
                heavy_path: "/data".to_string(),
                heavy_one_in: 10,
                round_ns: 100.0,
                slice_ms: 250,
                loads: vec![load(2, None), load(8, Some(5 * MS))],
                failures: vec![Failure {
                    contender: "broken".to_string(),
                    reason: "it fell over".to_string(),
                }],
            }),
            ..Records::default()
        },
        ..Results::default()
    }
}

fn start(at: usize, is_mixed: bool) -> Vec<BalanceSample> {
    let of = |key: &&str| sample(key, at, is_mixed);
    SERVERS.iter().filter(|key| **key != "broken").map(of).collect()
}

/// Without heavy requests, two connections collide in every other start, unless the server spreads
/// them or shares work. With heavy ones the light requests wait 5 ms behind them, or 2 ms where work
/// is shared.
fn sample(key: &str, at: usize, is_mixed: bool) -> BalanceSample {
    let is_shared = key == "hyper_work_stealing";
    let is_even = is_mixed || is_shared || key == "pinloop_balanced";
    let collides = !is_even && at.is_multiple_of(2);
    let slice = |cpu_ns_max| BalanceSlice {
        requests: if collides { 2_500 } else { 5_000 },
        elapsed_ns: 250 * MS,
        cpu_ns: 200 * MS,
        cpu_ns_max,
        ..BalanceSlice::default()
    };
    let share = if collides { 200 * MS } else { 100 * MS };
    let behind = if is_shared { 2 * MS } else { 5 * MS };
    let light = [(100 * US, 800), (behind, 100)];
    let pinned = |core, connections| EventLoop { core: Some(core), connections, requests: 1 };
    BalanceSample {
        contender: key.to_string(),
        saturated: slice(share),
        paced: slice(share),
        latency: match is_mixed {
            true => Latency::of(light.into_iter().chain([(8 * MS, 100)])),
            false => Latency::of([(100 * US, 980), (200 * US, 20)]),
        },
        light: if is_mixed { Latency::of(light) } else { Latency::default() },
        loops: match (is_shared, collides) {
            (true, _) => vec![EventLoop { core: None, connections: 2, requests: 1 }],
            (false, true) => vec![pinned(0, 2)],
            (false, false) => vec![pinned(0, 1), pinned(1, 1)],
        },
    }
}
