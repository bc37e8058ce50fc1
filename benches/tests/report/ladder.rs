//! The report from made-up results with known figures.

use pinloop_bench::report::section::Options;
use pinloop_bench::report::terminal;
use pinloop_bench::results::{
    Difference, Failure, Gate, HardwareCounts, HardwareEvents, OutsideAnswers, Regime, Results,
    Sample, Square, Subject,
};
use pinloop_bench::stats::{Estimate, Verdict};
use pinloop_bench::studies;
use pinloop_bench::studies::ladder::assertion::Assertion;
use pinloop_bench::studies::ladder::figures;
use pinloop_bench::studies::ladder::figures::{RegimeFigures, Row};
use pinloop_bench::studies::ladder::{comparison, square};

use crate::made_up::{closed, results};
use crate::rendered;

#[test]
fn figures_are_those_that_the_samples_were_made_of() {
    let regime = closed(&results());
    assert_eq!(regime.starts, 20);

    let pinloop = row(&regime, "pinloop").figures.as_ref().unwrap();
    assert!((pinloop.cpu_ns / 6000.0 - 1.0).abs() < 0.1, "{}", pinloop.cpu_ns);
    assert_eq!(pinloop.user_share, Some(0.25));
    assert_eq!(pinloop.ratio, None);
    assert_eq!(pinloop.requests_per_s, 10_000.0);
    let near =
        |latency: Option<Estimate>, ns: f64| (ns..ns * 1.022).contains(&latency.unwrap().value);
    assert!(near(pinloop.p50_ns, 700_000.0), "{:?}", pinloop.p50_ns);
    assert!(near(pinloop.p99_ns, 1_100_000.0), "{:?}", pinloop.p99_ns);

    let hyper = row(&regime, "hyper").figures.as_ref().unwrap();
    let ratio = hyper.ratio.unwrap();
    assert!((ratio.value - 1.25).abs() < 0.01, "{ratio:?}");
    assert_eq!(hyper.verdict, Verdict::More);
}

#[test]
fn hardware_counts_are_in_the_report_as_far_as_there_are_some() {
    let mut counted = results();
    let heading = "instructions in user space";
    for render in [rendered::text, rendered::markdown, rendered::page] {
        assert!(!render(&counted).contains(heading));
    }
    for (at, block) in counted.regimes[0].blocks.iter_mut().enumerate() {
        for sample in block.samples.iter_mut().filter(|of| of.contender != "hyper") {
            let instructions = 2_000_000 + 10_000 * (at as u64 % 3);
            let user = Some(HardwareEvents { cycles: 1_500_000, instructions });
            sample.hardware = Some(HardwareCounts { requests: 1000, user, kernel: None });
        }
    }
    for render in [rendered::text, rendered::markdown, rendered::page] {
        let report = render(&counted);
        assert!(report.contains(heading), "{report}");
        assert!(report.contains("2,009"), "{report}");
        assert!(report.contains("1,500"), "{report}");
    }
}

/// The result of the work is always the same, so the answer cannot show it.
#[test]
fn a_server_from_outside_that_skips_the_work_has_no_figures_with_it() {
    for (added_ns, skips) in [(0, true), (500, true), (4000, false), (9000, false)] {
        let mut results = results();
        results.contenders[2].command = Some("./hyper {port}".to_string());
        let mut data = Regime { key: "data".to_string(), ..results.regimes[0].clone() };
        for sample in data.blocks.iter_mut().flat_map(|block| &mut block.samples) {
            let added_ns = if sample.contender == "hyper" { added_ns } else { 7000 };
            sample.cpu_ns += 1000 * added_ns;
        }
        results.regimes.push(data);
        let figures = figures::of(&results);
        assert!(row(&figures[0], "hyper").figures.is_ok());
        let reason = row(&figures[1], "hyper").figures.as_ref().err();
        assert_eq!(reason.is_some(), skips, "{added_ns}");
        assert!(reason.is_none_or(|of| of.starts_with("it skips the work")), "{reason:?}");
        // The servers of this repository do it, and are not suspected.
        results.contenders[2].command = None;
        assert!(row(&figures::of(&results)[1], "hyper").figures.is_ok());
    }
}

