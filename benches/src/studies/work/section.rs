//! From how much work on it no longer matters which server it is.

use askama::Template;

use crate::report::page::{Context, Section};
use crate::report::plots::{self, Picture};
use crate::studies::work::figures as work;
use crate::studies::work::figures::Point;

#[derive(Template)]
#[template(path = "sections/work.html")]
struct BreakEven<'a> {
    base: &'a str,
    over: &'a str,
    sentences: Vec<String>,
    picture: Option<Picture>,
    head: [String; 6],
    rows: Vec<[String; 6]>,
    failures: Vec<String>,
}

/// None where it was not measured.
pub(crate) fn render(context: &Context<'_>) -> Section {
    let Some(found) = &context.results.work else { return Ok(None) };
    let Some(curve) = work::curve(context.results, found) else { return Ok(None) };
    let label = format!("What {} costs more than {}, by work", found.over, found.base);
    let key = context.legend.iter().find(|key| key.name == found.over);
    let colour = key.map_or(plots::KERNEL, |key| key.colour);
    let section = BreakEven {
        base: &found.base,
        over: &found.over,
        sentences: work::sentences(found, &curve),
        picture: crate::studies::work::plot::work(&label, &curve, colour)?,
        head: work::head(found),
        rows: curve.points.iter().map(|point: &Point| work::words(point)).collect(),
        failures: work::failures(found),
    };
    Ok(Some(section.render()?))
}
