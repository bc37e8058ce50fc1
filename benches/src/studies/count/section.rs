//! Exact counts, and where pinloop's instructions are.

use super::figures::{self, HEAD, Row};
use super::record::Workload;
use super::split::{self, Share};
use crate::report::colors;
use crate::report::plots::{self, Bar};
use crate::report::section::{Cell, Context, Section, Sections, Table};
use crate::report::units::thousands;

/// Functions that are named of each part of the split.
const FUNCTIONS_MAX: usize = 6;

/// Makes both sections.
pub(crate) fn sections(context: &Context<'_>) -> Sections {
    let Some(counts) = &context.results.studies.count else { return Ok(Vec::new()) };
    let mut section = Section::new("Counted exactly");
    section.warnings = figures::gaps(counts);
    if let Some(first) = counts.workloads.first() {
        let rows = figures::rows(first);
        let bars: Vec<Bar> = rows.iter().filter_map(bar).collect();
        let caption = format!("User instructions per request: {}.", first.title);
        section.plot(plots::bars(&caption, &bars)?, &caption, Vec::new());
    }
    for workload in &counts.workloads {
        let mut table = Table::new(format!("{}, per request", workload.title), &HEAD);
        figures::rows(workload).iter().for_each(|row| table.row(figures::words(row)));
        section.tables.push(table);
    }
    section.notes = vec![
        "Each server is run twice, with N and 2N requests, and the difference is divided by N. \
         The costs of a start, a connection and the first requests cancel, and the counts do not \
         depend on how busy the machine is."
            .to_string(),
        "Instructions of user space come from callgrind, allocations from an allocator that \
         counts in a program that is never timed, system calls from strace. Wake-ups are returns \
         from epoll_wait. A server is slow under strace and finds more events at once, so with \
         several connections its wake-ups are a lower bound. An echo's body may come in other \
         pieces each time, and its counts differ by that."
            .to_string(),
    ];
    let mut sections = vec![section];
    sections.extend(split_section(&context.results.reference, &counts.workloads)?);
    Ok(sections)
}

fn bar(row: &Row) -> Option<Bar> {
    let amount = row.instructions?;
    let (name, color) = (row.contender.clone(), colors::of(&row.contender));
    Some(Bar { name, amount, words: thousands(amount), color })
}

fn split_section(
    reference: &str,
    workloads: &[Workload],
) -> Result<Option<Section>, plots::PlotError> {
    let of = |key: &str| {
        let workload = workloads.iter().find(|workload| workload.key == key);
        workload.map(|workload| split::of(workload, reference)).unwrap_or_default()
    };
    let (one, pipelined) = (of("one"), of("pipelined"));
    if one.is_empty() {
        return Ok(None);
    }
    let total: f64 = one.iter().map(|share| share.instructions).sum();
    let mut section =
        Section::new(format!("The {} instructions of {reference} by part", thousands(total)));
    let bar = |share: &Share| Bar {
        name: share.name.to_string(),
        amount: share.instructions,
        words: format!(
            "{} · {:.0} %",
            thousands(share.instructions),
            share.instructions / total * 100.0
        ),
        color: colors::USER,
    };
    let bars: Vec<Bar> = one.iter().map(bar).collect();
    section.plot(plots::bars(&section.heading, &bars)?, "", Vec::new());
    let columns = ["instructions per request", "one at a time", "16 pipelined", "functions"];
    let mut table = Table::new("", &columns);
    for share in &one {
        let there = pipelined.iter().find(|other| other.name == share.name);
        let functions = share.functions.iter().take(FUNCTIONS_MAX);
        let functions: Vec<String> =
            functions.map(|(name, each)| format!("{name} {each:.0}")).collect();
        table.cells([
            Cell::plain(share.name),
            Cell::plain(thousands(share.instructions)),
            Cell::plain(there.map_or("–".to_string(), |there| thousands(there.instructions))),
            Cell::plain(functions.join(", ")),
        ]);
    }
    section.tables.push(table);
    let grouping = split::grouping().into_iter();
    section.definitions = grouping.map(|(part, files)| (part.to_string(), files)).collect();
    section.notes = vec![
        "An instruction counts for the source line that it comes from, even if the compiler moved \
         it. Inlined functions of the standard library count for their callers. The first part \
         with a matching file gets the instruction."
            .to_string(),
    ];
    Ok(Some(section))
}
