//! `SO_INCOMING_CPU` (socket(7)) on listeners: the kernel then gives a connection to the listener
//! of the CPU that has received its first packet.

use std::io;

use socket2::SockRef;

use super::acceptor::Acceptor;
use super::cores::Core;
use crate::config::{ConfigError, Steer};

/// Value of the option on a socket for all CPUs: -1 for the kernel.
const ANY_CPU: usize = usize::MAX;

/// Checks that each thread has a listening socket of its own if connections are steered.
///
/// # Errors
/// If there are fewer `sockets` than `threads`.
pub(super) fn check(steer: Steer, sockets: usize, threads: usize) -> Result<(), ConfigError> {
    if steer == Steer::Hash || sockets >= threads {
        return Ok(());
    }
    Err(ConfigError(format!(
        "steer is cpu, which needs a listening socket for each thread; {threads} threads share \
         {sockets}"
    )))
}

/// Steers connections to the listeners of the CPU of each thread, or to all listeners.
///
/// # Errors
/// If the kernel refuses the option.
pub(super) fn apply(steer: Steer, hands: &[Vec<Acceptor>], cores: &[Core]) -> io::Result<()> {
    for (hand, core) in hands.iter().zip(cores) {
        let cpu = core.cpu.filter(|_| steer == Steer::Cpu).unwrap_or(ANY_CPU);
        let set = hand.iter().try_for_each(|socket| set_cpu(socket, cpu));
        // Without the option, as in some sandboxes, the hash chooses anyway.
        if steer == Steer::Cpu {
            set?;
        }
    }
    Ok(())
}

/// Sets the option, unless it has this value.
fn set_cpu(socket: &Acceptor, cpu: usize) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let wrong = |error| io::Error::other(format!("SO_INCOMING_CPU: {error}"));
    if socket.cpu_affinity().map_err(wrong)? == cpu {
        return Ok(());
    }
    socket.set_cpu_affinity(cpu).map_err(wrong)
}
