//! The percentile distribution that HdrHistogram's plotters read (`.hgrm`).

use std::io::{self, Write};

use hdrhistogram::Histogram;

/// Values are written in milliseconds, as wrk2 does.
const NS_PER_MS: f64 = 1e6;

/// Lines for each halving of the distance to 100 %, as HdrHistogram itself writes.
const TICKS_PER_HALF: u32 = 5;

/// Writes the distribution of latencies in ns.
pub fn write(latency_ns: &Histogram<u64>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut count = 0;
    for step in latency_ns.iter_quantiles(TICKS_PER_HALF) {
        count += step.count_since_last_iteration();
        let (value, quantile) =
            (step.value_iterated_to() as f64 / NS_PER_MS, step.quantile_iterated_to());
        write!(out, "{value:>12.6} {quantile:>14.12} {count:>10}")?;
        if quantile < 1.0 {
            writeln!(out, " {:>14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out, " {:>14}", "inf")?;
        }
    }
    writeln!(
        out,
        "#[Mean    = {:>12.6}, StdDeviation   = {:>12.6}]",
        latency_ns.mean() / NS_PER_MS,
        latency_ns.stdev() / NS_PER_MS
    )?;
    writeln!(
        out,
        "#[Max     = {:>12.6}, Total count    = {:>12}]",
        latency_ns.max() as f64 / NS_PER_MS,
        latency_ns.len()
    )?;
    writeln!(out, "#[Unit    = {:>12}, Buckets        = {:>12}]", "ms", latency_ns.buckets())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_plotters_read() {
        let mut latency_ns = Histogram::new(3).unwrap();
        for ms in 1..=100 {
            latency_ns.record(ms * 1_000_000).unwrap();
        }
        let mut text = Vec::new();
        write(&latency_ns, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
        assert_eq!(lines[2][1..], ["0.000000000000", "1", "1.00"]);
        let median = lines.iter().find(|line| line.get(1) == Some(&"0.500000000000")).unwrap();
        assert_eq!(median[2..], ["50", "2.00"]);
        assert!(median[0].starts_with("50.0"), "{median:?}");
        let last = lines.iter().rfind(|line| !line[0].starts_with('#')).unwrap();
        assert_eq!(last[1..], ["1.000000000000", "100", "inf"]);
        assert!(text.contains("Total count    =          100]"));
    }
}
