//! Changes from one run to another, beyond the noise of both.
//!
//! Only ratios within starts are compared: what else differs between two runs, such
//! as the machine's pace, is in both of a ratio's parts. The reference, whose own
//! ratio is 1, is held against the rung below it.

use crate::report::units::interval;
use crate::results::Results;
use crate::stats;
use crate::stats::{Estimate, Interval, Verdict};
use crate::studies::ladder::figures::{self, RegimeFigures};

/// All that can be compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// In the order of the newer run.
    pub changes: Vec<Change>,
    /// Sentences on figures that cannot be compared.
    pub missing: Vec<String>,
    /// Sentences on doubts about the comparison.
    pub doubts: Vec<String>,
}

/// One ratio, then and now.
#[derive(Clone, Debug)]
pub struct Change {
    /// The regime in a few words.
    pub regime: String,
    /// Key of the server.
    pub contender: String,
    /// Key of the server that the ratio is taken to.
    pub to: String,
    /// In the older run.
    pub then: Estimate,
    /// In the newer run.
    pub now: Estimate,
    /// The newer ratio over the older one.
    pub factor: Estimate,
    /// True if that is a change.
    pub verdict: Verdict,
}

impl Comparison {
    /// Returns the number of changed ratios, in a sentence.
    pub fn summary(&self) -> String {
        let changed = |change: &&Change| matches!(change.verdict, Verdict::Less | Verdict::More);
        let count = self.changes.iter().filter(changed).count();
        match (self.changes.len(), count) {
            (0, _) => "The two runs have nothing that could be compared.".to_string(),
            (all, 0) => format!("None of {all} ratios has changed beyond the noise of both runs."),
            (all, count) => {
                format!("{count} of {all} ratios have changed beyond the noise of both runs.")
            }
        }
    }
}

impl Change {
    /// `−10.0 %`
    pub fn percent(&self) -> String {
        format!("{:+.1} %", (self.factor.value - 1.0) * 100.0).replace('-', "−")
    }

    /// The interval of the factor, and whether that is a change.
    pub fn spread(&self) -> String {
        let Some(bounds) = self.factor.interval else { return "too few starts to say".to_string() };
        let remark = match self.verdict {
            Verdict::NotApart | Verdict::Equal => ", no change",
            Verdict::Unknown => ", not sure",
            Verdict::Less | Verdict::More => "",
        };
        format!("{}{remark}", interval(bounds))
    }

    /// Both.
    pub fn in_words(&self) -> String {
        format!("{} [{}]", self.percent(), self.spread())
    }
}

/// Compares `now` with `then`.
pub fn compare(now: &Results, then: &Results) -> Comparison {
    let mut comparison =
        Comparison { changes: Vec::new(), missing: Vec::new(), doubts: doubts(now, then) };
    let older = figures::of(then);
    for regime in figures::of(now) {
        let Some(before) = older.iter().find(|before| before.key == regime.key) else {
            comparison.missing.push(format!("The older run has nothing {}.", regime.brief));
            continue;
        };
        let band = regime
            .same_band
            .zip(before.same_band)
            .map(|(now, then)| Interval { low: now.low * then.low, high: now.high * then.high });
        for contender in &now.contenders {
            let Some(to) = held_against(now, &contender.key) else { continue };
            let ratio = |of: &RegimeFigures| of.costs.ratio(&contender.key, to);
            let (now, then) = match (ratio(&regime), ratio(before)) {
                (Some(now), Some(then)) => (now, then),
                (None, None) => continue,
                (now, _) => {
                    comparison.missing.push(format!(
                        "The {} run has no figure of {} {}.",
                        if now.is_none() { "newer" } else { "older" },
                        contender.key,
                        regime.brief
                    ));
                    continue;
                }
            };
            let factor = now.over(then);
            let verdict = stats::verdict(factor, band);
            comparison.changes.push(Change {
                regime: regime.brief.clone(),
                contender: contender.key.clone(),
                to: to.to_string(),
                then,
                now,
                factor,
                verdict,
            });
        }
    }
    comparison
}

/// Returns none for the second of the A/A pair and for the lowest rung.
fn held_against<'a>(results: &'a Results, key: &str) -> Option<&'a str> {
    let of = |key: &str| results.contenders.iter().find(|contender| contender.key == key);
    let reference = of(&results.reference)?;
    if key == reference.key {
        return reference.base.as_deref();
    }
    (of(key)?.variant != reference.variant).then_some(reference.key.as_str())
}

fn doubts(now: &Results, then: &Results) -> Vec<String> {
    let mut doubts = Vec::new();
    if now.machine.cpu != then.machine.cpu {
        doubts.push(format!(
            "The older run is of another machine ({}): a ratio may differ for that alone.",
            then.machine.cpu
        ));
    }
    if now.machine.kernel != then.machine.kernel {
        doubts.push(format!("The older run is of another kernel ({}).", then.machine.kernel));
    }
    if now.settings.server_cores.len() != then.settings.server_cores.len() {
        doubts.push("The older run had another number of CPUs for the servers.".to_string());
    }
    if now.settings.work_rounds != then.settings.work_rounds {
        doubts.push("The older run had another amount of work for /data.".to_string());
    }
    doubts
}
