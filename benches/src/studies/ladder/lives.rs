//! Conduct of the servers besides their slices: work that a slice does not see.

use crate::results::{Life, Results};

/// Share of a server's CPU time outside of its loads from which it is named. Timers and a
/// runtime's housekeeping stay below it.
const IDLE_MAX: f64 = 0.03;

/// The lives of one server, of all starts together.
#[derive(Clone, Debug, PartialEq)]
pub struct Conduct {
    /// CPU time while it had nothing to do, in ratio to the rest of its life.
    pub idle_share: f64,
    /// CPUs apart from its own that it was allowed to run on, of some start.
    pub strayed_cpus: Vec<usize>,
    /// Largest number of processes.
    pub processes: usize,
}

/// Returns none if no start was recorded.
pub fn of(results: &Results, contender: &str) -> Option<Conduct> {
    let lives = results.starts.iter().flat_map(|start| &start.lives);
    let lives: Vec<&Life> = lives.filter(|life| life.contender == contender).collect();
    let sum = |part: &dyn Fn(&Life) -> u64| lives.iter().map(|of| part(of)).sum::<u64>() as f64;
    let idle = sum(&|life| life.idle_cpu_ns);
    let longest = lives.iter().map(|life| &life.strayed_cpus).max_by_key(|cpus| cpus.len())?;
    Some(Conduct {
        idle_share: idle / (idle + sum(&|life| life.loaded_cpu_ns)).max(1.0),
        strayed_cpus: longest.clone(),
        processes: lives.iter().map(|life| life.processes).max().unwrap_or(0),
    })
}

impl Conduct {
    /// A few words for a table, if something is to be said.
    pub fn remark(&self) -> Option<String> {
        let mut remarks = Vec::new();
        if self.works_when_idle() {
            remarks.push("works when idle");
        }
        if !self.strayed_cpus.is_empty() {
            remarks.push("not on its CPUs alone");
        }
        (!remarks.is_empty()).then(|| remarks.join(", "))
    }

    /// Sentences about the server `name`.
    pub fn warnings(&self, name: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.works_when_idle() {
            warnings.push(format!(
                "{name} used {:.0} % of its CPU time while no request was sent to it: a request \
                 costs more than is shown.",
                self.idle_share * 100.0
            ));
        }
        if let [first, ..] = self.strayed_cpus.as_slice() {
            warnings.push(format!(
                "{name} may run on CPU {first}, which was not given to it: it may have taken the \
                 generator's CPU, and its rate is not that of its own CPUs."
            ));
        }
        warnings
    }

    fn works_when_idle(&self) -> bool {
        self.idle_share > IDLE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Start;

    fn conduct(idle_cpu_ns: u64, strayed_cpus: &[usize]) -> Conduct {
        let life = Life {
            contender: "a".to_string(),
            startup_cpu_ns: 900,
            loaded_cpu_ns: 1000 - idle_cpu_ns,
            idle_cpu_ns,
            processes: 1,
            strayed_cpus: strayed_cpus.to_vec(),
        };
        let starts = vec![Start { lives: vec![life], ..Start::default() }; 3];
        let results = Results { starts, ..Results::default() };
        assert_eq!(of(&results, "b"), None);
        of(&results, "a").unwrap()
    }

    #[test]
    fn a_server_that_works_when_idle_or_elsewhere_is_named() {
        assert_eq!(conduct(10, &[]).remark(), None);
        assert!(conduct(10, &[]).warnings("a").is_empty());
        assert_eq!(conduct(50, &[]).remark().unwrap(), "works when idle");
        assert!(conduct(50, &[]).warnings("a")[0].contains("a used 5 % of its CPU time"));
        assert_eq!(conduct(0, &[1]).remark().unwrap(), "not on its CPUs alone");
        assert!(conduct(0, &[1]).warnings("a")[0].contains("CPU 1"));
    }
}
