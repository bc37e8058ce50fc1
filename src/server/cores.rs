//! Chooses the number of threads and their CPUs.

use std::num::NonZeroUsize;

use crate::config::{Config, ConfigError, Steer};

/// The core that a service is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    /// Index of the thread, from 0.
    pub index: usize,
    /// CPU that the thread is pinned to, if it is.
    pub cpu: Option<usize>,
}

/// Returns the cores of a server with this configuration.
///
/// # Errors
/// Returns an error if the configuration names CPUs that the process may not use, or more
/// threads than CPUs to pin them to, or steers connections to threads that are not pinned.
pub fn cores(config: &Config) -> Result<Vec<Core>, ConfigError> {
    let usable = core_affinity::get_core_ids().unwrap_or_default();
    let usable: Vec<usize> = usable.into_iter().map(|core| core.id).collect();
    // Also within the CPU quota of the cgroup. A quota of 1.5 CPUs is worth one thread, because
    // the kernel would stop two threads for a quarter of the time.
    let cpus_worth = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    choose(config, &usable, cpus_worth)
}

fn choose(config: &Config, usable: &[usize], cpus_worth: usize) -> Result<Vec<Core>, ConfigError> {
    let list = |cpus: &[usize]| cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let wanted = config.cores.as_deref();
    let default = wanted.map_or(cpus_worth, <[usize]>::len);
    let count = config.threads.map_or(default, NonZeroUsize::get);
    let pins = config.pin.unwrap_or(wanted.is_some() || (1..=count).contains(&usable.len()));
    let cpus = wanted.unwrap_or(usable);
    if config.steer == Steer::Cpu && !pins {
        let sentence = "steer is cpu, which needs threads that are pinned; allowed is hash, or \
                        cpu with pin or cores";
        return Err(ConfigError(sentence.into()));
    }
    match wanted {
        _ if !pins && wanted.is_none() => {
            return Ok((0..count).map(|index| Core { index, cpu: None }).collect());
        }
        Some(cores) if !pins => {
            let list = list(cores);
            return Err(ConfigError(format!("cores {list} and no-pin exclude each other")));
        }
        _ => {}
    }
    if let Some(cpu) = cpus.iter().find(|cpu| !usable.contains(cpu)) {
        let usable = list(usable);
        return Err(ConfigError(format!(
            "CPU {cpu} is not available to this process; available: {usable}"
        )));
    }
    if (1..cpus.len()).any(|at| cpus[..at].contains(&cpus[at])) {
        let cpus = list(cpus);
        return Err(ConfigError(format!("cores {cpus} names a CPU twice; each has one thread")));
    }
    if count > cpus.len() || count == 0 {
        let (most, cpus) = (cpus.len(), list(cpus));
        return Err(ConfigError(format!(
            "threads is {count}; with the CPUs {cpus}, 1 to {most} are allowed, or no-pin"
        )));
    }
    let pinned = cpus.iter().take(count).enumerate();
    Ok(pinned.map(|(index, &cpu)| Core { index, cpu: Some(cpu) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the CPUs chosen on a machine with CPUs 2 to 5 and a quota of `cpus_worth`.
    fn cpus(
        threads: usize,
        cores: Option<&[usize]>,
        pin: Option<bool>,
        cpus_worth: usize,
    ) -> Result<Vec<Option<usize>>, String> {
        let threads = NonZeroUsize::new(threads);
        let cores = cores.map(<[usize]>::to_vec);
        let config = Config { threads, cores, pin, ..Config::default() };
        let chosen =
            choose(&config, &[2, 3, 4, 5], cpus_worth).map_err(|error| error.to_string())?;
        Ok(chosen.into_iter().map(|core| core.cpu).collect())
    }

    #[test]
    fn threads_on_all_cpus_are_pinned_and_fewer_are_not() {
        let all = [2, 3, 4, 5].map(Some).to_vec();
        assert_eq!(cpus(0, None, None, 4), Ok(all.clone()));
        assert_eq!(cpus(4, None, None, 1), Ok(all));
        assert_eq!(cpus(3, None, None, 4), Ok(vec![None; 3]));
        assert_eq!(cpus(0, None, None, 1), Ok(vec![None]), "a quota of one CPU");
    }

    #[test]
    fn a_choice_of_the_operator_comes_before_the_default() {
        assert_eq!(cpus(1, None, Some(true), 4), Ok(vec![Some(2)]));
        assert_eq!(cpus(0, Some(&[5, 3]), None, 1), Ok(vec![Some(5), Some(3)]));
        assert_eq!(cpus(9, None, Some(false), 4), Ok(vec![None; 9]));
    }

    #[test]
    fn impossible_choices_are_refused() {
        let refused = |threads, cores, pin| cpus(threads, cores, pin, 4).unwrap_err();
        assert!(refused(0, Some(&[7]), None).ends_with("available: 2,3,4,5"));
        assert!(refused(0, Some(&[2, 2]), None).contains("cores 2,2 names a CPU twice"));
        assert!(refused(0, Some(&[2]), Some(false)).contains("no-pin"));
        assert!(refused(5, None, None).contains("1 to 4 are allowed, or no-pin"));
        assert!(refused(2, Some(&[2]), None).contains("1 to 1 are allowed"));
    }

    #[test]
    fn connections_are_steered_only_to_threads_that_are_pinned() {
        let choose = |pin| {
            let config = Config { steer: Steer::Cpu, pin, ..Config::default() };
            choose(&config, &[2, 3], 2).map(|cores| cores.len()).map_err(|e| e.to_string())
        };
        assert_eq!((choose(None), choose(Some(true))), (Ok(2), Ok(2)));
        assert!(choose(Some(false)).unwrap_err().contains("needs threads that are pinned"));
    }
}
