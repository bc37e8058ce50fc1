//! io_uring in place of epoll, in the report from made-up results with known figures.

use pinloop_bench::results::Failure;
use pinloop_bench::studies::ladder::interface::{self, Step};
use pinloop_bench::variants;

use crate::made_up::{add_server, closed, results};
use crate::rendered;

/// Made of costs that are known: io_uring saves pinloop's core 0.5 µs and the floor 0.2.
#[test]
fn the_report_says_what_io_uring_is_worth_beside_what_hyper_costs() {
    let mut results = results();
    add_server(&mut results, "floor", 5800.0);
    add_server(&mut results, "floor_on_uring", 5600.0);
    assert!(interface::of(&closed(&results)).is_none());
    assert!(!rendered::text(&results).contains("io_uring"));

    add_server(&mut results, "pinloop_on_uring", 5500.0);
    add_server(&mut results, "hyper_per_core", 7500.0);
    let figures = interface::of(&closed(&results)).unwrap();
    let near = |step: Step, made_of: f64| (step.added.value - made_of).abs() < 30.0;
    assert!(near(figures.core, -500.0), "{figures:?}");
    assert!(near(figures.floor.unwrap(), -200.0), "{figures:?}");
    assert!(!figures.is_noise(figures.core.added));
    for report in [rendered::text, rendered::markdown, rendered::page].map(|way| way(&results)) {
        let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, sentence) = report.split_once("io_uring in place of epoll makes ").unwrap();
        assert!(sentence.starts_with("−0.50 µs ["), "{sentence}");
        let (sentence, _) = sentence.split_once("in place of pinloop.").unwrap();
        assert!(sentence.contains(" for the floor for one GET, beside +1.5"), "{sentence}");
    }
}

#[test]
fn without_figures_of_the_floors_the_report_still_says_what_io_uring_is_worth() {
    let mut results = results();
    add_server(&mut results, "pinloop_on_uring", 5500.0);
    let text = rendered::text(&results);
    assert!(text.contains("io_uring in place of epoll makes"), "{text}");
    assert!(!text.contains("for the floor"), "{text}");
    // The server that the answer is about is the one on io_uring.
    assert!(!text.contains("beside"), "{text}");
}

#[test]
fn the_servers_on_either_interface_are_rungs() {
    for name in interface::ON_EPOLL.iter().chain(&interface::ON_URING) {
        assert!(variants::full_ladder().any(|variant| variant.name == *name), "{name}");
    }
}

#[test]
fn the_report_says_which_servers_this_machine_cannot_run() {
    let mut results = results();
    results.left_out.push(Failure {
        contender: "pinloop_on_uring".to_string(),
        reason: "io_uring_setup fails: Operation not permitted".to_string(),
    });
    let said = "pinloop_on_uring was left out: io_uring_setup fails: Operation not permitted.";
    for report in [rendered::text, rendered::markdown, rendered::page].map(|way| way(&results)) {
        let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(report.contains(said), "{report}");
    }
}
