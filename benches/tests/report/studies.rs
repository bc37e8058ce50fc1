//! The report of the studies of one request, from made-up results whose figures are
//! known beforehand.

use pinloop_bench::results::{
    Arrivals, Bound, Contender, EventLoop, Failure, Knee, Occasion, Phase, Point, Probe, Records,
    Results, SCHEMA, Scaling, Second, Slice, Tour,
};
use pinloop_bench::studies::arrivals::figures as arrivals;
use pinloop_bench::studies::knee::figures as knee;
use pinloop_bench::studies::scaling::figures as scaling;

use crate::rendered;

const MS: u64 = 1_000_000;
const BOUND: Bound = Bound { p99_ns: 10 * MS, reached: 0.98 };

#[test]
fn the_knee_is_the_middle_of_the_highest_rates_sustained() {
    let results = results();
    let rows = knee::rows(&results, results.studies.knee.as_ref().unwrap());
    let names: Vec<_> = rows.iter().map(|row| row.contender.as_str()).collect();
    assert_eq!(names, ["pinloop", "hyper", "broken"]);

    let pinloop = rows[0].figures.as_ref().unwrap();
    assert_eq!((pinloop.sustained.value, pinloop.searches), (20_000.0, 7));
    let bounds = pinloop.sustained.interval.unwrap();
    assert!(bounds.low >= 19_700.0 && bounds.high <= 20_300.0, "{bounds:?}");
    assert!(pinloop.ratio.is_none());
    assert_eq!(pinloop.latency_ns[1], 5.0 * MS as f64);

    let hyper = rows[1].figures.as_ref().unwrap();
    assert_eq!(hyper.sustained.value, 16_000.0);
    let ratio = hyper.ratio.unwrap();
    assert!((ratio.value - 0.8).abs() < 1e-9, "{ratio:?}");

    assert_eq!(rows[2].figures.as_ref().unwrap_err(), "it fell over");
}

#[test]
fn a_rate_is_sustained_only_within_both_bounds_and_without_errors() {
    let fine = probe("x", 1, 10_000.0, true);
    assert!(fine.meets(&BOUND));
    assert!(!Probe { p99_ns: BOUND.p99_ns + 1, ..fine.clone() }.meets(&BOUND));
    assert!(!Probe { requests: 9_700, ..fine.clone() }.meets(&BOUND));
    assert!(!Probe { errors: 1, ..fine }.meets(&BOUND));
}

#[test]
fn who_sustains_nothing_has_no_figure_but_a_reason() {
    let mut results = results();
    let probes = &mut results.studies.knee.as_mut().unwrap().probes;
    for probe in probes.iter_mut().filter(|probe| probe.contender == "hyper") {
        probe.errors = 3;
        probe.first_error = Some("the answer's status was 500".to_string());
    }
    let rows = knee::rows(&results, results.studies.knee.as_ref().unwrap());
    let reason = rows[1].figures.as_ref().unwrap_err();
    assert!(reason.contains("did not sustain even 2,500") && reason.contains("500"), "{reason}");
    assert!(!knee::sentence(&results).unwrap().contains("hyper"));
}

#[test]
fn a_generator_without_time_left_is_named() {
    let mut results = results();
    for probe in &mut results.studies.knee.as_mut().unwrap().probes {
        probe.generator_cpu_ns = probe.elapsed_ns * 99 / 100;
    }
    assert!(rendered::text(&results).contains("the generator used 99 % of its CPU"));
}

#[test]
fn of_several_generator_threads_the_busiest_is_told() {
    let mut results = results();
    let studies = &mut results.studies;
    let knee = studies.knee.as_mut().unwrap();
    knee.occasion.generator_cores = vec![1, 2];
    for probe in &mut knee.probes {
        // Both threads together have more than one CPU.
        probe.generator_cpu_ns = probe.elapsed_ns * 150 / 100;
        probe.generator_busiest_cpu_ns = probe.elapsed_ns * 97 / 100;
        probe.generator_wait_ns = probe.elapsed_ns / 2;
    }
    let text = rendered::text(&results);
    assert!(text.contains("load generator on CPUs 1,2 with 2 threads"), "{text}");
    assert!(text.contains("CPU of the generator is that of its busiest thread"), "{text}");
    assert!(text.contains("the generator used 97 % of its CPU"), "{text}");
    // Half of the time on one of two threads, or a quarter on each.
    assert!(text.contains("its generator for 25 % of the time"), "{text}");
    assert!(text.contains("4, the busiest 60 %, shared"), "{text}");
}

