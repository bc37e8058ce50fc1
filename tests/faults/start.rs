//! A start succeeds as a whole or leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::num::NonZeroUsize;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as SocketName, UnixListener};
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use pinloop::{Config, Request, Response, Server};

use super::{has_program, is_root, skip};
use crate::support::process::{BINARY, Running};
use crate::support::{APP, stop};

/// Returns a port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Returns an address that nobody else uses: each address in 127.0.0.0/8 is this machine.
fn address_of_its_own(n: usize) -> SocketAddrV4 {
    let [.., second, third] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, second, third, 2 + n as u8);
    let listener = TcpListener::bind((host, 0)).unwrap();
    SocketAddrV4::new(host, listener.local_addr().unwrap().port())
}

/// Reports whether a socket of this machine listens on exactly this address, by proc(5).
fn is_listening(addr: SocketAddrV4) -> bool {
    const LISTEN: &str = "0A";
    let host = u32::from_ne_bytes(addr.ip().octets());
    let local = format!("{host:08X}:{:04X}", addr.port());
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    sockets.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&local.as_str()) && fields.get(3) == Some(&LISTEN)
    })
}

/// Counts services that exist.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `start` returned an error and left threads that served (issue 13, number 8). Here the
/// service of one thread cannot be made.
#[test]
fn a_start_that_fails_leaves_no_thread() {
    const THREADS: usize = 6;
    for failing in [0, 3, THREADS - 1] {
        let services = Arc::new(AtomicUsize::new(0));
        let addr = address_of_its_own(failing);
        let threads = NonZeroUsize::new(THREADS);
        let config = Config { addr: addr.into(), threads, pin: Some(false), ..Config::default() };
        let shared = services.clone();
        let started = pinloop::start(&config, move |core| {
            if core.index == failing {
                resume_unwind(Box::new("the test asked for a panic"));
            }
            shared.fetch_add(1, Ordering::SeqCst);
            let counted = Counted(shared.clone());
            move |_: &Request<'_>, response: &mut Response<'_>| {
                let _owned = &counted;
                response.body(b"");
            }
        });
        assert!(started.is_err(), "a thread has no service");
        assert_eq!(services.load(Ordering::SeqCst), 0, "services of threads that are left");
        // A child that another test forks has the listener until it runs its program.
        crate::support::wait_until("no listener is left", || !is_listening(addr));
    }
}

/// Environment variable that has [`helper_starts_without_threads`] do its work.
const HELPER: &str = "PINLOOP_TEST_HELPER";

fn thread_count() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Runs in a process that may have few threads; see the next test.
#[test]
fn helper_starts_without_threads() {
    if std::env::var_os(HELPER).is_none() {
        return;
    }
    let before = thread_count();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config =
        Config { addr, threads: NonZeroUsize::new(8), pin: Some(false), ..Config::default() };
    let started = pinloop::start(&config, |_| APP.clone());
    assert!(started.is_err(), "eight threads are more than this process may have");
    // A thread that has been joined may still be listed for a moment.
    crate::support::wait_until("all threads have ended", || thread_count() == before);
    println!("the start has left no thread");
}

/// With 8 threads and RLIMIT_NPROC 4, three threads went on after the error (issue 13, number
/// 8).
#[test]
fn a_start_without_enough_threads_leaves_none() {
    if !is_root() || !has_program("setpriv") || !has_program("prlimit") {
        return skip("RLIMIT_NPROC needs root, setpriv and prlimit, to run as another user");
    }
    // A user without any other process.
    let user = 400_000 + std::process::id();
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}")]);
    command.args(["--clear-groups", "prlimit", "--nproc=5:5"]);
    let test = std::env::current_exe().unwrap();
    command.arg(&test).args(["--exact", "faults::start::helper_starts_without_threads"]);
    let output = command.arg("--nocapture").env(HELPER, "1").output().unwrap();
    if matches!(output.status.code(), Some(126 | 127)) {
        return skip("another user may not run the test binary");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("the start has left no thread"), "{output:?}");

    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}")]);
    command.args(["--clear-groups", "prlimit", "--nproc=5:5", BINARY]);
    command.args(["--threads", "8", "--no-pin", "--addr", "127.0.0.1:0"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output:?}");
}

fn spawn(addr: &str) -> Child {
    let mut command = Command::new(BINARY);
    command.args(["--threads", "1", "--no-pin", "--addr", addr]);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Two servers that started at the same moment on one port both ran in 2 of 200 tries (issue
/// 13, number 18).
#[test]
fn of_two_servers_started_at_the_same_moment_one_runs() {
    for pair in [["127.0.0.1"; 2], ["0.0.0.0", "127.0.0.1"], ["[::]", "127.0.0.1"]] {
        let mut runs = 0;
        for _ in 0..20 {
            let port = free_port();
            let children = pair.map(|host| spawn(&format!("{host}:{port}")));
            let running = children.map(|mut child| {
                let mut line = String::new();
                let stdout = child.stdout.take().unwrap();
                BufReader::new(stdout).read_line(&mut line).unwrap();
                (child, line.contains("listening"))
            });
            let count = running.iter().filter(|(_, listens)| *listens).count();
            for (mut child, _) in running {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            assert!(count <= 1, "{pair:?}: both servers listen on port {port}");
            runs += count;
        }
        // Another test may have taken a port.
        assert!(runs > 10, "{pair:?}: {runs} of 20 pairs have a server that runs");
    }
}

/// The same with many more tries, on threads of one process (issue 13, number 18).
#[test]
fn of_two_starts_at_the_same_moment_one_succeeds() {
    let mut runs = 0;
    for hosts in [
        [Ipv4Addr::LOCALHOST.into(); 2],
        [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into()],
    ] {
        for _ in 0..100 {
            let port = free_port();
            let barrier = Barrier::new(2);
            let servers: Vec<Server> = thread::scope(|scope| {
                let starts = hosts.map(|host: std::net::IpAddr| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        let addr = SocketAddr::from((host, port));
                        let threads = Some(NonZeroUsize::MIN);
                        let config =
                            Config { addr, threads, pin: Some(false), ..Config::default() };
                        barrier.wait();
                        pinloop::start(&config, |_| APP.clone())
                    })
                });
                starts.into_iter().filter_map(|start| start.join().unwrap().ok()).collect()
            });
            assert!(servers.len() <= 1, "both servers listen on port {port}");
            runs += servers.len();
            servers.into_iter().for_each(stop);
        }
    }
    assert!(runs > 100, "{runs} of 200 pairs have a server that runs");
}

/// Any process that held the lock kept every server from starting, which then named the wrong
/// cause: "Address already in use".
#[test]
fn a_lock_that_another_process_keeps_does_not_prevent_a_start() {
    let port = free_port();
    let name = SocketName::from_abstract_name(format!("pinloop-start-{port}")).unwrap();
    let _lock = UnixListener::bind_addr(&name).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--threads", "1", "--no-pin", "--addr", &format!("127.0.0.1:{port}")]);
    let mut running = Running::from(command.stderr(Stdio::piped()));
    assert_eq!(running.addr().port(), port);
    let mut warning = String::new();
    BufReader::new(running.take_stderr()).read_line(&mut warning).unwrap();
    assert!(warning.contains(&format!("abstract socket @pinloop-start-{port} ")), "{warning}");
}
