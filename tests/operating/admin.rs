//! `--admin-addr`: pages that answer whatever happens at the other address.

use std::fs;
use std::io::Write;
use std::process::Command;

use signal_hook::consts::SIGTERM;

use super::{ADMIN, get, path, refused};
use crate::support::process::{BINARY, Running};
use crate::support::{GET, connect_to, read_response, wait_until};

#[test]
fn the_metrics_are_public_only_if_that_was_asked_for() {
    for (more, status) in [(&[][..], "HTTP/1.1 404 "), (&["--metrics"], "HTTP/1.1 200 ")] {
        let running = Running::start_unpinned(&[&ADMIN, more].concat());
        assert!(get(running.addr(), "/metrics").starts_with(status), "{more:?}");
        let page = get(running.admin_addr(), "/metrics");
        assert!(page.contains("pinloop_requests_total"), "{page}");
        for path in ["/healthz", "/readyz"] {
            assert!(get(running.addr(), path).starts_with("HTTP/1.1 200 "));
            assert!(get(running.admin_addr(), path).starts_with("HTTP/1.1 200 "));
        }
        assert!(get(running.admin_addr(), "/data").starts_with("HTTP/1.1 404 "));
        running.end(SIGTERM);
    }
}

#[test]
fn each_scrape_is_answered_while_the_public_side_is_full_and_limited() {
    let limits = ["--max-connections", "1", "--rate-limit-total", "1/m", "--when-full", "wait"];
    let running = Running::start_unpinned(&[&ADMIN[..], &limits].concat());
    let mut held = running.connect();
    held.write_all(&[GET, &GET[..9]].concat()).unwrap();
    read_response(&mut held);
    // Stays in the queue of the listener.
    let _waiting = running.connect();
    for _ in 0..50 {
        for path in ["/metrics", "/readyz", "/healthz"] {
            let page = get(running.admin_addr(), path);
            assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        }
    }
}

#[test]
fn scrapes_find_a_descriptor_when_the_public_side_has_used_up_its_own() {
    let one_thread = ["--threads", "1", "--no-pin"];
    let running = Running::start_within(200, &[&one_thread[..], &ADMIN].concat());
    let clients: Vec<_> = (0..200).map(|_| running.connect()).collect();
    wait_until("connections are shed", || {
        let page = get(running.admin_addr(), "/metrics");
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        let shed = "pinloop_connections_shed_total";
        let is_shed = |line: &str| line.starts_with(shed) && !line.ends_with(" 0");
        page.lines().any(is_shed)
    });
    drop(clients);
}

#[test]
fn scrapes_are_not_logged() {
    let log = path("scrapes");
    let arguments = ["--access-log", log.to_str().unwrap()];
    let running = Running::start_unpinned(&[&ADMIN[..], &arguments].concat());
    get(running.admin_addr(), "/metrics");
    get(running.admin_addr(), "/nope");
    get(running.addr(), "/data");
    running.end(SIGTERM);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("/data"), "{text}");
    fs::remove_file(log).unwrap();
}

#[test]
fn an_address_for_operators_that_cannot_be_used_is_named() {
    let message = refused(&["--admin-addr", "9090"]);
    assert!(message.contains("allowed is an IP address and a port"), "{message}");
    let running = Running::start_unpinned(&ADMIN);
    let taken = running.admin_addr().to_string();
    let arguments = ["--addr", "127.0.0.1:0", "--admin-addr", &taken];
    let failed = Command::new(BINARY).args(arguments).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let message = String::from_utf8_lossy(&failed.stderr);
    assert!(message.contains(&format!("cannot listen on {taken}")), "{message}");
}

#[test]
fn readyz_is_503_at_the_address_for_operators_while_the_server_drains() {
    let running = Running::start_unpinned(&[&ADMIN[..], &["--drain-timeout", "3600"]].concat());
    let mut unfinished = running.connect();
    unfinished.write_all(&[GET, &GET[..9]].concat()).unwrap();
    read_response(&mut unfinished);
    let mut scraper = connect_to(running.admin_addr());
    let request = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
    scraper.write_all(request).unwrap();
    assert!(read_response(&mut scraper).0.starts_with("HTTP/1.1 200 "));
    running.signal(SIGTERM);
    wait_until("the page says so", || {
        scraper.write_all(request).unwrap();
        read_response(&mut scraper).0.starts_with("HTTP/1.1 503 ")
    });
    assert!(get(running.admin_addr(), "/healthz").starts_with("HTTP/1.1 200 "));
}
