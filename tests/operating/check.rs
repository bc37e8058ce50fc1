//! `--check` with servers that answer in odd ways.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::process::BINARY;

/// Checks a server that sends these parts of a response. Returns the exit status and the message.
fn check(parts: &'static [&'static str], pause: Duration) -> (i32, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Otherwise the end of the connection is a reset.
        let _ = stream.read(&mut [0; 1024]);
        for part in parts {
            thread::sleep(pause);
            // The client may have given up.
            let _ = stream.write_all(part.as_bytes());
        }
    });
    let output = Command::new(BINARY).args(["--check", &url]).output().unwrap();
    server.join().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().expect("an exit status"), message)
}

#[test]
fn only_a_status_of_three_digits_counts() {
    let now = |parts| check(parts, Duration::ZERO);
    for parts in [
        &["HTTP/1.1 200 OK\r\n\r\n"][..],
        &["HTTP/1.1 204\r\n\r\n"],
        &["HTTP", "/1.1 2", "00 O", "K\r\n\r\n"],
    ] {
        assert_eq!(now(parts), (0, String::new()), "{parts:?}");
    }
    for (parts, sentence) in [
        (&["HTTP/1.1 302 Found\r\n\r\n"][..], "answers 302"),
        (&["HTTP/1.1 2000 OK\r\n\r\n"], "the response is not HTTP/1.1"),
        (&["HTTP/1.1 +20 OK\r\n\r\n"], "the response is not HTTP/1.1"),
        (&["HTTP/1.1 20"], "the connection has ended without a response"),
        (&[], "the connection has ended without a response"),
    ] {
        let (status, message) = now(parts);
        assert!(status == 1 && message.contains(sentence), "{parts:?}: {message}");
    }
}

/// Each byte had three seconds, so that a health check could take half a minute.
#[test]
fn a_response_byte_by_byte_is_too_late() {
    let parts = &["H", "T", "T", "P", "/", "1", ".", "1", " ", "2", "0", "0", " OK\r\n\r\n"];
    let (status, message) = check(parts, Duration::from_millis(500));
    assert!(status == 1 && message.contains("nothing within 3s"), "{message}");
}
