//! Socket activation with sockets of the test itself: several for one address, and Unix sockets.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use signal_hook::consts::{SIGTERM, SIGUSR2};
use socket2::{Domain, Socket, Type};

use super::restart::Successor;
use super::{get, next_message, path};
use crate::support::process::{BINARY, Running};
use crate::support::{GET, PATIENCE, connect_to, read_response, wait_until};

/// Starts the binary as systemd does, with two sockets that have these names. The shell gets them as
/// its standard input and error.
fn start(sockets: [OwnedFd; 2], names: &str, arguments: &[&str]) -> Running {
    start_notifying(Path::new("/nowhere"), sockets, names, arguments)
}

/// Starts the binary as [`start`] does. It sends messages to `notify`, also for the watchdog.
fn start_notifying(
    notify: &Path,
    sockets: [OwnedFd; 2],
    names: &str,
    arguments: &[&str],
) -> Running {
    let script = "LISTEN_PID=$$ LISTEN_FDS=2 WATCHDOG_PID=$$ WATCHDOG_USEC=300000 exec \"$0\" \"$@\" \
                  3<&0 4<&2 0</dev/null 2>/dev/null";
    let mut command = Command::new("sh");
    command.args(["-c", script, BINARY, "--threads", "2", "--no-pin"]).args(arguments);
    let [first, second] = sockets;
    command.stdin(Stdio::from(first)).stderr(Stdio::from(second));
    Running::from(command.env("LISTEN_FDNAMES", names).env("NOTIFY_SOCKET", notify))
}

/// Returns two listening sockets with one address, as `ReusePort=yes` makes them.
fn reuse_port() -> [TcpListener; 2] {
    let bind = |addr: SocketAddr| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&addr.into()).unwrap();
        socket.listen(128).unwrap();
        TcpListener::from(socket)
    };
    let first = bind(([127, 0, 0, 1], 0).into());
    let second = bind(first.local_addr().unwrap());
    [first, second]
}

/// Returns the number of descriptors of the process for each of these sockets.
fn descriptors(running: &Running, sockets: &[TcpListener; 2]) -> [usize; 2] {
    let name = |pid: &str, fd: &str| fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
    let folder = format!("/proc/{}/fd", running.id());
    let open: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    sockets.each_ref().map(|socket| {
        let own = name("self", &std::os::fd::AsRawFd::as_raw_fd(socket).to_string());
        open.iter().filter(|path| fs::read_link(path).is_ok_and(|link| link == own)).count()
    })
}

