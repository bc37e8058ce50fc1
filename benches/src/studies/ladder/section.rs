//! The ladder's part of the report: at a glance, each regime, what changed, the price.

use super::answer::{added, apart};
use super::figures::{self, Figures, RegimeFigures, Row, Stall};
use super::interface::{self, InterfaceFigures};
use super::square::{self, SquareFigures};
use super::{comparison, hardware, lives, network, plot};
use crate::report::{colors, loaders};
use crate::report::plots::{self, PlotError};
use crate::report::section::{Cell, Context, Key, Section, Sections, Table, Tone};
use crate::report::units::{
    interval, interval_of_difference, latency, microseconds, signed_microseconds, thousands,
};
use crate::results::Results;
use crate::stats::{Estimate, Verdict};

/// In dollars: the sum that the post of 2017 counted requests for.
const BUDGET: f64 = 0.05;

/// Makes all sections.
pub(crate) fn sections(context: &Context<'_>) -> Sections {
    let regimes = figures::of(context.results);
    let mut sections = Vec::new();
    sections.extend(changes(context));
    sections.extend(overview(context, &regimes));
    for regime in &regimes {
        sections.push(of_regime(context, regime)?);
    }
    sections.extend(network::section(context.results, &regimes));
    sections.extend(load_hosts(context.results));
    sections.extend(price(context, &regimes));
    Ok(sections)
}

/// Makes the section on the machines that loaded the servers; none if the measure did it itself.
fn load_hosts(results: &Results) -> Option<Section> {
    let blocks = results.regimes.iter().flat_map(|regime| &regime.blocks);
    let samples = blocks.flat_map(|block| &block.samples);
    let slices: Vec<_> = samples.map(|sample| sample.generator.hosts.as_slice()).collect();
    let mut section = Section::new("The load");
    loaders::add(&mut section, &results.machines, &slices);
    (!section.tables.is_empty()).then_some(section)
}

/// All differences in one table: a row for each server, a column for each regime.
fn overview(context: &Context<'_>, regimes: &[RegimeFigures]) -> Option<Section> {
    let reference = context.results.reference.as_str();
    if regimes.is_empty() {
        return None;
    }
    let mut section = Section::new("All of it at a glance");
    let first = format!("CPU time a request, beyond {reference}");
    let briefs = regimes.iter().map(|regime| regime.brief.clone());
    let columns: Vec<String> = std::iter::once(first).chain(briefs).collect();
    let mut table = Table::new("", &columns);
    let is_measured =
        |key: &str| regimes.iter().any(|of| of.rows.iter().any(|row| row.contender == key));
    let contenders = context.results.contenders.iter().map(|contender| contender.key.as_str());
    for key in contenders.filter(|key| is_measured(key)) {
        let name = std::iter::once(name(context, key));
        table.cells(name.chain(regimes.iter().map(|of| brief_cell(of, key, reference))));
        let again =
            regimes.iter().flat_map(|of| &of.rows).any(|row| row.contender == key && row.again);
        table.rows.iter_mut().last().into_iter().for_each(|row| row.is_faint = again);
    }
    section.tables.push(table);
    section.notes.push(format!(
        "Beside each difference: the ratio {}, with its 95 % interval. Green costs less, orange more; \
         a grey cell is not told apart from {reference}. {reference}_again is a second process of \
         {reference}.",
        if context.results.machines.is_over_a_network() { "over the network" } else { "over loopback" }
    ));
    Some(section)
}

fn brief_cell(regime: &RegimeFigures, key: &str, reference: &str) -> Cell {
    let Some(row) = regime.rows.iter().find(|row| row.contender == key) else {
        return Cell::plain("–");
    };
    let Ok(figures) = &row.figures else { return Cell::plain("failed") };
    let difference = added(regime, key, reference);
    let (Some(ratio), Some(added)) = (figures.ratio, difference) else {
        return Cell::plain(microseconds(figures.cpu_ns));
    };
    let text = signed_microseconds(added.value);
    let below = match (apart(figures.verdict, ratio), ratio.interval) {
        (words, Some(bounds)) if words.is_empty() => {
            format!("{:.2} times, {:.2}–{:.2}", ratio.value, bounds.low, bounds.high)
        }
        (words, _) => words,
    };
    Cell { text, below, tone: tone(figures.verdict) }
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Less => Tone::Less,
        Verdict::More => Tone::More,
        Verdict::NotApart | Verdict::Equal | Verdict::Unknown => Tone::Same,
    }
}

/// The interval of a ratio, or what it says.
fn spread(ratio: Estimate, verdict: Verdict) -> String {
    match (apart(verdict, ratio), ratio.interval) {
        (_, None) => "too few starts".to_string(),
        (words, Some(bounds)) if words.is_empty() => interval(bounds),
        (words, Some(bounds)) => format!("{}, {words}", interval(bounds)),
    }
}

fn name(context: &Context<'_>, key: &str) -> Cell {
    let remark = lives::of(context.results, key).and_then(|conduct| conduct.remark());
    Cell::with(key, remark.unwrap_or_default())
}

