//! Short requests beside long ones.

use askama::Template;

use crate::report::page::{Context, Section};
use crate::studies::offload::figures as offload;
use crate::studies::offload::figures::HEAD;

#[derive(Template)]
#[template(path = "sections/offload.html")]
struct Offload<'a> {
    short: &'a str,
    long: &'a str,
    sentences: Vec<String>,
    heads: &'a [&'a str],
    rows: Vec<[String; HEAD.len()]>,
    failures: Vec<String>,
    notes: Vec<String>,
}

pub(crate) fn render(context: &Context<'_>) -> Section {
    let results = context.results;
    let Some(measured) = &results.offload else { return Ok(None) };
    let section = Offload {
        short: &measured.short_path,
        long: &measured.occasion.path,
        sentences: offload::sentences(results, measured),
        heads: &HEAD,
        rows: offload::rows(results, measured).iter().map(offload::cells).collect(),
        failures: offload::failures(measured),
        notes: offload::notes(measured),
    };
    Ok(Some(section.render()?))
}
