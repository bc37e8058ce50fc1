//! Plans from results and for wishes at the edge of sense.

use pinloop_bench::plan::fleet::Wanted;
use pinloop_bench::plan::inputs::{InputError, Inputs};
use pinloop_bench::plan::section::section;
use pinloop_bench::report::markdown;
use pinloop_bench::report::section::Report;
use pinloop_bench::results::Results;

use crate::studies::results;

const WANTED: Wanted = Wanted {
    cores: 4,
    connections: 10_000,
    requests_per_connection: 100.0,
    spare: 0.1,
    bound_s: 0.01,
};

fn text(results: &Results, wanted: &Wanted) -> String {
    let inputs = Inputs::of(results, "pinloop").unwrap();
    let report = Report { sections: vec![section(&inputs, wanted, &[10])], ..Report::default() };
    markdown::render(&report)
}

#[test]
fn figures_that_are_not_above_0_make_no_plan() {
    let refused = |change: &dyn Fn(&mut Results)| {
        let mut results = results();
        change(&mut results);
        match Inputs::of(&results, "pinloop").unwrap_err() {
            InputError::Nonsense(figure, _) => figure,
            other => panic!("{other}"),
        }
    };
    let probes = |results: &mut Results, change: fn(&mut pinloop_bench::results::Probe)| {
        results.studies.knee.as_mut().unwrap().probes.iter_mut().for_each(change);
    };
    let busy = "utilization at the knee";
    assert_eq!(refused(&|of| probes(of, |probe| probe.server_cpu_ns = 0)), busy);
    assert_eq!(refused(&|of| probes(of, |probe| probe.rate *= -1.0)), "rate at the knee");
}

#[test]
fn parts_of_the_law_that_were_not_measured_are_not_0_but_not_known() {
    let mut results = results();
    let all = text(&results, &WANTED);
    assert!(!all.contains("not known"), "{all}");
    let coherence = all.split_once("| coherence | κ | ").unwrap().1;
    assert!(!coherence.starts_with("0.0000"), "small, and much on many cores: {all}");
    results.studies.scaling.as_mut().unwrap().points.truncate(2);
    let two = text(&results, &WANTED);
    assert!(two.contains("| coherence | κ | not known, taken as 0 |"), "{two}");
    assert!(two.contains("known from 2 numbers of cores only"), "{two}");
    results.studies.scaling.as_mut().unwrap().points.truncate(1);
    let one = text(&results, &WANTED);
    assert!(one.contains("| contention | σ | not known, taken as 0 |"), "{one}");
    assert!(one.contains("known from one number of cores only"), "{one}");
}

#[test]
fn more_cores_than_the_law_has_use_for_are_named() {
    // The peak of its law is at about 22 cores, and four numbers of cores tell it roughly.
    let said = |cores| text(&results(), &Wanted { cores, ..WANTED });
    assert!(!said(8).contains("do less than"), "{}", said(8));
    assert!(said(128).contains("128 CPUs do less than fewer"), "{}", said(128));
}

#[test]
fn a_bound_below_the_time_of_one_request_is_named() {
    let text = text(&results(), &Wanted { bound_s: 1e-6, ..WANTED });
    // 90 % of a core for 20,000 requests a second.
    assert!(text.contains("within 1.00 µs: one request alone takes 45.00 µs"), "{text}");
    assert!(text.contains("serve 0 requests"), "{text}");
}

#[test]
fn few_connections_that_keep_cores_idle_are_named() {
    let few = text(&results(), &Wanted { cores: 2, connections: 4, ..WANTED });
    // 11 of 16 of the connections, as few balls in two bins.
    assert!(few.contains("the busiest core has 1.38 times the mean"), "{few}");
    assert!(!text(&results(), &WANTED).contains("the busiest core has"));
}

#[test]
fn a_knee_that_was_the_generators_is_named() {
    let mut results = results();
    assert!(!text(&results, &WANTED).contains("may have failed on the generator"));
    for probe in &mut results.studies.knee.as_mut().unwrap().probes {
        probe.generator_cpu_ns = 970_000_000;
    }
    let text = text(&results, &WANTED);
    assert!(text.contains("the load generator used 97 % of its CPU"), "{text}");
}
