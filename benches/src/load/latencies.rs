//! The histogram of latencies: its range and its precision.

use hdrhistogram::Histogram;

/// Longest latency, in ns: an hour. Longer latencies are counted as this one.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// Precision of latencies, in decimal digits: 0.1 %.
const LATENCY_DIGITS: u8 = 3;

/// Returns an empty histogram. All of them have the same bounds, so that their sum is exact.
pub(super) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, LATENCY_DIGITS)
        .expect("bounds and digits are within what the histogram allows")
}
