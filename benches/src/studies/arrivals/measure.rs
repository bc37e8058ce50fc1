//! Clients arrive one after another and stay, each asking over and over: one
//! server after the other, seen second by second.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::load::{self, Shape, Snapshot};
use crate::results::{Arrivals, Contender, HostShare, Phase, Results, Second, Tour};
use crate::rig::fleet::{Entrant, Member};
use crate::rig::load_hosts::Generators;
use crate::rig::meter::Watched;
use crate::rig::progress::Progress;
use crate::rig::study::Common;
use crate::rig::usage::Usage;

/// The grain of the pictures.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Plan of the study.
    pub common: Common,
    /// When clients come; the same for every server.
    pub arrivals: load::Arrivals,
}

/// Measures, and writes what has been measured so far to `path` after each
/// server. When `stop` is set, it ends within a second with what there is.
pub fn run(
    plan: &Plan,
    entrants: Vec<Entrant>,
    path: &Path,
    stop: &AtomicBool,
) -> io::Result<Results> {
    let contenders: Vec<Contender> = entrants.iter().map(|e| e.contender.clone()).collect();
    let mut results = plan.common.open(path, contenders)?;
    let mut arrivals = begin(plan)?;
    // Whether it can be written is known before anything is measured.
    results.write(path)?;

    // Before the servers start, for they inherit it.
    load::allow_descriptors(plan.arrivals.clients() as u64).map_err(io::Error::other)?;
    let goes_on = || !stop.load(Ordering::Relaxed);
    let mut field = plan.common.gather(entrants, &goes_on)?;
    arrivals.tours = field.fleet.failures.iter().map(Tour::failed).collect();
    arrivals.occasion.machines = field.machines;
    results.gate = results.gate.or(Some(field.gate));
    // From here on this thread is the load generator.
    if plan.common.load_hosts.is_empty() {
        load::pin(plan.common.settings.generator_core())?;
    }

    let seconds = plan.arrivals.lasts().as_secs() * field.fleet.members.len() as u64;
    let progress = Progress::new(seconds);
    for member in &mut field.fleet.members {
        if !goes_on() {
            break;
        }
        progress.says(&member.key);
        arrivals.tours.push(tour(plan, member, &progress, stop));
        results.studies.arrivals = Some(arrivals.clone());
        results.write(path)?;
    }
    progress.clear();
    arrivals.occasion.complete = goes_on();
    results.studies.arrivals = Some(arrivals);
    results.write(path)?;
    Ok(results)
}

fn begin(plan: &Plan) -> io::Result<Arrivals> {
    let phase = |phase: &load::Phase| Phase {
        clients_per_s: phase.clients_per_second,
        lasts_s: phase.lasts.as_secs_f64(),
    };
    Ok(Arrivals {
        occasion: plan.common.occasion()?,
        phases: plan.arrivals.phases.iter().map(phase).collect(),
        clients_max: plan.arrivals.clients_max,
        tours: Vec::new(),
    })
}

fn tour(plan: &Plan, member: &mut Member, progress: &Progress, stop: &AtomicBool) -> Tour {
    let address = member.process.address();
    let mut diary = Diary::begin(&mut member.process);
    let cores = plan.common.settings.server_cores.len();
    let mut seconds = Vec::new();
    let mut tell = |snapshot: &Snapshot| {
        let second = diary.enter(snapshot);
        progress.tells(&line(&member.key, snapshot, &second, cores));
        seconds.push(second);
        match stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let mut hosts = Vec::new();
    let ended = load(plan, address, &mut hosts, &mut tell);
    // A server that has ended explains whatever else went wrong.
    let ended = member.process.check().and(ended);
    Tour { contender: member.key.clone(), seconds, hosts, failure: ended.err() }
}

/// Lets the clients come, and fills in the part of each load host. The error is a sentence for
/// people.
fn load(
    plan: &Plan,
    address: SocketAddr,
    hosts: &mut Vec<HostShare>,
    tell: &mut dyn FnMut(&Snapshot) -> ControlFlow<()>,
) -> Result<(), String> {
    let Common { settings, load_hosts, .. } = &plan.common;
    let target = plan.common.target(address);
    // Clients bring their connections with them.
    let shape = Shape { connections: 0, ..Shape::default() };
    let most = plan.arrivals.clients();
    let cores = &settings.generator_cores[..settings.generator_cores.len().min(most)];
    let mut generators = Generators::connect(load_hosts, &target, &shape, cores)?;
    generators.compare(None)?;
    let (outcome, shares) = generators.run_arrivals(&plan.arrivals, TELL_EVERY, tell)?;
    *hosts = shares;
    match outcome.errors.answers() {
        0 => Ok(()),
        // They were counted as requests, with latencies.
        failed => Err(format!(
            "{failed} of {} answers were errors; {}",
            outcome.requests,
            outcome.first_error.unwrap_or_default()
        )),
    }
}

/// Enters what the server used since the last entry, and what the generator tells.
struct Diary<'a, S> {
    server: &'a mut S,
    server_used: Option<Usage>,
}

