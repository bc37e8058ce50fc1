//! A thread with a generator of its own. It waits for jobs, and costs nothing meanwhile.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use super::clock::sleep_until;
use super::cores::pin;
use super::deal::Part;
use super::errors::LoadError;
use super::generator::{Generator, Task};
use super::outcome::Outcome;
use super::target::{Shape, Target};
use super::watch::{Interval, Watch};

type Job = Box<dyn FnOnce(&mut Generator) + Send>;

/// A generator on a thread of its own.
#[derive(Debug)]
pub(super) struct Worker {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

/// A run, as each thread gets it.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) task: Task,
    /// Length of the intervals to report, in ns; `None` if nobody watches.
    pub(super) every_ns: Option<u64>,
    /// Set to end the run early on all threads.
    pub(super) halt: Arc<AtomicBool>,
    pub(super) reports: Sender<(usize, Report)>,
}

/// Report of a thread about its run.
#[derive(Debug)]
pub(super) enum Report {
    /// Its connections are ready, and it waits for the time to start.
    Ready,
    /// An interval has ended.
    Interval(Box<Interval>),
    /// Its run has ended; without an outcome if it was called off before the start.
    Ended(Result<Option<Box<Outcome>>, LoadError>),
}

impl Worker {
    /// Starts a thread on `core`, which opens its part of the connections. Returns when they are
    /// open.
    pub(super) fn start(
        target: &Target,
        shape: &Shape,
        part: Part,
        core: Option<usize>,
    ) -> Result<Self, LoadError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (tell, connected) = mpsc::channel();
        let (target, shape) = (target.clone(), *shape);
        let thread =
            thread::Builder::new().name(format!("load-{}", part.nth)).spawn(move || {
                let generator = core
                    .map_or(Ok(()), pin)
                    .map_err(LoadError::Core)
                    .and_then(|()| Generator::connect_part(&target, &shape, part));
                match generator {
                    Ok(mut generator) => {
                        drop(tell.send(Ok(())));
                        queue.into_iter().for_each(|job| job(&mut generator));
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            })?;
        connected.recv().map_err(|_| LoadError::Panicked)??;
        Ok(Self { jobs, thread })
    }

    /// Calls `job` on the thread, and returns its result.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Generator) -> T + Send + 'static,
    ) -> Result<T, LoadError> {
        let (tell, result) = mpsc::channel();
        self.give(Box::new(move |generator| drop(tell.send(job(generator)))));
        result.recv().map_err(|_| LoadError::Panicked)
    }

    /// Begins a run on the thread, as thread `nth`. It waits for its start, in ns, and is called
    /// off if the returned sender is dropped instead.
    pub(super) fn begin(&self, nth: usize, order: Order) -> Sender<u64> {
        let (go, start) = mpsc::channel();
        let reporter = Reporter { nth, reports: order.reports.clone(), has_ended: false };
        self.give(Box::new(move |generator| carry_out(generator, &order, &start, reporter)));
        go
    }

    /// Lets all threads end, which closes their connections, and waits for them.
    pub(super) fn end(workers: Vec<Self>) {
        // All queues are closed before the first thread is waited for.
        let threads: Vec<_> = workers.into_iter().map(|worker| worker.thread).collect();
        // A panic was reported by the run.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }

    /// Hands over a job. A thread that has panicked drops it, with what it would report through.
    fn give(&self, job: Job) {
        drop(self.jobs.send(job));
    }
}

fn carry_out(
    generator: &mut Generator,
    order: &Order,
    start: &Receiver<u64>,
    mut reporter: Reporter,
) {
    let outcome = prepare_and_run(generator, order, start, &reporter);
    reporter.end(outcome);
}

fn prepare_and_run(
    generator: &mut Generator,
    order: &Order,
    start: &Receiver<u64>,
    reporter: &Reporter,
) -> Result<Option<Box<Outcome>>, LoadError> {
    generator.prepare(&order.task)?;
    reporter.report(Report::Ready);
    let Ok(started) = start.recv() else { return Ok(None) };
    sleep_until(started);
    let tell = |interval: &Interval| {
        reporter.report(Report::Interval(Box::new(interval.clone())));
        ControlFlow::Continue(())
    };
    let watch = order.every_ns.map(|every_ns| Watch::of_intervals(every_ns, tell));
    let outcome = generator.carry_out(&order.task, started, watch, Some(&order.halt))?;
    Ok(Some(Box::new(outcome)))
}

/// Reports of one thread. The end is always reported, even if the thread panics or is gone.
struct Reporter {
    nth: usize,
    reports: Sender<(usize, Report)>,
    has_ended: bool,
}

impl Reporter {
    fn report(&self, report: Report) {
        // Without a receiver the run was given up.
        drop(self.reports.send((self.nth, report)));
    }

    fn end(&mut self, outcome: Result<Option<Box<Outcome>>, LoadError>) {
        self.has_ended = true;
        self.report(Report::Ended(outcome));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(Err(LoadError::Panicked));
        }
    }
}
