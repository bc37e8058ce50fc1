//! Restarts that lose nothing: takeover and socket activation.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGTERM, SIGUSR2};

use super::{get, next_message, path, refused};
use crate::faults::{has_program, skip};
use crate::support::process::{BINARY, Running};
use crate::support::response::try_read_response;
use crate::support::{GET, read_response, read_to_end, wait_until};

const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Clients of two kinds that ask until they are stopped: one that keeps its connection, and one
/// that makes a connection for each request.
struct Clients {
    ended: Arc<AtomicBool>,
    responses: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Clients {
    fn start(addr: SocketAddr) -> Clients {
        let (ended, responses) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let spawn = |keeps: bool| {
            let (ended, responses) = (ended.clone(), responses.clone());
            thread::spawn(move || {
                let mut kept = None;
                while !ended.load(Ordering::Relaxed) {
                    let mut stream: TcpStream = kept.take().unwrap_or_else(|| {
                        TcpStream::connect(addr).expect("no connection is refused")
                    });
                    stream.write_all(GET).expect("the request is taken");
                    let (head, _) = try_read_response(&mut stream).expect("no request fails");
                    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                    responses.fetch_add(1, Ordering::Relaxed);
                    if keeps && !head.contains("connection: close") {
                        kept = Some(stream);
                    }
                }
            })
        };
        let threads = [true, true, false, false].map(spawn).into();
        Clients { ended, responses, threads }
    }

    /// Waits for some more responses.
    fn go_on(&self) {
        let before = self.responses.load(Ordering::Relaxed);
        wait_until("there are more responses", || {
            self.responses.load(Ordering::Relaxed) > before + 50
        });
    }

    fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("no client has failed"));
    }
}

/// The successor that a signal has started, which is not a child of the test. Dropping it kills
/// the process.
pub(super) struct Successor(pub(super) u32);

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.0.to_string()]).status();
    }
}

fn start(addr: &str, path: &str, threads: &str) -> Running {
    let mut command = Command::new(BINARY);
    command.args(["--addr", addr, "--takeover", path, "--threads", threads, "--no-pin"]);
    Running::from(command.args(["--drain-grace", "3600", "--admin-addr", "127.0.0.1:0"]))
}

#[test]
fn a_takeover_loses_no_request_with_any_number_of_threads() {
    let socket = path("takeover");
    let socket = socket.to_str().unwrap();
    let mut old = start("127.0.0.1:0", socket, "2");
    let addr = old.addr();
    let admin = old.admin_addr();
    assert_eq!(fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
    let clients = Clients::start(addr);
    for threads in ["3", "1", "2", "2"] {
        clients.go_on();
        let new = start(&addr.to_string(), socket, threads);
        assert_eq!((new.addr(), new.admin_addr()), (addr, admin));
        clients.go_on();
        assert_eq!(old.wait_patiently().code(), Some(0), "{threads} threads");
        old = new;
    }
    clients.end();
    old.signal(SIGTERM);
    wait_until("the server stops listening", || TcpStream::connect(addr).is_err());
    assert!(!fs::exists(socket).unwrap(), "the last process removes the file");
}

#[test]
fn sigusr2_starts_a_successor_as_in_nginx() {
    let socket = path("usr2");
    let mut old = start("127.0.0.1:0", socket.to_str().unwrap(), "1");
    let addr = old.addr();
    let clients = Clients::start(addr);
    clients.go_on();
    let children = format!("/proc/{0}/task/{0}/children", old.id());
    if !fs::exists(&children).unwrap_or(false) {
        clients.end();
        return skip("this kernel does not list the children of a process");
    }
    old.signal(SIGUSR2);
    // Any thread may be the parent.
    let mut successor = None;
    wait_until("there is a successor", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", old.id())).into_iter().flatten();
        let lists = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")));
        let found = lists.flatten().find_map(|list| list.trim().parse::<u32>().ok());
        successor = successor.take().or(found.map(Successor));
        successor.is_some()
    });
    let successor = successor.expect("a successor");
    assert_eq!(old.wait_patiently().code(), Some(0));
    clients.go_on();
    clients.end();
    let kill = Command::new("kill").arg(successor.0.to_string()).status().unwrap();
    assert!(kill.success());
    wait_until("the successor ends", || TcpStream::connect(addr).is_err());
}

#[test]
fn a_successor_that_fails_changes_nothing() {
    let socket = path("failing");
    let file = socket.to_str().unwrap();
    let running = start("127.0.0.1:0", file, "1");
    let addr = running.addr().to_string();
    let failing = ["--addr", &addr, "--takeover", file, "--admin-addr", "192.0.2.1:1"];
    let failed = Command::new(BINARY).args(failing).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(get(running.addr(), "/readyz").starts_with("HTTP/1.1 200 "));
    let next = start(&addr, file, "1");
    assert_eq!(next.addr(), running.addr());
}