impl<'a, S: Watched> Diary<'a, S> {
    fn begin(server: &'a mut S) -> Self {
        let mut diary = Self { server, server_used: None };
        diary.server_used = diary.server_usage();
        diary
    }

    fn server_usage(&mut self) -> Option<Usage> {
        self.server.observe(&[], false).ok().map(|seen| seen.usage)
    }

    fn enter(&mut self, snapshot: &Snapshot) -> Second {
        let now = self.server_usage();
        let used = now.as_ref().zip(self.server_used.as_ref());
        let server = used.and_then(|(now, then)| now.since(then).ok());
        self.server_used = now;
        let errors = snapshot.errors.iter().filter(|&(_, count)| count > 0);
        Second {
            at_s: snapshot.at_seconds,
            lasts_s: snapshot.seconds,
            clients: snapshot.clients,
            requests: snapshot.requests,
            p50_ns: snapshot.p50_ns,
            p99_ns: snapshot.p99_ns,
            errors: errors.map(|(kind, count)| (kind.to_string(), count)).collect(),
            server_cpu_ns: server.map(|used| used.cpu.as_nanos() as u64),
            server_wait_ns: server.map(|used| used.threads.wait.as_nanos() as u64),
            generator_cpu_ns: snapshot.generator_cpu_ns,
            generator_busiest_cpu_ns: snapshot.generator_busiest_cpu_ns,
            generator_wait_ns: snapshot.generator_wait_ns,
        }
    }
}

/// Formats the progress on one line.
fn line(key: &str, snapshot: &Snapshot, second: &Second, cores: usize) -> String {
    let seen = load::progress(snapshot);
    let busy = second.server_cpu_ns.map(|cpu_ns| {
        let share = cpu_ns as f64 / 1e7 / second.lasts_s.max(f64::MIN_POSITIVE) / cores as f64;
        format!("  server {share:.0} % of {cores} CPU{}", if cores == 1 { "" } else { "s" })
    });
    format!("{key}  {seen}{}", busy.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Errors;
    use crate::rig::meter::Observed;

    /// A server that uses nothing.
    struct Idle;

    impl Watched for Idle {
        fn observe(&mut self, _: &[usize], _: bool) -> io::Result<Observed> {
            Ok(Observed::default())
        }

        fn check(&mut self) -> Result<(), String> {
            Ok(())
        }
    }

    /// A server that has ended.
    struct Gone;

    impl Watched for Gone {
        fn observe(&mut self, _: &[usize], _: bool) -> io::Result<Observed> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn check(&mut self) -> Result<(), String> {
            Err("it has ended".to_string())
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            at_seconds: 3.0,
            seconds: 0.5,
            clients: 24,
            requests: 12_345,
            p50_ns: 740_000,
            p99_ns: 1_500_000,
            errors: Errors { timeout: 2, ..Errors::default() },
            generator_cpu_ns: 70,
            generator_busiest_cpu_ns: 40,
            generator_wait_ns: 5,
        }
    }

    #[test]
    fn a_second_has_what_was_seen_and_the_errors_that_occurred() {
        let second = Diary::begin(&mut Idle).enter(&snapshot());
        assert_eq!((second.at_s, second.lasts_s), (3.0, 0.5));
        assert_eq!((second.clients, second.requests), (24, 12_345));
        assert_eq!((second.p50_ns, second.p99_ns), (740_000, 1_500_000));
        assert_eq!(second.errors.into_iter().collect::<Vec<_>>(), [("timeout".to_string(), 2)]);
        assert_eq!(second.server_cpu_ns, Some(0));
        assert_eq!((second.generator_cpu_ns, second.generator_busiest_cpu_ns), (70, 40));
        assert_eq!(second.generator_wait_ns, 5);
    }

    #[test]
    fn a_server_that_is_gone_used_nobody_knows_what() {
        let second = Diary::begin(&mut Gone).enter(&snapshot());
        assert_eq!(second.server_cpu_ns, None);
    }

    #[test]
    fn progress_is_one_line_with_the_servers_share_of_its_cpus() {
        let second = Second { lasts_s: 0.5, server_cpu_ns: Some(450_000_000), ..Second::default() };
        assert_eq!(
            line("pinloop", &snapshot(), &second, 1),
            "pinloop  24 clients  24690 req/s  p50 740 us  p99 1.50 ms  timeout 2  \
             server 90 % of 1 CPU"
        );
        assert!(line("x", &snapshot(), &second, 2).ends_with("server 45 % of 2 CPUs"));
    }
}