fn of_regime(context: &Context<'_>, regime: &RegimeFigures) -> Result<Section, PlotError> {
    let reference = context.results.reference.as_str();
    let mut section = Section::new(regime.title.clone());
    let times = format!("times {reference}");
    let adds = format!("beyond {reference}");
    let columns = [
        "",
        "CPU time per request",
        &adds,
        &times,
        "in user space",
        "requests per second",
        "p50",
        "p99",
        "disturbed slices",
    ];
    let mut table = Table::new("", &columns);
    for row in &regime.rows {
        match &row.figures {
            Ok(figures) => {
                table.cells(cells(context, regime, row, figures));
                table.rows.iter_mut().last().into_iter().for_each(|it| it.is_faint = row.again);
            }
            Err(reason) => {
                section.warnings.push(format!("{} has no figures: {reason}", row.contender));
            }
        }
    }
    section.warnings.extend(stalled(regime));
    section.tables.push(table);
    section.tables.extend(square::of(context.results, regime).map(|it| square_table(&it)));
    section.tables.extend(hardware::table(context.results, regime));
    section.tables.extend(interface::of(regime).map(|it| interface_table(&it)));
    section.plot(picture(context, regime)?, &caption(regime, reference), split_keys());
    let shown: Vec<(&str, &[(u64, u64)])> = regime
        .rows
        .iter()
        .filter(|row| !row.again)
        .filter_map(|row| Some((row.contender.as_str(), row.figures.as_ref().ok()?)))
        .map(|(name, figures)| (name, figures.latencies.as_slice()))
        .collect();
    let caption = "Latency of the fastest to the slowest requests of all slices. A nine more is a \
                   tenth of the requests.";
    let keys = shown.iter().map(|(name, _)| Key::of_server(name)).collect();
    section.plot(plots::percentiles(&regime.title, &shown)?, caption, keys);
    section.notes = vec![format!(
        "{} {}",
        super::method::starts(regime),
        super::method::noise(regime, reference)
    )];
    Ok(section)
}

fn cells(context: &Context<'_>, regime: &RegimeFigures, row: &Row, figures: &Figures) -> [Cell; 9] {
    let reference = context.results.reference.as_str();
    let bounded = |ns: Option<Estimate>| match ns {
        None => Cell::plain("–"),
        Some(Estimate { value, interval: bounds }) => {
            let bounds = bounds.map(|of| [of.low, of.high].map(|ns| latency(ns as u64)).join("–"));
            Cell::with(latency(value as u64), bounds.unwrap_or_default())
        }
    };
    let (adds, times) = match (figures.ratio, added(regime, &row.contender, reference)) {
        (Some(ratio), Some(added)) => (
            Cell::with(signed_microseconds(added.value), interval_of_difference(added)),
            Cell {
                text: format!("{:.3}", ratio.value),
                below: spread(ratio, figures.verdict),
                tone: tone(figures.verdict),
            },
        ),
        _ if row.contender == reference => (Cell::plain("–"), Cell::plain("1")),
        _ => (Cell::plain("–"), Cell::plain("–")),
    };
    let user = |share: f64| microseconds(figures.cpu_ns * share);
    [
        name(context, &row.contender),
        Cell::plain(microseconds(figures.cpu_ns)),
        adds,
        times,
        Cell::plain(figures.user_share.map_or("–".to_string(), user)),
        Cell::plain(thousands(figures.requests_per_s)),
        bounded(figures.p50_ns),
        bounded(figures.p99_ns),
        Cell::plain(format!("{:.0} %", figures.disturbed * 100.0)),
    ]
}

