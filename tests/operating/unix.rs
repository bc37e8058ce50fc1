//! Unix sockets at `--addr` and `--admin-addr`.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use signal_hook::consts::SIGTERM;

use super::{path, refused};
use crate::faults::{is_root, skip};
use crate::support::process::{BINARY, Running};
use crate::support::response::try_read_response;
use crate::support::{GET, PATIENCE, read_response, read_to_end, talk_on, wait_until};

const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Returns a command that starts a server with two threads at the socket `file`.
fn command(file: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["--addr", &format!("unix:{}", file.display())]);
    command.args(["--threads", "2", "--no-pin"]).args(more);
    command
}

fn start(file: &Path, more: &[&str]) -> Running {
    Running::from(&mut command(file, more))
}

fn connect(file: &Path) -> UnixStream {
    let stream = UnixStream::connect(file).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request with `headers`, each with its line end. Returns the status.
fn ask(stream: &mut UnixStream, headers: &str) -> String {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes()).unwrap();
    let (head, _) = read_response(stream);
    head.split(' ').nth(1).expect("a status").to_string()
}

/// Starts a server that must fail. Returns the exit status and the message.
fn failed(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code().expect("an exit status"), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn a_unix_socket_serves_with_its_mode_and_goes_with_the_server() {
    let (file, admin) = (path("unix"), path("unix-admin"));
    let admin_addr = format!("unix:{}", admin.display());
    let running = start(&file, &["--admin-addr", &admin_addr, "--unix-mode", "606"]);
    let line = format!("pinloop listening on unix:{} with 2 threads not pinned", file.display());
    assert_eq!(running.line().trim(), format!("{line}, admin pages on {admin_addr}"));
    for file in [&file, &admin] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o606);
    }
    assert!(talk_on(&mut connect(&file), CLOSE).ends_with("Try POST /echo"));
    let request = b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(talk_on(&mut connect(&admin), request).starts_with("HTTP/1.1 200 "));
    for file in [&file, &admin] {
        let url = format!("http://unix:{}:/readyz", file.display());
        assert!(Command::new(BINARY).args(["--check", &url]).status().unwrap().success(), "{url}");
    }
    running.end(SIGTERM);
    assert!(!file.exists() && !admin.exists());
}

#[test]
fn by_default_only_the_owner_and_the_group_can_connect() {
    let file = path("unix-default");
    let _running = start(&file, &[]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o660);
}

#[test]
fn the_file_belongs_to_the_given_user_and_group() {
    if !is_root() {
        return skip("only root gives files away");
    }
    let file = path("unix-owner");
    let _running = start(&file, &["--unix-user", "12", "--unix-group", "root"]);
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (12, 0));
}

