//! The machine.

use askama::Template;

use crate::report::method;
use crate::report::page::{Context, Section};

#[derive(Template)]
#[template(path = "sections/machine.html")]
struct Machine {
    machine: Vec<(&'static str, String)>,
}

pub(crate) fn render(context: &Context<'_>) -> Section {
    let section = Machine { machine: method::machine(context.results) };
    Ok(Some(section.render()?))
}