/// Whatever slows a whole block, and be it a hundredfold, is in no ratio.
#[test]
fn ratios_are_taken_within_starts() {
    let calm = closed(&results());
    let mut stormy = results();
    for (at, block) in stormy.regimes[0].blocks.iter_mut().enumerate() {
        for sample in &mut block.samples {
            sample.cpu_ns *= 1 + (at as u64 % 7) * 15;
        }
    }
    let stormy = closed(&stormy);
    for (calm, stormy) in calm.rows.iter().zip(&stormy.rows) {
        let ratio = |row: &Row| row.figures.as_ref().unwrap().ratio.map(|ratio| ratio.value);
        let (calm, stormy) = (ratio(calm).unwrap_or(1.0), ratio(stormy).unwrap_or(1.0));
        assert!((calm / stormy - 1.0).abs() < 1e-9, "{calm} {stormy}");
    }
}

#[test]
fn the_same_server_twice_is_equal() {
    let regime = closed(&results());
    let again = row(&regime, "pinloop_again");
    assert!(again.again);
    assert_eq!(again.figures.as_ref().unwrap().verdict, Verdict::Equal);
    assert!(regime.a_to_a.is_some());
}

#[test]
fn a_difference_that_the_a_a_pair_shows_as_well_is_none() {
    let mut results = results();
    // Now pinloop differs from itself as hyper does from pinloop.
    scale(&mut results, "pinloop_again", 1.25);
    let regime = closed(&results);
    assert_eq!(row(&regime, "hyper").figures.as_ref().unwrap().verdict, Verdict::NotApart);
    assert!(rendered::text(&results).contains("not told apart at ±"));
}

#[test]
fn without_an_a_a_pair_nothing_is_sure() {
    let mut results = results();
    results.contenders.retain(|contender| contender.key != "pinloop_again");
    let regime = closed(&results);
    assert_eq!(regime.same_band, None);
    assert_eq!(row(&regime, "hyper").figures.as_ref().unwrap().verdict, Verdict::Unknown);
    assert!(rendered::text(&results).contains("none of them is sure"));
}

#[test]
fn a_rate_that_was_not_reached_is_no_figure() {
    let mut results = results();
    results.regimes[0].rate_per_s = Some(10_500.0);
    for block in &mut results.regimes[0].blocks {
        let of_hyper = block.samples.iter_mut().filter(|sample| sample.contender == "hyper");
        of_hyper.for_each(|sample| sample.generator.unsent = 50);
    }
    let report = rendered::text(&results);
    assert!(report.contains("hyper has no figures: it reached 95 % of the rate only"), "{report}");
    assert!(report.contains("at 10,500 requests a second"), "{report}");
}

#[test]
fn disturbed_slices_are_counted_and_move_no_figure_far() {
    let mut results = results();
    for block in &mut results.regimes[0].blocks[..3] {
        for sample in block.samples.iter_mut().filter(|sample| sample.contender == "hyper") {
            sample.cpu_ns *= 3;
            sample.wait_ns = 20_000_000;
        }
    }
    let regime = closed(&results);
    let hyper = row(&regime, "hyper").figures.as_ref().unwrap();
    assert_eq!(hyper.disturbed, 0.15);
    let interval = hyper.ratio.unwrap().interval.unwrap();
    assert!(interval.high < 1.27, "{interval:?}");
    assert!(rendered::text(&results).contains("15 % of the slices were disturbed"));
}

