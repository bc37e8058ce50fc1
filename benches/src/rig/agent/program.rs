//! The agent itself: `pinloop-bench agent`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::process::{self, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process, set_child_subreaper, setrlimit,
};
use serde::Serialize;

use super::wire::{self, Answer, Arrive, Ask, Question, Run, Start, Started};
use crate::load::{
    Expected, Interval, LoadError, Outcome, Placement, Shape, Target, Threads, Watch,
};
use crate::rig::hardware::Attached;
use crate::rig::machine_time::MachineTime;
use crate::rig::memory::MemoryUse;
use crate::rig::meter::Watched;
use crate::rig::process::Process;
use crate::rig::{event_loops, network, site, thermometer, usage};

/// An agent that is not asked for so long has lost its measure, as when a network goes away without a
/// word.
const ASKED_WITHIN: Duration = Duration::from_secs(30 * 60);

/// Time for which processes are killed until they are gone.
const KILLS_FOR: Duration = Duration::from_secs(5);

/// Tells why this machine cannot serve the variant with a name; none if it can.
pub type Unavailable = fn(&str) -> Option<String>;

/// Everything that the agent has started, by number.
struct Agent {
    unavailable: Unavailable,
    /// The beginning of its clock.
    began: Instant,
    /// Number of servers and generators so far.
    started: u32,
    servers: BTreeMap<u32, Process>,
    counters: BTreeMap<u32, Attached>,
    generators: BTreeMap<u32, Threads>,
}

/// Answers questions from stdin on stdout until stdin ends. Then it ends every process that it has
/// started, also in the middle of an answer.
pub fn run(unavailable: Unavailable) -> io::Result<()> {
    raise_descriptors()?;
    set_child_subreaper(Pid::from_raw(process::id() as i32))?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(wire::greeting().as_bytes())?;
    stdout.flush()?;
    let (sender, questions) = mpsc::channel::<Question>();
    let halt = Arc::new(AtomicBool::new(false));
    let halted = halt.clone();
    // Servers end with the thread that starts them, and so this other one only reads.
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while let Ok(question) = wire::read::<Question>(&mut stdin) {
            match question.ask {
                Ask::Halt => halted.store(true, Ordering::Relaxed),
                _ if sender.send(question).is_err() => break,
                _ => {}
            }
        }
        end_all();
        process::exit(0);
    });
    let mut agent = Agent::new(unavailable);
    while let Ok(Question { number, ask }) = questions.recv_timeout(ASKED_WITHIN) {
        let result = match ask {
            Ask::Arrive(arrive) => {
                halt.store(false, Ordering::Relaxed);
                value(agent.arrive(&arrive, &halt, &mut |interval| {
                    let result = value(Ok::<_, String>(interval));
                    wire::write(&mut stdout, &Answer { number, goes_on: true, result })
                }))
            }
            ask => agent.answer(ask),
        };
        let answer = Answer { number, goes_on: false, result };
        if wire::write(&mut stdout, &answer).is_err() {
            break;
        }
    }
    drop(agent);
    end_all();
    Ok(())
}