#[test]
fn large_bodies_and_pipelined_requests_pass_whole() {
    let file = path("unix-large");
    let running = start(&file, &[]);
    let mut stream = connect(&file);
    let body = vec![b'x'; 3 << 20];
    let mut writer = stream.try_clone().unwrap();
    let length = body.len();
    let sender = thread::spawn(move || {
        let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        writer.write_all(head.as_bytes()).unwrap();
        writer.write_all(&body).unwrap();
        writer.write_all(&GET.repeat(99)).unwrap();
        writer.write_all(CLOSE).unwrap();
    });
    let echoed = read_response(&mut stream).1;
    assert!(echoed.len() == length && echoed.iter().all(|&byte| byte == b'x'));
    assert_eq!(read_to_end(&mut stream).matches("HTTP/1.1 200 ").count(), 100);
    sender.join().unwrap();
    // The response is larger than the buffer of the socket.
    let mut late = connect(&file);
    late.write_all(b"GET /bytes/1048576 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(read_to_end(&mut late).bytes().filter(|&byte| byte == b'x').count(), 1 << 20);
    running.end(SIGTERM);
}

#[test]
fn its_connections_are_dealt_to_all_threads() {
    let (file, admin) = (path("unix-dealt"), path("unix-dealt-admin"));
    let admin_addr = format!("unix:{}", admin.display());
    // More threads than accept.
    let more = ["--threads", "6", "--admin-addr", &admin_addr, "--metrics-by-core"];
    let mut command = Command::new(BINARY);
    command.args(["--addr", &format!("unix:{}", file.display()), "--no-pin"]).args(more);
    let running = Running::from(&mut command);
    let mut streams: Vec<UnixStream> = (0..30).map(|_| connect(&file)).collect();
    for stream in &mut streams {
        assert_eq!(ask(stream, ""), "200");
    }
    let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let page = talk_on(&mut connect(&admin), request);
    for thread in 0..6 {
        let series = format!("pinloop_connections_active{{thread=\"{thread}\"}} 5\n");
        assert!(page.contains(&series), "{page}");
    }
    drop(streams);
    running.end(SIGTERM);
}

#[test]
fn the_file_of_a_server_that_has_ended_is_replaced_and_no_other_one() {
    let file = path("unix-stale");
    drop(UnixListener::bind(&file).unwrap());
    let running = start(&file, &[]);
    assert_eq!(ask(&mut connect(&file), ""), "200");
    let (status, message) = failed(&mut command(&file, &[]));
    let sentence = format!("cannot listen on unix:{}: another process listens", file.display());
    assert!(status == 1 && message.contains(&sentence), "{message}");
    assert_eq!(ask(&mut connect(&file), ""), "200", "the first one serves on");
    // Someone else's file now, so it stays.
    fs::remove_file(&file).unwrap();
    let _other = UnixListener::bind(&file).unwrap();
    running.end(SIGTERM);
    assert!(fs::metadata(&file).unwrap().file_type().is_socket());
    fs::remove_file(&file).unwrap();
    fs::write(&file, "text").unwrap();
    let (status, message) = failed(&mut command(&file, &[]));
    assert!(status == 1 && message.contains("a file that is not a socket"), "{message}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    fs::remove_file(file).unwrap();
}

/// Ends the server and returns the lines of its log.
fn lines(running: Running, log: &Path) -> Vec<Value> {
    running.end(SIGTERM);
    let text = fs::read_to_string(log).unwrap();
    fs::remove_file(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_proxy_at_a_unix_socket_is_trusted_only_by_its_word() {
    let (file, log) = (path("unix-trust"), path("unix-trust.log"));
    let named = "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Request-Id: mine\r\n";
    for (trust, client) in [("0.0.0.0/0,::/0", Value::Null), ("unix", "192.0.2.1".into())] {
        let running = start(&file, &["--access-log", log.to_str().unwrap(), "--trust", trust]);
        let mut stream = connect(&file);
        for headers in [named, "", "X-Forwarded-For: unknown\r\n"] {
            assert_eq!(ask(&mut stream, headers), "200");
        }
        let lines = lines(running, &log);
        assert_eq!(lines[0]["client"], client, "{trust}");
        assert_eq!(lines[0]["request_id"] == "mine", trust == "unix");
        for line in &lines[1..] {
            assert_eq!(line["client"], Value::Null, "{line}");
        }
        assert!(lines.iter().all(|line| line.get("peer").is_none()));
    }
}

#[test]
fn the_combined_log_has_a_dash_for_a_client_without_an_address() {
    let (file, log) = (path("unix-combined"), path("unix-combined.log"));
    let log_path = log.to_str().unwrap();
    let more = ["--access-log", log_path, "--access-log-format", "combined"];
    let running = start(&file, &more);
    assert_eq!(ask(&mut connect(&file), ""), "200");
    running.end(SIGTERM);
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.starts_with("- - - ["), "{text}");
    fs::remove_file(log).unwrap();
}

#[test]
fn the_proxy_protocol_names_the_client_at_a_unix_socket() {
    let (file, log) = (path("unix-proxy"), path("unix-proxy.log"));
    let more = ["--proxy-protocol", "--trust", "unix", "--access-log", log.to_str().unwrap()];
    let running = start(&file, &more);
    for header in [&b"PROXY TCP4 192.0.2.1 127.0.0.1 5 80\r\n"[..], b"PROXY UNKNOWN\r\n"] {
        let mut stream = connect(&file);
        stream.write_all(header).unwrap();
        assert_eq!(ask(&mut stream, "X-Forwarded-For: 192.0.2.9\r\n"), "200");
    }
    let without = talk_on(&mut connect(&file), GET);
    assert!(without.starts_with("HTTP/1.1 400 "), "{without}");
    let mut clients: Vec<String> =
        lines(running, &log).iter().map(|line| line["client"].to_string()).collect();
    // Two threads write to the log.
    clients.sort();
    assert_eq!(clients, ["\"192.0.2.1\"", "\"192.0.2.9\"", "null"]);
}

#[test]
fn limits_of_a_client_hold_only_for_clients_with_an_address() {
    let file = path("unix-limits");
    let limits = ["--max-connections-per-client", "1", "--rate-limit", "1/m"];
    let running = start(&file, &[&limits[..], &["--rate-limit-burst", "2"]].concat());
    let mut streams: Vec<UnixStream> = (0..5).map(|_| connect(&file)).collect();
    for stream in &mut streams {
        assert_eq!(ask(stream, ""), "200");
    }
    running.end(SIGTERM);
    let running =
        start(&file, &["--rate-limit", "1/m", "--rate-limit-burst", "2", "--trust", "unix"]);
    let mut stream = connect(&file);
    let mut of = |client: &str| ask(&mut stream, &format!("X-Forwarded-For: {client}\r\n"));
    let abuser = [of("192.0.2.66"), of("192.0.2.66"), of("192.0.2.66")];
    assert_eq!(abuser, ["200", "200", "429"]);
    assert_eq!(of("192.0.2.1"), "200");
    drop(stream);
    running.end(SIGTERM);
}

/// Asks on new connections until the socket is gone. Each connection that is made must be served.
fn ask_until_the_end(file: &Path, responses: &AtomicUsize) {
    loop {
        let mut stream = match UnixStream::connect(file) {
            Ok(stream) => stream,
            Err(error) => {
                let is_gone = [ErrorKind::NotFound, ErrorKind::ConnectionRefused];
                return assert!(is_gone.contains(&error.kind()), "{error}");
            }
        };
        stream.write_all(CLOSE).expect("the request is taken");
        let (head, _) = try_read_response(&mut stream).expect("no request fails");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        responses.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_stop_serves_each_connection_in_the_queue() {
    let file = path("unix-stop");
    let mut running = start(&file, &["--max-connections", "1", "--when-full", "wait"]);
    let mut held = connect(&file);
    held.write_all(&[GET, &GET[..9]].concat()).unwrap();
    read_response(&mut held);
    let mut queued: Vec<UnixStream> = (0..20).map(|_| connect(&file)).collect();
    queued.iter_mut().for_each(|stream| stream.write_all(GET).unwrap());
    running.signal(SIGTERM);
    for stream in &mut queued {
        assert!(read_response(stream).0.contains("connection: close"));
    }
    held.write_all(&GET[9..]).unwrap();
    assert!(read_response(&mut held).0.contains("connection: close"));
    assert_eq!(running.wait_patiently().code(), Some(0));
    assert!(!file.exists());
}

#[test]
fn a_stop_in_a_burst_serves_each_connection_that_was_made() {
    let file = path("unix-burst");
    let running = start(&file, &[]);
    let responses = AtomicUsize::new(0);
    thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| ask_until_the_end(&file, &responses))));
        wait_until("there are responses", || responses.load(Ordering::Relaxed) > 100);
        running.end(SIGTERM);
    });
    assert!(!file.exists());
}

