//! Memory per idle connection, by slope.

use crate::report::units::thousands;
use crate::results::{Climb, Level, Memory};
use crate::stats::Interval;

/// One server's memory.
#[derive(Clone, Debug)]
pub struct Row {
    /// The contender's key.
    pub contender: String,
    /// Resident bytes that one more connection takes: the slope of all levels but
    /// the one without a connection, where a server has not yet made what it
    /// makes once.
    pub rss_each: f64,
    /// Between neighbouring levels: memory comes in pages and doublings.
    pub rss_each_between: Interval,
    /// Bytes of the kernel for both ends of one more connection.
    pub kernel_each: Option<f64>,
    /// Resident bytes with the fewest connections and with the most.
    pub rss: (f64, f64),
    /// These connections.
    pub connections: (u64, u64),
}

/// Returns the servers with enough levels, from the bottom of the ladder up.
pub fn rows(memory: &Memory) -> Vec<Row> {
    memory.climbs.iter().filter_map(row).collect()
}

fn row(climb: &Climb) -> Option<Row> {
    let levels: Vec<&Level> = climb.levels.iter().filter(|level| level.connections > 0).collect();
    let (first, last) = (levels.first()?, levels.last()?);
    let rss: Vec<(f64, f64)> =
        levels.iter().map(|level| (level.connections as f64, level.rss_bytes as f64)).collect();
    let kernel: Option<Vec<(f64, f64)>> = levels
        .iter()
        .map(|level| Some((level.connections as f64, level.kernel_bytes? as f64)))
        .collect();
    let steps = rss.windows(2).filter_map(slope);
    let (low, high) =
        steps.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), s| (low.min(s), high.max(s)));
    Some(Row {
        contender: climb.contender.clone(),
        rss_each: slope(&rss)?,
        rss_each_between: Interval { low, high },
        kernel_each: kernel.as_deref().and_then(slope),
        rss: (first.rss_bytes as f64, last.rss_bytes as f64),
        connections: (first.connections, last.connections),
    })
}

/// By least squares; none of points that are all above each other.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (spread > 0.0).then(|| together / spread)
}

/// Columns of [`words`].
pub const HEAD: [&str; 5] =
    ["", "RSS per connection", "between levels", "kernel, both ends", "RSS with few and most"];

/// A row in words.
pub fn words(row: &Row) -> [String; 5] {
    let mib = |bytes: f64| format!("{:.1} MiB", bytes / (1024.0 * 1024.0));
    let Interval { low, high } = row.rss_each_between;
    [
        row.contender.clone(),
        format!("{} B", unsigned(row.rss_each)),
        format!("{}–{} B", unsigned(low), unsigned(high)),
        row.kernel_each.map_or("–".to_string(), |each| format!("{} B", unsigned(each))),
        format!("{}, {}", mib(row.rss.0), mib(row.rss.1)),
    ]
}

/// Without the sign of a nought.
fn unsigned(bytes: f64) -> String {
    if bytes.abs() < 0.5 { "0".to_string() } else { thousands(bytes).replace('-', "−") }
}

/// Returns remarks on the number of connections and on missing counts.
pub fn remarks(memory: &Memory) -> Vec<String> {
    let levels = memory.climbs.iter().filter_map(|climb| climb.levels.last());
    let reached = levels.map(|level| level.connections).max().unwrap_or(0);
    let mut remarks = vec![format!(
        "By slope up to {} connections. All of them have served requests and are idle.",
        thousands(reached as f64)
    )];
    if (reached as usize) < memory.connections_wanted {
        remarks.push(format!(
            "{} were asked for; a process may have {} descriptors here (ulimit -Hn).",
            thousands(memory.connections_wanted as f64),
            thousands(memory.descriptors_max as f64)
        ));
    }
    remarks.push(match memory.caches.is_empty() {
        false => format!(
            "The kernel's part includes both ends, because both are on this machine. It comes from \
             the caches {} in /proc/slabinfo. The buffers of idle sockets are empty.",
            memory.caches.join(", ")
        ),
        true => {
            "The kernel's part is not known: /proc/slabinfo is for the superuser only.".to_string()
        }
    });
    remarks.extend(
        memory.failures.iter().map(|f| format!("{} has no figures: {}.", f.contender, f.reason)),
    );
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        let level = |connections, rss_bytes| Level {
            connections,
            rss_bytes,
            kernel_bytes: Some(9_000_000 + 7_000 * connections),
        };
        // Memory that is allocated once appears between the first two levels.
        let levels = [(0, 3_000_000), (80, 3_300_000), (4_000, 4_084_000), (8_000, 4_884_000)];
        let levels = levels.map(|(connections, rss)| level(connections, rss)).to_vec();
        let climbs = vec![Climb { contender: "pinloop".to_string(), levels }];
        Memory {
            climbs,
            connections_wanted: 8_000,
            caches: vec!["TCP".to_string()],
            ..Memory::default()
        }
    }

    #[test]
    fn a_slope_is_that_of_a_line() {
        assert_eq!(slope(&[(0.0, 5.0), (1.0, 7.0), (2.0, 9.0)]), Some(2.0));
        // Off the line to both sides alike.
        assert_eq!(slope(&[(0.0, 6.0), (1.0, 5.0), (2.0, 10.0)]), Some(2.0));
        assert_eq!(slope(&[(1.0, 6.0)]), None);
        assert_eq!(slope(&[]), None);
    }

    #[test]
    fn what_a_server_makes_once_is_not_for_its_connections() {
        let row = &rows(&memory())[0];
        assert!((row.rss_each - 200.0).abs() < 1e-9, "{}", row.rss_each);
        assert_eq!(row.rss_each_between, Interval { low: 200.0, high: 200.0 });
        assert!((row.kernel_each.unwrap() - 7_000.0).abs() < 1e-9);
        let words = words(row);
        assert_eq!(words[1..4], ["200 B", "200–200 B", "7,000 B"]);
    }

    #[test]
    fn fewer_connections_than_wanted_are_said() {
        let mut memory = memory();
        assert!(!remarks(&memory).iter().any(|remark| remark.contains("ulimit")));
        memory.connections_wanted = 20_000;
        memory.descriptors_max = 8_128;
        assert!(remarks(&memory)[1].contains("8,128 descriptors"), "{:?}", remarks(&memory));
        memory.caches.clear();
        assert!(remarks(&memory)[2].contains("not known"));
    }
}
