//! Every rung uses all CPUs that it is given, apart from those that say that they have one thread.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use pinloop_bench::load::cpu_list;
use pinloop_bench::rig::event_loops;
use pinloop_bench::rig::machine::allowed_cores;
use pinloop_bench::variants::{self, SINGLE_THREADED};

/// Number of connections. The kernel's hash puts all of them on one of two cores in one run of
/// 2^39.
const CONNECTIONS: usize = 40;

#[test]
fn every_rung_uses_all_its_cpus_or_says_that_it_has_one_thread() {
    let cores = allowed_cores().unwrap();
    let [first, second, ..] = cores[..] else {
        eprintln!("skipped: this process may use one CPU only");
        return;
    };
    let cores = [first, second];
    for variant in variants::all().filter(|variant| variants::unavailable(variant).is_none()) {
        let server = Server::start(variant.name, &cores);
        let clients = server.ask();
        let used = match variant.name {
            name if SINGLE_THREADED.contains(&name) => vec![first],
            _ => cores.to_vec(),
        };
        let threads = server.threads();
        if variant.name == "hyper_work_stealing" {
            let workers = threads.iter().filter(|allowed| **allowed == used).count();
            assert_eq!(workers, used.len() + 1, "{}: two workers, and main", variant.name);
            continue;
        }
        let pinned: BTreeSet<usize> =
            threads.iter().filter(|allowed| allowed.len() == 1).map(|of| of[0]).collect();
        assert_eq!(pinned.into_iter().collect::<Vec<_>>(), used, "{}", variant.name);
        // A rung on io_uring has no event loop that the kernel shows. Steered connections are on
        // the CPU of this test.
        let loops = event_loops::of(server.child.id(), &clients).unwrap();
        let serving: BTreeSet<Option<usize>> = loops.iter().map(|of| of.core).collect();
        if !loops.is_empty() && variant.name != "pinloop_steered" {
            assert_eq!(serving, used.into_iter().map(Some).collect(), "{}", variant.name);
        }
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
    streams: Vec<TcpStream>,
}

impl Server {
    fn start(variant: &str, cores: &[usize; 2]) -> Self {
        let cores = format!("{},{}", cores[0], cores[1]);
        let mut child = Command::new(env!("CARGO_BIN_EXE_pinloop-bench"))
            .args(["serve", variant, "--cores", &cores])
            .args(["--parent", &std::process::id().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
        let connect = |_| TcpStream::connect(address).unwrap();
        Self { child, address, streams: (0..CONNECTIONS).map(connect).collect() }
    }

    /// Has each connection answered, and so accepted. Returns the clients with their answers.
    fn ask(&self) -> BTreeMap<SocketAddr, u64> {
        let ask = |mut stream: &TcpStream| {
            write!(stream, "GET / HTTP/1.1\r\nhost: {}\r\n\r\n", self.address).unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            (stream.local_addr().unwrap(), 1)
        };
        self.streams.iter().map(ask).collect()
    }

    /// CPUs that each thread may run on.
    fn threads(&self) -> Vec<Vec<usize>> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let allowed = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            cpu_list(list)
        };
        tasks.flatten().filter_map(allowed).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
