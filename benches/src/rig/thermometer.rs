//! A fixed amount of work beside each start, to tell the states of the machine apart.
//!
//! No server takes part in it. If it takes longer than usual, the machine is slower, and
//! the cost of every server is higher.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::results::Thermometer;
use crate::rig::usage;

/// Steps of the loop in user space: about 2 ms.
const USER_STEPS: u64 = 2_000_000;

/// Messages over loopback TCP, each written and read by one thread: about 3 ms.
const MESSAGES: usize = 400;

/// Length of a message: a small request.
const MESSAGE: [u8; 64] = [b'x'; 64];

/// Takes a reading on the CPU `core`, and returns to the CPUs of the calling thread.
pub fn read(core: usize) -> io::Result<Thermometer> {
    let mine = sched_getaffinity(None)?;
    let mut theirs = CpuSet::new();
    theirs.set(core);
    sched_setaffinity(None, &theirs)?;
    let reading = take();
    sched_setaffinity(None, &mine)?;
    reading
}

fn take() -> io::Result<Thermometer> {
    let (user_ns, _) = timed(|| {
        black_box((0..USER_STEPS).fold(1_u64, |sum, at| {
            black_box(sum).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(at)
        }));
        Ok(())
    })?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    let (syscall_ns, syscall_elapsed_ns) = timed(|| {
        let mut received = [0; MESSAGE.len()];
        for _ in 0..MESSAGES {
            client.write_all(&MESSAGE)?;
            server.read_exact(&mut received)?;
        }
        Ok(())
    })?;
    Ok(Thermometer { user_ns, syscall_ns, syscall_elapsed_ns })
}

/// CPU time, and time without what was spent waiting for a CPU, in ns.
fn timed(work: impl FnOnce() -> io::Result<()>) -> io::Result<(u64, u64)> {
    let (cpu, wait) = usage::of_this_thread()?;
    let begin = Instant::now();
    work()?;
    let elapsed = begin.elapsed();
    let (cpu_after, wait_after) = usage::of_this_thread()?;
    let waited = wait_after.saturating_sub(wait);
    let nanoseconds = |time: std::time::Duration| time.as_nanos() as u64;
    Ok((nanoseconds(cpu_after.saturating_sub(cpu)), nanoseconds(elapsed.saturating_sub(waited))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::machine;

    #[test]
    fn both_loops_take_cpu_time_and_the_thread_returns_to_its_cpus() {
        let allowed = machine::allowed_cores().unwrap();
        let reading = read(allowed[0]).unwrap();
        assert!(reading.user_ns > 0 && reading.syscall_ns > 0, "{reading:?}");
        assert_eq!(machine::allowed_cores().unwrap(), allowed);
    }
}
