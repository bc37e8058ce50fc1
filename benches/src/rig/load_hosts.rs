//! Load generators on other machines: agents that load one server together.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::load::{
    Arrivals, Expected, Interval, Intervals, LoadError, Outcome, Pace, Placement, Shape, Snapshot,
    Stop, Target, Threads, Watch,
};
use crate::results::{HostShare, LoadHost, Side};
use crate::rig::agent::connection::{ANSWER_WITHIN, AgentError, Connection};
use crate::rig::agent::wire::{Arrive, Ask, Run};

/// Questions that the difference of the clocks is taken from.
const CLOCK_READINGS: usize = 11;

/// Time between the order to start and the start, beside the round trips. All have their order then.
const LEAD: Duration = Duration::from_millis(10);

/// Time for a machine's answer when another one has used up the time of all.
const GRACE: Duration = Duration::from_secs(1);

/// The machines that load the servers; none if this process does.
pub type LoadHosts = Arc<[Loader]>;

/// One machine with an agent that loads servers.
#[derive(Debug)]
pub struct Loader {
    connection: Mutex<Connection>,
    command: String,
    side: Side,
    /// SHA-256 of the agent if it is another program than this one.
    agent: Option<String>,
    /// CPUs of its threads.
    cores: Vec<usize>,
    clock: Mutex<Clock>,
}

/// The clock of an agent, which counts from the agent's start.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// An instant of this machine.
    here: Instant,
    /// The agent's clock at that instant, give or take half of the round trip.
    there: Duration,
    /// The shortest round trip of a question.
    round_trip: Duration,
}

/// Connections to one server, from this process or from several machines.
#[derive(Debug)]
pub enum Generators {
    /// From threads of this process.
    Here(Box<Threads>),
    /// From agents, each with the number of its connections' generator.
    There(Vec<(LoadHosts, usize, u32)>),
}

impl Loader {
    /// Takes an agent, and compares its clock with this machine's. `agent` is the SHA-256 of its
    /// executable if that is another one than this program's.
    pub fn new(
        mut connection: Connection,
        command: &str,
        side: Side,
        agent: Option<String>,
    ) -> Result<Self, AgentError> {
        let clock = Mutex::new(Clock::of(&mut connection)?);
        let (command, cores) = (command.to_string(), Vec::new());
        Ok(Self { connection: Mutex::new(connection), command, side, agent, cores, clock })
    }

    /// Returns its machine.
    pub fn side(&self) -> &Side {
        &self.side
    }

    /// Loads from a thread on each of these CPUs.
    pub fn set_cores(&mut self, cores: Vec<usize>) {
        self.cores = cores;
    }

    /// Returns the command that leads to it.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Returns the record of this machine, with its round trips to a server that is up.
    pub fn record(&self, server: Option<SocketAddr>) -> LoadHost {
        let round_trips = server.and_then(|server| self.ask(Ask::RoundTrips(server)).ok());
        LoadHost {
            command: self.command.clone(),
            side: self.side.clone(),
            agent: self.agent.clone(),
            cores: self.cores.clone(),
            clock_error_ns: (self.clock().round_trip / 2).as_nanos() as u64,
            round_trips_ns: round_trips.unwrap_or_default(),
        }
    }

    /// Compares the clocks again, because they drift.
    fn set_clock(&self) -> Result<(), String> {
        let clock = self.named(Clock::of(&mut self.connection()))?;
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock;
        Ok(())
    }

