//! `--steer cpu`: a connection goes to the thread on the CPU that has received it.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::process::Command;

use core_affinity::CoreId;
use pinloop::{Config, Core, Listeners, Request, Response, Server, StartError, Steer};
use socket2::SockRef;

use crate::faults::skip;
use crate::support::process::BINARY;
use crate::support::{GET, connect, read_response, stop};

fn steered(threads: usize) -> Config {
    let threads = NonZeroUsize::new(threads);
    Config { steer: Steer::Cpu, threads, pin: Some(true), ..Config::default() }
}

fn bind(sockets: usize) -> Listeners {
    Listeners::bind(([127, 0, 0, 1], 0).into(), 128, sockets).unwrap()
}

fn start(listeners: Listeners, config: &Config) -> Result<Server, StartError> {
    pinloop::start_on(listeners, config, |core: Core| {
        move |_: &Request<'_>, response: &mut Response<'_>| {
            response.body(core.index.to_string().as_bytes());
        }
    })
}

fn cpus() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap().into_iter().map(|core| core.id).collect()
}

/// Returns the version of the kernel.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let mut number = || numbers.next().and_then(Result::ok).unwrap_or_default();
    (number(), number())
}

/// Returns the option of each socket; `None` stands for all CPUs.
fn options(sockets: &[OwnedFd]) -> Vec<Option<usize>> {
    let option = |socket| SockRef::from(socket).cpu_affinity().unwrap();
    sockets.iter().map(|socket| Some(option(socket)).filter(|&cpu| cpu != usize::MAX)).collect()
}

#[test]
fn each_listener_has_the_cpu_of_its_thread() {
    let cpus = cpus();
    let listeners = bind(cpus.len());
    let sockets = listeners.duplicate().unwrap();
    let server = start(listeners, &steered(cpus.len())).unwrap();
    assert_eq!(options(&sockets), cpus.iter().copied().map(Some).collect::<Vec<_>>());
    stop(server);
    // The next process does not steer.
    let config = Config { steer: Steer::Hash, ..steered(cpus.len()) };
    let inherited = Listeners::inherit(sockets).unwrap();
    let sockets = inherited.duplicate().unwrap();
    let server = start(inherited, &config).unwrap();
    assert_eq!(options(&sockets), vec![None; cpus.len()]);
    stop(server);
}

#[test]
fn a_connection_goes_to_the_cpu_of_its_first_packet() {
    let cpus = cpus();
    if cpus.len() < 2 {
        return skip("a machine with one CPU has nothing to choose from");
    }
    if kernel() < (6, 2) {
        return skip("this kernel ignores SO_INCOMING_CPU for SO_REUSEPORT");
    }
    let server = start(bind(cpus.len()), &steered(cpus.len())).unwrap();
    for (index, &id) in cpus.iter().enumerate().take(4) {
        // Loopback receives a packet on the CPU that sends it.
        assert!(core_affinity::set_for_current(CoreId { id }));
        for _ in 0..10 {
            let mut stream = connect(&server);
            std::io::Write::write_all(&mut stream, GET).unwrap();
            assert_eq!(read_response(&mut stream).1, index.to_string().as_bytes(), "CPU {id}");
        }
    }
    stop(server);
}

#[test]
fn threads_that_share_a_socket_or_are_not_pinned_are_refused() {
    if cpus().len() < 2 {
        return skip("a machine with one CPU has one pinned thread");
    }
    let shared = Listeners::inherit(bind(1).duplicate().unwrap()).unwrap();
    let sentence =
        "steer is cpu, which needs a listening socket for each thread; 2 threads share 1";
    assert_eq!(start(shared, &steered(2)).unwrap_err().to_string(), sentence);
    let arguments = ["--steer", "cpu", "--no-pin", "--check-config"];
    let refused = Command::new(BINARY).args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(message.contains("steer is cpu, which needs threads that are pinned"), "{message}");
}