#[test]
fn neighbours_that_took_a_cpu_are_named() {
    let mut results = results();
    assert!(!rendered::text(&results).contains("Other processes"));
    for probe in &mut results.studies.knee.as_mut().unwrap().probes {
        probe.generator_wait_ns = probe.elapsed_ns / 4;
    }
    assert!(rendered::text(&results).contains("its generator for 25 % of the time"));
    for second in &mut results.studies.arrivals.as_mut().unwrap().tours[0].seconds {
        second.server_wait_ns = Some(400 * MS);
    }
    assert!(rendered::text(&results).contains("its generator for 40 % of the time"));
}

#[test]
fn arrivals_are_summed_up_by_their_end() {
    let results = results();
    let rows = arrivals::rows(&results, results.studies.arrivals.as_ref().unwrap());
    let (tour, figures) = &rows[0];
    let figures = figures.as_ref().unwrap();
    assert_eq!((tour.contender.as_str(), figures.clients), ("pinloop", 100));
    assert_eq!(figures.requests, (1..=20).map(|at| at * 1_000).sum::<u64>());
    // The median of the last five seconds is the 18th of twenty.
    assert_eq!(figures.requests_per_s, 18_000.0);
    assert_eq!((figures.p50_ns, figures.p99_ns), (18 * MS, 36 * MS));
    assert_eq!(figures.server_busy, Some(0.5));
    assert_eq!(arrivals::errors_text(figures), "closed early 2, timeout 1");
    assert_eq!(rows[1].1.as_ref().unwrap_err(), "nothing was measured: refused");
}

#[test]
fn generators_on_another_machine_share_no_core_whatever_their_numbers() {
    let mut results = results();
    let studied = |results: &Results| {
        let scaling = results.studies.scaling.as_ref().unwrap();
        scaling.points.iter().any(|point| point.shares_a_core(&scaling.occasion))
    };
    let points = &mut results.studies.scaling.as_mut().unwrap().points;
    points.iter_mut().for_each(|point| point.generator_cores = point.server_cores.clone());
    assert!(studied(&results));
    results.studies.scaling.as_mut().unwrap().occasion.machines_differ = true;
    assert!(!studied(&results));
}

#[test]
fn scaling_finds_the_law_that_the_counts_were_made_of() {
    let results = results();
    let rows = scaling::rows(&results, results.studies.scaling.as_ref().unwrap());
    let figures = rows[0].figures.as_ref().unwrap();
    assert!((figures.law.rate / 50_000.0 - 1.0).abs() < 0.01, "{:?}", figures.law);
    assert!((figures.law.contention - 0.05).abs() < 0.01, "{:?}", figures.law);
    let [contention, coherence] = figures.intervals.unwrap();
    assert!(contention.low <= 0.05 && 0.05 <= contention.high, "{contention:?}");
    assert!(coherence.low <= 0.002 && 0.002 <= coherence.high, "{coherence:?}");
    let plan = figures.plan.unwrap();
    let true_rate = law(64.0);
    assert!((plan.value / true_rate - 1.0).abs() < 0.2, "{plan:?} for {true_rate}");
    // Three quarters of the requests on one of two event loops.
    assert_eq!(figures.sizes[1].imbalance, Some([1.25, 1.5]));
    assert!(!figures.sizes[2].is_shared && figures.sizes[3].is_shared);
}

#[test]
fn more_than_in_proportion_is_said_where_the_law_has_no_room_for_it() {
    let mut results = results();
    assert!(!rendered::text(&results).contains("more than in proportion"));
    let points = &mut results.studies.scaling.as_mut().unwrap().points;
    for slice in &mut points[3].slices {
        (slice.cpu_ns, slice.cpu_ns_max) = (slice.cpu_ns / 4, slice.cpu_ns_max / 4);
    }
    assert!(rendered::text(&results).contains("more than in proportion"));
}

/// The rate that was seen has the generator in it; the capacity has not.
#[test]
fn a_slow_generator_is_not_in_the_capacity() {
    let calm = results();
    let mut slow = calm.clone();
    for point in &mut slow.studies.scaling.as_mut().unwrap().points {
        point.slices.iter_mut().for_each(|slice| slice.elapsed_ns *= 10);
    }
    let law = |results: &Results| {
        scaling::rows(results, results.studies.scaling.as_ref().unwrap())[0]
            .figures
            .as_ref()
            .unwrap()
            .law
    };
    assert_eq!(law(&calm), law(&slow));
}

