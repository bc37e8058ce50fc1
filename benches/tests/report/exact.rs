//! The sections on exact counts, memory and work, from results of a real run: its
//! counts, its memory, and the first blocks of its work, all of a busy machine.

use std::path::Path;

use pinloop_bench::results::{Records, Results, Workload};
use pinloop_bench::studies::count::{figures as counts, split};
use pinloop_bench::studies::memory::figures as memory;
use pinloop_bench::studies::work::figures as work;

use crate::rendered;

#[test]
fn every_rung_has_its_counts_and_more_of_them_than_the_floor() {
    let results = results();
    let workload = workload(&results, "one");
    let rows = counts::rows(workload);
    let keys: Vec<&str> = results.contenders.iter().map(|c| c.variant.as_str()).collect();
    assert!(rows.iter().all(|row| keys.contains(&row.contender.as_str())));
    assert_eq!(rows.len(), 8);
    let of = |key: &str| rows.iter().find(|row| row.contender == key).unwrap();
    let instructions = |key: &str| of(key).instructions.unwrap();
    assert!(instructions("floor") < instructions("pinloop"));
    assert!(instructions("pinloop") < instructions("hyper_per_core"));
    assert!(instructions("hyper_per_core") < instructions("axum"));
    assert!(of("pinloop").allocations.unwrap().abs() < 0.01);
    assert_eq!(of("hyper_per_core").allocations.unwrap().round(), 4.0);
    for row in &rows {
        assert_eq!(row.bytes_sent, Some(116.0), "{}", row.contender);
    }
}

#[test]
fn the_parts_of_pinloops_work_are_all_of_it() {
    let results = results();
    let workload = workload(&results, "one");
    let shares = split::of(workload, "pinloop");
    let all: f64 = shares.iter().map(|share| share.instructions).sum();
    let counted = counts::instructions(&results, "closed", "pinloop").unwrap();
    assert!((all / counted - 1.0).abs() < 0.01, "{all} of {counted}");
    let of = |name: &str| shares.iter().find(|share| share.name == name).unwrap().instructions;
    assert!(of("field lines (httparse)") > 500.0);
    for name in [
        "request line, target, and host",
        "framing checks",
        "routing and service",
        "response head",
        "copying",
    ] {
        assert!(of(name) > 10.0, "{name}");
    }
    let rest = shares.iter().find(|share| share.name == "all else");
    assert!(rest.is_none_or(|rest| rest.instructions < 0.05 * all), "{rest:?}");
}

#[test]
fn an_idle_connection_of_pinloop_takes_less_than_one_of_hyper() {
    let results = results();
    let rows = memory::rows(results.studies.memory.as_ref().unwrap());
    let of = |key: &str| rows.iter().find(|row| row.contender == key).unwrap();
    assert!(of("pinloop").rss_each < 1_000.0);
    assert!(of("hyper_per_core").rss_each > 5_000.0);
    assert!(rows.iter().all(|row| row.kernel_each.is_some_and(|each| each > 5_000.0)));
}

#[test]
fn the_break_even_is_between_the_works_that_were_measured() {
    let results = results();
    let curve = work::curve(results.studies.work.as_ref().unwrap()).unwrap();
    let [five, one] = curve.break_even_ns;
    assert!(five.value < one.value);
    let most = curve.points.last().unwrap().work_ns;
    assert!(0.0 < five.value && one.value < most, "{five:?} {one:?} {most}");
    // The blocks of this file are of one start, which is too few for an interval.
    assert!(five.interval.is_none() && one.interval.is_none());
}

#[test]
fn page_and_terminal_show_all_three() {
    let results = results();
    let page = rendered::page(&results);
    let terminal = rendered::text(&results);
    for words in ["Counted exactly", "Memory of an idle connection", "When requests take work"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("instructions of pinloop by part"));
    for words in ["instructions", "RSS per connection", "under 5 % "] {
        assert!(terminal.contains(words), "{words}: {terminal}");
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn nothing_is_shown_of_what_was_not_measured() {
    let bare = Results { studies: Records::default(), ..results() };
    let page = rendered::page(&bare);
    for words in ["Counted exactly", "Memory of an idle connection", "When requests take work"] {
        assert!(!page.contains(words), "{words}");
    }
}

#[test]
fn a_missing_tool_and_a_failure_are_told_on_the_page() {
    let mut results = results();
    let counts = results.studies.count.as_mut().unwrap();
    counts.unavailable.push(pinloop_bench::results::Unavailable {
        counts: "system calls".to_string(),
        reason: "there is no strace; install it".to_string(),
    });
    for workload in &mut counts.workloads {
        for tally in &mut workload.tallies {
            tally.syscalls = None;
        }
    }
    let page = rendered::page(&results);
    assert!(page.contains("No system calls: there is no strace; install it."));
    assert!(rendered::text(&results).contains("No system calls: there is no strace"));
}

fn workload<'a>(results: &'a Results, key: &str) -> &'a Workload {
    let counts = results.studies.count.as_ref().unwrap();
    counts.workloads.iter().find(|workload| workload.key == key).unwrap()
}

fn results() -> Results {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/exact.json");
    Results::read(&file).unwrap()
}
