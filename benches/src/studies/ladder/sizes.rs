//! From which size of the response on it no longer matters which server it is.

use super::figures::RegimeFigures;
use crate::report::units::interval;
use crate::stats::Interval;

/// Difference of CPU time that no longer matters, as a part of the reference's.
const MATTERS: f64 = 0.05;

/// The ratio to the reference at one size.
struct Point {
    bytes: usize,
    ratio: f64,
    bounds: Interval,
}

/// Compares `subject` to `reference` in the regimes that differ in the size of the response.
pub(crate) fn sentence(
    regimes: &[RegimeFigures],
    subject: &str,
    reference: &str,
) -> Option<String> {
    let mut points: Vec<Point> = regimes.iter().filter_map(|of| point(of, subject)).collect();
    points.sort_unstable_by_key(|point| point.bytes);
    conclude(&points, subject, reference)
}

fn conclude(points: &[Point], subject: &str, reference: &str) -> Option<String> {
    let largest = points.last()?.bytes;
    let within = points.iter().rev().take_while(|point| is_within(point)).count();
    let all = points.iter().map(figures).collect::<Vec<_>>().join(", ");
    let percent = MATTERS * 100.0;
    Some(match points.len() - within {
        0 => format!(
            "By the size of the response: {subject} is within {percent:.0} % of {reference} at \
             each size: {all}."
        ),
        beyond if within == 0 => format!(
            "By the size of the response: up to {}, none of the {beyond} sizes is known to bring \
             {subject} within {percent:.0} % of {reference}: {all}.",
            size(largest)
        ),
        beyond => format!(
            "By the size of the response: from {} on, {subject} is within {percent:.0} % of \
             {reference}: {all}.",
            size(points[beyond].bytes)
        ),
    })
}

fn point(regime: &RegimeFigures, subject: &str) -> Option<Point> {
    let ratio = regime.of(subject)?.ratio?;
    Some(Point { bytes: regime.response_bytes?, ratio: ratio.value, bounds: ratio.interval? })
}

fn is_within(point: &Point) -> bool {
    point.bounds.low >= 1.0 - MATTERS && point.bounds.high <= 1.0 + MATTERS
}

fn figures(point: &Point) -> String {
    format!("{:.2} times [{}] at {}", point.ratio, interval(point.bounds), size(point.bytes))
}

fn size(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        mib => format!("{mib} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ratios: [f64; 3]) -> String {
        let point = |(&ratio, bytes): (&f64, usize)| Point {
            bytes,
            ratio,
            bounds: Interval { low: ratio - 0.02, high: ratio + 0.02 },
        };
        let points: Vec<Point> = ratios.iter().zip([1024, 16384, 1 << 20]).map(point).collect();
        conclude(&points, "hyper", "pinloop").unwrap()
    }

    #[test]
    fn the_sentence_claims_no_more_than_the_points_show() {
        let falling = said([1.2, 1.02, 1.01]);
        assert!(falling.contains("from 16 KiB on, hyper is within 5 % of pinloop"), "{falling}");
        assert!(falling.contains("1.01 times [0.990–1.030] at 1 MiB"), "{falling}");
        // One larger size beyond takes the claim away from the smaller one.
        let uneven = said([1.2, 1.0, 0.9]);
        assert!(uneven.contains("up to 1 MiB, none of the 3 sizes"), "{uneven}");
        // The interval counts, not the ratio.
        let wide = said([1.2, 1.04, 1.04]);
        assert!(wide.contains("none of the 3 sizes"), "{wide}");
        let equal = said([1.0, 1.01, 0.99]);
        assert!(equal.contains("within 5 % of pinloop at each size"), "{equal}");
    }

    #[test]
    fn without_such_regimes_there_is_no_sentence() {
        assert_eq!(conclude(&[], "hyper", "pinloop"), None);
    }
}
