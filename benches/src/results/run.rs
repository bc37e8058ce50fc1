//! Runs of the ladder that a newer one has replaced on the page. A file of results only
//! grows: nothing that was measured is lost to a later command.

use std::mem;

use serde::{Deserialize, Serialize};

use super::{Contender, Failure, Gate, Machines, Regime, Results, Settings, Square, Start};

/// A whole run of the ladder.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Run {
    /// Unique in its file.
    pub name: String,
    /// Seconds since the Unix epoch at the start.
    pub started_unix_s: u64,
    /// True if all that was planned has been measured.
    pub complete: bool,
    /// The settings of the run, as in [`Results`].
    pub settings: Settings,
    /// Likewise.
    pub contenders: Vec<Contender>,
    /// Likewise.
    pub reference: String,
    /// Likewise.
    pub square: Option<Square>,
    /// Likewise.
    pub gate: Option<Gate>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Failure>,
    /// Likewise.
    #[serde(flatten)]
    pub machines: Machines,
    /// Likewise.
    pub regimes: Vec<Regime>,
    /// Likewise.
    pub starts: Vec<Start>,
}

impl Results {
    /// Makes room for a new run of the ladder: the run of this file becomes an earlier one.
    pub fn begin_run(&mut self, run: Run) {
        let replaced = self.replace_run(run);
        if !replaced.regimes.is_empty() {
            self.earlier.push(replaced);
        }
    }

    /// Shows an earlier run in place of the newest one. Returns false without such a run.
    pub fn show_run(&mut self, name: &str) -> bool {
        if self.name == name {
            return true;
        }
        let Some(at) = self.earlier.iter().position(|run| run.name == name) else { return false };
        let run = self.earlier.remove(at);
        let replaced = self.replace_run(run);
        self.earlier.insert(at, replaced);
        true
    }

    /// Returns the names of all runs, the newest last.
    pub fn run_names(&self) -> Vec<&str> {
        let earlier = self.earlier.iter().map(|run| run.name.as_str());
        earlier.chain((!self.regimes.is_empty()).then_some(self.name.as_str())).collect()
    }

    fn replace_run(&mut self, run: Run) -> Run {
        Run {
            name: mem::replace(&mut self.name, run.name),
            started_unix_s: mem::replace(&mut self.started_unix_s, run.started_unix_s),
            complete: mem::replace(&mut self.complete, run.complete),
            settings: mem::replace(&mut self.settings, run.settings),
            contenders: mem::replace(&mut self.contenders, run.contenders),
            reference: mem::replace(&mut self.reference, run.reference),
            square: mem::replace(&mut self.square, run.square),
            gate: mem::replace(&mut self.gate, run.gate),
            left_out: mem::replace(&mut self.left_out, run.left_out),
            machines: mem::replace(&mut self.machines, run.machines),
            regimes: mem::replace(&mut self.regimes, run.regimes),
            starts: mem::replace(&mut self.starts, run.starts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Counts, Records};

    fn run(name: &str) -> Run {
        let regimes = vec![Regime { key: name.to_string(), ..Regime::default() }];
        Run { name: name.to_string(), regimes, ..Run::default() }
    }

    #[test]
    fn a_new_run_keeps_the_earlier_ones_and_the_studies() {
        let studies = Records { count: Some(Counts::default()), ..Records::default() };
        let mut results = Results { studies, ..Results::default() };
        results.begin_run(run("one"));
        results.begin_run(run("two"));
        assert_eq!(results.run_names(), ["one", "two"]);
        assert_eq!(results.regimes[0].key, "two");
        assert!(results.studies.count.is_some());

        assert!(results.show_run("one"));
        assert_eq!((results.name.as_str(), results.regimes[0].key.as_str()), ("one", "one"));
        assert_eq!(results.earlier[0].name, "two");
        assert!(!results.show_run("three"));
    }
}
