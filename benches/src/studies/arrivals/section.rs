//! Arriving clients, second by second.

use askama::Template;

use crate::report::occasion;
use crate::report::page::{Context, Section};
use crate::report::plots::Picture;
use crate::report::units::{latency, thousands};
use crate::results::Tour;
use crate::studies::arrivals::figures as arrivals;
use crate::studies::arrivals::figures::Figures;

#[derive(Template)]
#[template(path = "sections/arrivals.html")]
struct Arrivals<'a> {
    path: &'a str,
    sentence: Option<String>,
    picture: Option<Picture>,
    rows: Vec<RowView>,
    remarks: Vec<String>,
    notes: Vec<String>,
}

struct RowView {
    name: String,
    clients: usize,
    requests_per_s: String,
    p50: String,
    p99: String,
    busy: String,
    errors: String,
}

pub(crate) fn render(context: &Context<'_>) -> Section {
    let Some(measured) = &context.results.arrivals else { return Ok(None) };
    let mut tours = Vec::new();
    let mut rows = Vec::new();
    let mut remarks = Vec::new();
    for (tour, figures) in arrivals::rows(context.results, measured) {
        match figures {
            Ok(figures) => {
                tours.push((context.place(&tour.contender), tour));
                rows.push(view(tour, &figures));
                remarks.extend(occasion::disturbed(&tour.contender, figures.disturbed));
            }
            Err(reason) => remarks.push(format!("{} has no figures: {reason}", tour.contender)),
        }
    }
    let section = Arrivals {
        path: &measured.occasion.path,
        sentence: context.beside_the_answer(arrivals::sentence),
        picture: crate::studies::arrivals::plot::arrivals(&tours)?,
        rows,
        remarks,
        notes: arrivals::notes(measured),
    };
    Ok(Some(section.render()?))
}

fn view(tour: &Tour, figures: &Figures) -> RowView {
    RowView {
        name: tour.contender.clone(),
        clients: figures.clients,
        requests_per_s: thousands(figures.requests_per_s),
        p50: latency(figures.p50_ns),
        p99: latency(figures.p99_ns),
        busy: format!(
            "{}, {}",
            arrivals::busy_text(figures.server_busy),
            arrivals::busy_text(Some(figures.generator_busy))
        ),
        errors: arrivals::errors_text(figures),
    }
}
