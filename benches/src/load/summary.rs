//! A run in words and as JSON. These are pure functions of its outcome.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::errors::Errors;
use super::outcome::Outcome;
use super::pace::Pace;
use super::watch::Snapshot;

/// Load of the busiest thread from which on the generator hardly waits for the server, so that the
/// generator may have been measured.
const BOTTLENECK_LOAD: f64 = 0.9;

/// Shortest run with a meaningful CPU time of the generator.
const SETTLED_AFTER: Duration = Duration::from_millis(100);

/// Share below which a rate was not reached. Latencies are then those of a growing queue, and
/// depend on the length of the run.
const RATE_REACHED: f64 = 0.98;

/// Factor on the 99th percentile above which a closed loop's correction is shown.
const CORRECTION_SHOWN: f64 = 1.1;

/// The output of `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Figures<'a> {
    url: &'a str,
    /// Complete answers, errors among them.
    requests: u64,
    /// Answers by status.
    statuses: BTreeMap<u16, u64>,
    /// Without errors.
    requests_per_second: f64,
    elapsed_seconds: f64,
    latency_us: LatencyUs,
    /// Latencies of a closed loop, corrected as wrk does it.
    latency_corrected_us: Option<LatencyUs>,
    errors: Errors,
    first_error: Option<&'a str>,
    /// Requests that were lost with their connections.
    unanswered: u64,
    /// Requests that were due and never sent.
    unsent: u64,
    /// Connections opened while the run went on.
    connects: u64,
    bytes_sent: u64,
    bytes_received: u64,
    threads: usize,
    /// CPU time of all threads.
    generator_cpu_seconds: f64,
    /// Share of its core that the busiest thread used, 0 to 1.
    busiest_thread_load: f64,
    /// Set if the generator, not the server, may limit the figures.
    generator_is_bottleneck: bool,
    /// Second by second.
    series: &'a [Snapshot],
}

#[derive(Debug, Serialize)]
struct LatencyUs {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

impl<'a> Figures<'a> {
    pub(super) fn new(
        url: &'a str,
        pace: Pace,
        outcome: &'a Outcome,
        series: &'a [Snapshot],
    ) -> Self {
        Self {
            url,
            requests: outcome.requests,
            statuses: outcome.statuses.by_status(),
            requests_per_second: outcome.requests_per_second(),
            elapsed_seconds: outcome.elapsed.as_secs_f64(),
            latency_us: LatencyUs::new(&outcome.latency_ns),
            latency_corrected_us: corrected(outcome, pace).map(|latency| LatencyUs::new(&latency)),
            errors: outcome.errors,
            first_error: outcome.first_error.as_deref(),
            unanswered: outcome.unanswered,
            unsent: outcome.unsent,
            connects: outcome.connects,
            bytes_sent: outcome.bytes_sent,
            bytes_received: outcome.bytes_received,
            threads: outcome.threads,
            generator_cpu_seconds: outcome.cpu.as_secs_f64(),
            busiest_thread_load: outcome.generator_load(),
            generator_is_bottleneck: is_bottleneck(outcome),
            series,
        }
    }
}

impl LatencyUs {
    fn new(latency_ns: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 / 1e3;
        let quantile = |quantile| us(latency_ns.value_at_quantile(quantile));
        Self {
            mean: latency_ns.mean() / 1e3,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            max: us(latency_ns.max()),
        }
    }
}

/// Describes the run on a few lines, each figure with its unit.
pub(super) fn text(pace: Pace, outcome: &Outcome) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<12}{value}");
    };
    line(
        "requests",
        format!(
            "{}{} in {:.2} s, {} per second",
            outcome.succeeded(),
            if outcome.errors.answers() > 0 { " without error" } else { "" },
            outcome.elapsed.as_secs_f64(),
            significant(outcome.requests_per_second())
        ),
    );
    line("statuses", statuses(outcome));
    line("latency", latencies(&outcome.latency_ns));
    if let Some(corrected) = corrected(outcome, pace) {
        // Only where it makes a difference, and then it matters.
        let p99_ns = |latency: &Histogram<u64>| latency.value_at_quantile(0.99) as f64;
        if p99_ns(&corrected) > CORRECTION_SHOWN * p99_ns(&outcome.latency_ns) {
            line("corrected", latencies(&corrected));
        }
    }
    line(
        "transferred",
        format!("{} received, {} sent", bytes(outcome.bytes_received), bytes(outcome.bytes_sent)),
    );
    if outcome.connects > 0 {
        line("connections", format!("{} opened during the run", outcome.connects));
    }
    line("errors", errors(outcome));
    line("generator", generator(outcome));
    text
}

