//! A pool of worker threads for services that defer their answers.
//!
//! A plain type that a service can use or leave: the server knows nothing of it.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use core_affinity::CoreId;

/// Threads that take jobs from one bounded queue. Clones share them; when the last
/// one is dropped, the jobs in the queue are finished and the threads end.
///
/// ```
/// use std::num::NonZeroUsize;
/// use pinloop::http::DeferredResponse;
/// use pinloop::{Request, Response, Workers};
///
/// let workers = Workers::start(NonZeroUsize::MIN, &[], 64)?;
/// let service = move |_: &Request<'_>, response: &mut Response<'_>| match workers.reserve() {
///     Some(place) => {
///         let responder = response.defer();
///         place.run(move || responder.respond(DeferredResponse::new(200).body("made elsewhere")));
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

/// A place in the queue, for one job.
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
    jobs: VecDeque<Job>,
    /// Places that are reserved and have no job yet.
    reserved: usize,
    closed: bool,
}

impl Workers {
    /// Starts `count` threads, pinned to `cpus` in turn where there are any, with room
    /// for `jobs_max` jobs that nobody has begun.
    pub fn start(count: NonZeroUsize, cpus: &[usize], jobs_max: usize) -> io::Result<Workers> {
        Workers::start_with(count, cpus, jobs_max, || {})
    }

    /// As [`start`](Self::start), and each thread calls `begin` before its first job: to
    /// lower its own priority, say, so that an event loop on the same CPU need not wait
    /// for the end of a job's time slice.
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

    /// A place in the queue, or none where it is full.
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

impl Permit<'_> {
    /// Has a worker run `job`. A panic ends the job and nothing else; a responder that
    /// it holds answers with 500.
    pub fn run(self, job: impl FnOnce() + Send + 'static) {
        self.queue.lock().jobs.push_back(Box::new(job));
        self.queue.changed.notify_one();
        // Its place is given back when `self` is dropped: the job has it now.
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.queue.lock().reserved -= 1;
    }
}

impl Queue {
    /// Runs jobs until there are no more to come.
    fn work(&self) {
        while let Some(job) = self.next() {
            // What panics has been reported by the panic hook.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock leaves the state half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A job that holds the last clone drops it on a worker, which can't wait for
            // itself.
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
    fn runs_jobs_in_order_and_finishes_them_before_it_ends() {
        let workers = Workers::start(NonZeroUsize::MIN, &[], 100).unwrap();
        let (sender, results) = mpsc::channel();
        for number in 0..100 {
            let sender = sender.clone();
            let place = workers.reserve();
            // One thread may have begun none of them yet.
            place.expect("a place").run(move || sender.send(number).unwrap());
        }
        drop((workers, sender));
        assert!(results.iter().eq(0..100));
    }

    #[test]
    fn a_full_queue_has_no_place_until_a_job_is_begun() {
        let workers = Workers::start(NonZeroUsize::MIN, &[], 1).unwrap();
        let (begin, begun) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        workers.reserve().unwrap().run(move || {
            begin.send(()).unwrap();
            held.recv().unwrap();
        });
        begun.recv().unwrap();
        let place = workers.reserve().expect("the only place");
        assert!(workers.reserve().is_none());
        drop(place);
        workers.reserve().expect("the place was given back").run(|| {});
        assert!(workers.reserve().is_none());
        release.send(()).unwrap();
    }

    #[test]
    fn a_panic_ends_its_job_and_not_its_worker() {
        let workers = Workers::start(NonZeroUsize::MIN, &[], 2).unwrap();
        let (sender, results) = mpsc::channel();
        workers.reserve().unwrap().run(|| panic!("as the test wants it"));
        workers.reserve().unwrap().run(move || sender.send(7).unwrap());
        assert_eq!(results.recv(), Ok(7));
    }
}
