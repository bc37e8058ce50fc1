//! The answer, in sentences, each with its uncertainty.

use crate::report::units::{interval, interval_of_difference, microseconds, signed_microseconds};
use crate::results::Results;
use crate::stats::{Estimate, Verdict};
use crate::studies::arrivals::figures as arrivals;
use crate::studies::knee::figures as knee;
use crate::studies::ladder::figures::{Figures, RegimeFigures};
use crate::studies::ladder::square;
use crate::studies::ladder::square::SquareFigures;
use crate::studies::scaling::figures as scaling;

/// What the first regime says about the square's far corner, or the highest
/// rung; then where the difference comes from, and what the other regimes say.
pub fn sentences(results: &Results, regimes: &[RegimeFigures]) -> Vec<String> {
    let Some(first) = regimes.first() else {
        let said = of_studies(results);
        return if said.is_empty() {
            vec!["The ladder was not measured.".to_string()]
        } else {
            said
        };
    };
    let reference = results.reference.as_str();
    let Some(subject) = subject(results, first) else {
        return vec![format!("Nothing was measured that could be compared to {reference}.")];
    };
    let mut sentences = vec![headline(first, subject, reference)];
    let square = results.regimes.first().and_then(|regime| square::of(results, regime, first));
    sentences.extend(square.map(|square| where_from(&square)));
    let others: Vec<String> =
        regimes[1..].iter().filter_map(|regime| in_brief(regime, subject)).collect();
    if !others.is_empty() {
        sentences.push(format!("Elsewhere the ratio is {}.", others.join("; ")));
    }
    sentences
}

/// What the studies beside the ladder say, a sentence each.
pub fn of_studies(results: &Results) -> Vec<String> {
    let studies = [knee::sentence, arrivals::sentence, scaling::sentence];
    studies.iter().filter_map(|sentence| sentence(results)).collect()
}

/// Whom the answer is about.
fn subject<'a>(results: &'a Results, regime: &'a RegimeFigures) -> Option<&'a str> {
    let both = results.square.as_ref().map(|square| square.both.as_str());
    let highest = regime.rows.iter().rev().map(|row| row.contender.as_str());
    both.into_iter().chain(highest).find(|key| regime.of(key).is_some_and(|f| f.ratio.is_some()))
}

fn headline(regime: &RegimeFigures, subject: &str, reference: &str) -> String {
    let (Some(of), Some(to)) = (regime.of(subject), regime.of(reference)) else {
        return format!("{subject} could not be compared to {reference}.");
    };
    let Some(ratio) = of.ratio else {
        return format!("{subject} could not be compared to {reference}.");
    };
    let noise = match regime.same_band {
        Some(band) => format!(
            "two processes of {reference} itself differ by up to {:.1} %",
            (band.high - 1.0) * 100.0
        ),
        None => format!("there is no second {reference} to tell the noise from"),
    };
    let against =
        format!("{} against {} a request", microseconds(of.cpu_ns), microseconds(to.cpu_ns));
    let said = match of.verdict {
        Verdict::NoDifference => {
            format!(
                "{subject} and {reference} cannot be told apart here by CPU time {}: {against}",
                regime.brief
            )
        }
        Verdict::Unknown => format!(
            "{subject} may cost {:.2} times the CPU time of {reference} {}: {against}",
            ratio.value, regime.brief
        ),
        Verdict::Less | Verdict::More => format!(
            "{subject} costs {:.2} times the CPU time of {reference} {}: {against}",
            ratio.value, regime.brief
        ),
    };
    format!("{said} ({}; {noise}).", bounds(ratio))
}

fn bounds(ratio: Estimate) -> String {
    match ratio.interval {
        Some(bounds) => format!("95 % interval of the ratio {}", interval(bounds)),
        None => "too few blocks for an interval".to_string(),
    }
}

fn in_brief(regime: &RegimeFigures, subject: &str) -> Option<String> {
    let Figures { ratio, verdict, .. } = regime.of(subject)?;
    let ratio = (*ratio)?;
    let spread = ratio.interval.map_or("no interval".to_string(), interval);
    let remark = match verdict {
        Verdict::NoDifference => ", no difference",
        Verdict::Unknown => ", not sure",
        Verdict::Less | Verdict::More => "",
    };
    Some(format!("{:.2} [{spread}{remark}] {}", ratio.value, regime.brief))
}

fn where_from(square: &SquareFigures) -> String {
    let part = |difference: Estimate| {
        let remark = if square.is_noise(difference) { ", within the noise" } else { "" };
        format!(
            "{} [{}{remark}]",
            signed_microseconds(difference.value),
            interval_of_difference(difference)
        )
    };
    format!(
        "There hyper in place of our core makes {}, and Tokio in place of mio below it {}.",
        part(square.hyper_on_mio),
        part(square.tokio_to_hyper)
    )
}
