//! `--trust`, `--client-header` and `--proxy-protocol`: which client the server sees.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;
use signal_hook::consts::SIGTERM;

use super::{path, refused};
use crate::support::process::Running;
use crate::support::{read_response, talk_on};

/// The header of version 2 for a connection from 192.0.2.7.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\0\x05\0\x50";

/// Starts a server with an access log.
fn start(log: &Path, more: &[&str]) -> Running {
    Running::start_unpinned(&[&["--access-log", log.to_str().unwrap()], more].concat())
}

/// Ends the server and returns the lines of its log.
fn lines(running: Running, log: &Path) -> Vec<Value> {
    running.end(SIGTERM);
    let text = fs::read_to_string(log).unwrap();
    fs::remove_file(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Sends a request with `headers`, each with its line end. Returns the status.
fn ask(stream: &mut TcpStream, headers: &str) -> String {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes()).unwrap();
    let (head, _) = read_response(stream);
    head.split(' ').nth(1).expect("a status").to_string()
}

#[test]
fn the_log_has_the_client_that_a_trusted_proxy_names_and_the_proxy() {
    let log = path("trusted");
    let running = start(&log, &["--trust", "127.0.0.0/8,10.0.0.0/8"]);
    let mut stream = running.connect();
    for headers in [
        "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.9\r\n",
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 2001:db8::1\r\n",
        "X-Forwarded-For: 6.6.6.6, unknown\r\n",
        "Forwarded: for=6.6.6.6\r\n",
        "",
    ] {
        assert_eq!(ask(&mut stream, headers), "200");
    }
    let lines = lines(running, &log);
    let clients: Vec<&str> = lines.iter().map(|line| line["client"].as_str().unwrap()).collect();
    assert_eq!(clients, ["192.0.2.1", "2001:db8::1", "127.0.0.1", "127.0.0.1", "127.0.0.1"]);
    assert_eq!(lines[0]["peer"], "127.0.0.1");
    assert!(lines[4].get("peer").is_none(), "{}", lines[4]);
}

#[test]
fn the_forwarded_header_is_read_if_it_was_chosen() {
    let log = path("forwarded");
    let running = start(&log, &["--trust", "127.0.0.1", "--client-header", "forwarded"]);
    let headers = "Forwarded: for=6.6.6.6, for=\"[2001:db8::7]:1\";proto=https\r\n\
                   X-Forwarded-For: 6.6.6.6\r\n";
    assert_eq!(ask(&mut running.connect(), headers), "200");
    assert_eq!(lines(running, &log)[0]["client"], "2001:db8::7");
}

/// The string that the client had left open swallowed the proxy's element, so that the client named
/// itself. An IPv4 address in IPv6 trusted nobody, and the client's request id came first.
#[test]
fn what_a_proxy_appends_counts_and_not_what_its_client_has_sent() {
    let log = path("appended");
    let trust = ["--trust", "::ffff:127.0.0.1", "--client-header", "forwarded"];
    let running = start(&log, &trust);
    let headers = "Forwarded: for=6.6.6.6;x=\", for=192.0.2.1\r\n\
                   X-Request-Id: mine\r\nX-Request-Id: of-the-proxy\r\n";
    assert_eq!(ask(&mut running.connect(), headers), "200");
    let lines = lines(running, &log);
    assert_eq!(lines[0]["client"], "192.0.2.1");
    assert_eq!(lines[0]["request_id"], "of-the-proxy");
}

#[test]
fn headers_of_others_are_ignored() {
    let log = path("untrusted");
    let running = start(&log, &["--trust", "192.0.2.0/24"]);
    let headers = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: mine\r\n";
    assert_eq!(ask(&mut running.connect(), headers), "200");
    let lines = lines(running, &log);
    assert_eq!(lines[0]["client"], "127.0.0.1");
    assert_ne!(lines[0]["request_id"], "mine");
}

#[test]
fn one_abuser_behind_a_proxy_does_not_limit_a_polite_client() {
    let limits = ["--rate-limit", "1/m", "--rate-limit-burst", "30", "--trust", "127.0.0.1"];
    let running = Running::start_unpinned(&limits);
    let mut proxy = running.connect();
    let abuser: Vec<String> =
        (0..60).map(|_| ask(&mut proxy, "X-Forwarded-For: 192.0.2.66\r\n")).collect();
    assert_eq!(abuser.iter().filter(|status| *status == "429").count(), 30);
    for _ in 0..30 {
        assert_eq!(ask(&mut proxy, "X-Forwarded-For: 192.0.2.1\r\n"), "200");
    }
    // An address that the client itself puts in front changes nothing.
    assert_eq!(ask(&mut proxy, "X-Forwarded-For: 192.0.2.2, 192.0.2.66\r\n"), "429");
}

#[test]
fn a_trusted_proxy_may_have_more_connections_than_a_client() {
    let arguments = ["--max-connections-per-client", "1", "--trust", "127.0.0.1"];
    let running = Running::start_unpinned(&arguments);
    let mut streams: Vec<TcpStream> = (0..5).map(|_| running.connect()).collect();
    for stream in &mut streams {
        assert_eq!(ask(stream, ""), "200");
    }
}

#[test]
fn the_proxy_protocol_names_the_client_in_both_versions() {
    let log = path("proxy-protocol");
    let running = start(&log, &["--trust", "127.0.0.1", "--proxy-protocol"]);
    let v1 = b"PROXY TCP4 192.0.2.1 127.0.0.1 5 80\r\n";
    for header in [&v1[..], V2, b"PROXY UNKNOWN\r\n"] {
        let mut stream = running.connect();
        // Byte by byte, and then with the request behind it.
        for byte in &header[..header.len() - 1] {
            stream.write_all(&[*byte]).unwrap();
        }
        stream.write_all(&header[header.len() - 1..]).unwrap();
        // The source is not a trusted proxy, so its headers are ignored.
        assert_eq!(ask(&mut stream, "X-Forwarded-For: 6.6.6.6\r\n"), "200");
        assert_eq!(ask(&mut stream, ""), "200");
    }
    let mut whole = running.connect();
    let close = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let output = talk_on(&mut whole, &[&v1[..], close, close].concat());
    assert_eq!(output.matches("HTTP/1.1 200 ").count(), 1, "{output}");
    let clients: Vec<String> = lines(running, &log)
        .iter()
        .map(|line| line["client"].as_str().unwrap().to_string())
        .collect();
    // A header without an address leaves the proxy, which is trusted to name a client.
    let expected = ["192.0.2.1", "192.0.2.1", "192.0.2.7", "192.0.2.7", "6.6.6.6", "127.0.0.1"];
    assert_eq!(clients, [&expected[..], &["192.0.2.1"]].concat());
}

#[test]
fn a_trusted_proxy_without_a_valid_proxy_header_gets_400() {
    let log = path("no-header");
    let running = start(&log, &["--trust", "127.0.0.1", "--proxy-protocol"]);
    for wrong in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"PROXY TCP4 192.0.2.1 127.0.0.1 5 99999\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
    ] {
        let output = talk_on(&mut running.connect(), wrong);
        assert!(output.starts_with("HTTP/1.1 400 "), "{output}");
        assert!(output.contains("valid header of the PROXY protocol"), "{output}");
    }
    // A second header on the same connection is not a request.
    let twice = b"PROXY UNKNOWN\r\nPROXY TCP4 192.0.2.1 127.0.0.1 5 80\r\n\r\n";
    let output = talk_on(&mut running.connect(), twice);
    assert!(output.starts_with("HTTP/1.1 400 "), "{output}");
    let lines = lines(running, &log);
    assert_eq!(lines[0]["rejection"], "proxy_header");
    assert_eq!(lines[4]["rejection"], "request_line");
}

