//! Figures as people read them, each with its unit.

use crate::stats::{Estimate, Interval};

/// Formats a time given in ns: `6.42 µs`.
pub fn microseconds(ns: f64) -> String {
    format!("{:.2} µs", ns / 1e3)
}

/// Formats a difference given in ns: `+0.42 µs`.
pub fn signed_microseconds(ns: f64) -> String {
    format!("{:+.2} µs", ns / 1e3).replace('-', "−")
}

/// Three digits, as no latency here is known better.
pub fn latency(ns: u64) -> String {
    let us = ns as f64 / 1e3;
    match us {
        ..9.995 => format!("{us:.2} µs"),
        ..99.95 => format!("{us:.1} µs"),
        ..999.5 => format!("{us:.0} µs"),
        ..9_995.0 => format!("{:.2} ms", us / 1e3),
        ..99_950.0 => format!("{:.1} ms", us / 1e3),
        ..999_500.0 => format!("{:.0} ms", us / 1e3),
        _ => format!("{:.1} s", us / 1e6),
    }
}

/// Formats a round latency: `20 ms`.
pub fn latency_in_short(ns: f64) -> String {
    match ns {
        ..999.5 => format!("{ns:.0} ns"),
        ..999.5e3 => format!("{:.0} µs", ns / 1e3),
        ..999.5e6 => format!("{:.0} ms", ns / 1e6),
        _ => format!("{:.0} s", ns / 1e9),
    }
}

/// A whole number with its digits in groups: `85,123`.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The bounds of a ratio: `1.204–1.259`.
pub fn interval(Interval { low, high }: Interval) -> String {
    format!("{low:.3}–{high:.3}")
}

/// The bounds of a difference given in ns: `+0.12 to +0.42 µs`.
pub fn interval_of_difference(estimate: Estimate) -> String {
    match estimate.interval {
        None => "no interval: too few blocks".to_string(),
        Some(Interval { low, high }) => {
            format!("{:+.2} to {:+.2} µs", low / 1e3, high / 1e3).replace('-', "−")
        }
    }
}

/// CPUs by number: `CPU 0`, `CPUs 0,2`.
pub fn cpus(cores: &[usize]) -> String {
    let list: Vec<String> = cores.iter().map(usize::to_string).collect();
    format!("CPU{} {}", if cores.len() == 1 { "" } else { "s" }, list.join(","))
}

/// Formats the CPUs of a load generator with its number of threads, if it has several: `CPU 1`,
/// `CPUs 2,3 with 2 threads`.
pub fn generator(cores: &[usize]) -> String {
    match cores {
        [] | [_] => cpus(cores),
        _ => format!("{} with {} threads", cpus(cores), cores.len()),
    }
}

/// Formats a number of CPUs: `1 CPU`, `2 CPUs`.
pub fn cpus_count(count: usize) -> String {
    if count == 1 { "1 CPU".to_string() } else { format!("{count} CPUs") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits() {
        assert_eq!(latency(740), "0.74 µs");
        assert_eq!(latency(74_060), "74.1 µs");
        assert_eq!(latency(740_600), "741 µs");
        assert_eq!(latency(999_600), "1.00 ms");
        assert_eq!(latency(12_345_678), "12.3 ms");
        assert_eq!(latency(2_000_000_000), "2.0 s");
        assert_eq!(latency_in_short(500e3), "500 µs");
        assert_eq!(latency_in_short(1e6), "1 ms");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(85_123.4), "85,123");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(thousands(-123_456.0), "-123,456");
    }

    #[test]
    fn differences_have_a_sign() {
        assert_eq!(signed_microseconds(420.0), "+0.42 µs");
        assert_eq!(signed_microseconds(-420.0), "−0.42 µs");
    }
}
