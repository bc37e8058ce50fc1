//! The answer, in sentences, each with its uncertainty.

use crate::report::section::Context;
use crate::report::units::{
    interval, interval_of_difference, microseconds, signed_microseconds, thousands,
};
use crate::results::Results;
use crate::stats::{Estimate, Verdict};

use super::figures::{Figures, RegimeFigures};
use super::sizes;
use super::interface;
use super::square::{self, SquareFigures};

/// A server that was undisturbed in fewer of its slices gets no headline.
const UNDISTURBED_MIN: f64 = 0.5;

/// Compares the square's far corner, or the highest rung, with the reference: in the first
/// regime, where the difference comes from, and in the other regimes.
pub(crate) fn sentences(context: &Context<'_>, regimes: &[RegimeFigures]) -> Vec<String> {
    let results = context.results;
    let Some(first) = regimes.first() else { return Vec::new() };
    let reference = results.reference.as_str();
    let Some(subject) = subject(results, first) else {
        return vec![format!("Nothing was measured that could be compared to {reference}.")];
    };
    let mut sentences = Vec::new();
    match withheld(first, &[subject, reference]) {
        Some(reason) => sentences.push(reason),
        None => {
            sentences.extend(headline(context, first, subject, reference));
            sentences.extend(square::of(results, first).map(|square| where_from(&square)));
        }
    }
    sentences.extend(interface_beside(first, subject, reference));
    let brief = |regime: &RegimeFigures| in_brief(regime, subject, reference);
    let others = regimes[1..].iter().filter(|regime| regime.response_bytes.is_none());
    let others: Vec<String> = others.filter_map(brief).collect();
    if !others.is_empty() {
        sentences.push(format!("Elsewhere {subject} adds {}.", others.join("; ")));
    }
    sentences.extend(sizes::sentence(regimes, subject, reference));
    sentences
}

/// The server that the answer is about.
fn subject<'a>(results: &'a Results, regime: &'a RegimeFigures) -> Option<&'a str> {
    let both = results.square.as_ref().map(|square| square.both.as_str());
    let highest = regime.rows.iter().rev().map(|row| row.contender.as_str());
    both.into_iter().chain(highest).find(|key| regime.of(key).is_some_and(|f| f.ratio.is_some()))
}

/// Returns the reason for leaving out the headline, if a server was disturbed too often.
fn withheld(regime: &RegimeFigures, keys: &[&str]) -> Option<String> {
    let worst = keys.iter().filter_map(|key| Some((key, regime.of(key)?.disturbed)));
    let (key, share) = worst.max_by(|one, other| one.1.total_cmp(&other.1))?;
    (1.0 - share < UNDISTURBED_MIN).then(|| {
        format!(
            "No headline: {key} ran undisturbed in only {:.0} % of its slices {}. Measure again \
             when the machine is quiet.",
            (1.0 - share) * 100.0,
            regime.brief
        )
    })
}

fn headline(
    context: &Context<'_>,
    regime: &RegimeFigures,
    subject: &str,
    reference: &str,
) -> Option<String> {
    let (of, to) = (regime.of(subject)?, regime.of(reference)?);
    let ratio = of.ratio?;
    let added = added(regime, subject, reference)?;
    let instructions = |key: &str| (context.instructions)(&regime.key, key);
    let instructions = instructions(subject)
        .zip(instructions(reference))
        .map(|(of, to)| format!(" and {} instructions", thousands(of - to)));
    let figures = format!("{} against {}", microseconds(of.cpu_ns), microseconds(to.cpu_ns));
    let noise = match regime.same_band {
        Some(band) => format!(
            "two processes of {reference} differ by up to {:.1} %",
            (band.high - 1.0) * 100.0
        ),
        None => format!("there is no second {reference} to tell the noise from"),
    };
    let disturbed = of.disturbed.max(to.disturbed) * 100.0;
    let times = format!("{:.2} times [{}]", ratio.value, bounds(ratio));
    let end = format!("{noise}; {disturbed:.0} % of the slices were disturbed.");
    Some(match of.verdict {
        Verdict::NotApart | Verdict::Equal => format!(
            "{subject} and {reference} are {} {}: {figures} of CPU time a request, over loopback \
             {times}; {end}",
            apart(of.verdict, ratio),
            regime.brief
        ),
        _ => format!(
            "{subject} adds {} of CPU time{} to a request of {reference} {}: {figures}. Over \
             loopback that is {times}; {end}",
            with_bounds(added),
            instructions.unwrap_or_default(),
            regime.brief
        ),
    })
}

