//! A pool of worker threads for services that defer their responses.
//!
//! The server does not know this type; a service uses it if it wants to.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use core_affinity::CoreId;

/// Threads that take jobs from one bounded queue.
///
/// Clones share the threads. Dropping the last clone waits until the queued jobs are done and
/// the threads have ended.
///
/// ```
/// use std::num::NonZeroUsize;
/// use pinloop::http::DeferredResponse;
/// use pinloop::{Request, Response, Workers};
///
/// let workers = Workers::start(NonZeroUsize::MIN, &[], 64)?;
/// let service = move |_: &Request<'_>, response: &mut Response<'_>| match workers.reserve() {
///     Some(permit) => {
///         let responder = response.defer();
///         permit.run(move || responder.respond(DeferredResponse::new(200).body("made elsewhere")));
///     }
///     None => response.status(503).header("retry-after", "1").body(b""),
/// };
/// # let _ = service;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Workers {
    pool: Arc<Pool>,
}

/// Permission to queue one job. Dropping it unused gives the place in the queue back.
#[derive(Debug)]
pub struct Permit<'a> {
    queue: &'a Queue,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    jobs_max: usize,
}

#[derive(Default)]
struct State {
    /// With the time at which each was queued.
    jobs: VecDeque<(Instant, Job)>,
    /// Number of jobs that have left the queue.
    begun: u64,
    /// Sum of the times that they have waited.
    waited: Duration,
    /// Number of permits that have no job yet.
    reserved: usize,
    closed: bool,
}

impl Workers {
    /// Starts `count` threads and a queue for `jobs_max` jobs.
    ///
    /// The threads are pinned to `cpus` in turn. If `cpus` is empty, they are not pinned.
    ///
    /// # Errors
    /// Returns the system's error if a thread cannot be started. The threads started before
    /// it end.
    pub fn start(count: NonZeroUsize, cpus: &[usize], jobs_max: usize) -> io::Result<Workers> {
        Workers::start_with(count, cpus, jobs_max, || {})
    }

    /// Does the same as [`start`](Self::start), and calls `begin` on each thread before its
    /// first job. For example, `begin` can lower the thread's priority, so that an event loop
    /// on the same CPU does not wait for the end of a job's time slice.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub fn start_with(
        count: NonZeroUsize,
        cpus: &[usize],
        jobs_max: usize,
        begin: impl Fn() + Clone + Send + 'static,
    ) -> io::Result<Workers> {
        let queue = Queue { state: Mutex::default(), changed: Condvar::new(), jobs_max };
        let mut pool = Pool { queue: Arc::new(queue), threads: Vec::new() };
        for index in 0..count.get() {
            let queue = pool.queue.clone();
            let cpu = (!cpus.is_empty()).then(|| cpus[index % cpus.len()]);
            let begin = begin.clone();
            let run = move || {
                if let Some(id) = cpu
                    && !core_affinity::set_for_current(CoreId { id })
                {
                    log::warn!("worker {index} could not be pinned to CPU {id}");
                }
                begin();
                queue.work();
            };
            let name = format!("pinloop-work-{index}");
            pool.threads.push(std::thread::Builder::new().name(name).spawn(run)?);
        }
        Ok(Workers { pool: Arc::new(pool) })
    }

    /// Returns figures about the queue.
    pub fn figures(&self) -> QueueFigures {
        let state = self.pool.queue.lock();
        QueueFigures { waiting: state.jobs.len(), begun: state.begun, waited: state.waited }
    }

    /// Reserves a place in the queue. Returns `None` if the queue is full.
    pub fn reserve(&self) -> Option<Permit<'_>> {
        let queue = &*self.pool.queue;
        let mut state = queue.lock();
        if state.jobs.len() + state.reserved >= queue.jobs_max {
            return None;
        }
        state.reserved += 1;
        Some(Permit { queue })
    }
}

/// Figures about the queue of [`Workers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueFigures {
    /// Number of jobs that wait for a thread.
    pub waiting: usize,
    /// Number of jobs that a thread has begun.
    pub begun: u64,
    /// Sum of the times that these jobs have waited.
    pub waited: Duration,
}

impl Permit<'_> {
    /// Queues `job` for a worker. A panic ends only the job; a responder that it owns sends
    /// 500.
    pub fn run(self, job: impl FnOnce() + Send + 'static) {
        self.queue.lock().jobs.push_back((Instant::now(), Box::new(job)));
        self.queue.changed.notify_one();
        // Dropping `self` ends the reservation, because the job itself counts now.
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.queue.lock().reserved -= 1;
    }
}

impl Queue {
    /// Runs jobs until the queue is closed and empty.
    fn work(&self) {
        while let Some(job) = self.next() {
            // The panic hook has reported the panic.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some((queued, job)) = state.jobs.pop_front() {
                state.begun += 1;
                state.waited += queued.elapsed();
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The code under the lock cannot panic, so the state is valid in any case.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A job can own the last clone and drop it on a worker, which cannot join itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("jobs_max", &self.jobs_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn jobs_run_in_order_and_end_before_the_drop_returns() {
        let workers = Workers::start(NonZeroUsize::MIN, &[], 100).unwrap();
        let (sender, results) = mpsc::channel();
        for number in 0..100 {
            let sender = sender.clone();
            let permit = workers.reserve();
            // The queue holds all 100 jobs, because the thread may not have started.
            permit.expect("a permit").run(move || sender.send(number).unwrap());
        }
        drop((workers, sender));
        assert!(results.iter().eq(0..100));
    }

    #[test]
    fn a_full_queue_has_no_permit_until_a_job_begins() {
        let workers = Workers::start(NonZeroUsize::MIN, &[], 1).unwrap();
        let (begin, begun) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        workers.reserve().unwrap().run(move || {
            begin.send(()).unwrap();
            held.recv().unwrap();
        });
        begun.recv().unwrap();
        let permit = workers.reserve().expect("the only permit");
        assert!(workers.reserve().is_none());
        drop(permit);
        workers.reserve().expect("the permit was given back").run(|| {});
        assert!(workers.reserve().is_none());
        release.send(()).unwrap();
    }

    #[test]
    fn a_panic_ends_only_its_job() {
        let workers = Workers::start(NonZeroUsize::MIN, &[], 2).unwrap();
        let (sender, results) = mpsc::channel();
        workers.reserve().unwrap().run(|| panic!("as the test wants it"));
        workers.reserve().unwrap().run(move || sender.send(7).unwrap());
        assert_eq!(results.recv(), Ok(7));
        let figures = workers.figures();
        assert_eq!((figures.waiting, figures.begun), (0, 2));
    }
}
