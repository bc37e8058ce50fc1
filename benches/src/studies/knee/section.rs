//! The knee: how much each server sustains.

use super::figures::{self, Figures};
use super::plot;
use crate::report::machines;
use crate::report::section::{Cell, Context, Key, Section, Sections, Table};
use crate::report::units::{interval, latency, thousands};
use crate::results::Occasion;
use crate::stats::Estimate;

/// Makes the section.
pub(crate) fn sections(context: &Context<'_>) -> Sections {
    let Some(knee) = &context.results.studies.knee else { return Ok(Vec::new()) };
    let mut section =
        Section::new(format!("The knee: GET {} at constant rates", knee.occasion.path));
    section.answer.extend(figures::sentence(context.results));
    let reference = format!("times {}", context.results.reference);
    let columns = [
        "",
        "requests per second sustained",
        &reference,
        "p50 there",
        "p99",
        "p99.9",
        "CPU of the server",
        "of the generator",
    ];
    let mut table = Table::new("", &columns);
    let rows = figures::rows(context.results, knee);
    let mut curves = Vec::new();
    for row in &rows {
        match &row.figures {
            Ok(figures) => {
                curves.push((row.contender.as_str(), figures));
                table.cells(cells(&row.contender, figures));
                section.warnings.extend(figures::remarks(row, figures));
            }
            Err(reason) => {
                section.warnings.push(format!("{} has no figures: {reason}", row.contender));
            }
        }
    }
    section.tables.push(table);
    let caption = format!(
        "Latency from when a request should have been sent, median of the probes at each rate. \
         Vertical lines are the highest rates sustained; the \
         horizontal line is the bound on p99, {}.",
        latency(knee.bound.p99_ns)
    );
    let keys = curves.iter().map(|(name, _)| Key::of_server(name)).collect();
    section.plot(plot::knee(knee.bound.p99_ns, &curves)?, &caption, keys);
    section.notes = figures::notes(knee);
    let slices: Vec<_> = knee.probes.iter().map(|probe| probe.hosts.as_slice()).collect();
    let Occasion { machines, server_cores, .. } = &knee.occasion;
    machines::add(&mut section, machines, server_cores, &slices);
    Ok(vec![section])
}

fn cells(name: &str, figures: &Figures) -> [Cell; 8] {
    let [p50, p99, p99_9] = figures.latency_ns.map(|ns| Cell::plain(latency(ns as u64)));
    let bounds = figures.sustained.interval.map_or("too few searches".to_string(), |bounds| {
        format!("{}–{}", thousands(bounds.low), thousands(bounds.high))
    });
    let ratio = match figures.ratio {
        None => Cell::plain("1"),
        Some(Estimate { value, interval: bounds }) => {
            Cell::with(format!("{value:.2}"), bounds.map_or(String::new(), interval))
        }
    };
    let percent = |share: f64| Cell::plain(format!("{:.0} %", share * 100.0));
    [
        Cell::plain(name),
        Cell::with(thousands(figures.sustained.value), bounds),
        ratio,
        p50,
        p99,
        p99_9,
        percent(figures.server_busy),
        percent(figures.generator_busy),
    ]
}