fn ask(stream: &mut TcpStream) {
    stream.write_all(GET).unwrap();
    assert!(read_response(stream).0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn with_a_socket_for_each_thread_each_thread_has_its_own() {
    let sockets = reuse_port();
    let addr = sockets[0].local_addr().unwrap();
    let fds = || sockets.each_ref().map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
    let arguments = ["--admin-addr", "127.0.0.1:0", "--metrics-by-core"];
    let running = start(fds(), "web:web", &arguments);
    assert_eq!(running.addr(), addr);
    // One in its loop, and one in reserve. Threads that shared a socket would have four.
    assert_eq!(descriptors(&running, &sockets), [2, 2]);
    let mut streams: Vec<TcpStream> = Vec::new();
    let accepted = |thread: usize| {
        let page = get(running.admin_addr(), "/metrics");
        let none = format!("pinloop_connections_accepted_total{{thread=\"{thread}\"}} 0\n");
        !page.contains(&none)
    };
    wait_until("the kernel has used both sockets", || {
        streams.push(connect_to(addr));
        ask(streams.last_mut().unwrap());
        accepted(0) && accepted(1)
    });
    drop(streams);
    running.end(SIGTERM);
    // The queues outlive the process.
    let mut waiting: Vec<TcpStream> = (0..20).map(|_| connect_to(addr)).collect();
    let next = start(fds(), "web:web", &[]);
    waiting.iter_mut().for_each(ask);
    drop(waiting);
    next.end(SIGTERM);
}

#[test]
fn unix_sockets_can_be_activated_and_their_files_stay() {
    let (file, admin) = (path("activated"), path("activated-admin"));
    let sockets = [&file, &admin].map(|file| UnixListener::bind(file).unwrap());
    let fds = || sockets.each_ref().map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
    let connect = |file| {
        let stream = UnixStream::connect(file).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    for _ in 0..2 {
        // The connections come before the server, and after the one before it.
        let mut streams: Vec<UnixStream> = (0..10).map(|_| connect(&file)).collect();
        let running = start(fds(), "web:admin", &["--addr", "127.0.0.1:0"]);
        let line = format!("listening on unix:{}", file.display());
        assert!(running.line().contains(&line), "{}", running.line());
        for stream in &mut streams {
            stream.write_all(GET).unwrap();
            assert!(read_response(stream).0.starts_with("HTTP/1.1 200 "));
        }
        let mut scraper = connect(&admin);
        scraper.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let page = String::from_utf8(read_response(&mut scraper).1).unwrap();
        assert!(page.contains("pinloop_connections_active 10\n"), "{page}");
        drop((streams, scraper));
        running.end(SIGTERM);
        assert!(file.exists() && admin.exists());
    }
    fs::remove_file(file).unwrap();
    fs::remove_file(admin).unwrap();
}

fn tcp_listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn duplicates(sockets: &[TcpListener; 2]) -> [OwnedFd; 2] {
    sockets.each_ref().map(|socket| socket.try_clone().unwrap().into())
}

/// A successor bound `--addr` instead, so that nobody served the activated sockets. Its stop also
/// took the connections from their queues, which systemd keeps for the next process.
#[test]
fn activated_sockets_replace_the_addresses_of_a_successor_too() {
    let sockets = [tcp_listener(), tcp_listener()];
    let [addr, admin] = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    let file = path("activated-takeover");
    let arguments = ["--addr", "127.0.0.1:0", "--takeover", file.to_str().unwrap()];
    let mut running = start(duplicates(&sockets), "web:admin", &arguments);
    for _ in 0..2 {
        let successor = Running::start_unpinned(&["--takeover", file.to_str().unwrap()]);
        assert_eq!((successor.addr(), successor.admin_addr()), (addr, admin));
        assert_eq!(running.wait_patiently().code(), Some(0));
        running = successor;
    }
    ask(&mut connect_to(addr));
    running.end(SIGTERM);
    let mut waiting: Vec<TcpStream> = (0..20).map(|_| connect_to(addr)).collect();
    let next = start(duplicates(&sockets), "web:admin", &[]);
    waiting.iter_mut().for_each(ask);
    drop(waiting);
    next.end(SIGTERM);
}

/// A successor took `WATCHDOG_PID` for its own, so systemd ended it after `WatchdogSec`.
#[test]
fn the_successor_in_an_activated_service_answers_the_watchdog() {
    let sockets = [tcp_listener(), tcp_listener()];
    let (file, notify) = (path("activated-usr2"), path("activated-notify"));
    let socket = UnixDatagram::bind(&notify).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let main_process = || loop {
        let message = next_message(&socket);
        if let Some((_, id)) = message.split_once("MAINPID=") {
            return id.trim().parse::<u32>().expect("the id of a process");
        }
    };
    let arguments = ["--addr", "127.0.0.1:1", "--takeover", file.to_str().unwrap()];
    let mut running = start_notifying(&notify, duplicates(&sockets), "web:admin", &arguments);
    assert_eq!(main_process(), running.id());
    running.signal(SIGUSR2);
    let successor = Successor(main_process());
    assert_ne!(successor.0, running.id());
    assert_eq!(running.wait_patiently().code(), Some(0));
    ask(&mut connect_to(sockets[0].local_addr().unwrap()));
    // The messages of the process before come first.
    socket.set_nonblocking(true).unwrap();
    while socket.recv(&mut [0; 256]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    assert!(next_message(&socket).contains("WATCHDOG=1"));
    drop(successor);
    fs::remove_file(file).unwrap();
    fs::remove_file(notify).unwrap();
}
