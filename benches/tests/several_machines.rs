//! Three agents that load one server together: no connection, client or request is sent twice, and
//! none is missing. The agents are on this machine, which makes no difference to what they count.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use std::{fs, process, thread};

use pinloop_bench::load::{Arrivals, Pace, Phase, Shape, Stop, Target};
use pinloop_bench::rig::host::Host;
use pinloop_bench::rig::load_hosts::{Generators, LoadHosts, Loader};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pinloop-bench");
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn three_machines_have_the_connections_and_requests_of_one_load() {
    let (server, cache) = (Server::start(), Cache::new("requests"));
    let three = cache.three();
    for connections in [3, 5, 7] {
        let before = server.connections.load(SeqCst);
        let mut generators = server.load_from(&three, connections);
        assert_eq!(server.connections.load(SeqCst) - before, connections as u64);
        generators.compare(None).unwrap();
        for (pace, count) in [(Pace::Closed, 101), (Pace::Rate(2e3), 100), (Pace::Rate(2e3), 4)] {
            let before = server.requests.load(SeqCst);
            let (outcome, shares) = generators.run(pace, Stop::Requests(count)).unwrap();
            assert_eq!(server.requests.load(SeqCst) - before, count);
            assert_eq!((outcome.requests, outcome.latency_ns.len()), (count, count));
            let each: Vec<u64> = shares.iter().map(|share| share.requests).collect();
            assert_eq!((each.len(), each.iter().sum::<u64>()), (3, count), "{each:?}");
            assert_eq!((outcome.threads, outcome.errors.total()), (3, 0));
        }
    }
}

#[test]
fn a_rate_over_time_is_one_schedule_on_three_machines() {
    let (server, cache) = (Server::start(), Cache::new("rate"));
    let mut generators = server.load_from(&cache.three(), 5);
    let stop = Stop::After(Duration::from_millis(200));
    let (outcome, shares) = generators.run(Pace::Rate(995.0), stop).unwrap();
    // Every request was due; on a busy machine some were not sent in time.
    assert_eq!(outcome.requests + outcome.unsent, 199);
    let unsent: u64 = shares.iter().map(|share| share.unsent).sum();
    assert_eq!(unsent, outcome.unsent);
}

#[test]
fn clients_of_three_machines_are_counted_once() {
    let (server, cache) = (Server::start(), Cache::new("clients"));
    let mut generators = server.load_from(&cache.three(), 0);
    generators.compare(None).unwrap();
    let (connections, requests) = (server.connections.load(SeqCst), server.requests.load(SeqCst));
    let phase = Phase { clients_per_second: 20.0, lasts: Duration::from_millis(500) };
    let arrivals = Arrivals { phases: vec![phase], clients_max: 7 };
    let mut told = (0, 0);
    let mut tell = |snapshot: &pinloop_bench::load::Snapshot| {
        told = (told.0 + snapshot.requests, snapshot.clients);
        ControlFlow::Continue(())
    };
    let (outcome, shares) =
        generators.run_arrivals(&arrivals, Duration::from_millis(100), &mut tell).unwrap();
    assert_eq!(server.connections.load(SeqCst) - connections, 7);
    assert_eq!(outcome.requests, server.requests.load(SeqCst) - requests);
    assert_eq!(outcome.latency_ns.len(), outcome.requests);
    assert_eq!(shares.iter().map(|share| share.requests).sum::<u64>(), outcome.requests);
    assert_eq!((outcome.connects, outcome.threads), (7, 3));
    assert_eq!(told, (outcome.requests, 7));
}

/// A server that counts, with a thread for each connection.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::default(), Arc::default());
        let server = Self { address, connections, requests };
        let (opened, answered) = (server.connections.clone(), server.requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (opened, answered) = (opened.clone(), answered.clone());
                thread::spawn(move || answer(stream, &opened, &answered));
            }
        });
        server
    }

    fn load_from(&self, hosts: &LoadHosts, connections: usize) -> Generators {
        let target = Target { addr: self.address, request: REQUEST.into(), method_is_head: false };
        let shape = Shape { connections, ..Shape::default() };
        let mut generators = Generators::connect(hosts, &target, &shape, &[]).unwrap();
        if connections > 0 {
            // A connection is counted by its thread, which has answered after a request on each.
            let all = Stop::Requests(connections as u64 * 3);
            generators.run(Pace::Rate(1e5), all).unwrap();
        }
        generators
    }
}

/// Counts a connection with its first request.
fn answer(mut stream: TcpStream, opened: &AtomicU64, answered: &AtomicU64) {
    let mut request = [0; REQUEST.len()];
    stream.set_nodelay(true).unwrap();
    let mut is_new = true;
    while stream.read_exact(&mut request).is_ok() {
        opened.fetch_add(u64::from(is_new), SeqCst);
        is_new = false;
        answered.fetch_add(1, SeqCst);
        if stream.write_all(RESPONSE).is_err() {
            return;
        }
    }
}

/// Folder that the program is copied to.
struct Cache(PathBuf);

impl Cache {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pinloop-three-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn three(&self) -> LoadHosts {
        let command = format!("env XDG_CACHE_HOME={}", self.0.display());
        let server = Ipv4Addr::LOCALHOST.into();
        let loader = |_| Host::loader(&command, Path::new(PROGRAM), None, server).unwrap();
        LoadHosts::from((0..3).map(loader).collect::<Vec<Loader>>())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // A second panic would hide the first one.
        let _ = fs::remove_dir_all(&self.0);
    }
}