fn generator(outcome: &Outcome) -> String {
    let (cpu, load) = (outcome.cpu.as_secs_f64(), outcome.generator_load() * 100.0);
    match outcome.threads {
        0 | 1 => format!("{cpu:.2} s of CPU time, {load:.0} % of a core"),
        threads => format!(
            "{cpu:.2} s of CPU time on {threads} threads, the busiest {load:.0} % of a core"
        ),
    }
}

/// Returns warnings about the figures, a sentence each.
pub(super) fn warnings(pace: Pace, outcome: &Outcome) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_bottleneck(outcome) {
        let load = outcome.generator_load() * 100.0;
        let thread = if outcome.threads > 1 { "'s busiest thread" } else { "" };
        warnings.push(format!(
            "The generator{thread} used {load:.0} % of its core: it may be what limits these \
             figures, not the server. More threads (--threads) need as many more cores."
        ));
    }
    if let Pace::Rate(rate) = pace {
        let reached = outcome.requests_per_second();
        if reached < RATE_REACHED * rate {
            warnings.push(format!(
                "The rate was not reached: {} of {} requests per second. {} requests were due and \
                 never sent; the latencies are those of a queue that grew to the end.",
                significant(reached),
                significant(rate),
                outcome.unsent
            ));
        }
    }
    if cfg!(debug_assertions) {
        warnings.push("This is a debug build: its figures mean nothing.".into());
    }
    warnings
}

/// Describes the current interval on one line, with errors by kind.
pub fn progress(snapshot: &Snapshot) -> String {
    let errors = match by_kind(&snapshot.errors).as_slice() {
        [] => "no errors".into(),
        kinds => kinds.join(", "),
    };
    format!(
        "{} clients  {} req/s  p50 {}  p99 {}  {errors}",
        snapshot.clients,
        significant(snapshot.requests_per_second()),
        time(snapshot.p50_ns as f64),
        time(snapshot.p99_ns as f64),
    )
}

/// Returns latencies corrected for coordinated omission, which only a closed loop needs.
fn corrected(outcome: &Outcome, pace: Pace) -> Option<Histogram<u64>> {
    let is_steady = pace == Pace::Closed && outcome.in_flight_max > 0;
    is_steady.then(|| outcome.latency_corrected_ns())
}

fn latencies(latency_ns: &Histogram<u64>) -> String {
    let mut text = format!("mean {}", time(latency_ns.mean()));
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
        let _ = write!(text, "  {name} {}", time(latency_ns.value_at_quantile(quantile) as f64));
    }
    text + &format!("  max {}", time(latency_ns.max() as f64))
}

fn is_bottleneck(outcome: &Outcome) -> bool {
    outcome.elapsed > SETTLED_AFTER && outcome.generator_load() >= BOTTLENECK_LOAD
}