/// A successor that could not make its own offer ended with connections that it had accepted, so
/// that their clients were cut off.
#[test]
fn a_successor_that_cannot_make_its_offer_has_accepted_no_connection() {
    let socket = path("no-offer");
    let file = socket.to_str().unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--addr", "127.0.0.1:0", "--threads", "1", "--no-pin", "--takeover", file]);
    let running = Running::from(command.args(["--max-connections", "1", "--when-full", "wait"]));
    let mut held = running.connect();
    held.write_all(&[GET, &GET[..9]].concat()).unwrap();
    read_response(&mut held);
    // The old process leaves these in the queue, where its successors find them.
    let mut queued: Vec<TcpStream> = (0..20).map(|_| running.connect()).collect();
    // A folder stands where the offer is bound first.
    let script = "mkdir \"$2.$$\" && exec \"$0\" --addr \"$1\" --takeover \"$2\" --no-pin \
                  --threads 4 --admin-addr 127.0.0.1:0";
    for _ in 0..20 {
        let addr = running.addr().to_string();
        let failed = Command::new("sh").args(["-c", script, BINARY, &addr, file]).output().unwrap();
        let message = String::from_utf8_lossy(&failed.stderr);
        assert!(message.contains(&format!("cannot offer a takeover at {file}")), "{message}");
        assert_eq!(failed.status.code(), Some(2));
    }
    // Not earlier, because a successor could have answered before it ended.
    queued.iter_mut().for_each(|stream| stream.write_all(CLOSE).unwrap());
    drop(held);
    for (number, stream) in queued.iter_mut().enumerate() {
        let response = read_to_end(stream);
        assert!(response.starts_with("HTTP/1.1 200 "), "connection {number}: {response}");
    }
    remove_beside(&socket);
}

/// Removes the folders that block the offers at `socket`.
fn remove_beside(socket: &Path) {
    let prefix = format!("{}.", socket.file_name().unwrap().to_str().unwrap());
    for entry in fs::read_dir(socket.parent().unwrap()).unwrap().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// A process that was stopped while its successor started removed the successor's socket, so that
/// the next takeover found none.
#[test]
fn a_stop_leaves_the_offer_of_a_successor() {
    let socket = path("replaced");
    let mut running = start("127.0.0.1:0", socket.to_str().unwrap(), "1");
    let name = path("replaced.next");
    let _successor = UnixListener::bind(&name).unwrap();
    fs::rename(&name, &socket).unwrap();
    running.signal(SIGTERM);
    assert_eq!(running.wait_patiently().code(), Some(0));
    assert!(fs::exists(&socket).unwrap());
    fs::remove_file(socket).unwrap();
}

#[test]
fn a_takeover_path_that_cannot_be_used_is_named() {
    let file = path("no-socket");
    fs::write(&file, "text").unwrap();
    let file = file.to_str().unwrap();
    let message = refused(&["--addr", "127.0.0.1:0", "--takeover", file]);
    assert!(message.contains(file), "{message}");
    fs::remove_file(file).unwrap();
    let message = refused(&["--addr", "127.0.0.1:0", "--takeover", "/no/such/folder/x"]);
    assert!(message.contains("cannot offer a takeover at /no/such/folder/x"), "{message}");
}

/// Starts the binary under systemd's own tool for activation, listening on `addr`.
fn start_activated(addr: SocketAddr, arguments: &[&str]) -> Child {
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(addr.to_string());
    command.args([BINARY, "--no-pin", "--drain-grace", "0.2"]).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
}

fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn an_activated_socket_is_shared_by_all_threads() {
    if !has_program("systemd-socket-activate") {
        return skip("systemd-socket-activate is not installed");
    }
    let addr = free_addr();
    let mut child = start_activated(addr, &["--threads", "3", "--metrics", "--metrics-by-core"]);
    wait_until("the socket listens", || TcpStream::connect(addr).is_ok());
    // The first connection has started the server, and is served too.
    let mut streams: Vec<TcpStream> = (0..20).map(|_| crate::support::connect_to(addr)).collect();
    for stream in &mut streams {
        stream.write_all(GET).unwrap();
        assert!(read_response(stream).0.starts_with("HTTP/1.1 200 "));
    }
    wait_until("each thread has accepted connections", || {
        let _more: Vec<TcpStream> = (0..20).map(|_| crate::support::connect_to(addr)).collect();
        let page = get(addr, "/metrics");
        let accepted = "pinloop_connections_accepted_total{thread=";
        let busy = |line: &&str| line.starts_with(accepted) && !line.ends_with(" 0");
        page.lines().filter(busy).count() == 3
    });
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    for stream in &mut streams {
        assert_eq!(read_to_end(stream), "");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn systemd_is_told_of_the_start_a_reload_the_watchdog_and_the_stop() {
    let file = path("notify");
    let socket = UnixDatagram::bind(&file).unwrap();
    socket.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let next = || next_message(&socket);
    let until = |word: &str| {
        let mut message = next();
        while !message.contains(word) {
            assert!(message.contains("WATCHDOG=1"), "{message}, not {word}");
            message = next();
        }
        message
    };
    let config = path("notify.toml");
    fs::write(&config, "threads = 2\nno-pin = true\n").unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--addr", "127.0.0.1:0", "--config", config.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", &file).env("WATCHDOG_USEC", "300000");
    let running = Running::from(&mut command);
    assert!(until("READY=1").contains(&format!("MAINPID={}", running.id())));
    assert!(next().contains("WATCHDOG=1"));
    assert!(next().contains("WATCHDOG=1"));
    running.signal(SIGHUP);
    assert!(until("RELOADING=1").contains("MONOTONIC_USEC="));
    until("READY=1");
    running.signal(SIGTERM);
    until("STOPPING=1");
    drop(running);
    fs::remove_file(file).unwrap();
    fs::remove_file(config).unwrap();
}

#[test]
fn something_else_than_a_tcp_socket_cannot_be_activated() {
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec \"$0\" 3</dev/null";
    let output = Command::new("sh").args(["-c", script, BINARY]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("socket 0 'web' of LISTEN_FDS is unusable"), "{message}");
}
