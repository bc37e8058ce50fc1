//! The findings of the gate as a section.

use std::collections::BTreeMap;

use super::section::{Quote, Section, Table};
use crate::results::{Difference, Gate, OutsideAnswers, Subject};

/// Returns the section: faults first, then other answers, then invalid requests.
pub fn section(gate: &Gate) -> Section {
    let mut section = Section::new("The same answers?");
    section.answer.push(summary(gate));
    section.answer.extend(outside(gate));
    let groups = group(&gate.differences);
    let (invalid, answers): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|found| found[0].subject == Subject::Invalid);
    section.quotes = answers.into_iter().map(|found| quote(found, &gate.reference)).collect();
    if !invalid.is_empty() {
        let columns = ["invalid requests", gate.reference.as_str(), "others", "servers"];
        let mut table = Table::new("", &columns);
        together(&invalid).into_iter().for_each(|cells| table.row(cells));
        section.tables.push(table);
    }
    if !gate.differences.is_empty() {
        section.notes.push("`cargo bench -- check` shows all answers.".to_string());
    }
    section
}

/// Reports whether all give the service's answers.
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

fn quote(found: &[Difference], reference: &str) -> Quote {
    let Difference { exchange, subject, under_load, expected, found: answer, .. } = &found[0];
    let what = match subject {
        Subject::Measured(_) if *under_load => "no figure for",
        Subject::Measured(_) => "no figure, for another answer, for",
        Subject::Service => "not the service's answer from",
        Subject::Outside => "another answer, from outside, by",
        Subject::Protocol | Subject::Invalid => "another answer, of the library's own, from",
    };
    let texts = vec![(reference.to_string(), expected.clone()), ("found".into(), answer.clone())];
    let headline = format!("{exchange}: {what} {}", names(found));
    Quote { headline, is_open: subject.is_binding(), texts }
}

/// Requests with the same verdicts from the same servers, together.
fn together(groups: &[&[Difference]]) -> Vec<[String; 4]> {
    let mut alike: BTreeMap<(String, String, String), Vec<&str>> = BTreeMap::new();
    for found in groups {
        let key = (found[0].expected.clone(), found[0].found.clone(), names(found));
        alike.entry(key).or_default().push(&found[0].exchange);
    }
    let row = |((expected, found, names), requests): ((String, String, String), Vec<&str>)| {
        [requests.join("; "), expected, found, names]
    };
    alike.into_iter().map(row).collect()
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
