//! The report of short requests beside long ones, from made-up results whose figures are
//! known beforehand.

use pinloop_bench::results::{
    Contender, Failure, Latency, LongSlice, Occasion, Offload, OffloadPoint, OffloadSlice, Records,
    Results, SCHEMA,
};
use pinloop_bench::studies::offload::figures as offload;

use crate::rendered;

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;

#[test]
fn figures_are_medians_of_the_slices() {
    let results = results();
    let rows = offload::rows(&results, results.studies.offload.as_ref().unwrap());
    let names: Vec<_> = rows.iter().map(|row| (row.contender.as_str(), row.work_rounds)).collect();
    let pair = |work| [("plain", work), ("plain_offload", work)];
    assert_eq!(names, [pair(100), pair(1_000), pair(10_000)].concat());
    let last = &rows[5];
    assert_eq!((last.long_cpu_ns, last.hop_ns), (1_010_000.0, Some(10_000.0)));
    assert_eq!(rows[4].hop_ns, None);
    assert_eq!(last.long_per_s, 500.0);
    for (found, made) in last.alone_ns.iter().zip([100 * US, 200 * US]) {
        assert!((1.0..1.022).contains(&(*found as f64 / made as f64)), "{found} for {made}");
    }
    // The slice in which the machine was busy with something else does not count.
    assert!(last.raised() < 2.0, "{}", last.raised());
}

#[test]
fn the_answer_is_the_least_work_from_which_all_that_is_more_gains() {
    let results = results();
    let sentences = offload::sentences(&results, results.studies.offload.as_ref().unwrap());
    assert_eq!(sentences.len(), 1);
    for part in [
        "plain_offload: the hop to another thread costs 10.00 \u{b5}s of CPU time a request",
        "from 1,000 rounds of work on (100.00 \u{b5}s)",
        "(within twice)",
        "(more than twice)",
    ] {
        assert!(sentences[0].contains(part), "{part}: {}", sentences[0]);
    }
}

#[test]
fn where_nothing_gains_that_is_said() {
    let mut results = results();
    let points = &mut results.studies.offload.as_mut().unwrap().points;
    points.retain(|point| point.work_rounds == 100);
    let sentences = offload::sentences(&results, results.studies.offload.as_ref().unwrap());
    assert!(sentences[0].contains("no size of work that was measured"), "{}", sentences[0]);
}

#[test]
fn the_page_and_the_terminal_have_it() {
    let results = results();
    let page = rendered::page(&results);
    assert!(page.contains("Offloading: GET / beside GET /data?offload"));
    for text in [page, rendered::text(&results)] {
        assert!(text.contains("broken has no figures: it fell over"), "{text}");
        assert!(text.contains("1,010.00") || text.contains("1010.00"), "{text}");
    }
}

/// Three sizes of work: offloading costs 10 us, loses with the least, and gains with the
/// others.
fn results() -> Results {
    let contender = |key: &str, base: Option<&str>| Contender {
        key: key.to_string(),
        variant: key.to_string(),
        about: String::new(),
        base: base.map(String::from),
        adds: String::new(),
        command: None,
    };
    let mut points = Vec::new();
    for (work_rounds, cpu_ns, beside) in
        [(100, 10 * US, 220 * US), (1_000, 100 * US, 400 * US), (10_000, MS, 2 * MS)]
    {
        points.push(point("plain", work_rounds, cpu_ns, beside));
        points.push(point("plain_offload", work_rounds, cpu_ns + 10 * US, 250 * US));
    }
    Results {
        schema: SCHEMA,
        contenders: vec![
            contender("plain", None),
            contender("plain_offload", Some("plain")),
            contender("broken", None),
        ],
        reference: "plain".to_string(),
        studies: Records {
            offload: Some(Offload {
                short_path: "/".to_string(),
                short_rate: 1_000.0,
                short_connections: 16,
                slice_ms: 1_000,
                points,
                failures: vec![Failure {
                    contender: "broken".to_string(),
                    reason: "it fell over".to_string(),
                }],
                occasion: Occasion {
                    path: "/data?offload".to_string(),
                    complete: true,
                    ..Default::default()
                },
            }),
            ..Records::default()
        },
        ..Results::default()
    }
}

fn point(contender: &str, work_rounds: u32, cpu_ns: u64, beside: u64) -> OffloadPoint {
    let slice = |beside| OffloadSlice {
        alone: Latency::of([(100 * US, 98), (200 * US, 2)]),
        beside: Latency::of([(100 * US, 98), (beside, 2)]),
        beside_long_requests: 500,
        long: LongSlice { requests: 10, elapsed_ns: 10 * cpu_ns, cpu_ns: 10 * cpu_ns },
    };
    let slices = vec![slice(beside), slice(50 * MS), slice(beside)];
    OffloadPoint { contender: contender.to_string(), work_rounds, slices }
}
