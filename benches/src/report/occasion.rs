//! Notes on when and where a study of one request was made.

use crate::report::units::{cpus, generator};
use crate::results::Occasion;

/// A server or generator that waits for a CPU for a larger share of the time has neighbors
/// that are part of its latencies.
const DISTURBED: f64 = 0.02;

/// Returns the CPUs of the study and its caveats.
pub fn notes(occasion: &Occasion) -> Vec<String> {
    let mut notes = vec![format!(
        "Servers on {}, load generator on {}; {} rounds of work for /data; seed {}.",
        cpus(&occasion.server_cores),
        generator(&occasion.generator_cores),
        occasion.work_rounds,
        occasion.seed,
    )];
    if occasion.generator_cores.len() > 1 {
        notes.push("CPU of the generator is that of its busiest thread.".to_string());
    }
    if occasion.shares_a_core() {
        notes.push(
            "The generator has no CPU of its own: it takes time from the servers, and these \
             figures are lower than theirs alone."
                .to_string(),
        );
    }
    notes.extend(interrupted(occasion));
    notes
}

/// Returns a sentence if the study was interrupted.
pub fn interrupted(occasion: &Occasion) -> Option<String> {
    let said = "This study was interrupted: there is less of it than planned.".to_string();
    (!occasion.complete).then_some(said)
}

/// Returns a sentence if neighbors took a CPU. `share` is the part of the time in which the
/// server or its generator could have run and waited.
pub fn disturbed(contender: &str, share: f64) -> Option<String> {
    (share > DISTURBED).then(|| {
        format!(
            "Other processes had the CPUs of {contender} or of its generator for {:.0} % of the \
             time, while these waited: its latencies are theirs as well. Measure again when the \
             machine is quiet.",
            share * 100.0
        )
    })
}