/// `not told apart at ±4 %`, `equal within 2 %`; empty of a difference.
pub(crate) fn apart(verdict: Verdict, ratio: Estimate) -> String {
    match (verdict, ratio.interval) {
        (Verdict::NotApart, Some(bounds)) => {
            format!("not told apart at ±{:.1} %", crate::stats::farthest(bounds) * 100.0)
        }
        (Verdict::Equal, _) => {
            format!("equal within {:.0} %", crate::stats::EQUAL_WITHIN * 100.0)
        }
        (Verdict::Unknown, _) => "not sure".to_string(),
        _ => String::new(),
    }
}

/// Returns what a server costs more than the reference.
pub(crate) fn added(regime: &RegimeFigures, key: &str, reference: &str) -> Option<Estimate> {
    regime.costs.sum(&[(1.0, key), (-1.0, reference)])
}

fn bounds(ratio: Estimate) -> String {
    ratio.interval.map_or("too few starts for an interval".to_string(), interval)
}

fn with_bounds(difference: Estimate) -> String {
    let value = signed_microseconds(difference.value);
    format!("{value} [{}]", interval_of_difference(difference))
}

fn in_brief(regime: &RegimeFigures, subject: &str, reference: &str) -> Option<String> {
    let Figures { ratio, verdict, .. } = regime.of(subject)?;
    let ratio = (*ratio)?;
    let added = added(regime, subject, reference)?;
    let remark = match apart(*verdict, ratio).as_str() {
        "" => String::new(),
        apart => format!(", {apart}"),
    };
    Some(format!(
        "{} ({:.2} times [{}]{remark}) {}",
        signed_microseconds(added.value),
        ratio.value,
        bounds(ratio),
        regime.brief
    ))
}

/// The two differences add up to the headline's.
fn where_from(square: &SquareFigures) -> String {
    let part = |difference: Estimate| with_noise(difference, square.is_noise(difference));
    format!(
        "Of this, replacing pinloop's HTTP core with hyper adds {}, and replacing mio below it \
         with Tokio adds {}.",
        part(square.hyper_on_mio),
        part(square.tokio_to_hyper)
    )
}

/// Returns a sentence on io_uring in place of epoll, beside the cost of the `subject`.
fn interface_beside(regime: &RegimeFigures, subject: &str, reference: &str) -> Option<String> {
    let figures = interface::of(regime)?;
    let part = |difference: Estimate| with_noise(difference, figures.is_noise(difference));
    let floor = figures.floor.map(|step| format!(" and {} for the floor", part(step.added)));
    let beside = match interface::ON_URING.contains(&subject) {
        true => String::new(),
        false => {
            let added = part(added(regime, subject, reference)?);
            format!(", beside {added} for {subject} in place of {reference}")
        }
    };
    Some(format!(
        "The kernel's interface: io_uring in place of epoll makes {} of CPU time a request for \
         pinloop's core{} {}{beside}.",
        part(figures.core.added),
        floor.unwrap_or_default(),
        regime.brief
    ))
}

fn with_noise(difference: Estimate, is_noise: bool) -> String {
    let remark = if is_noise { ", within the noise" } else { "" };
    format!(
        "{} [{}{remark}]",
        signed_microseconds(difference.value),
        interval_of_difference(difference)
    )
}
