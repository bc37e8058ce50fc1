//! Activities that are repeated off the event loops.
//!
//! A plain type that whoever runs a server can use or leave: the server knows
//! nothing of it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One thread for all activities, which begins with the first one. Dropping this ends
/// them.
///
/// An activity holds up the others while it runs, so one that can block for long is
/// better off with a thread of its own.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::{Arc, mpsc};
/// use std::time::Duration;
/// use pinloop::Background;
///
/// let background = Background::default();
/// let served = Arc::new(AtomicU64::new(0));
/// let (report, reports) = mpsc::channel();
/// let (total, mut before) = (served.clone(), 0);
/// background.every(Duration::from_millis(10), "rate of requests", move || {
///     let now = total.load(Ordering::Relaxed);
///     let _ = report.send(now - std::mem::replace(&mut before, now));
/// })?;
/// assert_eq!(reports.recv(), Ok(0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Background {
    shared: Arc<Shared>,
}

/// How long a drop waits for the activity that runs: longer than any should take,
/// and short beside the time that a supervisor gives a process to end.
const STOP_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    schedule: Schedule,
    started: bool,
    stopped: bool,
    ended: bool,
}

impl Background {
    /// Runs `activity` every `interval`, for the first time after one. Where it takes
    /// longer than that, or the others do, it is late, and turns that were missed are
    /// not made up for. One that panics is logged by its `name` and not run again.
    ///
    /// # Errors
    /// The system's, where the thread can't be started.
    ///
    /// # Panics
    /// If `interval` is zero.
    pub fn every(
        &self,
        interval: Duration,
        name: &'static str,
        activity: impl FnMut() + Send + 'static,
    ) -> io::Result<()> {
        assert!(!interval.is_zero(), "the interval of {name} is zero");
        let activity = Activity { name, interval, run: Box::new(activity) };
        let mut state = self.shared.lock();
        if !state.started {
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name("pinloop-background".into());
            thread.spawn(move || shared.run())?;
            state.started = true;
        }
        state.schedule.add(activity, Instant::now());
        self.shared.changed.notify_all();
        Ok(())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        self.shared.changed.notify_all();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, STOP_WAIT, |state| state.started && !state.ended);
        if waited.is_ok_and(|(_, timeout)| timeout.timed_out()) {
            log::warn!("a background activity did not end within {STOP_WAIT:?}; left behind");
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.lock();
        while !state.stopped {
            let now = Instant::now();
            let Some(mut activity) = state.schedule.take_due(now) else {
                state = self.wait(state, now);
                continue;
            };
            drop(state);
            let run = catch_unwind(AssertUnwindSafe(&mut activity.run));
            state = self.lock();
            match run {
                Ok(()) => state.schedule.add(activity, now),
                Err(_) => log::error!("{} panicked, and is not run again", activity.name),
            }
        }
        // What the activities own is gone before whoever drops this goes on.
        let schedule = std::mem::take(&mut state.schedule);
        drop(state);
        drop(schedule);
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, now: Instant) -> MutexGuard<'a, State> {
        let next = state.schedule.next();
        let timeout = next.map_or(Duration::MAX, |next| next.saturating_duration_since(now));
        let woken = self.changed.wait_timeout(state, timeout);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No activity runs under the lock, and nothing else panics there.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Activity {
    name: &'static str,
    interval: Duration,
    run: Box<dyn FnMut() + Send>,
}

/// What is due when. A list: there are a handful.
#[derive(Default)]
struct Schedule(Vec<(Instant, Activity)>);

impl Schedule {
    fn add(&mut self, activity: Activity, now: Instant) {
        self.0.push((now + activity.interval, activity));
    }

    fn next(&self) -> Option<Instant> {
        self.0.iter().map(|(due, _)| *due).min()
    }

    /// Takes the activity that has been due for the longest time.
    fn take_due(&mut self, now: Instant) -> Option<Activity> {
        let (at, (due, _)) = self.0.iter().enumerate().min_by_key(|(_, (due, _))| *due)?;
        (*due <= now).then(|| self.0.swap_remove(at).1)
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(_, activity)| activity.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn activity(name: &'static str, interval: Duration) -> Activity {
        Activity { name, interval, run: Box::new(|| {}) }
    }

    #[test]
    fn what_has_been_due_longest_comes_first_and_missed_turns_are_not_made_up_for() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.add(activity("slow", 50 * MS), start);
        schedule.add(activity("fast", 10 * MS), start);
        assert_eq!(schedule.next(), Some(start + 10 * MS));
        assert!(schedule.take_due(start + 9 * MS).is_none());
        let late = start + 55 * MS;
        let first = schedule.take_due(late).expect("five turns are due");
        assert_eq!(first.name, "fast");
        schedule.add(first, late);
        assert_eq!(schedule.take_due(late).expect("its first turn").name, "slow");
        assert!(schedule.take_due(late).is_none());
        assert_eq!(schedule.next(), Some(late + 10 * MS));
    }

    #[test]
    fn a_panic_ends_its_activity_and_no_other() {
        let background = Background::default();
        let (sender, runs) = mpsc::channel();
        let panicking = sender.clone();
        background
            .every(MS, "one that panics", move || {
                panicking.send("panic").unwrap();
                panic!("as the test wants it");
            })
            .unwrap();
        background
            .every(MS, "one that goes on", move || {
                let _ = sender.send("on");
            })
            .unwrap();
        let runs: Vec<_> = runs.iter().take(50).collect();
        assert_eq!(runs.iter().filter(|&&run| run == "panic").count(), 1);
    }

    #[test]
    fn nothing_runs_after_the_drop() {
        let background = Background::default();
        let (sender, runs) = mpsc::channel();
        background.every(MS, "a count", move || sender.send(()).unwrap()).unwrap();
        runs.recv().unwrap();
        drop(background);
        // The activity is dropped with its sender.
        assert!(runs.iter().count() < 10_000);
    }
}