#[test]
fn a_takeover_hands_the_socket_and_its_file_over() {
    let (file, takeover) = (path("unix-next"), path("unix-next.takeover"));
    let more = ["--takeover", takeover.to_str().unwrap()];
    let mut old = start(&file, &more);
    let inode = |file: &Path| fs::metadata(file).unwrap().ino();
    let before = inode(&file);
    let responses = AtomicUsize::new(0);
    thread::scope(|scope| {
        (0..3).for_each(|_| drop(scope.spawn(|| ask_until_the_end(&file, &responses))));
        for _ in 0..3 {
            let so_far = responses.load(Ordering::Relaxed);
            let new = start(&file, &more);
            wait_until("the old one ends", || responses.load(Ordering::Relaxed) > so_far + 50);
            assert_eq!(old.wait_patiently().code(), Some(0));
            assert_eq!(inode(&file), before, "the file stays");
            old = new;
        }
        let failing = [&more[..], &["--admin-addr", "192.0.2.1:1"]].concat();
        assert_eq!(failed(&mut command(&file, &failing)).0, 1);
        assert_eq!(ask(&mut connect(&file), ""), "200", "the failed one has left the file");
        old.end(SIGTERM);
    });
    assert!(!file.exists(), "the last process removes the file");
}

#[test]
fn options_that_a_unix_socket_does_not_have_are_refused() {
    let file = path("unix-refused");
    let addr = format!("unix:{}", file.display());
    let long = format!("unix:/{}", "a".repeat(110));
    for (arguments, sentence) in [
        (
            &["--addr", &addr, "--defer-accept"][..],
            "defer-accept is for TCP; the server listens on",
        ),
        (&["--addr", &addr, "--steer", "cpu", "--pin"], "steer is for TCP; the server listens on"),
        (&["--addr", &addr, "--defer-accept", "--check-config"], "defer-accept is for TCP"),
        (&["--addr", "unix:@name"], "abstract sockets have neither owner nor mode"),
        (&["--addr", "unix:"], "allowed is a path behind unix:"),
        (&["--addr", &long], "at most 107 bytes"),
        (&["--admin-addr", "/run/a"], "the path of a Unix socket, such as unix:/run/pinloop.sock"),
        (
            &["--unix-mode", "600"],
            "'--unix-mode' needs a Unix socket at '--addr' or '--admin-addr'",
        ),
        (&["--addr", &addr, "--unix-mode", "rw"], "allowed is an octal mode from 0 to 777"),
        (&["--addr", &addr, "--unix-user", "no-such"], "there is no user of this name"),
        (&["--trust", "unix:/run/a"], "and unix for Unix sockets"),
    ] {
        let message = refused(arguments);
        assert!(message.contains(sentence), "{arguments:?}: {message}");
    }
    assert!(!file.exists());
    let (status, message) = failed(&mut command(&PathBuf::from("/no/such/folder/a"), &[]));
    let sentence = "cannot listen on unix:/no/such/folder/a: the folder /no/such/folder: ";
    assert!(status == 1 && message.contains(sentence), "{message}");
}
