//! The same load per core on more cores.

use super::figures::{self, Size};
use super::plot;
use crate::report::machines;
use crate::report::section::{Cell, Context, Key, Section, Sections, Table};
use crate::report::units::{microseconds, thousands};

/// Makes the section.
pub(crate) fn sections(context: &Context<'_>) -> Sections {
    let Some(scaling) = &context.results.studies.scaling else { return Ok(Vec::new()) };
    let path = &scaling.occasion.path;
    let mut section = Section::new(format!("Scaling: GET {path} on more cores"));
    section.answer.extend(figures::sentence(context.results));
    let columns = [
        "",
        "cores",
        "generators",
        "requests per second",
        "CPU time per request",
        "capacity",
        "connections of the busiest loop, to the mean",
        "its requests",
    ];
    let mut table = Table::new("", &columns);
    let rows = figures::rows(context.results, scaling);
    let mut drawn = Vec::new();
    for row in &rows {
        let name = &row.contender;
        match &row.figures {
            Ok(figures) => {
                drawn.push((name.as_str(), figures));
                figures.sizes.iter().for_each(|size| table.cells(cells(name, size)));
                section.definitions.push((name.clone(), figures::law_text(figures)));
                let loops = |size: &Size| {
                    let term = format!("{name}, {}", size.cores);
                    (!size.loops.is_empty()).then(|| (term, figures::loops_text(size)))
                };
                section.definitions.extend(figures.sizes.iter().filter_map(loops));
            }
            Err(reason) => section.warnings.push(format!("{name} has no figures: {reason}")),
        }
    }
    section.tables.push(table);
    let caption = "Capacity in requests per second, with its 95 % interval, and the law fitted to \
                   it. A ring: the load generator had to share the server's CPUs. Grey: the \
                   rates of 2017 with 1, 2 and 4 threads.";
    let keys = drawn.iter().map(|(name, _)| Key::of_server(name)).collect();
    section.plot(plot::scaling(&drawn)?, caption, keys);
    section.answer.extend(figures::plan_text(scaling, &rows));
    section.notes.push(
        "The universal scalability law is X(n) = λ n / (1 + σ (n − 1) + κ n (n − 1)): λ is the \
         rate of one core, σ the part of the work that only one core at a time can do, κ what \
         cores spend on agreeing with each other."
            .to_string(),
    );
    section.notes.extend(figures::notes(scaling));
    machines::add(&mut section, &scaling.occasion.machines, &scaling.occasion.server_cores, &[]);
    Ok(vec![section])
}

fn cells(name: &str, size: &Size) -> [Cell; 8] {
    let [connections, requests] = figures::imbalance_text(size);
    [
        Cell::plain(name),
        Cell::plain(size.cores.to_string()),
        Cell::plain(figures::generators_text(size)),
        Cell::plain(thousands(size.requests_per_s)),
        Cell::plain(microseconds(size.cpu_ns)),
        Cell::with(thousands(size.capacity.value), figures::bounds_text(size)),
        Cell::plain(connections),
        Cell::plain(requests),
    ]
}