/// Names the servers that were not kept busy, by reason.
fn stalled(regime: &RegimeFigures) -> Vec<String> {
    let stalls = regime.rows.iter().filter_map(|row| {
        let stall = row.figures.as_ref().ok()?.stall?;
        Some((row.contender.as_str(), stall))
    });
    let (mut generator, mut kept_off, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for (name, stall) in stalls {
        match stall {
            Stall::Generator => generator.push(name),
            Stall::KeptOff => kept_off.push(name),
            Stall::Sleeps(switches) => warnings.push(format!(
                "{name} sleeps or waits although requests are due: it gave up its CPU \
                 {switches:.2} times a request. Its CPU time is not what limits it."
            )),
        }
    }
    for (names, reason) in [
        (generator, "the load generator was at its limit: the rates are the generator's"),
        (kept_off, "something else ran on their CPU: they can do more requests per second"),
    ] {
        if !names.is_empty() {
            warnings.push(format!("Not kept busy, because {reason}: {}.", names.join(", ")));
        }
    }
    warnings
}

/// The bars, with the ratio and the instructions beside each.
pub(crate) fn picture(
    context: &Context<'_>,
    regime: &RegimeFigures,
) -> Result<Option<plots::Picture>, PlotError> {
    let beside = |contender: &str| {
        let ratio = regime.of(contender)?.ratio.map(|ratio| format!("{:.2}×", ratio.value));
        let instructions = (context.instructions)(&regime.key, contender);
        let instructions = instructions.map(|each| format!("{} instr.", thousands(each)));
        let known: Vec<String> = ratio.into_iter().chain(instructions).collect();
        (!known.is_empty()).then(|| known.join(" · "))
    };
    plot::ladder(regime, &beside)
}

fn caption(regime: &RegimeFigures, reference: &str) -> String {
    let mut caption = format!(
        "Beyond the black mark is what a layer adds to the rung below it; × is the ratio to \
         {reference}."
    );
    let split = regime.rows.iter().filter_map(|row| row.figures.as_ref().ok());
    if split.clone().any(|figures| figures.user_share.is_none()) {
        caption.push_str(" A grey bar has too few clock ticks to be split.");
    }
    caption
}

fn split_keys() -> Vec<Key> {
    [
        ("in the kernel", colors::KERNEL),
        ("in user space", colors::USER),
        ("not split", colors::UNSPLIT),
    ]
    .map(|(name, color)| Key { name: name.to_string(), color })
    .into()
}

fn square_table(square: &SquareFigures) -> Table {
    let columns = ["CPU time per request", "mio", "Tokio", "Tokio adds"];
    let mut table = Table::new("pinloop's core or hyper, mio or Tokio", &columns);
    let cost = |ns: f64| Cell::plain(microseconds(ns));
    let effect = |difference: Estimate| {
        let remark = if square.is_noise(difference) { ", within the noise" } else { "" };
        let below = format!("{}{remark}", interval_of_difference(difference));
        Cell::with(signed_microseconds(difference.value), below)
    };
    table.cells([
        Cell::plain("pinloop's core"),
        cost(square.plain),
        cost(square.tokio),
        effect(square.tokio_to_core),
    ]);
    table.cells([
        Cell::plain("hyper"),
        cost(square.hyper),
        cost(square.both),
        effect(square.tokio_to_hyper),
    ]);
    table.cells([
        Cell::with("hyper adds", "last: what both cost beyond the sum of each"),
        effect(square.hyper_on_mio),
        effect(square.hyper_on_tokio),
        effect(square.interaction),
    ]);
    table
}

fn interface_table(figures: &InterfaceFigures) -> Table {
    let columns = ["CPU time per request", "epoll", "io_uring", "io_uring adds"];
    let mut table = Table::new("The floor or pinloop's core, epoll or io_uring", &columns);
    let floor = figures.floor.map(|step| ("the floor", step));
    for (name, step) in floor.into_iter().chain([("pinloop's core", figures.core)]) {
        let remark = if figures.is_noise(step.added) { ", within the noise" } else { "" };
        let below = format!("{}{remark}", interval_of_difference(step.added));
        table.cells([
            Cell::plain(name),
            Cell::plain(microseconds(step.epoll)),
            Cell::plain(microseconds(step.uring)),
            Cell::with(signed_microseconds(step.added.value), below),
        ]);
    }
    table
}

fn changes(context: &Context<'_>) -> Option<Section> {
    let comparison = comparison::compare(context.results, context.options.baseline?);
    let mut section = Section::new("Changes since the older run");
    section.answer.push(comparison.summary());
    section.warnings.clone_from(&comparison.doubts);
    section.notes.clone_from(&comparison.missing);
    let columns = ["CPU time per request, in ratio", "regime", "then", "now", "change"];
    let mut table = Table::new("", &columns);
    for change in &comparison.changes {
        let ratio = |estimate: Estimate| Cell::plain(format!("{:.3}", estimate.value));
        table.cells([
            Cell::plain(format!("{} to {}", change.contender, change.to)),
            Cell::plain(change.regime.clone()),
            ratio(change.then),
            ratio(change.now),
            Cell { tone: tone(change.verdict), ..Cell::with(change.percent(), change.spread()) },
        ]);
    }
    section.tables.push(table);
    Some(section)
}

/// Requests for five cents, in the regime with work if there is one, as in 2017.
fn price(context: &Context<'_>, regimes: &[RegimeFigures]) -> Option<Section> {
    let with_work = regimes.iter().find(|regime| regime.key == "data");
    let regime = with_work.or(regimes.first())?;
    let price = context.options.price_per_core_hour;
    let core_ns = BUDGET / price * 3600.0 * 1e9;
    let mut section = Section::new("Requests for 5 cents");
    let mut table = Table::new("", &["", "million requests"]);
    for row in regime.rows.iter().filter(|row| !row.again) {
        let Ok(figures) = &row.figures else { continue };
        table.row([row.contender.clone(), thousands(core_ns / figures.cpu_ns / 1e6)]);
    }
    section.tables.push(table);
    section.notes.push(format!(
        "At ${price} for a core and an hour, with the cores kept busy: {}. The post of 2017 \
         counted 72 million: 20,000 requests a second on four cores at $0.05 an hour, with the \
         load generator on another machine.",
        regime.title
    ));
    Some(section)
}