    fn clock(&self) -> Clock {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, String> {
        self.named(self.connection().ask(ask, Duration::ZERO))
    }

    /// Names the machine in an error.
    fn named<T>(&self, result: Result<T, AgentError>) -> Result<T, String> {
        result.map_err(|error| match error {
            AgentError::Refused(reason) => format!("from {}: {reason}", self.command),
            AgentError::Lost(reason) => reason,
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    /// Takes the reading with the shortest round trip, which is the surest.
    fn of(connection: &mut Connection) -> Result<Self, AgentError> {
        let mut best: Option<Self> = None;
        for _ in 0..CLOCK_READINGS {
            let asked = Instant::now();
            let there: Duration = connection.ask(Ask::Now, Duration::ZERO)?;
            let round_trip = asked.elapsed();
            if best.is_none_or(|best| round_trip < best.round_trip) {
                best = Some(Self { here: asked + round_trip / 2, there, round_trip });
            }
        }
        best.ok_or_else(|| AgentError::Lost("its clock was not read".to_string()))
    }

    /// Returns what the agent's clock shows at an instant of this machine.
    fn at(&self, instant: Instant) -> Duration {
        let after = instant.saturating_duration_since(self.here);
        let before = self.here.saturating_duration_since(instant);
        (self.there + after).saturating_sub(before)
    }
}

impl Generators {
    /// Opens connections from this process, on `cores`, or spread over all threads of `hosts`. The
    /// error is a clause.
    pub fn connect(
        hosts: &LoadHosts,
        target: &Target,
        shape: &Shape,
        cores: &[usize],
    ) -> Result<Self, String> {
        if hosts.is_empty() {
            // Without connections, clients will arrive.
            let most = if shape.connections == 0 { usize::MAX } else { shape.connections };
            let placement = Placement::on(cores, most);
            let threads = Threads::connect(target, shape, &placement);
            return Ok(Self::Here(Box::new(threads.map_err(|error| error.to_string())?)));
        }
        let of_host = |host: &Loader| Placement::on(&host.cores, usize::MAX);
        let total: usize = hosts.iter().map(|host| of_host(host).cores.len()).sum();
        // Clients that arrive bring their connections.
        if shape.connections > 0 && total > shape.connections {
            let connections = shape.connections;
            let error = LoadError::TooManyThreads { threads: total, connections };
            return Err(error.to_string());
        }
        let mut first = 0;
        let mut connected = Vec::new();
        for (at, host) in hosts.iter().enumerate() {
            let placement = of_host(host).within(first, total);
            first += placement.cores.len();
            host.set_clock()?;
            let connect = Ask::Connect(target.clone(), *shape, placement);
            match host.ask(connect) {
                Ok(number) => connected.push((hosts.clone(), at, number)),
                Err(reason) => {
                    drop(Self::There(connected));
                    return Err(reason);
                }
            }
        }
        Ok(Self::There(connected))
    }

    /// Compares every answer with `expected` from now on, or with the first one.
    pub fn compare(&mut self, expected: Option<&Expected>) -> Result<(), String> {
        match self {
            Self::Here(threads) => match expected {
                Some(expected) => threads.compare_with(expected.clone()),
                None => threads.compare_with_first(),
            }
            .map_err(|error| error.to_string()),
            Self::There(parts) => {
                let mut expected = expected.cloned();
                for (hosts, at, number) in parts {
                    // The first machine learns it, and the others are told.
                    let compare = Ask::Compare(*number, expected.clone());
                    expected = Some(hosts[*at].ask(compare)?);
                }
                Ok(())
            }
        }
    }

    /// Sends requests until `stop`. Several machines start at the same instant. Returns the outcome
    /// of all together, and the share of each machine.
    pub fn run(&mut self, pace: Pace, stop: Stop) -> Result<(Outcome, Vec<HostShare>), String> {
        match self {
            Self::Here(threads) => {
                let outcome = threads.run(pace, stop).map_err(|error| error.to_string())?;
                Ok((outcome, Vec::new()))
            }
            Self::There(parts) => run_there(parts, pace, stop),
        }
    }
}

/// An interval of a load, or its end, from one of several machines.
enum Told {
    Interval(Box<Interval>),
    /// With the time by which its order came too late.
    Ended(Result<Box<(Outcome, Duration)>, String>),
}

impl Generators {
    /// Lets clients arrive, on several machines as one schedule, and calls `tell` with the intervals
    /// of all together. It ends the load by returning `Break`. Returns the outcome of all together,
    /// and the share of each machine.
    pub fn run_arrivals(
        &mut self,
        arrivals: &Arrivals,
        every: Duration,
        tell: &mut dyn FnMut(&Snapshot) -> ControlFlow<()>,
    ) -> Result<(Outcome, Vec<HostShare>), String> {
        let parts = match self {
            Self::Here(threads) => {
                let outcome = threads.run_arrivals(arrivals, Watch::new(every, tell));
                let outcome = outcome.map_err(|error| error.to_string())?;
                return Ok((outcome, Vec::new()));
            }
            Self::There(parts) => parts,
        };
        let hosts = || parts.iter().map(|(hosts, at, number)| (&hosts[*at], *number));
        let start = Instant::now() + lead(hosts().map(|(host, _)| host));
        let halt = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (sender, told) = mpsc::channel();
            for (nth, (host, generator)) in hosts().enumerate() {
                let (sender, halt) = (sender.clone(), &halt);
                let (arrivals, every_ns) = (arrivals.clone(), every.as_nanos() as u64);
                let start = host.clock().at(start);
                let arrive = Arrive { generator, arrivals, every_ns, start };
                scope.spawn(move || {
                    let mut tell = |told| drop(sender.send((nth, told)));
                    let ended = host.arrive(arrive, halt, &mut tell);
                    tell(Told::Ended(ended.map(Box::new)));
                });
            }
            drop(sender);
            merge_arrivals(&told, parts.len(), &halt, tell)
        })
    }
}

impl Loader {
    /// Lets clients arrive from this machine, and tells each interval.
    fn arrive(
        &self,
        arrive: Arrive,
        halt: &AtomicBool,
        tell: &mut dyn FnMut(Told),
    ) -> Result<(Outcome, Duration), String> {
        // An interval passes between two answers, and the start was in the future.
        let within = Duration::from_nanos(arrive.every_ns) + ANSWER_WITHIN;
        let mut connection = self.connection();
        let number = self.named(connection.send(Ask::Arrive(arrive)))?;
        let mut is_halted = false;
        loop {
            let answer = self.named(connection.hear(number, within))?;
            if !answer.goes_on {
                let outcome = connection.understand(answer);
                return self.named(outcome);
            }
            let interval = connection.understand(answer);
            tell(Told::Interval(Box::new(self.named(interval)?)));
            if halt.load(Relaxed) && !is_halted {
                is_halted = true;
                self.named(connection.send_only(Ask::Halt))?;
            }
        }
    }
}

/// Merges what the machines tell. The others end if one of them fails.
fn merge_arrivals(
    told: &Receiver<(usize, Told)>,
    hosts: usize,
    halt: &AtomicBool,
    tell: &mut dyn FnMut(&Snapshot) -> ControlFlow<()>,
) -> Result<(Outcome, Vec<HostShare>), String> {
    let mut intervals = Intervals::new(hosts);
    let (mut all, mut failure): (Option<Outcome>, Option<String>) = (None, None);
    let mut shares = vec![HostShare::default(); hosts];
    for (nth, told) in told {
        match told {
            Told::Interval(interval) => {
                let ended = intervals.add(nth, *interval);
                if ended.is_some_and(|ended| tell(&ended.snapshot()).is_break()) {
                    halt.store(true, Relaxed);
                }
            }
            Told::Ended(Ok(ended)) => {
                let (outcome, late) = *ended;
                shares[nth] = share(&outcome, late);
                merge(&mut all, outcome);
            }
            Told::Ended(Err(reason)) => {
                failure.get_or_insert(reason);
                halt.store(true, Relaxed);
            }
        }
    }
    match failure {
        Some(reason) => Err(reason),
        None => Ok((all.ok_or("no machine loads it")?, shares)),
    }
}

fn merge(all: &mut Option<Outcome>, outcome: Outcome) {
    match all {
        Some(all) => all.merge(&outcome),
        None => *all = Some(outcome),
    }
}

/// Time from the orders to the start: all machines have theirs then.
fn lead<'a>(hosts: impl Iterator<Item = &'a Loader>) -> Duration {
    hosts.map(|host| host.clock().round_trip).sum::<Duration>() + LEAD
}

impl Drop for Generators {
    fn drop(&mut self) {
        if let Self::There(parts) = self {
            for (hosts, at, number) in parts {
                // Fails only without an agent, and then without connections.
                let _ = hosts[*at].ask::<bool>(Ask::Disconnect(*number));
            }
        }
    }
}

fn run_there(
    parts: &[(LoadHosts, usize, u32)],
    pace: Pace,
    stop: Stop,
) -> Result<(Outcome, Vec<HostShare>), String> {
    let hosts = || parts.iter().map(|(hosts, at, number)| (&hosts[*at], *number));
    let start = Instant::now() + lead(hosts().map(|(host, _)| host));
    let patience = match stop {
        Stop::After(time) => time,
        Stop::Requests(_) => Duration::from_secs(60),
    };
    let mut asked = Vec::new();
    for (host, generator) in hosts() {
        let run = Run { generator, pace, stop, start: host.clock().at(start) };
        asked.push(host.named(host.connection().send(Ask::Run(run))));
    }
    let deadline = start + patience + ANSWER_WITHIN;
    // All are heard, so that no answer is left for the next question.
    let heard: Vec<Result<(Outcome, Duration), String>> = hosts()
        .zip(asked)
        .map(|((host, _), asked)| {
            let number = asked?;
            let within = deadline.saturating_duration_since(Instant::now()).max(GRACE);
            let mut connection = host.connection();
            let answer = host.named(connection.hear(number, within))?;
            host.named(connection.understand(answer))
        })
        .collect();
    let (mut all, mut shares): (Option<Outcome>, Vec<HostShare>) = (None, Vec::new());
    for outcome in heard {
        let (outcome, late) = outcome?;
        shares.push(share(&outcome, late));
        merge(&mut all, outcome);
    }
    Ok((all.ok_or("no machine loads it")?, shares))
}

fn share(outcome: &Outcome, late: Duration) -> HostShare {
    HostShare {
        requests: outcome.requests,
        elapsed_ns: outcome.elapsed.as_nanos() as u64,
        cpu_ns: outcome.cpu.as_nanos() as u64,
        busiest_cpu_ns: outcome.busiest_cpu.as_nanos() as u64,
        unsent: outcome.unsent,
        late_ns: late.as_nanos() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_translated_to_a_clock_that_began_at_another_time() {
        let here = Instant::now() + Duration::from_secs(10);
        let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
        let clock = Clock { here, there: hour, round_trip: Duration::from_micros(80) };
        assert_eq!(clock.at(here), hour);
        assert_eq!(clock.at(here + second), hour + second);
        assert_eq!(clock.at(here - second), hour - second);
        // The agent had not begun.
        let young = Clock { there: Duration::ZERO, ..clock };
        assert_eq!(young.at(here - second), Duration::ZERO);
    }
}