fn statuses(outcome: &Outcome) -> String {
    let statuses = outcome.statuses.by_status();
    let counts = statuses.iter().map(|(status, count)| format!("{status}: {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn errors(outcome: &Outcome) -> String {
    let counts = by_kind(&outcome.errors);
    if counts.is_empty() {
        return "none".into();
    }
    let first = outcome.first_error.as_deref().unwrap_or_default();
    format!("{} ({} requests lost). The first: {first}", counts.join(", "), outcome.unanswered)
}

/// Returns the kinds of errors that occurred, each with its count.
fn by_kind(errors: &Errors) -> Vec<String> {
    let occurred = errors.iter().filter(|&(_, count)| count > 0);
    occurred.map(|(name, count)| format!("{} {count}", name.replace('_', " "))).collect()
}

/// Formats a time in ns with three digits and a unit.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        0.0..1e3 => (ns, "ns"),
        1e3..1e6 => (ns / 1e3, "us"),
        1e6..1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    format!("{} {unit}", significant(value))
}

/// Formats a number of bytes with three digits and a unit.
fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    let (value, unit) = match bytes {
        0.0..1e3 => return format!("{bytes} B"),
        1e3..1e6 => (bytes / 1e3, "kB"),
        1e6..1e9 => (bytes / 1e6, "MB"),
        _ => (bytes / 1e9, "GB"),
    };
    format!("{} {unit}", significant(value))
}

