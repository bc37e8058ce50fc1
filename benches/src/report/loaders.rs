//! The machines that loaded the servers: the share of each, and its limits.

use super::section::{Section, Table};
use super::units::{cpus, microseconds, thousands};
use crate::results::{HostShare, LoadHost, Machines, SharedCpus};
use crate::stats;

/// A start that is later than this share of the slice is late.
const LATE: f64 = 0.01;

/// An error of the common start that is larger than this share of the slice is worth a word.
const APART: f64 = 0.1;

/// Share of late starts that is worth a word.
const OFTEN: f64 = 0.05;

/// A machine whose busiest thread works for a larger share of the time may be the limit.
const BUSY: f64 = 0.9;

/// Adds the table of the machines that loaded the servers, with their shares and limits; nothing if
/// the measuring machine did it. `slices` has the part of each machine in each slice.
pub fn add(section: &mut Section, machines: &Machines, slices: &[&[HostShare]]) {
    let hosts = &machines.load_hosts;
    if hosts.is_empty() {
        return;
    }
    let columns = [
        "machine",
        "CPUs",
        "requests in all",
        "share",
        "busiest thread",
        "requests not sent in time",
        "round trip",
        "error of the common start",
    ];
    let mut table = Table::new("The machines that loaded the servers", &columns);
    let of_host = |at: usize| slices.iter().filter_map(move |of| of.get(at).copied()).collect();
    let shares: Vec<Vec<HostShare>> = (0..hosts.len()).map(of_host).collect();
    let requests = |of: &[HostShare]| of.iter().map(|share| share.requests).sum::<u64>();
    let all: u64 = shares.iter().map(|of| requests(of)).sum();
    for (host, shares) in hosts.iter().zip(&shares) {
        let busiest = busiest(shares);
        table.row([
            format!("{} ({})", host.side.host, host.command),
            cpus(&host.cores),
            thousands(requests(shares) as f64),
            format!("{:.1} %", requests(shares) as f64 / all.max(1) as f64 * 100.0),
            format!("{:.0} % of the time", busiest * 100.0),
            thousands(shares.iter().map(|share| share.unsent).sum::<u64>() as f64),
            round_trip(host),
            format!("±{}", microseconds(error(host, shares) as f64)),
        ]);
        section.warnings.extend((busiest > BUSY).then(|| limit(host, busiest)));
    }
    section.tables.push(table);
    section.warnings.extend(shared(machines));
    section.warnings.extend(hosts.iter().zip(&shares).filter_map(|(host, of)| apart(host, of)));
    section.warnings.extend(late(&shares));
    section.notes.push(
        "Connections, or clients that arrive, are dealt to the threads of all machines in turn, and a \
         rate is one schedule. All are told to start at the same instant: clocks are compared whenever \
         connections are opened, by the shortest of some round trips. Histograms of latencies are added \
         exactly."
            .to_string(),
    );
}

/// Names the commands that led to one machine and share CPUs there.
pub fn shared(machines: &Machines) -> Vec<String> {
    let sentence = |SharedCpus { host, commands: [one, other], cores }: &SharedCpus<'_>| {
        format!(
            "'{one}' and '{other}' lead to the same machine, {host}, and both generators run on {}: \
             each takes time from the other. Leave one of the two out; --generator-cores gives the \
             other one more CPUs.",
            cpus(cores)
        )
    };
    machines.shared_cpus().iter().map(sentence).collect()
}

/// Share of the time in which the busiest thread worked: median of all slices.
fn busiest(shares: &[HostShare]) -> f64 {
    let each = |of: &HostShare| of.busiest_cpu_ns as f64 / of.elapsed_ns.max(1) as f64;
    match shares {
        [] => 0.0,
        shares => stats::median(&shares.iter().map(each).collect::<Vec<_>>()),
    }
}

/// Warns if a machine is so far away that its start is not known well enough.
fn apart(host: &LoadHost, shares: &[HostShare]) -> Option<String> {
    let lengths: Vec<f64> = shares.iter().map(|share| share.elapsed_ns as f64).collect();
    let error = host.clock_error_ns as f64;
    let is_large = !lengths.is_empty() && error > APART * stats::median(&lengths);
    is_large.then(|| {
        format!(
            "{} ({}) began up to {} apart from the others, which is much of a slice: they may not \
             have loaded together, and rates may be too high. Take longer slices, or a machine that \
             is nearer.",
            host.side.host,
            host.command,
            microseconds(error)
        )
    })
}

/// Warns if machines did not load together, because orders came late.
fn late(shares: &[Vec<HostShare>]) -> Option<String> {
    let all: Vec<&HostShare> = shares.iter().flatten().collect();
    let is_late = |of: &&&HostShare| of.late_ns as f64 > LATE * of.elapsed_ns as f64;
    let late = all.iter().filter(is_late).count() as f64 / all.len().max(1) as f64;
    let latest = all.iter().map(|of| of.late_ns).max()?;
    (late > OFTEN).then(|| {
        format!(
            "In {:.0} % of their slices, machines began after the common start, by up to {}. Time counts \
             from the common start, so that rates are too low and latencies at a fixed rate too high. \
             CPU time per request is not affected.",
            late * 100.0,
            microseconds(latest as f64)
        )
    })
}

fn round_trip(host: &LoadHost) -> String {
    match host.round_trips_ns.as_slice() {
        [] => "–".to_string(),
        trips => {
            microseconds(stats::median(&trips.iter().map(|&ns| ns as f64).collect::<Vec<_>>()))
        }
    }
}

/// The clock's error, or the latest start if an order came too late.
fn error(host: &LoadHost, shares: &[HostShare]) -> u64 {
    let latest = shares.iter().map(|share| share.late_ns).max().unwrap_or(0);
    host.clock_error_ns.max(latest)
}

fn limit(host: &LoadHost, busiest: f64) -> String {
    format!(
        "The busiest thread of {} worked {:.0} % of the time: it may be what limits these rates. Give \
         it more CPUs with --generator-cores, or add a machine with --load-from.",
        host.side.host,
        busiest * 100.0
    )
}