#[test]
fn a_proxy_header_of_another_client_gets_400() {
    for more in [&[][..], &["--trust", "192.0.2.0/24", "--proxy-protocol"]] {
        let running = Running::start_unpinned(more);
        for header in [&b"PROXY TCP4 192.0.2.1 127.0.0.1 5 80\r\n"[..], V2] {
            let request = [header, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            let output = talk_on(&mut running.connect(), &request);
            assert!(output.starts_with("HTTP/1.1 400 "), "{more:?}: {output}");
        }
    }
}

#[test]
fn wrong_networks_are_refused() {
    for (arguments, sentence) in [
        (&["--trust", "10.0.0.0/33"][..], "allowed is a list of networks such as 10.0.0.0/8"),
        (&["--trust", "10.0.0.1/8"], "10.0.0.1/8 has bits behind its prefix; 10.0.0.0/8 has none"),
        (&["--proxy-protocol"], "'--proxy-protocol' needs '--trust <CIDR,...>'"),
        (&["--client-header", "forwarded"], "needs '--trust <CIDR,...>'"),
        (
            &["--trust", "::1", "--client-header", "x"],
            "[possible values: x-forwarded-for, forwarded]",
        ),
    ] {
        let message = refused(arguments);
        assert!(message.contains(sentence), "{arguments:?}: {message}");
    }
}
