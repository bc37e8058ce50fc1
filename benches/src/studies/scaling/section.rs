//! The servers on 1, 2, … cores.

use askama::Template;

use crate::report::page::{Context, Key, Section};
use crate::report::plots::Picture;
use crate::report::units::{microseconds, thousands};
use crate::studies::scaling::figures as scaling;
use crate::studies::scaling::figures::Size;

#[derive(Template)]
#[template(path = "sections/scaling.html")]
struct Scaling<'a> {
    path: &'a str,
    sentence: Option<String>,
    picture: Option<Picture>,
    legend: Vec<&'a Key>,
    rows: Vec<RowView>,
    laws: Vec<(String, String)>,
    plan: Vec<String>,
    failures: Vec<String>,
    notes: Vec<String>,
}

struct RowView {
    name: String,
    cores: usize,
    generators: String,
    requests_per_s: String,
    cpu: String,
    capacity: String,
    bounds: String,
    connections: String,
    requests: String,
    loops: String,
}

pub(crate) fn render(context: &Context<'_>) -> Section {
    let Some(measured) = &context.results.scaling else { return Ok(None) };
    let rows = scaling::rows(context.results, measured);
    let mut drawn = Vec::new();
    let mut views = Vec::new();
    let mut laws = Vec::new();
    let mut failures = Vec::new();
    for row in &rows {
        match &row.figures {
            Ok(figures) => {
                drawn.push((context.place(&row.contender), figures));
                views.extend(figures.sizes.iter().map(|size| view(&row.contender, size)));
                laws.push((row.contender.clone(), scaling::law_text(figures)));
            }
            Err(reason) => failures.push(format!("{} has no figures: {reason}", row.contender)),
        }
    }
    let section = Scaling {
        path: &measured.occasion.path,
        sentence: context.beside_the_answer(scaling::sentence),
        picture: crate::studies::scaling::plot::scaling(&drawn)?,
        legend: drawn.iter().map(|(place, _)| &context.legend[*place]).collect(),
        rows: views,
        laws,
        plan: scaling::plan_text(measured, &rows),
        failures,
        notes: scaling::notes(measured),
    };
    Ok(Some(section.render()?))
}

fn view(contender: &str, size: &Size) -> RowView {
    let [connections, requests] = scaling::imbalance_text(size);
    RowView {
        name: contender.to_string(),
        cores: size.cores,
        generators: scaling::generators_text(size),
        requests_per_s: thousands(size.requests_per_s),
        cpu: microseconds(size.cpu_ns),
        capacity: thousands(size.capacity.value),
        bounds: scaling::bounds_text(size),
        connections,
        requests,
        loops: scaling::loops_text(size),
    }
}
