//! The kernel's distribution of connections over a server's event loops, from /proc: any
//! server that polls with epoll shows it.
//!
//! An event loop is an instance of epoll. `fdinfo` lists the sockets that it polls,
//! `net/tcp` names their peers, and `syscall` the thread that waits for it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::load::cpu_list;
use crate::results::EventLoop;

/// Target of the link of an epoll descriptor.
const EPOLL: &str = "anon_inode:[eventpoll]";

/// State of an open connection in `net/tcp`.
const ESTABLISHED: &str = "01";

/// The event loops of the process `pid` that poll connections of `clients`, with what
/// was answered on these: each client by its address, and how much.
pub fn of(pid: u32, clients: &BTreeMap<SocketAddr, u64>) -> io::Result<Vec<EventLoop>> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let peers = peers(&fs::read_to_string(process.join("net/tcp"))?);
    let mut loops: BTreeMap<Vec<u64>, EventLoop> = BTreeMap::new();
    for descriptor in fs::read_dir(process.join("fd"))? {
        let descriptor = descriptor?;
        // A descriptor that was closed meanwhile is not an event loop.
        let Ok(link) = fs::read_link(descriptor.path()) else { continue };
        if link != Path::new(EPOLL) {
            continue;
        }
        let name = descriptor.file_name();
        let polled = polled(&fs::read_to_string(process.join("fdinfo").join(&name))?);
        let answered: Vec<u64> =
            polled.iter().filter_map(|inode| clients.get(peers.get(inode)?).copied()).collect();
        if answered.is_empty() {
            continue;
        }
        let epoll = name.to_string_lossy().parse().ok();
        let core = epoll.and_then(|epoll| core_of(&process, epoll));
        // Tokio duplicates the descriptor: both name one instance, which a thread waits for by one.
        let event_loop = loops.entry(polled).or_insert_with(|| EventLoop {
            core: None,
            connections: answered.len(),
            requests: answered.iter().sum(),
        });
        event_loop.core = event_loop.core.or(core);
    }
    let mut loops: Vec<EventLoop> = loops.into_values().collect();
    loops.sort_by_key(|event_loop| event_loop.core);
    Ok(loops)
}

/// The CPU of the thread that waits for the instance of epoll with this descriptor, if
/// it is pinned to one.
fn core_of(process: &Path, epoll: u64) -> Option<usize> {
    let tasks = fs::read_dir(process.join("task")).ok()?;
    let waiting = tasks.flatten().map(|task| task.path()).find(|task| {
        let syscall = fs::read_to_string(task.join("syscall")).unwrap_or_default();
        waits_for(&syscall) == Some(epoll)
    })?;
    let status = fs::read_to_string(waiting.join("status")).ok()?;
    match allowed(&status)?.as_slice() {
        &[core] => Some(core),
        _ => None,
    }
}

/// The first argument of the system call that a thread is in. The number of the call
/// does not matter: on a descriptor of epoll only one call waits.
fn waits_for(syscall: &str) -> Option<u64> {
    let argument = syscall.split(' ').nth(1)?;
    u64::from_str_radix(argument.strip_prefix("0x")?, 16).ok()
}

fn allowed(status: &str) -> Option<Vec<usize>> {
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    cpu_list(line)
}

/// Inodes of what an instance of epoll polls, ascending.
fn polled(fdinfo: &str) -> Vec<u64> {
    let inode = |line: &str| {
        let (_, inode) = line.strip_prefix("tfd:")?.split_once("ino:")?;
        u64::from_str_radix(inode.split(' ').next()?, 16).ok()
    };
    let mut polled: Vec<u64> = fdinfo.lines().filter_map(inode).collect();
    polled.sort_unstable();
    polled
}

/// The other end of each open connection, by the inode of this end.
fn peers(tcp: &str) -> BTreeMap<u64, SocketAddr> {
    let peer = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(2);
        let (peer, state) = (fields.next()?, fields.next()?);
        let inode = fields.nth(5)?.parse().ok()?;
        (state == ESTABLISHED).then_some((inode, address(peer)?))
    };
    tcp.lines().skip(1).filter_map(peer).collect()
}

/// Parses `0100007F:1F90`: the address is a number in this machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
    Some(SocketAddr::from((ip, u16::from_str_radix(port, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use mio::{Events, Interest, Poll, Token};

    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let fdinfo = "pos:\t0\nflags:\t02000002\nino:\t1038\n\
            tfd:        6 events:       19 data:     7f8c00000006  pos:0 ino:165a7f sdev:9\n\
            tfd:        4 events:       19 data:                4  pos:0 ino:165a7d sdev:9\n";
        assert_eq!(polled(fdinfo), [0x0016_5a7d, 0x0016_5a7f]);

        assert_eq!(
            waits_for("232 0x4 0x7f 0x400 0xffffffffffffffff 0x0 0x8 0x7ff 0x7f\n"),
            Some(4)
        );
        assert_eq!(waits_for("running\n"), None);
        assert_eq!(allowed("Name:\tx\nCpus_allowed_list:\t0-1\n"), Some(vec![0, 1]));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_peers_of_open_connections() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:B303 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1464950 1 0 100 0 0 10 0\n\
            1: 0100007F:B303 0200007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 77 1 0 20 4 30 10 -1\n";
        let peer: SocketAddr = "127.0.0.2:8080".parse().unwrap();
        assert_eq!(peers(tcp).into_iter().collect::<Vec<_>>(), [(77, peer)]);
    }

    #[test]
    fn finds_the_event_loops_of_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let clients = [connect(), connect(), connect()];
        let mut loops = [Poll::new().unwrap(), Poll::new().unwrap()];
        let mut accepted = Vec::new();
        // Two connections to the first, one to the second.
        for at in [0, 0, 1] {
            let mut stream = mio::net::TcpStream::from_std(listener.accept().unwrap().0);
            let registry = loops[at].registry();
            registry.register(&mut stream, Token(0), Interest::READABLE).unwrap();
            accepted.push(stream);
        }
        loops[0].poll(&mut Events::with_capacity(1), Some(std::time::Duration::ZERO)).unwrap();

        let mut answered = BTreeMap::new();
        for (client, requests) in clients.iter().zip([5, 7, 11]) {
            answered.insert(client.local_addr().unwrap(), requests);
        }
        // One instance, by two descriptors.
        let _registry = loops[0].registry().try_clone().unwrap();
        let found = of(std::process::id(), &answered).unwrap();
        let mut found: Vec<_> = found.iter().map(|l| (l.connections, l.requests)).collect();
        found.sort_unstable();
        assert_eq!(found, [(1, 11), (2, 12)]);
        assert!(of(std::process::id(), &BTreeMap::new()).unwrap().is_empty());
    }
}
