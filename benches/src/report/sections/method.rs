//! How it was measured, and what could be wrong with it.

use askama::Template;

use crate::report::method;
use crate::report::page::{Context, Section};

#[derive(Template)]
#[template(path = "sections/method.html")]
struct Method {
    method: Vec<String>,
    doubts: Vec<String>,
}

/// Of the ladder; the other studies say it for themselves.
pub(crate) fn render(context: &Context<'_>) -> Section {
    if context.regimes.is_empty() {
        return Ok(None);
    }
    let section =
        Method { method: method::method(context.results), doubts: method::doubts(context.results) };
    Ok(Some(section.render()?))
}
