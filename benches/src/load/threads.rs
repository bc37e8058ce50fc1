//! Several generators that load one server together, each on a thread of its own.

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::arrivals::Arrivals;
use super::clock::{now_ns, sleep_until};
use super::comparison::Expected;
use super::cores::pin;
use super::descriptors::allow_descriptors;
use super::errors::LoadError;
use super::generator::{Generator, Task};
use super::intervals::Intervals;
use super::outcome::Outcome;
use super::pace::{Pace, Stop, as_ns};
use super::placement::Placement;
use super::target::{Shape, Target};
use super::watch::Watch;
use super::worker::{Order, Report, Worker};

/// Number of descriptors of a thread besides its connections: epoll, a wake-up, and the timer.
const DESCRIPTORS_PER_THREAD: usize = 3;

/// Time between the order to start and the start, in ns. Threads wake up in it, so that they start
/// together.
const LEAD_NS: u64 = 300_000;

/// Loads one server from one thread or from several, over connections that stay open from run to
/// run.
///
/// One thread is the calling one, and does what a [`Generator`] does. Several threads are started
/// once, with their connections, and sleep between runs. They start each run at the same instant,
/// and each has its part of one load: connections, clients, and the requests of a rate or of a
/// number are dealt, and no part is lost to rounding. Their figures are merged exactly.
#[derive(Debug)]
pub struct Threads {
    crew: Crew,
    placement: Placement,
    connections: usize,
    expected: Option<Expected>,
    start_at: Option<Instant>,
}

#[derive(Debug)]
enum Crew {
    Caller(Box<Generator>),
    Started(Vec<Worker>),
}

impl Threads {
    /// Starts the threads and opens all connections, spread over the threads as evenly as
    /// possible. `shape.connections` counts the connections of all threads on all machines. It may
    /// be 0 if clients arrive later ([`Self::run_arrivals`]).
    ///
    /// Fails if a connection cannot be opened, if a core is not available, or if there are more
    /// threads than connections.
    pub fn connect(
        target: &Target,
        shape: &Shape,
        placement: &Placement,
    ) -> Result<Self, LoadError> {
        placement.check(shape.connections)?;
        let parts: Vec<_> = placement.parts().collect();
        let connections: usize = parts.iter().map(|(part, _)| part.share(shape.connections)).sum();
        allow_descriptors((connections + DESCRIPTORS_PER_THREAD * parts.len()) as u64)?;
        let crew = match parts.as_slice() {
            &[(part, core)] => {
                pin_caller(core)?;
                Crew::Caller(Box::new(Generator::connect_part(target, shape, part)?))
            }
            _ => Crew::Started(start_all(target, shape, placement)?),
        };
        let placement = placement.clone();
        Ok(Self { crew, placement, connections: shape.connections, expected: None, start_at: None })
    }

    /// Opens all connections, and compares every answer with the first one.
    pub fn connect_comparing(
        target: &Target,
        shape: &Shape,
        placement: &Placement,
    ) -> Result<Self, LoadError> {
        let mut threads = Self::connect(target, shape, placement)?;
        threads.compare_with_first()?;
        Ok(threads)
    }

    /// Sets the time that the server may be silent, as [`Generator::set_timeout`] does.
    pub fn set_timeout(&mut self, timeout: Duration) -> Result<(), LoadError> {
        self.for_each(move |generator| generator.set_timeout(timeout)).map(drop)
    }

    /// Sends one request, and compares every later answer on every thread with its answer.
    pub fn compare_with_first(&mut self) -> Result<(), LoadError> {
        let learn = |generator: &mut Generator| {
            generator.compare_with_first()?;
            Ok::<_, LoadError>(generator.expected().cloned())
        };
        let learned = match &mut self.crew {
            Crew::Caller(generator) => learn(generator)?,
            Crew::Started(workers) => workers[0].ask(learn)??,
        };
        learned.map_or(Ok(()), |expected| self.compare_with(expected))
    }

