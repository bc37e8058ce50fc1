//! Short requests beside long ones.

use super::figures::{self, HEAD, Row};
use crate::report::{colors, machines};
use crate::report::plots::{self, Bar};
use crate::report::section::{Context, Section, Sections, Table};
use crate::report::units::{latency, thousands};

/// Makes the section.
pub(crate) fn sections(context: &Context<'_>) -> Sections {
    let Some(offload) = &context.results.studies.offload else { return Ok(Vec::new()) };
    let (short, long) = (&offload.short_path, &offload.occasion.path);
    let mut section = Section::new(format!("Offloading: GET {short} beside GET {long}"));
    section.answer = figures::sentences(context.results, offload);
    section.warnings = figures::failures(offload);
    let rows = figures::rows(context.results, offload);
    let mut table = Table::new("", &HEAD);
    rows.iter().for_each(|row| table.row(figures::cells(row)));
    section.tables.push(table);
    let most = rows.iter().map(|row| row.work_rounds).max().unwrap_or(0);
    let longest = rows.iter().filter(|row| row.work_rounds == most);
    let bar = |row: &'_ Row| Bar {
        name: row.contender.clone(),
        amount: row.beside_ns[1] as f64,
        words: latency(row.beside_ns[1]),
        color: colors::of(&row.contender),
    };
    let bars: Vec<Bar> = longest.map(bar).collect();
    let caption = format!(
        "p99 of the short requests beside long ones of {} rounds of work. Shorter is better.",
        thousands(f64::from(most))
    );
    section.plot(plots::bars(&caption, &bars)?, &caption, Vec::new());
    section.notes = figures::notes(offload);
    machines::add(&mut section, &offload.occasion.machines, &offload.occasion.server_cores, &[]);
    Ok(vec![section])
}
