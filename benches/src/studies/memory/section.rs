//! Memory that an idle connection takes.

use super::figures::{self, HEAD, Row};
use crate::report::{colors, machines};
use crate::report::plots::{self, Bar};
use crate::report::section::{Context, Section, Sections, Table};

/// Makes the section.
pub(crate) fn sections(context: &Context<'_>) -> Sections {
    let Some(memory) = &context.results.studies.memory else { return Ok(Vec::new()) };
    let mut section = Section::new("Memory of an idle connection");
    let rows = figures::rows(memory);
    let mut table = Table::new("", &HEAD);
    rows.iter().for_each(|row| table.row(figures::words(row)));
    section.tables.push(table);
    let bar = |row: &Row| Bar {
        name: row.contender.clone(),
        amount: row.rss_each,
        words: figures::words(row)[1].clone(),
        color: colors::of(&row.contender),
    };
    let bars: Vec<Bar> = rows.iter().map(bar).collect();
    let caption = "Resident memory of the server per connection that has served requests and is \
                   idle.";
    section.plot(plots::bars(caption, &bars)?, caption, Vec::new());
    section.notes = figures::remarks(memory);
    machines::add(&mut section, &memory.machines, &[], &[]);
    Ok(vec![section])
}