    /// Compares every answer with `expected` from now on. An answer that differs is an error.
    pub fn compare_with(&mut self, expected: Expected) -> Result<(), LoadError> {
        self.expected = Some(expected.clone());
        self.for_each(move |generator| generator.compare_with(expected.clone())).map(drop)
    }

    /// Returns the answer that every answer is compared with.
    pub fn expected(&self) -> Option<&Expected> {
        self.expected.as_ref()
    }

    /// Returns the local address of each open connection, and its number of answers.
    pub fn answered(&self) -> Result<Vec<(SocketAddr, u64)>, LoadError> {
        let answered = |generator: &Generator| generator.answered().collect::<Vec<_>>();
        match &self.crew {
            Crew::Caller(generator) => Ok(answered(generator)),
            Crew::Started(workers) => {
                let each = workers.iter().map(|worker| worker.ask(move |of| answered(of)));
                Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }

    /// Starts the next run at `instant` instead of at once, so that several machines start
    /// together. A run whose time has passed starts at once, and counts from `instant`: its
    /// requests are late, and it ends with the others.
    pub fn start_next_at(&mut self, instant: Instant) {
        self.start_at = Some(instant);
    }

    /// Sends requests until `stop`, and then waits for the outstanding answers.
    ///
    /// Fails if there was no answer, or if a thread fails. The other threads stop then.
    pub fn run(&mut self, pace: Pace, stop: Stop) -> Result<Outcome, LoadError> {
        self.carry_out(Task::Paced(pace, stop), None)
    }

    /// Does the same as [`Self::run`], and calls `watch` with the intervals of all threads
    /// together.
    pub fn run_watched(
        &mut self,
        pace: Pace,
        stop: Stop,
        watch: Watch<'_>,
    ) -> Result<Outcome, LoadError> {
        self.carry_out(Task::Paced(pace, stop), Some(watch))
    }

    /// Lets clients arrive, as [`Generator::run_arrivals`] does, one after another on the threads
    /// in turn.
    pub fn run_arrivals(
        &mut self,
        arrivals: &Arrivals,
        watch: Watch<'_>,
    ) -> Result<Outcome, LoadError> {
        arrivals.check()?;
        let clients = arrivals.clients();
        self.placement.check(clients)?;
        // An upper bound: the clients of other machines are among them.
        allow_descriptors((self.connections + clients) as u64)?;
        self.carry_out(Task::Arriving(arrivals.clone()), Some(watch))
    }

    /// Closes all connections and ends the threads. Dropping the generator does the same.
    pub fn close(self) {}

    /// Calls `job` on each thread, one after another, and returns its results in order.
    pub(super) fn for_each<T: Send + 'static>(
        &mut self,
        job: impl Fn(&mut Generator) -> T + Clone + Send + 'static,
    ) -> Result<Vec<T>, LoadError> {
        match &mut self.crew {
            Crew::Caller(generator) => Ok(vec![job(generator)]),
            Crew::Started(workers) => {
                workers.iter().map(|worker| worker.ask(job.clone())).collect()
            }
        }
    }

    fn carry_out(&mut self, task: Task, watch: Option<Watch<'_>>) -> Result<Outcome, LoadError> {
        let start_at = self.start_at.take();
        let outcome = match &mut self.crew {
            Crew::Caller(generator) => {
                pin_caller(self.placement.cores[0])?;
                generator.prepare(&task)?;
                let started = start_at.map_or_else(now_ns, instant_ns);
                if start_at.is_some() {
                    sleep_until(started);
                }
                generator.carry_out(&task, started, watch, None)?
            }
            Crew::Started(workers) => run_together(workers, task, watch, start_at)?,
        };
        outcome.check()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Crew::Started(workers) = &mut self.crew {
            Worker::end(mem::take(workers));
        }
    }
}

fn pin_caller(core: Option<usize>) -> Result<(), LoadError> {
    core.map_or(Ok(()), pin).map_err(LoadError::Core)
}

/// Starts the threads one after another, because the backlog of a server is
/// limited.
fn start_all(
    target: &Target,
    shape: &Shape,
    placement: &Placement,
) -> Result<Vec<Worker>, LoadError> {
    let mut workers = Vec::new();
    for (part, core) in placement.parts() {
        match Worker::start(target, shape, part, core) {
            Ok(worker) => workers.push(worker),
            Err(error) => {
                Worker::end(workers);
                return Err(error);
            }
        }
    }
    Ok(workers)
}

fn run_together(
    workers: &[Worker],
    task: Task,
    watch: Option<Watch<'_>>,
    start_at: Option<Instant>,
) -> Result<Outcome, LoadError> {
    let (reports, told) = mpsc::channel();
    let halt = Arc::new(AtomicBool::new(false));
    let every_ns = watch.as_ref().map(Watch::every_ns);
    let order = Order { task, every_ns, halt: Arc::clone(&halt), reports };
    let begin = |(nth, worker): (usize, &Worker)| worker.begin(nth, order.clone());
    let waiting: Vec<Sender<u64>> = workers.iter().enumerate().map(begin).collect();
    // The channel closes when the last thread has told its end.
    drop(order);
    let lead = Lead { waiting, ready: 0, start_at, halt, failure: None, outcomes: Vec::new() };
    lead.follow(&told, watch, Intervals::new(workers.len()))
}

/// State of a run on several threads.
struct Lead {
    /// Senders of the start, one for each thread that waits for it.
    waiting: Vec<Sender<u64>>,
    /// Number of threads that are ready to start.
    ready: usize,
    start_at: Option<Instant>,
    halt: Arc<AtomicBool>,
    /// The failure that ended the run.
    failure: Option<LoadError>,
    outcomes: Vec<Outcome>,
}

impl Lead {
    /// Heeds the reports of all threads to their end, and merges their outcomes.
    fn follow(
        mut self,
        told: &Receiver<(usize, Report)>,
        mut watch: Option<Watch<'_>>,
        mut intervals: Intervals,
    ) -> Result<Outcome, LoadError> {
        for (nth, report) in told {
            match report {
                Report::Ready => self.count_ready(),
                Report::Interval(interval) => {
                    let ended = intervals.add(nth, *interval);
                    if let Some((watch, all)) = watch.as_mut().zip(ended)
                        && watch.tell_merged(&all).is_break()
                    {
                        self.halt.store(true, Relaxed);
                    }
                }
                Report::Ended(Ok(outcome)) => self.outcomes.extend(outcome.map(|one| *one)),
                Report::Ended(Err(error)) => self.fail(error),
            }
        }
        let mut all = Outcome::none();
        self.outcomes.iter().for_each(|one| all.merge(one));
        self.failure.map_or(Ok(all), Err)
    }

    /// Gives all threads the same start when the last one is ready.
    fn count_ready(&mut self) {
        self.ready += 1;
        if self.ready == self.waiting.len() {
            let soon = now_ns() + LEAD_NS;
            let start = self.start_at.map_or(soon, instant_ns);
            for go in &self.waiting {
                // A thread that is gone has told its end.
                let (Ok(()) | Err(_)) = go.send(start);
            }
        }
    }

    /// Stops the other threads, those that wait for the start among them.
    fn fail(&mut self, error: LoadError) {
        self.failure.get_or_insert(error);
        self.halt.store(true, Relaxed);
        self.waiting.clear();
    }
}

/// Returns an instant as ns of the monotonic clock. An instant that has passed is in the past here
/// too: if a late machine began its time anew, its requests would be divided by a time in which
/// the others had no load from it.
fn instant_ns(instant: Instant) -> u64 {
    let (now, now_ns) = (Instant::now(), now_ns());
    let until = as_ns(instant.saturating_duration_since(now));
    let since = as_ns(now.saturating_duration_since(instant));
    (now_ns + until).saturating_sub(since)
}
