//! Whether all give the same answers.

use askama::Template;

use crate::report::gate::{self, GateView};
use crate::report::page::{Context, Section};

#[derive(Template)]
#[template(path = "sections/gate.html")]
struct Gate {
    gate: GateView,
}

pub(crate) fn render(context: &Context<'_>) -> Section {
    let Some(gate) = &context.results.gate else { return Ok(None) };
    let section = Gate { gate: gate::view(gate) };
    Ok(Some(section.render()?))
}
