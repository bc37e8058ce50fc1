//! Figures at the knee: of the highest rate of each bisection, and of no other look.

use pinloop_bench::results::Probe;
use pinloop_bench::studies::knee::figures as knee;

use crate::studies::results;

const MS: u64 = 1_000_000;

#[test]
fn figures_at_the_knee_are_not_those_of_lower_rates_or_of_steps() {
    let mut results = results();
    let study = results.studies.knee.as_mut().unwrap();
    let bound = study.bound;
    let highest = |probe: &Probe, probes: &[Probe]| {
        let same =
            probes.iter().filter(|of| of.contender == probe.contender && of.search == probe.search);
        same.filter(|of| of.meets(&bound)).all(|of| of.rate <= probe.rate)
    };
    let before = study.probes.clone();
    for probe in &mut study.probes {
        if probe.search == 0 || !probe.meets(&bound) || !highest(probe, &before) {
            // These looks say nothing of the knee.
            (probe.server_cpu_ns, probe.generator_cpu_ns) = (100 * MS, 100 * MS);
            (probe.p50_ns, probe.p99_9_ns) = (9 * MS, 900 * MS);
        }
    }
    let rows = knee::rows(&results, results.studies.knee.as_ref().unwrap());
    let figures = rows[0].figures.as_ref().unwrap();
    assert_eq!((figures.server_busy, figures.generator_cpus), (0.9, 0.5));
    assert_eq!(figures.latency_ns, [1e6, 5e6, 60e6]);
}

#[test]
fn looks_with_errors_are_in_no_figure_at_the_knee() {
    let mut results = results();
    let study = results.studies.knee.as_mut().unwrap();
    // The highest rates of all bisections but one failed in one request.
    for probe in study.probes.iter_mut().filter(|of| of.search > 1 && of.contender == "pinloop") {
        probe.errors = 1;
    }
    let rows = knee::rows(&results, results.studies.knee.as_ref().unwrap());
    let figures = rows[0].figures.as_ref().unwrap();
    assert_eq!((figures.sustained.value, figures.searches), (19_700.0, 1));
    assert_eq!(figures.sustained.interval, None);
}