/// Kills all descendants. Those that lost their parents are children of this process.
fn end_all() {
    let this = process::id();
    let deadline = Instant::now() + KILLS_FOR;
    // One that belongs to another user, or that hangs in the kernel, stays.
    while Instant::now() < deadline {
        let others: Vec<u32> = usage::tree(&[this]).into_iter().filter(|&id| id != this).collect();
        let alive = others.iter().filter(|&&id| !usage::has_ended(id));
        let alive: Vec<Pid> = alive.filter_map(|&id| Pid::from_raw(id as i32)).collect();
        if alive.is_empty() {
            return;
        }
        for pid in alive {
            // Fails only if it has ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Raises the limit of descriptors of this process and its servers to the largest allowed one.
fn raise_descriptors() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

impl Agent {
    fn new(unavailable: Unavailable) -> Self {
        Self {
            unavailable,
            began: Instant::now(),
            started: 0,
            servers: BTreeMap::new(),
            counters: BTreeMap::new(),
            generators: BTreeMap::new(),
        }
    }

    fn answer(&mut self, ask: Ask) -> Result<serde_json::Value, String> {
        match ask {
            Ask::Describe { address, peer } => value(site::describe(address, peer)),
            Ask::RoundTrips(server) => value(network::round_trips(server)),
            Ask::Unavailable(variants) => {
                let reasons = variants.iter().map(|variant| (self.unavailable)(variant));
                value(Ok::<_, String>(reasons.collect::<Vec<_>>()))
            }
            Ask::Start(start) => value(self.start(start)),
            Ask::Read { server, cores, settle } => {
                value(self.server(server)?.observe(&cores, settle))
            }
            Ask::Check(server) => value(Watched::check(self.server(server)?)),
            Ask::End(server) => {
                self.counters.remove(&server);
                value(Ok::<_, String>(self.servers.remove(&server).is_some()))
            }
            Ask::Memory(server) => value(self.memory(server)),
            Ask::EventLoops(server, clients) => {
                value(event_loops::of(self.server(server)?.id(), &clients))
            }
            Ask::CountHardware(server) => value(self.count_hardware(server)),
            Ask::HardwareCounts(server, requests) => {
                let counters = self.counters.remove(&server).map(|of| of.finish(requests));
                value(counters.ok_or("nothing was counted"))
            }
            Ask::Thermometer(core) => value(thermometer::read(core)),
            Ask::MachineTime => value(MachineTime::now()),
            Ask::Now => value(Ok::<_, String>(self.began.elapsed())),
            Ask::Connect(target, shape, placement) => {
                value(self.connect(&target, &shape, &placement))
            }
            Ask::Compare(generator, expected) => {
                value(compare(self.generator(generator)?, expected))
            }
            Ask::Run(run) => value(self.run(&run)),
            Ask::Arrive(_) | Ask::Halt => Err("it is not answered here".to_string()),
            Ask::Disconnect(generator) => {
                value(Ok::<_, String>(self.generators.remove(&generator).is_some()))
            }
        }
    }

    fn server(&mut self, number: u32) -> Result<&mut Process, String> {
        self.servers.get_mut(&number).ok_or_else(|| format!("there is no server {number}"))
    }

    fn start(&mut self, start: Start) -> Result<Started, String> {
        let Start { program, arguments, cores, listen, readiness, patience } = start;
        check_address(listen)?;
        let mut command = Command::new(program);
        command.args(arguments);
        let process = Process::start(&command, &cores, listen, readiness, patience);
        let process = process.map_err(|error| error.to_string())?;
        let started =
            Started { server: self.started, id: process.id(), address: process.address() };
        self.started += 1;
        self.servers.insert(started.server, process);
        Ok(started)
    }

    fn generator(&mut self, number: u32) -> Result<&mut Threads, String> {
        self.generators.get_mut(&number).ok_or_else(|| format!("there is no generator {number}"))
    }

    fn connect(
        &mut self,
        target: &Target,
        shape: &Shape,
        placement: &Placement,
    ) -> Result<u32, LoadError> {
        let threads = Threads::connect(target, shape, placement)?;
        let number = self.started;
        self.started += 1;
        self.generators.insert(number, threads);
        Ok(number)
    }

    /// Loads a server. Returns how late the order was too.
    fn run(&mut self, run: &Run) -> Result<(Outcome, Duration), String> {
        let start = self.began + run.start;
        let late = Instant::now().saturating_duration_since(start);
        let threads = self.generator(run.generator)?;
        threads.start_next_at(start);
        let outcome = threads.run(run.pace, run.stop).map_err(|error| error.to_string())?;
        Ok((outcome, late))
    }

    /// Lets clients arrive, and tells each interval, until `halt` is set or telling fails. Returns how
    /// late the order was too.
    fn arrive(
        &mut self,
        arrive: &Arrive,
        halt: &AtomicBool,
        tell: &mut dyn FnMut(&Interval) -> io::Result<()>,
    ) -> Result<(Outcome, Duration), String> {
        let start = self.began + arrive.start;
        let late = Instant::now().saturating_duration_since(start);
        let threads = self.generator(arrive.generator)?;
        threads.start_next_at(start);
        let watch = Watch::of_intervals(arrive.every_ns, |interval| {
            let goes_on = tell(interval).is_ok() && !halt.load(Ordering::Relaxed);
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let outcome = threads.run_arrivals(&arrive.arrivals, watch);
        Ok((outcome.map_err(|error| error.to_string())?, late))
    }

    fn memory(&mut self, number: u32) -> Result<MemoryUse, String> {
        let server = self.server(number)?;
        server.fall_asleep().map_err(|error| format!("its threads cannot be read: {error}"))?;
        MemoryUse::of(server.id()).map_err(|error| format!("its memory cannot be read: {error}"))
    }

    fn count_hardware(&mut self, number: u32) -> Result<bool, String> {
        let Some(mut attached) = Attached::to(self.server(number)?) else { return Ok(false) };
        let enabled = attached.enable();
        enabled.map_err(|error| format!("its events cannot be counted: {error}"))?;
        self.counters.insert(number, attached);
        Ok(true)
    }
}

/// Fails if this machine does not have the address, before a server says so in its own words.
fn check_address(listen: IpAddr) -> Result<(), String> {
    let refused = std::net::TcpListener::bind((listen, 0)).err();
    refused.map_or(Ok(()), |error| {
        Err(format!("cannot be started: its machine cannot listen on {listen}: {error}"))
    })
}

fn compare(threads: &mut Threads, expected: Option<Expected>) -> Result<Expected, String> {
    let compared = match expected {
        Some(expected) => threads.compare_with(expected),
        None => threads.compare_with_first(),
    };
    compared.map_err(|error| error.to_string())?;
    threads.expected().cloned().ok_or_else(|| "no answer was learned".to_string())
}

fn value<T: Serialize, E: Display>(result: Result<T, E>) -> Result<serde_json::Value, String> {
    let result = result.map_err(|error| error.to_string())?;
    serde_json::to_value(result).map_err(|error| error.to_string())
}
