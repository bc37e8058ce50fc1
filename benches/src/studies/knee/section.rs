//! The knee: how much each server sustains.

use askama::Template;

use crate::report::page::{Context, Key, Section};
use crate::report::plots::Picture;
use crate::report::units::{latency, thousands};
use crate::studies::knee::figures as knee;
use crate::studies::knee::figures::{Figures, Row};

#[derive(Template)]
#[template(path = "sections/knee.html")]
struct Knee<'a> {
    path: &'a str,
    sentence: Option<String>,
    picture: Option<Picture>,
    bound: String,
    legend: Vec<&'a Key>,
    reference: &'a str,
    rows: Vec<RowView>,
    remarks: Vec<String>,
    notes: Vec<String>,
}

struct RowView {
    name: String,
    sustained: String,
    bounds: String,
    ratio: String,
    p50: String,
    p99: String,
    p99_9: String,
    busy: String,
}

pub(crate) fn render(context: &Context<'_>) -> Section {
    let Some(knee) = &context.results.knee else { return Ok(None) };
    let rows = knee::rows(context.results, knee);
    let mut curves = Vec::new();
    let mut views = Vec::new();
    let mut remarks = Vec::new();
    for row in &rows {
        match &row.figures {
            Ok(figures) => {
                curves.push((context.place(&row.contender), figures));
                views.push(view(row, figures));
                remarks.extend(knee::remarks(row, figures));
            }
            Err(reason) => remarks.push(format!("{} has no figures: {reason}", row.contender)),
        }
    }
    let section = Knee {
        path: &knee.occasion.path,
        sentence: context.beside_the_answer(knee::sentence),
        picture: crate::studies::knee::plot::knee(knee.bound.p99_ns, &curves)?,
        bound: latency(knee.bound.p99_ns),
        legend: curves.iter().map(|(place, _)| &context.legend[*place]).collect(),
        reference: &context.results.reference,
        rows: views,
        remarks,
        notes: knee::notes(knee),
    };
    Ok(Some(section.render()?))
}

fn view(row: &Row, figures: &Figures) -> RowView {
    let [p50, p99, p99_9] = figures.latency_ns.map(|ns| latency(ns as u64));
    let bounds = figures.sustained.interval.map_or("too few searches".to_string(), |bounds| {
        format!("{}–{}", thousands(bounds.low), thousands(bounds.high))
    });
    RowView {
        name: row.contender.clone(),
        sustained: thousands(figures.sustained.value),
        bounds,
        ratio: knee::ratio_text(figures),
        p50,
        p99,
        p99_9,
        busy: format!(
            "{:.0} %, {:.0} %",
            figures.server_busy * 100.0,
            figures.generator_busy * 100.0
        ),
    }
}
