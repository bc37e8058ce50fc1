//! Who takes part.

use askama::Template;

use crate::report::page::{Context, Key, Section};

#[derive(Template)]
#[template(path = "sections/contenders.html")]
struct Contenders<'a> {
    legend: &'a [Key],
}

pub(crate) fn render(context: &Context<'_>) -> Section {
    let section = Contenders { legend: context.legend };
    Ok(Some(section.render()?))
}