/// Formats a number with at least three digits.
fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        let mut outcome = Outcome::none();
        outcome.threads = 1;
        outcome.requests = 1000;
        (0..1000).for_each(|_| outcome.statuses.count(200));
        outcome.in_flight_max = 1;
        outcome.elapsed = Duration::from_secs(2);
        outcome.cpu = Duration::from_millis(500);
        outcome.busiest_cpu = outcome.cpu;
        outcome.bytes_sent = 28_000;
        outcome.bytes_received = 1_234_567;
        for us in 1..=1000 {
            outcome.latency_ns.record(us * 1000).unwrap();
        }
        outcome
    }

    #[test]
    fn says_a_run_in_words() {
        let lines = [
            "  requests    1000 in 2.00 s, 500 per second",
            "  statuses    200: 1000",
            "  latency     mean 501 us  p50 500 us  p90 900 us  p99 990 us  p99.9 999 us  max 1.00 ms",
            "  transferred 1.23 MB received, 28.0 kB sent",
            "  errors      none",
            "  generator   0.50 s of CPU time, 25 % of a core",
        ];
        assert_eq!(text(Pace::Closed, &outcome()).lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn shows_the_correction_where_there_was_a_pause() {
        let mut outcome = outcome();
        assert!(!text(Pace::Closed, &outcome).contains("corrected"));
        outcome.latency_ns.record(1_000_000_000).unwrap();
        assert!(text(Pace::Closed, &outcome).contains("  corrected   mean"));
        assert!(!text(Pace::Rate(500.0), &outcome).contains("corrected"));
    }

    #[test]
    fn names_errors_by_kind_and_the_first_in_words() {
        let mut outcome = outcome();
        outcome.errors = Errors { closed_early: 2, status: 1, ..Errors::default() };
        outcome.unanswered = 3;
        outcome.first_error = Some("the answer's status was 404".into());
        let said = text(Pace::Closed, &outcome);
        let line =
            "closed early 2, status 1 (3 requests lost). The first: the answer's status was 404";
        assert!(said.contains(line), "{said}");
    }

    #[test]
    fn counts_answers_by_status_and_leaves_errors_out_of_the_rate() {
        let mut outcome = outcome();
        (0..200).for_each(|_| outcome.statuses.count(503));
        outcome.requests += 200;
        outcome.errors = Errors { status: 200, different: 100, ..Errors::default() };
        let text = text(Pace::Closed, &outcome);
        let lines: Vec<&str> = text.lines().take(2).collect();
        assert_eq!(
            lines,
            [
                "  requests    900 without error in 2.00 s, 450 per second",
                "  statuses    200: 1000, 503: 200"
            ]
        );
        let json = serde_json::to_value(Figures::new("http://host/", Pace::Closed, &outcome, &[]));
        let json = json.unwrap();
        assert_eq!(json["requests_per_second"], 450.0);
        assert_eq!(json["statuses"], serde_json::json!({"200": 1000, "503": 200}));
    }

    #[test]
    fn describes_an_interval() {
        let mut snapshot = Snapshot {
            at_seconds: 3.0,
            seconds: 1.0,
            clients: 24,
            requests: 12_345,
            p50_ns: 740_000,
            p99_ns: 1_500_000,
            errors: Errors::default(),
            generator_cpu_ns: 0,
            generator_busiest_cpu_ns: 0,
            generator_wait_ns: 0,
        };
        let line = "24 clients  12345 req/s  p50 740 us  p99 1.50 ms  no errors";
        assert_eq!(progress(&snapshot), line);
        snapshot.errors = Errors { timeout: 2, closed_early: 1, ..Errors::default() };
        assert!(progress(&snapshot).ends_with("  timeout 2, closed early 1"));
    }

    #[test]
    fn figures_have_the_names_that_scripts_know() {
        let outcome = outcome();
        let json = serde_json::to_value(Figures::new("http://host/", Pace::Closed, &outcome, &[]))
            .unwrap();
        assert_eq!(json["requests"], 1000);
        assert_eq!(json["requests_per_second"], 500.0);
        assert_eq!(json["threads"], 1);
        assert_eq!(json["generator_cpu_seconds"], 0.5);
        assert_eq!(json["busiest_thread_load"], 0.25);
        assert_eq!(json["generator_is_bottleneck"], false);
        assert_eq!(json["errors"]["timeout"], 0);
        for name in ["p50", "p90", "p99", "p99_9", "max"] {
            assert!(json["latency_us"][name].as_f64().unwrap() >= 500.0, "{name}");
        }
    }

    fn warned(pace: Pace, outcome: &Outcome, word: &str) -> bool {
        warnings(pace, outcome).iter().any(|warning| warning.contains(word))
    }

    #[test]
    fn says_when_the_generator_measured_itself() {
        let mut outcome = outcome();
        assert!(!warned(Pace::Closed, &outcome, "limits"));
        outcome.busiest_cpu = Duration::from_millis(1910);
        assert!(warned(Pace::Closed, &outcome, "used 96 % of its core"));
    }

    #[test]
    fn names_the_load_of_the_busiest_thread() {
        let mut outcome = outcome();
        outcome.threads = 3;
        outcome.cpu = Duration::from_millis(3_600);
        outcome.busiest_cpu = Duration::from_millis(1_780);
        let line = "  generator   3.60 s of CPU time on 3 threads, the busiest 89 % of a core\n";
        assert!(text(Pace::Closed, &outcome).ends_with(line));
        assert!(!warned(Pace::Closed, &outcome, "busiest"));
        outcome.busiest_cpu = Duration::from_millis(1_800);
        assert!(warned(Pace::Closed, &outcome, "The generator's busiest thread used 90 %"));
        let figures = Figures::new("http://host/", Pace::Closed, &outcome, &[]);
        let json = serde_json::to_value(figures).unwrap();
        assert_eq!((&json["threads"], &json["busiest_thread_load"]), (&3.into(), &0.9.into()));
    }

    #[test]
    fn says_when_a_rate_was_not_reached() {
        assert!(!warned(Pace::Rate(505.0), &outcome(), "not reached"));
        assert!(warned(Pace::Rate(520.0), &outcome(), "500 of 520 requests per second"));
    }

    #[test]
    fn times_and_sizes_have_three_digits_and_a_unit() {
        assert_eq!(time(0.0), "0.00 ns");
        assert_eq!(time(12_345.0), "12.3 us");
        assert_eq!(time(1_500_000.0), "1.50 ms");
        assert_eq!(time(61e9), "61.0 s");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(64_000), "64.0 kB");
        assert_eq!(bytes(12_300_000_000), "12.3 GB");
    }
}
