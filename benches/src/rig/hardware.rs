//! Hardware counters of a server: cycles and instructions, in user space and in the kernel.
//!
//! Linux counts for one thread, and for what that thread starts from then on. So a counter is
//! attached to every thread of a server's processes while the server sleeps. Counters are
//! detected and never required: most virtual machines have none.

use std::fs;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use perf_event::events::{Event, Hardware};
use perf_event::{Builder, Counter};

use crate::results::{CounterAccess, HardwareCounts, HardwareEvents};
use crate::rig::process::Process;

/// Length of the load that is counted. Instructions vary so little that a short load is enough.
pub const COUNTED: Duration = Duration::from_millis(25);

/// Number of attempts to find the same threads before and after the counters are attached.
const ATTEMPTS: u32 = 5;

/// File with the level of restriction of counters for a process without privileges.
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// Part of a program that events are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The program's own code.
    User,
    /// The kernel's code.
    Kernel,
}

/// Counters of one event in all threads of a server.
#[derive(Debug)]
pub struct Counters(Vec<Counter>);

/// The four counters that are recorded, as far as the machine has them.
#[derive(Debug)]
pub struct Attached {
    user: Option<Pair>,
    kernel: Option<Pair>,
}

/// Counters of one space.
#[derive(Debug)]
struct Pair {
    cycles: Counters,
    instructions: Counters,
}

/// Tells which counters this machine has. It is found out once, on the calling thread.
pub fn access() -> &'static CounterAccess {
    static ACCESS: OnceLock<CounterAccess> = OnceLock::new();
    ACCESS.get_or_init(|| CounterAccess {
        user_refused: refusal(Space::User),
        kernel_refused: refusal(Space::Kernel),
    })
}

/// Reports whether there is anything to count.
pub fn is_available() -> bool {
    access().user_refused.is_none() || access().kernel_refused.is_none()
}

impl Counters {
    /// Attaches a counter of `event` in `space` to every thread of `process`, which must be
    /// asleep. The counters stand still until [`Self::enable`].
    pub fn attach<E: Event + Clone>(
        process: &mut Process,
        event: &E,
        space: Space,
    ) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let threads = process.threads();
            let counter = |thread: &u32| builder(event.clone(), space, *thread).build();
            let counters: io::Result<Vec<Counter>> =
                threads.iter().map(counter).filter(|counter| !has_ended(counter)).collect();
            let counters = Self(counters?);
            // A thread that started meanwhile may be counted twice, or not at all.
            if process.threads() == threads {
                return Ok(counters);
            }
        }
        Err(io::Error::other("its threads begin and end although it has nothing to do"))
    }

    /// Starts to count.
    pub fn enable(&mut self) -> io::Result<()> {
        self.0.iter_mut().try_for_each(Counter::enable)
    }

    /// Stops to count, and returns the events of all threads, of those that ended too. An error
    /// if the CPU counted only for a part of the time: an extrapolation is not a count.
    pub fn finish(mut self) -> io::Result<u64> {
        self.0.iter_mut().try_for_each(Counter::disable)?;
        let mut events = 0;
        for counter in &mut self.0 {
            let read = counter.read_count_and_time()?;
            if read.time_running < read.time_enabled {
                return Err(io::Error::other("other programs use the CPU's counters"));
            }
            events += read.count;
        }
        Ok(events)
    }
}

impl Attached {
    /// Attaches the counters that this machine has. Returns nothing if there are no counters, or
    /// if Linux refuses them for this server, because it runs as another user.
    pub fn to(process: &mut Process) -> Option<Self> {
        let CounterAccess { user_refused, kernel_refused } = access();
        let mut pair = |refused: &Option<String>, space| match refused {
            None => Pair::attach(process, space).ok(),
            Some(_) => None,
        };
        let attached = Self {
            user: pair(user_refused, Space::User),
            kernel: pair(kernel_refused, Space::Kernel),
        };
        (attached.user.is_some() || attached.kernel.is_some()).then_some(attached)
    }

    /// Starts to count.
    pub fn enable(&mut self) -> io::Result<()> {
        self.user.iter_mut().chain(&mut self.kernel).try_for_each(Pair::enable)
    }

    /// Stops to count. A count that is not exact is left out.
    pub fn finish(self, requests: u64) -> HardwareCounts {
        let events = |pair: Option<Pair>| pair.and_then(|pair| pair.finish().ok());
        HardwareCounts { requests, user: events(self.user), kernel: events(self.kernel) }
    }
}

impl Pair {
    fn attach(process: &mut Process, space: Space) -> io::Result<Self> {
        Ok(Self {
            cycles: Counters::attach(process, &Hardware::CPU_CYCLES, space)?,
            instructions: Counters::attach(process, &Hardware::INSTRUCTIONS, space)?,
        })
    }

    fn enable(&mut self) -> io::Result<()> {
        self.cycles.enable()?;
        self.instructions.enable()
    }

    fn finish(self) -> io::Result<HardwareEvents> {
        let (cycles, instructions) = (self.cycles.finish()?, self.instructions.finish()?);
        Ok(HardwareEvents { cycles, instructions })
    }
}

/// Makes a counter for one thread; 0 is the calling one.
fn builder<E: Event>(event: E, space: Space, thread: u32) -> Builder<'static> {
    let mut builder = Builder::new(event);
    builder.observe_pid(thread as i32).inherit(true);
    builder.exclude_user(space == Space::Kernel).exclude_kernel(space == Space::User);
    builder
}

/// Reports whether the thread has ended, as those of a child that was not waited for.
fn has_ended(counter: &io::Result<Counter>) -> bool {
    let error = counter.as_ref().err().and_then(io::Error::raw_os_error);
    error == Some(Errno::ESRCH as i32)
}

/// Returns why neither cycles nor instructions can be counted in `space`; none if they can.
fn refusal(space: Space) -> Option<String> {
    [Hardware::CPU_CYCLES, Hardware::INSTRUCTIONS]
        .into_iter()
        .find_map(|event| try_out(event, space))
}

fn try_out(event: Hardware, space: Space) -> Option<String> {
    let count = || {
        let mut counter = builder(event, space, 0).build()?;
        counter.enable()?;
        // Takes instructions in both spaces.
        fs::metadata(PARANOID)?;
        counter.disable()?;
        counter.read()
    };
    match count() {
        // A hypervisor may offer a counter and not count.
        Ok(0) => Some("they stay at 0".to_string()),
        Ok(_) => None,
        Err(error) => Some(explain(&error)),
    }
}

/// Returns the kernel's reason, with its meaning for this call.
fn explain(error: &io::Error) -> String {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let meaning = match errno {
        Some(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::ENODEV) => {
            "the CPU, or the hypervisor, offers none".to_string()
        }
        Some(Errno::EACCES | Errno::EPERM) => {
            let level = fs::read_to_string(PARANOID).unwrap_or_default();
            format!("this user may not count, kernel.perf_event_paranoid is {}", level.trim())
        }
        Some(Errno::ENOSYS) => "this kernel cannot count".to_string(),
        _ => return error.to_string(),
    };
    format!("{meaning} ({error})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_reason_that_the_kernel_gave() {
        for (errno, said) in [
            (Errno::ENOENT, "the CPU, or the hypervisor, offers none (No such file"),
            (Errno::EACCES, "kernel.perf_event_paranoid is "),
            (Errno::EBUSY, "Device or resource busy"),
        ] {
            let reason = explain(&io::Error::from(errno));
            assert!(reason.contains(said), "{reason}");
        }
    }
}
