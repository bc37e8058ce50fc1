//! The spread of connections and work over the cores of servers.

use super::figures::{self, HEAD, LIGHT, Metric, P99, known};
use super::record::{Balance, BalanceLoad};
use super::{plot, verdicts};
use crate::report::machines;
use crate::report::section::{Cell, Context, Key, Section, Sections, Table};
use crate::report::units::{cpus_count, latency, thousands};
use crate::results::Results;

/// Makes the section.
pub(crate) fn sections(context: &Context<'_>) -> Sections {
    let results = context.results;
    let Some(balance) = &results.studies.balance else { return Ok(Vec::new()) };
    let cores = balance.occasion.server_cores.len();
    let mut section =
        Section::new(format!("Balance: does sharing work pay on {}?", cpus_count(cores)));
    section.warnings = figures::failures(balance);
    section.notes = figures::notes(balance);
    machines::add(&mut section, &balance.occasion.machines, &balance.occasion.server_cores, &[]);
    let measured = || balance.loads.iter().filter(|load| !load.starts.is_empty());
    if measured().next().is_none() {
        return Ok(vec![section]);
    }
    section.answer = verdicts::sentences(results, balance);
    section.warnings.extend(verdicts::warnings(balance));
    section.warnings.extend(verdicts::overloaded(results, balance));
    section.tables.push(lowest(results, balance));
    section.tables.extend(pairs(balance, Metric::Throughput, "Ratios of requests per second"));
    let title = "Ratios of the p99 of light requests";
    section.tables.extend(pairs(balance, Metric::Latency(P99), title));
    let mut keys: Vec<&str> = Vec::new();
    for load in measured() {
        let servers = figures::servers(results, balance, load);
        section.tables.push(table(balance, load, &servers));
        let new: Vec<&str> = servers.into_iter().filter(|key| !keys.contains(key)).collect();
        keys.extend(new);
    }
    keys.retain(|key| *key != balance.again);
    let legend = || keys.iter().map(|key| Key::of_server(key)).collect();
    let caption = "p99 of the light requests at the fixed rate, with 95 % intervals. Lower is \
                   better. A server without a point left more than 1 % of the requests unsent.";
    section.plot(plot::latencies(balance, &keys)?, caption, legend());
    let caption = "Share of the busiest core in a server's CPU time at the fixed rate, light \
                   requests. Black: what connections would give that pick a core at random; the \
                   floor of the picture is an even spread.";
    section.plot(plot::shares(balance, &keys)?, caption, legend());
    Ok(vec![section])
}

fn table(balance: &Balance, load: &BalanceLoad, servers: &[&str]) -> Table {
    let cores = balance.occasion.server_cores.len();
    let rate = load.rate_per_s.map_or(String::new(), |rate| {
        format!("; fixed rate {} requests/s", thousands(rate))
    });
    let expected = figures::expected_share(balance, load) * 100.0;
    let title = format!(
        "{}{rate}; a random choice of cores gives the busiest {expected:.0} % of the connections",
        capitalized(&figures::name(balance, load)),
    );
    let is_mixed = load.heavy_ns.is_some();
    let shown = |column: &usize| is_mixed || *column != LIGHT;
    let columns: Vec<&str> = (0..HEAD.len()).filter(shown).map(|column| HEAD[column]).collect();
    let mut table = Table::new(title, &columns);
    for key in servers {
        let Some(of) = figures::figures(load, cores, key) else { continue };
        let ratio = figures::ratio(load, key, &balance.reference, Metric::Throughput);
        let ratio = ratio.filter(|_| *key != balance.reference);
        let cells = figures::cells(&of, ratio);
        let cells = cells.into_iter().map(|(text, below)| Cell::with(text, below));
        let cells = std::iter::once(Cell::plain(*key)).chain(cells).enumerate();
        table.cells(cells.filter(|(column, _)| shown(column)).map(|(_, cell)| cell));
    }
    table
}

/// The lowest p99 of each load.
fn lowest(results: &Results, balance: &Balance) -> Table {
    let columns = ["load", "lowest p99 of light requests", "p99", "not told apart from it"];
    let mut table = Table::new("", &columns);
    for load in &balance.loads {
        let Some((best, p99, alike)) = verdicts::lowest(results, balance, load) else { continue };
        let name = capitalized(&figures::name(balance, load));
        let (p99, interval) = known(Some(p99), &|ns| latency(ns as u64));
        let p99 = Cell::with(p99, interval);
        table.cells([Cell::plain(name), Cell::plain(best), p99, Cell::plain(alike.join(", "))]);
    }
    table
}

/// Ratios of the servers that are compared, if there are any.
fn pairs(balance: &Balance, metric: Metric, title: &str) -> Option<Table> {
    let pairs = verdicts::pairs(balance);
    let names = pairs.iter().map(|[above, below]| format!("{above} to {below}"));
    let columns: Vec<String> = std::iter::once("load".to_string()).chain(names).collect();
    let mut table = Table::new(title, &columns);
    for load in &balance.loads {
        let of_pair = |[above, below]: &[&str; 2]| {
            let ratio = figures::ratio(load, above, below, metric);
            let (ratio, interval) = known(ratio, &|ratio| format!("{ratio:.2}"));
            Cell::with(ratio, interval)
        };
        let name = Cell::plain(capitalized(&figures::name(balance, load)));
        table.cells(std::iter::once(name).chain(pairs.iter().map(of_pair)));
    }
    (!pairs.is_empty()).then_some(table)
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
