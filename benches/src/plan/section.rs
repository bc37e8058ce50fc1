//! Shows a plan: what was measured, and a column for each number of hosts.

use super::fleet::{
    ADDRESSES, CONNTRACK_MAX, Fleet, GENERATOR_UTILIZATION, PATHS, PORTS, TIME_WAIT_S, Wanted, plan,
};
use super::inputs::Inputs;
use crate::report::section::{Section, Table};
use crate::report::units::{cpus_count, latency, microseconds, thousands};
use crate::stats::{bins, usl};

/// A generator that is busy for a larger share of its time may be the limit of the knee.
const GENERATOR_BUSY: f64 = 0.95;

/// A busiest core with more than this in ratio to the mean makes the planned rate too high.
const CORES_EVEN: f64 = 1.1;

/// A row: its name, its formula, and its value in a plan.
type Line = (&'static str, String, fn(&Fleet) -> String);

/// Makes the section.
pub fn section(inputs: &Inputs, wanted: &Wanted, hosts: &[usize]) -> Section {
    let mut section = Section::new(format!(
        "A plan for GET {} with {} on hosts of {}",
        inputs.path,
        inputs.server,
        cpus_count(wanted.cores)
    ));
    let fleets: Vec<Fleet> = hosts.iter().map(|&hosts| plan(inputs, wanted, hosts)).collect();
    section.answer.extend(fleets.iter().map(|fleet| sentence(fleet, wanted)));
    section.warnings.extend(warnings(inputs, wanted));
    section.tables.push(measured(inputs, wanted));
    let columns: Vec<String> = ["".to_string(), "formula".to_string()]
        .into_iter()
        .chain(fleets.iter().map(|fleet| format!("{} hosts", thousands(fleet.hosts as f64))))
        .collect();
    let mut table = Table::new("The plan", &columns);
    for (name, formula, value) in lines(inputs) {
        let values = fleets.iter().map(value);
        table.row([name.to_string(), formula].into_iter().chain(values));
    }
    section.tables.push(table);
    section
}

fn sentence(fleet: &Fleet, wanted: &Wanted) -> String {
    format!(
        "{} hosts serve {} requests per second on {} connections, and still do with {} of them down.",
        thousands(fleet.hosts as f64),
        thousands(fleet.rate),
        thousands((fleet.hosts * wanted.connections) as f64),
        thousands(fleet.spare as f64),
    )
}

fn warnings(inputs: &Inputs, wanted: &Wanted) -> Vec<String> {
    let mut warnings = Vec::new();
    if wanted.cores > inputs.cores_measured {
        warnings.push(format!(
            "{} are an extrapolation: at most {} were measured, and nothing new may get in the way \
             beyond these, such as a second socket, a full network card or the memory bus.",
            cpus_count(wanted.cores),
            cpus_count(inputs.cores_measured)
        ));
    }
    let law = inputs.law;
    if wanted.cores > inputs.cores_measured && usl::parameters(inputs.sizes_measured) < 3 {
        warnings.push(format!(
            "The law is known from {} of cores only, so what is not known of it is taken as 0: the \
             rates for more cores are an upper bound.",
            match inputs.sizes_measured {
                1 => "one number".to_string(),
                sizes => format!("{sizes} numbers"),
            }
        ));
    }
    if law.peak().is_some_and(|peak| (wanted.cores as f64) > peak) {
        warnings.push(format!(
            "By the law {} do less than fewer cores would.",
            cpus_count(wanted.cores)
        ));
    }
    if inputs.generator_busy > GENERATOR_BUSY {
        warnings.push(format!(
            "Near the knee the load generator used {:.0} % of its CPU: the rate may have failed on \
             the generator, and the servers sustain more than this plan says.",
            inputs.generator_busy * 100.0
        ));
    }
    if inputs.service_s() > wanted.bound_s {
        warnings.push(format!(
            "No rate has its p99 within {}: one request alone takes {} of CPU time.",
            latency((wanted.bound_s * 1e9) as u64),
            microseconds(inputs.service_s() * 1e9)
        ));
    }
    let busiest = bins::imbalance(wanted.connections, wanted.cores);
    if busiest > CORES_EVEN {
        warnings.push(format!(
            "A connection stays on one core: if {} connections pick one of {} at random, the busiest \
             core has {busiest:.2} times the mean, and the plan leaves this out.",
            thousands(wanted.connections as f64),
            cpus_count(wanted.cores)
        ));
    }
    if inputs.connection_bytes.is_none() {
        warnings.push("The results lack the study memory, so memory is not planned.".to_string());
    }
    warnings
}

/// The inputs with their letters.
fn measured(inputs: &Inputs, wanted: &Wanted) -> Table {
    let mut table = Table::new("Measured on one machine, and wanted", &["", "letter", "value"]);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let law = inputs.law;
    let [servers, load] = machines(inputs);
    let mut row = |name: &str, letter: &str, value: String| table.row([name, letter, &value]);
    row("machine of the servers", "", servers);
    row("machine of the load", "", load);
    row("rate at the knee, per second", "K", thousands(inputs.knee_rate));
    row("cores there", "k", inputs.knee_cores.to_string());
    row("utilization of these cores there", "ρk", percent(inputs.knee_utilization));
    row("CPU time of a request, ρk·k / K", "s", microseconds(inputs.service_s() * 1e9));
    row("the generator's CPU time of a request", "g", microseconds(inputs.generator_s * 1e9));
    let at = |cores: usize| thousands(law.at(cores as f64));
    row("capacity of one core by the law of scaling, per second", "λ", thousands(law.rate));
    let known = usl::parameters(inputs.sizes_measured);
    let of_law = |nth: usize, share: f64| match known > nth {
        // 0.01 % of coherence is a third of the rate of 64 cores.
        true => format!("{:.4} %", share * 100.0),
        false => "not known, taken as 0".to_string(),
    };
    row("contention", "σ", of_law(1, law.contention));
    row("coherence", "κ", of_law(2, law.coherence));
    row("capacity of n cores, λ·n / (1 + σ·(n−1) + κ·n·(n−1))", "X(n)", at(wanted.cores));
    row("capacity of k cores, likewise", "X(k)", at(inputs.knee_cores));
    let bytes = inputs.connection_bytes.map_or("–".to_string(), thousands);
    row("bytes of an idle connection", "b", bytes);
    row("cores of a host", "n", wanted.cores.to_string());
    row("connections for each host", "c", thousands(wanted.connections as f64));
    row("requests on a connection", "r", thousands(wanted.requests_per_connection));
    row("share of the hosts that may be down", "f", percent(wanted.spare));
    row("bound of p99 within a host", "B", latency((wanted.bound_s * 1e9) as u64));
    table
}

/// Says where the servers ran, and from where they were loaded.
fn machines(inputs: &Inputs) -> [String; 2] {
    let measuring = || "the one that measured".to_string();
    let load = match inputs.load_from.as_slice() {
        [] => measuring(),
        commands => commands.join("; "),
    };
    [inputs.server_on.clone().unwrap_or_else(measuring), load]
}

fn lines(inputs: &Inputs) -> Vec<Line> {
    let mut lines: Vec<Line> = vec![
        ("hosts that may be down", "F = ⌈f·N⌉".to_string(), |of| thousands(of.spare as f64)),
        ("utilization of a core", "ρ = min(ρk, ρ with p99 ≤ B)".to_string(), |of| {
            format!("{:.1} %", of.utilization * 100.0)
        }),
        ("p99 of wait and service, random arrivals", "M/D/1 at ρ and s".to_string(), |of| {
            latency((of.p99_s * 1e9) as u64)
        }),
        ("busiest host, to the mean", "I: c·N balls in N−F bins".to_string(), |of| {
            format!("{:.3}", of.imbalance)
        }),
        ("requests per second", "R = (N−F)·K·X(n)/X(k)·ρ/ρk / I".to_string(), |of| {
            thousands(of.rate)
        }),
        ("for each host, all up", "R/N".to_string(), |of| thousands(of.host_rate)),
        ("connections of the busiest host", "C = c·N/(N−F)·I".to_string(), |of| {
            thousands(of.connections_max)
        }),
    ];
    if inputs.connection_bytes.is_some() {
        lines.push(("their memory", "b·C".to_string(), |of| {
            format!("{:.0} MiB", of.memory_bytes.unwrap_or(0.0) / (1024.0 * 1024.0))
        }));
    }
    lines.extend([
        (
            "source addresses of a load balancer with NAT",
            format!("⌈C / {}⌉", thousands(PORTS as f64)),
            (|of| thousands(of.source_addresses as f64)) as fn(&Fleet) -> String,
        ),
        ("new connections per second", "R/r".to_string(), |of| thousands(of.opened_per_s)),
        ("entries of conntrack", format!("E = c·N + R/r·{TIME_WAIT_S:.0} s"), |of| {
            thousands(of.tracked)
        }),
        (
            "devices with the default limit",
            format!("⌈E / {}⌉", thousands(CONNTRACK_MAX)),
            |of| thousands(of.tracking_devices as f64),
        ),
        ("groups of equal-cost paths", format!("⌈N / {PATHS}⌉"), |of| {
            thousands(of.path_groups as f64)
        }),
        ("DNS responses that name all hosts", format!("⌈N / {ADDRESSES}⌉"), |of| {
            thousands(of.dns_responses as f64)
        }),
        ("cores of the load generators", format!("⌈R·g / {GENERATOR_UTILIZATION}⌉"), |of| {
            thousands(of.generator_cores as f64)
        }),
        (
            "source addresses of the load generators",
            format!("⌈c·N / {}⌉, one server address", thousands(PORTS as f64)),
            |of| thousands(of.generator_addresses as f64),
        ),
    ]);
    lines
}