#[test]
fn a_server_that_was_mostly_disturbed_gets_no_headline() {
    let mut results = results();
    for block in &mut results.regimes[0].blocks[..11] {
        block.samples.iter_mut().for_each(|sample| sample.wait_ns = sample.elapsed_ns / 2);
    }
    let text = rendered::text(&results);
    assert!(text.starts_with("No headline: pinloop ran undisturbed in only 45 %"), "{text}");
    assert!(text.contains("hyper") && text.contains("55 %"), "{text}");
}

#[test]
fn a_server_that_sleeps_is_told_from_one_that_is_starved() {
    let stalled = |change: &dyn Fn(&mut Sample)| {
        let mut results = results();
        results.regimes[0].blocks.iter_mut().flat_map(|it| &mut it.samples).for_each(change);
        rendered::text(&results)
    };
    let asleep = stalled(&|sample| sample.voluntary_switches = sample.requests);
    assert!(asleep.contains("hyper sleeps or waits although requests are due"), "{asleep}");
    assert!(asleep.contains("1.00 times a request"), "{asleep}");
    let starved = stalled(&|sample| sample.generator.cpu_ns = sample.elapsed_ns);
    assert!(starved.contains("the load generator was at its limit"), "{starved}");
    let two_threads = stalled(&|sample| {
        sample.generator.cpu_ns = sample.elapsed_ns;
        sample.generator.busiest_cpu_ns = sample.elapsed_ns / 2;
    });
    assert!(!two_threads.contains("the load generator was at its limit"), "{two_threads}");
    let kept_off = stalled(&|sample| sample.wait_ns = sample.elapsed_ns / 5);
    assert!(kept_off.contains("something else ran on their CPU"), "{kept_off}");
}

#[test]
fn who_failed_is_named_with_the_reason_and_has_no_figure() {
    let mut results = results();
    let failure = Failure { contender: "hyper".to_string(), reason: "ended by itself".to_string() };
    results.regimes[0].failures.push(failure);
    let report = rendered::text(&results);
    assert!(report.contains("hyper has no figures: ended by itself"), "{report}");
    assert!(!report.lines().any(|line| line.starts_with("hyper ") && line.contains("µs")));
}

#[test]
fn a_failed_reference_leaves_no_ratios() {
    let mut results = results();
    for block in &mut results.regimes[0].blocks {
        block.samples.retain(|sample| sample.contender != "pinloop");
    }
    let regime = closed(&results);
    assert_eq!(row(&regime, "hyper").figures.as_ref().unwrap().ratio, None);
    rendered::text(&results);
}

#[test]
fn results_without_a_block_make_a_report_too() {
    let mut results = results();
    results.regimes[0].blocks.clear();
    results.complete = false;
    assert!(rendered::text(&results).contains("interrupted"));
    results.regimes.clear();
    rendered::text(&results);
    rendered::text(&Results::default());
}

#[test]
fn differing_answers_are_shown_both() {
    let mut results = results();
    results.gate = Some(Gate {
        reference: "pinloop".to_string(),
        exchanges: vec!["GET /".to_string()],
        differences: vec![Difference {
            contender: "hyper".to_string(),
            exchange: "GET /".to_string(),
            subject: Subject::Service,
            under_load: false,
            expected: "HTTP/1.1 200 OK".to_string(),
            found: "HTTP/1.1 500 Oh".to_string(),
        }],
        outside: vec![OutsideAnswers { contender: "mine".to_string(), same: 20, different: 3 }],
    });
    let report = rendered::text(&results);
    assert!(report.contains("200 OK") && report.contains("500 Oh"), "{report}");
    let sentence = "mine, from outside: same status and body: 20; different: 3.";
    assert!(report.contains(sentence), "{report}");
}