/// The kernel does not tell of a loop without connections.
#[test]
fn a_loop_that_got_no_connection_counts_in_the_imbalance() {
    let mut results = results();
    let point = &mut results.studies.scaling.as_mut().unwrap().points[1];
    point.loops.truncate(1);
    let rows = scaling::rows(&results, results.studies.scaling.as_ref().unwrap());
    assert_eq!(rows[0].figures.as_ref().unwrap().sizes[1].imbalance, Some([2.0, 2.0]));
}

/// Eight threads that share two cores do no more than two threads with the same CPU time.
#[test]
fn threads_beyond_the_cores_add_no_capacity() {
    let few = results();
    let mut many = few.clone();
    for point in &mut many.studies.scaling.as_mut().unwrap().points {
        point.slices.iter_mut().for_each(|slice| slice.cpu_ns_max /= 4);
    }
    let capacity = |results: &Results| {
        let rows = scaling::rows(results, results.studies.scaling.as_ref().unwrap());
        let sizes = &rows[0].figures.as_ref().unwrap().sizes;
        sizes.iter().map(|size| size.capacity.value).collect::<Vec<_>>()
    };
    assert_eq!(capacity(&few), capacity(&many));
}

#[test]
fn with_two_cores_it_says_what_the_missing_generator_core_means() {
    let mut results = results();
    let points = &mut results.studies.scaling.as_mut().unwrap().points;
    points.truncate(2);
    points[1].generator_cores = vec![1, 0];
    let text = rendered::text(&results);
    assert!(text.contains("the load generator has no CPU of its own"), "{text}");
    assert!(text.contains("κ not known") && text.contains("an upper bound"), "{text}");
    assert!(text.contains("6,000, 11,000 and 20,000 requests per second"), "{text}");
}

