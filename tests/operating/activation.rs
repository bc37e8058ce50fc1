//! Socket activation with sockets of the test itself: several for one address, and Unix sockets.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use signal_hook::consts::SIGTERM;
use socket2::{Domain, Socket, Type};

use super::{get, path};
use crate::support::process::{BINARY, Running};
use crate::support::{GET, PATIENCE, connect_to, read_response, wait_until};

/// Starts the binary as systemd does, with two sockets that have these names. The shell gets them as
/// its standard input and error.
fn start(sockets: [OwnedFd; 2], names: &str, arguments: &[&str]) -> Running {
    let script = "LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\" 3<&0 4<&2 0</dev/null 2>/dev/null";
    let mut command = Command::new("sh");
    command.args(["-c", script, BINARY, "--threads", "2", "--no-pin"]).args(arguments);
    let [first, second] = sockets;
    command.stdin(Stdio::from(first)).stderr(Stdio::from(second));
    Running::from(command.env("LISTEN_FDNAMES", names))
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
