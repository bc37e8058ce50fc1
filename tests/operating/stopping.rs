//! The steps of a stop: lame duck, one more request, the end. And the signals.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use signal_hook::consts::{SIGQUIT, SIGTERM, SIGUSR1};

use super::{ADMIN, get, path, refused};
use crate::support::process::Running;
use crate::support::{GET, read_response, read_to_end, wait_until};

fn waits_for(running: &Running, status: &str) {
    wait_until("/readyz changes", || {
        get(running.admin_addr(), "/readyz").starts_with(&format!("HTTP/1.1 {status} "))
    });
}

#[test]
fn a_lame_duck_says_503_and_serves_on() {
    let delay = ["--drain-delay", "3600"];
    let mut running = Running::start_unpinned(&[&ADMIN[..], &delay].concat());
    let mut old = running.connect();
    old.write_all(GET).unwrap();
    read_response(&mut old);
    running.signal(SIGTERM);
    waits_for(&running, "503");
    let mut new = running.connect();
    for stream in [&mut old, &mut new] {
        for _ in 0..2 {
            stream.write_all(GET).unwrap();
            let (head, _) = read_response(stream);
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert!(!head.contains("connection: close"), "{head}");
        }
    }
    assert!(get(running.addr(), "/readyz").starts_with("HTTP/1.1 503 "));
    running.signal(SIGTERM);
    assert_eq!(running.wait_patiently().code(), Some(1), "a second signal ends the wait");
}

#[test]
fn idle_connections_have_the_drain_grace_for_one_more_request() {
    let grace = ["--drain-delay", "0.2", "--drain-grace", "3600"];
    let mut running = Running::start_unpinned(&grace);
    let mut idle: Vec<TcpStream> = (0..5).map(|_| running.connect()).collect();
    for stream in &mut idle {
        stream.write_all(GET).unwrap();
        read_response(stream);
    }
    running.signal(SIGTERM);
    wait_until("the server stops listening", || TcpStream::connect(running.addr()).is_err());
    for stream in &mut idle {
        stream.write_all(GET).unwrap();
        let output = read_to_end(stream);
        assert!(output.starts_with("HTTP/1.1 200 OK\r\n"), "{output}");
        assert!(output.contains("connection: close\r\n"), "{output}");
    }
    assert_eq!(running.wait_patiently().code(), Some(0), "no connection is left");
}

#[test]
fn idle_connections_are_closed_once_the_drain_grace_has_passed() {
    // The drain timeout would close them too.
    let times = ["--drain-grace", "0.3", "--drain-timeout", "3600"];
    let mut running = Running::start_unpinned(&times);
    let mut idle = running.connect();
    idle.write_all(GET).unwrap();
    read_response(&mut idle);
    running.signal(SIGTERM);
    assert_eq!(read_to_end(&mut idle), "");
    assert_eq!(running.wait_patiently().code(), Some(0));
}

#[test]
fn sigquit_drains_as_in_nginx() {
    let running = Running::start_unpinned(&[]);
    let mut idle = running.connect();
    idle.write_all(GET).unwrap();
    read_response(&mut idle);
    running.end(SIGQUIT);
    assert_eq!(read_to_end(&mut idle), "");
}

#[test]
fn sigusr1_reopens_the_access_log_as_in_nginx() {
    let log = path("usr1");
    let running = Running::start_unpinned(&["--access-log", log.to_str().unwrap()]);
    fs::remove_file(&log).unwrap();
    running.signal(SIGUSR1);
    wait_until("the log is there again", || log.exists());
    running.end(SIGTERM);
    fs::remove_file(log).unwrap();
}

#[test]
fn wrong_times_are_refused() {
    for (option, value) in
        [("--drain-delay", "-1"), ("--drain-delay", "86401"), ("--drain-grace", "soon")]
    {
        let message = refused(&[option, value]);
        assert!(message.contains("allowed is 0 to 86400 seconds"), "{message}");
    }
}