#[test]
fn results_survive_a_file_and_other_schemas_are_refused() {
    let directory = std::env::temp_dir().join(format!("pinloop-results-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join("results.json");
    results().write(&file).unwrap();
    let read = Results::read(&file).unwrap();
    assert_eq!(rendered::text(&read), rendered::text(&results()));

    std::fs::write(&file, r#"{"schema": 999, "unknown": []}"#).unwrap();
    let error = Results::read(&file).unwrap_err().to_string();
    assert!(error.contains("schema 999"), "{error}");
    std::fs::write(&file, "{}").unwrap();
    assert!(Results::read(&file).is_err());
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_page_says_the_answer_and_needs_nothing_from_elsewhere() {
    let page = rendered::page(&results());
    let sentence = "hyper adds +1.50 µs [";
    assert!(page.contains(sentence), "{page}");
    assert!(page.contains("equal within 2 %"));
    for foreign in ["<script", "src=", "href=\"http", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert_eq!(page.matches("<svg role=").count(), 4, "two pictures in two sizes");
}

#[test]
fn a_run_whose_servers_all_failed_says_so_and_what_there_is() {
    let mut results = results();
    results.starts.resize_with(20, Default::default);
    let lost = |key: &str| Failure {
        contender: key.to_string(),
        reason: "the agent on ssh far ended".to_string(),
    };
    results.regimes[0].failures = ["pinloop", "pinloop_again"].map(lost).into();
    let warning = "all servers failed in start 21, the last one with: the agent on ssh far ended";
    assert!(!rendered::text(&results).contains(warning));
    results.regimes[0].failures.push(lost("hyper"));
    let report = rendered::text(&results);
    assert!(report.contains(warning) && report.contains("The 20 starts before"), "{report}");
}

#[test]
fn words_from_outside_are_text_on_the_page() {
    let mut results = results();
    results.contenders[2].key = "<b>&".to_string();
    for block in &mut results.regimes[0].blocks {
        let of_hyper = block.samples.iter_mut().filter(|sample| sample.contender == "hyper");
        of_hyper.for_each(|sample| sample.contender = "<b>&".to_string());
    }
    let failure = Failure { contender: "pinloop".to_string(), reason: "<i>".to_string() };
    results.regimes[0].failures.push(failure);
    let page = rendered::page(&results);
    assert!(!page.contains("<b>") && !page.contains("<i>"));
}

#[test]
fn results_without_figures_make_a_page_and_markdown_too() {
    let mut results = results();
    results.regimes[0].blocks.clear();
    assert!(rendered::page(&results).contains("Nothing was measured that could be compared"));
    assert!(rendered::markdown(&results).contains("Nothing was measured"));
    assert!(rendered::page(&Results::default()).contains("The servers"));
}

#[test]
fn markdown_has_a_table_for_each_regime() {
    let text = rendered::markdown(&results());
    assert!(text.starts_with("**hyper adds +1.5"), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("| hyper | 7.") && line.contains(" µs | +1.5")),
        "{text}"
    );
}

#[test]
fn a_claim_holds_if_the_whole_interval_does() {
    let results = results();
    let check = |claim: &str| claim.parse::<Assertion>().unwrap().check(&results);
    let holds = check("pinloop.cpu_ns < 0.9 * hyper.cpu_ns");
    assert!(holds.holds, "{}", holds.sentence);
    assert!(check("hyper.cpu_ns > 1.2 * pinloop.cpu_ns").holds);
    assert!(check("closed: hyper.p99_ns < 2e6").holds);
    assert!(check("hyper.requests_per_s > 9000").holds);

    let fails = check("hyper.cpu_ns < 1.2 * pinloop.cpu_ns");
    assert!(!fails.holds);
    let by_how_much = "and the upper bound lies 4.";
    assert!(fails.sentence.contains(by_how_much), "{}", fails.sentence);
    // The point is below, the bound above.
    assert!(!check("pinloop_again.cpu_ns < 1.0001 * pinloop.cpu_ns").holds);
    assert!(check("axum.cpu_ns < 3").sentence.contains("there is no \"axum\"; there are pinloop"));
    assert!(check("idle: hyper.cpu_ns < 3").sentence.contains("there are closed"));
}

#[test]
fn what_changed_beyond_noise_is_told_and_what_did_not_is_none() {
    let (older, mut newer) = (results(), results());
    scale(&mut newer, "hyper", 0.9);
    let comparison = comparison::compare(&newer, &older);
    assert_eq!(comparison.changes.len(), 1, "the pair itself and the reference have no base");
    let change = &comparison.changes[0];
    assert_eq!((change.contender.as_str(), change.verdict), ("hyper", Verdict::Less));
    assert!((change.factor.value - 0.9).abs() < 0.01, "{change:?}");
    let options = Options { baseline: Some(&older), ..Options::default() };
    let text = terminal::render(&studies::report(&newer, &options).unwrap());
    assert!(text.contains("1 of 1 ratios have changed") && text.contains("−10.0 %"), "{text}");

    let same = comparison::compare(&older, &older);
    assert_eq!(same.changes[0].verdict, Verdict::Equal);
    assert!(same.changes[0].spread().contains("no change"));
}

#[test]
fn what_one_of_two_runs_lacks_is_named() {
    let (older, mut newer) = (results(), results());
    newer.regimes[0]
        .failures
        .push(Failure { contender: "hyper".to_string(), reason: "ended by itself".to_string() });
    let comparison = comparison::compare(&newer, &older);
    assert!(comparison.changes.is_empty());
    assert_eq!(comparison.missing, ["The newer run has no figure of hyper for one GET."]);
}

/// Made of costs that are known: hyper adds 1.5 µs, Tokio 0.5, both together 0.3
/// more than that.
#[test]
fn the_square_finds_what_it_was_made_of() {
    let mut results = results();
    let corners = [("p", 6000.0), ("t", 6500.0), ("h", 7500.0), ("b", 8300.0)];
    results.square = Some(Square {
        plain: "p".to_string(),
        tokio: "t".to_string(),
        hyper: "h".to_string(),
        both: "b".to_string(),
    });
    let mut rng = fastrand::Rng::with_seed(5);
    for block in &mut results.regimes[0].blocks {
        let disturbance = 1.0 + rng.f64();
        block.samples.extend(corners.map(|(key, cpu_ns)| Sample {
            contender: key.to_string(),
            requests: 1000,
            elapsed_ns: 100_000_000,
            cpu_ns: (1000.0 * cpu_ns * disturbance * (1.0 + 0.01 * (rng.f64() - 0.5))) as u64,
            ..Sample::default()
        }));
    }
    for (key, _) in corners {
        let mut contender = results.contenders[0].clone();
        (contender.key, contender.variant) = (key.to_string(), key.to_string());
        results.contenders.push(contender);
    }
    let figures = closed(&results);
    let square = square::of(&results, &figures).unwrap();
    let part = |ns: f64| ns / square.plain * 6000.0;
    let near = |ns: f64, made_of: f64| (part(ns) - made_of).abs() < 40.0;
    assert!(near(square.tokio_to_core.value, 500.0), "{square:?}");
    assert!(near(square.hyper_on_mio.value, 1500.0), "{square:?}");
    assert!(near(square.tokio_to_hyper.value, 800.0), "{square:?}");
    assert!(near(square.hyper_on_tokio.value, 1800.0), "{square:?}");
    assert!(near(square.interaction.value, 300.0), "{square:?}");
    assert!(!square.is_noise(square.hyper_on_mio));
}

fn scale(results: &mut Results, key: &str, factor: f64) {
    for block in &mut results.regimes[0].blocks {
        for sample in block.samples.iter_mut().filter(|sample| sample.contender == key) {
            sample.cpu_ns = (sample.cpu_ns as f64 * factor) as u64;
        }
    }
}

fn row<'a>(regime: &'a RegimeFigures, key: &str) -> &'a Row {
    regime.rows.iter().find(|row| row.contender == key).unwrap()
}
