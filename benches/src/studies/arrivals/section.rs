//! Arriving clients, second by second.

use super::figures;
use super::plot;
use crate::report::{machines, occasion};
use crate::report::section::{Context, Section, Sections, Table};
use crate::report::units::{latency, thousands};
use crate::results::Occasion;

/// Makes the section.
pub(crate) fn sections(context: &Context<'_>) -> Sections {
    let Some(arrivals) = &context.results.studies.arrivals else { return Ok(Vec::new()) };
    let mut section = Section::new(format!("Arriving clients: GET {}", arrivals.occasion.path));
    section.answer.extend(figures::sentence(context.results));
    let columns = [
        "",
        "clients at the end",
        "requests per second",
        "p50",
        "p99",
        "CPU of the server",
        "of the generator",
        "requests",
        "errors",
    ];
    let mut table = Table::new("", &columns);
    let mut tours = Vec::new();
    for (tour, figures) in figures::rows(context.results, arrivals) {
        match figures {
            Ok(figures) => {
                tours.push((tour.contender.as_str(), tour));
                section.warnings.extend(occasion::disturbed(&tour.contender, figures.disturbed));
                table.row([
                    tour.contender.clone(),
                    figures.clients.to_string(),
                    thousands(figures.requests_per_s),
                    latency(figures.p50_ns),
                    latency(figures.p99_ns),
                    figures::busy_text(figures.server_busy),
                    figures::busy_text(Some(figures.generator_busy)),
                    thousands(figures.requests as f64),
                    figures::errors_text(&figures),
                ]);
            }
            Err(reason) => {
                section.warnings.push(format!("{} has no figures: {reason}", tour.contender));
            }
        }
    }
    section.tables.push(table);
    let caption = "Of latency the bold line is p99, the thin one p50. A dot is a second with an \
                   error.";
    section.plot(plot::arrivals(&tours)?, caption, Vec::new());
    section.notes = figures::notes(arrivals);
    let slices: Vec<_> = arrivals.tours.iter().map(|tour| tour.hosts.as_slice()).collect();
    let Occasion { machines, server_cores, .. } = &arrivals.occasion;
    machines::add(&mut section, machines, server_cores, &slices);
    Ok(vec![section])
}
