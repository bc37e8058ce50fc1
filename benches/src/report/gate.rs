//! What the gate found, for people.

use std::collections::BTreeMap;

use crate::results::{Difference, Gate, OutsideAnswers, Subject};

/// The gate's findings in the order of their weight.
#[derive(Clone, Debug)]
pub struct GateView {
    /// Whether all give the service's answers, in a sentence.
    pub summary: String,
    /// Answers that differ, each with both.
    pub answers: Vec<Finding>,
    /// Verdicts on invalid requests that differ.
    pub verdicts: Vec<VerdictView>,
    /// Servers from outside with other answers, each in a sentence.
    pub outside: Vec<String>,
    /// Key of the contender whose answers the others were held against.
    pub reference: String,
}

/// The same other answer from some contenders.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was asked, what that means, and who answers so.
    pub headline: String,
    /// The reference's answer.
    pub expected: String,
    /// Theirs.
    pub found: String,
    /// Whether it is a fault, and not only good to know.
    pub is_fault: bool,
    /// Whether it is of a server from outside, which need not answer as ours do.
    pub is_outside: bool,
}

/// Invalid requests that are treated alike.
#[derive(Clone, Debug)]
pub struct VerdictView {
    /// The requests.
    pub requests: String,
    /// What the reference does.
    pub expected: String,
    /// What these do.
    pub found: String,
    /// Who does.
    pub who: String,
}

/// Sorts the findings.
pub fn view(gate: &Gate) -> GateView {
    let groups = group(&gate.differences);
    let (verdicts, answers): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|found| found[0].subject == Subject::Invalid);
    GateView {
        summary: summary(gate),
        answers: answers.into_iter().map(finding).collect(),
        verdicts: together(&verdicts),
        outside: outside(gate),
        reference: gate.reference.clone(),
    }
}

/// Whether all give the service's answers.
pub fn summary(gate: &Gate) -> String {
    let count = gate.exchanges.len();
    match gate.is_passed() {
        true => format!(
            "All variants but the floor give the service's answers, byte for byte (dates masked), \
             in {count} exchanges."
        ),
        false => format!("Not all variants give the service's answers, in {count} exchanges."),
    }
}

fn outside(gate: &Gate) -> Vec<String> {
    let sentence = |counted: &OutsideAnswers| {
        let OutsideAnswers { contender, same, different } = counted;
        format!("{contender}, from outside: same status and body: {same}; different: {different}.")
    };
    gate.outside.iter().map(sentence).collect()
}

fn finding(found: &[Difference]) -> Finding {
    let Difference { exchange, subject, under_load, expected, found: answer, .. } = &found[0];
    let what = match subject {
        Subject::Measured(_) if *under_load => "no figure for",
        Subject::Measured(_) => "no figure, for another answer, for",
        Subject::Service => "not the service's answer from",
        Subject::Outside => "another answer, from outside, by",
        Subject::Protocol | Subject::Invalid => "another answer, of the library's own, from",
    };
    Finding {
        headline: format!("{exchange}: {what} {}", names(found)),
        expected: expected.clone(),
        found: answer.clone(),
        is_fault: subject.is_binding(),
        is_outside: *subject == Subject::Outside,
    }
}

/// Requests with the same verdicts from the same contenders, together.
fn together(groups: &[&[Difference]]) -> Vec<VerdictView> {
    let mut alike: BTreeMap<(String, String, String), Vec<&str>> = BTreeMap::new();
    for found in groups {
        let key = (found[0].expected.clone(), found[0].found.clone(), names(found));
        alike.entry(key).or_default().push(&found[0].exchange);
    }
    alike
        .into_iter()
        .map(|((expected, found, who), requests)| VerdictView {
            requests: requests.join("; "),
            expected,
            found,
            who,
        })
        .collect()
}

/// Differences that are the same for several contenders, together.
fn group(differences: &[Difference]) -> Vec<&[Difference]> {
    let same = |one: &Difference, other: &Difference| {
        one.exchange == other.exchange && one.found == other.found
    };
    differences.chunk_by(same).collect()
}

fn names(found: &[Difference]) -> String {
    found.iter().map(|difference| difference.contender.as_str()).collect::<Vec<_>>().join(", ")
}
