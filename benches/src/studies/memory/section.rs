//! What an idle connection takes.

use askama::Template;

use crate::report::page::{Context, Section};
use crate::report::plots::{self, Bar, Picture};
use crate::studies::memory::figures as memory;
use crate::studies::memory::figures::HEAD;

#[derive(Template)]
#[template(path = "sections/memory.html")]
struct Idle {
    head: [&'static str; 5],
    rows: Vec<[String; 5]>,
    picture: Option<Picture>,
    remarks: Vec<String>,
}

/// None where it was not measured.
pub(crate) fn render(context: &Context<'_>) -> Section {
    let Some(found) = &context.results.memory else { return Ok(None) };
    let rows = memory::rows(found);
    let words: Vec<[String; 5]> = rows.iter().map(memory::words).collect();
    let bar = |(row, words): (&memory::Row, &[String; 5])| {
        let key = context.legend.iter().find(|key| key.name == row.contender)?;
        let words = words[1].clone();
        Some(Bar { name: &key.name, amount: row.rss_each, words, colour: key.colour })
    };
    let bars: Vec<Bar<'_>> = rows.iter().zip(&words).filter_map(bar).collect();
    let picture = plots::bars("Resident memory per idle connection", &bars)?;
    let section = Idle { head: HEAD, rows: words, picture, remarks: memory::remarks(found) };
    Ok(Some(section.render()?))
}
