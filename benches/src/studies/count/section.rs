//! What can be counted exactly, and where pinloop's instructions are.

use askama::Template;

use crate::report::page::{Context, Section};
use crate::report::plots::{self, Bar, Picture, PlotError};
use crate::report::units::thousands;
use crate::results::Workload;
use crate::studies::count::figures as counts;
use crate::studies::count::figures::{HEAD, Row};
use crate::studies::count::split;
use crate::studies::count::split::Share;

/// Functions that are named of each part of the split.
const FUNCTIONS_MAX: usize = 6;

#[derive(Template)]
#[template(path = "sections/counts.html")]
struct Exact<'a> {
    head: [&'static str; 7],
    workloads: Vec<WorkloadView<'a>>,
    picture: Option<Picture>,
    split: Option<SplitView<'a>>,
    gaps: Vec<String>,
}

struct WorkloadView<'a> {
    title: &'a str,
    rows: Vec<[String; 7]>,
    requests: String,
}

/// Where the reference's instructions are.
struct SplitView<'a> {
    contender: &'a str,
    total: String,
    picture: Option<Picture>,
    parts: Vec<PartView>,
    grouping: Vec<(&'static str, String)>,
}

struct PartView {
    name: &'static str,
    one: String,
    pipelined: String,
    functions: String,
}

/// None where nothing was counted.
pub(crate) fn render(context: &Context<'_>) -> Section {
    let Some(counts) = &context.results.counts else { return Ok(None) };
    let picture = counts.workloads.first().map(|first| picture(context, first)).transpose()?;
    let workloads = counts.workloads.iter().map(|workload| WorkloadView {
        title: &workload.title,
        rows: counts::rows(workload).iter().map(counts::words).collect(),
        requests: format!(
            "{} and {}",
            thousands(workload.requests.0 as f64),
            thousands(workload.requests.1 as f64)
        ),
    });
    let section = Exact {
        head: HEAD,
        workloads: workloads.collect(),
        picture: picture.flatten(),
        split: split_view(context, &counts.workloads)?,
        gaps: counts::gaps(counts),
    };
    Ok(Some(section.render()?))
}

fn picture(context: &Context<'_>, workload: &Workload) -> Result<Option<Picture>, PlotError> {
    let rows = counts::rows(workload);
    let bar = |row: &'_ Row| -> Option<(usize, f64)> {
        let place = context.legend.iter().position(|key| key.name == row.contender)?;
        Some((place, row.instructions?))
    };
    let bars: Vec<Bar<'_>> = rows
        .iter()
        .filter_map(bar)
        .map(|(place, amount)| Bar {
            name: &context.legend[place].name,
            amount,
            words: thousands(amount),
            colour: context.legend[place].colour,
        })
        .collect();
    plots::bars(&format!("User instructions per request: {}", workload.title), &bars)
}

fn split_view<'a>(
    context: &Context<'a>,
    workloads: &[Workload],
) -> Result<Option<SplitView<'a>>, PlotError> {
    let reference = &context.results.reference;
    let of = |key: &str| {
        let workload = workloads.iter().find(|workload| workload.key == key);
        workload.map(|workload| split::of(workload, reference)).unwrap_or_default()
    };
    let (one, pipelined) = (of("one"), of("pipelined"));
    if one.is_empty() {
        return Ok(None);
    }
    let total: f64 = one.iter().map(|share| share.instructions).sum();
    let bar = |share: &Share| Bar {
        name: share.name,
        amount: share.instructions,
        words: format!(
            "{} · {:.0} %",
            thousands(share.instructions),
            share.instructions / total * 100.0
        ),
        colour: plots::USER,
    };
    let part = |share: &Share| {
        let there = pipelined.iter().find(|other| other.name == share.name);
        let functions = share.functions.iter().take(FUNCTIONS_MAX);
        let functions = functions.map(|(name, each)| format!("{name} {each:.0}"));
        PartView {
            name: share.name,
            one: thousands(share.instructions),
            pipelined: there.map_or("–".to_string(), |there| thousands(there.instructions)),
            functions: functions.collect::<Vec<_>>().join(", "),
        }
    };
    let bars: Vec<Bar<'_>> = one.iter().map(bar).collect();
    let label = format!("Where the instructions of {reference} are");
    Ok(Some(SplitView {
        contender: reference,
        total: thousands(total),
        picture: plots::bars(&label, &bars)?,
        parts: one.iter().map(part).collect(),
        grouping: split::grouping(),
    }))
}
