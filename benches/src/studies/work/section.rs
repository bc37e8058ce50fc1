//! The difference that remains when requests take work.

use super::{figures, plot};
use crate::report::{colors, machines};
use crate::report::section::{Context, Key, Section, Sections, Table};

/// Makes the section.
pub(crate) fn sections(context: &Context<'_>) -> Sections {
    let Some(work) = &context.results.studies.work else { return Ok(Vec::new()) };
    let mut section = Section::new("When requests take work");
    section.warnings = figures::failures(work);
    let Some(curve) = figures::curve(work) else { return Ok(vec![section]) };
    section.answer = figures::sentences(work, &curve);
    let mut table = Table::new("", &figures::head(work));
    curve.points.iter().for_each(|point| table.row(figures::words(point)));
    section.tables.push(table);
    let caption = format!(
        "CPU time per request of {} beyond that of {}, in percent, over the CPU time of the work. \
         Bars are 95 % intervals; the line is the fit.",
        work.over, work.base
    );
    let picture = plot::work(&caption, &curve, colors::of(&work.over))?;
    section.plot(picture, &caption, vec![Key::of_server(&work.over)]);
    section.notes.push(format!(
        "All points have the same number of starts, and ratios are estimated as in the ladder. The \
         fit takes the difference d as the same for every amount of work. Its share is \
         d / (a + work), where a is the cost of {} without work.",
        work.base
    ));
    let blocks = work.points.iter().flat_map(|point| &point.regime.blocks);
    let samples = blocks.flat_map(|block| &block.samples);
    let slices: Vec<_> = samples.map(|sample| sample.generator.hosts.as_slice()).collect();
    machines::add(&mut section, &work.machines, &[], &slices);
    Ok(vec![section])
}