#[test]
fn all_is_on_the_page_and_the_page_needs_nothing_from_elsewhere() {
    let page = rendered::page(&results());
    for part in
        ["Arriving clients", "The knee", "Scaling", "it fell over", "universal scalability law"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<svg ").count(), 2 * 3);
    assert!(!page.contains("src=") && !page.contains("<script") && !page.contains("href=\"http"));
}

#[test]
fn markdown_says_each_study_in_a_sentence_and_shows_its_tables() {
    let text = rendered::markdown(&results());
    assert!(text.contains("pinloop sustains 20,000 ["), "{text}");
    assert!(text.contains("pinloop answers 18,000 requests per second to 100 clients"), "{text}");
    assert!(text.contains("times that on 4 CPUs"), "{text}");
    assert_eq!(text.matches("| --- |").count(), 3, "{text}");
}

#[test]
fn results_of_an_interrupted_study_make_a_report_that_says_so() {
    let mut results = results();
    let knee = results.studies.knee.as_mut().unwrap();
    knee.occasion.complete = false;
    knee.probes.retain(|probe| probe.search == 0);
    results.studies.arrivals.as_mut().unwrap().tours.clear();
    results.studies.scaling.as_mut().unwrap().points.clear();
    let text = rendered::text(&results);
    assert!(text.contains("This study was interrupted"), "{text}");
    assert!(text.contains("hyper has no figures: its knee was not looked for"), "{text}");
    assert!(rendered::page(&results).contains("was interrupted"));
}

pub(super) fn results() -> Results {
    let contender = |key: &str| Contender {
        key: key.to_string(),
        variant: key.to_string(),
        about: key.to_string(),
        base: None,
        adds: String::new(),
        command: None,
    };
    Results {
        schema: SCHEMA,
        complete: true,
        optimized: true,
        contenders: ["pinloop", "hyper", "broken"].map(contender).to_vec(),
        reference: "pinloop".to_string(),
        studies: Records {
            arrivals: Some(arriving()),
            knee: Some(knees()),
            scaling: Some(scalings()),
            ..Records::default()
        },
        ..Results::default()
    }
}

fn occasion() -> Occasion {
    Occasion {
        complete: true,
        server_cores: vec![0],
        generator_cores: vec![1],
        path: "/data".to_string(),
        ..Occasion::default()
    }
}

fn arriving() -> Arrivals {
    let second = |at: u64| Second {
        at_s: at as f64,
        lasts_s: 1.0,
        clients: at as usize * 5,
        requests: at * 1_000,
        p50_ns: at * MS,
        p99_ns: at * 2 * MS,
        errors: match at {
            3 | 9 => [("closed_early".to_string(), 1)].into(),
            4 => [("timeout".to_string(), 1)].into(),
            _ => Default::default(),
        },
        server_cpu_ns: Some(500 * MS),
        server_wait_ns: Some(MS),
        generator_cpu_ns: 300 * MS,
        generator_busiest_cpu_ns: 0,
        generator_wait_ns: 0,
    };
    let refused = Failure {
        contender: "hyper".to_string(),
        reason: "nothing was measured: refused".to_string(),
    };
    Arrivals {
        occasion: occasion(),
        phases: vec![Phase { clients_per_s: 5.0, lasts_s: 20.0 }],
        clients_max: 500,
        tours: vec![
            Tour {
                contender: "pinloop".to_string(),
                seconds: (1..=20).map(second).collect(),
                ..Tour::default()
            },
            Tour::failed(&refused),
        ],
    }
}

/// Each bisection finds a knee a little apart from 20,000 and 16,000.
fn knees() -> Knee {
    let mut probes = Vec::new();
    for (contender, middle) in [("pinloop", 20_000.0), ("hyper", 16_000.0)] {
        probes.push(probe(contender, 0, 2_500.0, true));
        // A step may meet the bound by chance; it belongs to no bisection.
        probes.push(probe(contender, 0, middle * 1.5, true));
        for (search, off) in [0.985, 1.0, 1.015, 0.99, 1.01, 1.005, 0.995].into_iter().enumerate() {
            probes.push(probe(contender, search + 1, middle * off, true));
            probes.push(probe(contender, search + 1, middle * off * 0.95, true));
            probes.push(probe(contender, search + 1, middle * off * 1.02, false));
        }
    }
    Knee {
        occasion: occasion(),
        bound: BOUND,
        connections: 64,
        probe_ms: 1000,
        probes,
        failures: vec![Failure {
            contender: "broken".to_string(),
            reason: "it fell over".to_string(),
        }],
    }
}

fn probe(contender: &str, search: usize, rate: f64, meets: bool) -> Probe {
    Probe {
        contender: contender.to_string(),
        search,
        rate,
        requests: rate as u64,
        elapsed_ns: 1_000 * MS,
        p50_ns: MS,
        p99_ns: if meets { 5 * MS } else { 50 * MS },
        p99_9_ns: 60 * MS,
        server_cpu_ns: 900 * MS,
        generator_cpu_ns: 500 * MS,
        ..Probe::default()
    }
}

/// λ 50,000, σ 0.05, κ 0.002.
fn law(cores: f64) -> f64 {
    50_000.0 * cores / (1.0 + 0.05 * (cores - 1.0) + 0.002 * cores * (cores - 1.0))
}

fn scalings() -> Scaling {
    // Some blocks are slow on all numbers of cores alike, and each has noise of its own.
    let slice = |cores: usize, block: usize| {
        let noise = 1.0 + 0.004 * ((block * 7 + cores * 3) % 5) as f64 - 0.008;
        let bump = if block % 6 == 5 { 0.8 } else { 1.0 };
        let cpu_ns_max = 100 * MS;
        Slice {
            requests: (law(cores as f64) * noise * bump * 0.1) as u64,
            elapsed_ns: 200 * MS,
            cpu_ns: cpu_ns_max * cores as u64,
            cpu_ns_max,
            generator_cpu_ns: 150 * MS,
            generator_busiest_cpu_ns: 120 * MS,
            steal_ticks: 0,
        }
    };
    let point = |cores: usize| Point {
        contender: "pinloop".to_string(),
        server_cores: (0..cores).collect(),
        generator_cores: if cores < 4 { vec![3] } else { vec![3, 2, 1, 0] },
        slices: (0..20).map(|block| slice(cores, block)).collect(),
        loops: match cores {
            2 => vec![
                EventLoop { core: Some(0), connections: 30, requests: 250 },
                EventLoop { core: Some(1), connections: 50, requests: 750 },
            ],
            _ => Vec::new(),
        },
    };
    Scaling {
        occasion: Occasion { server_cores: vec![0, 1, 2, 3], ..occasion() },
        connections_per_core: 32,
        slice_ms: 200,
        plan_cores: Some(64),
        points: (1..=4).map(point).collect(),
        failures: Vec::new(),
    }
}
