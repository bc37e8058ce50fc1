//! Runs each program in `examples/` and checks a response of it.

use std::io::Write;

use signal_hook::consts::SIGINT;

use crate::support::process::Running;
use crate::support::response::{dechunk, header, read_head, read_some, split_head};
use crate::support::{GET, read_response, read_to_end, talk_on};

/// Sends one request that closes the connection. Returns the head and the decoded body.
fn request(running: &Running, line: &str, headers: &str, body: &str) -> (String, String) {
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    let output = talk_on(&mut running.connect(), (head + body).as_bytes());
    let (head, body) = split_head(output.as_bytes());
    let head = String::from_utf8_lossy(head).into_owned();
    let body = match header(&head, "transfer-encoding") {
        Some(_) => dechunk(body),
        None => body.to_vec(),
    };
    (head, String::from_utf8(body).expect("a body in UTF-8"))
}

fn get(running: &Running, path: &str) -> (String, String) {
    request(running, &format!("GET {path}"), "", "")
}

fn assert_status(head: &str, status: u16) {
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
}

#[test]
fn hello_answers() {
    let running = Running::start_example("hello");
    let (head, body) = get(&running, "/");
    assert_status(&head, 200);
    assert!(!body.is_empty());
}

#[test]
fn json_api_reads_path_query_and_body() {
    let running = Running::start_example("json_api");
    let json = |body: &str| -> serde_json::Value {
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
    };
    let (head, verbose) = get(&running, "/users/7?verbose=true");
    assert_status(&head, 200);
    assert_eq!(header(&head, "content-type"), Some("application/json"), "{head}");
    assert_eq!(json(&verbose)["id"], 7);
    let (head, short) = get(&running, "/users/7");
    assert_status(&head, 200);
    assert_ne!(json(&short), json(&verbose), "the query changes the response");

    let content_type = "Content-Type: application/json\r\n";
    let (head, created) = request(&running, "POST /users", content_type, "{\"name\": \"Ada\"}");
    assert_status(&head, 201);
    assert_eq!(json(&created)["name"], "Ada");
    let (head, _) = request(&running, "POST /users", content_type, "{\"name\": ");
    assert_status(&head, 400);
}

#[test]
fn streaming_sends_events() {
    let running = Running::start_example("streaming");
    let mut stream = running.connect();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let head = read_head(&mut stream);
    assert_status(&head, 200);
    let content_type = header(&head, "content-type").expect("a content-type");
    assert!(content_type.starts_with("text/event-stream"), "{head}");
    // The response has no end, so the events are counted as they arrive.
    let mut events = Vec::new();
    while String::from_utf8_lossy(&events).matches("\n\n").count() < 2 {
        let mut piece = [0; 1024];
        let bytes = read_some(&mut stream, &mut piece).expect("two events");
        assert!(bytes > 0, "the stream ended after {:?}", String::from_utf8_lossy(&events));
        events.extend_from_slice(&piece[..bytes]);
    }
    assert!(String::from_utf8_lossy(&events).matches("data:").count() >= 2);
}

#[test]
fn upload_counts_the_bytes_of_a_streamed_body() {
    const BYTES: usize = 5_000_000;
    let running = Running::start_example("upload");
    let (head, body) = request(&running, "POST /upload", "", &"x".repeat(BYTES));
    assert_status(&head, 200);
    assert!(body.contains(&BYTES.to_string()), "{body}");
    let mut stream = running.connect();
    stream
        .write_all(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
              Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n6\r\nefghij\r\n0\r\n\r\n",
        )
        .unwrap();
    let output = read_to_end(&mut stream);
    assert_status(&output, 200);
    assert!(output.contains("10"), "{output}");
}

#[test]
fn deferred_answers_from_another_thread() {
    let running = Running::start_example("deferred");
    let (head, body) = get(&running, "/");
    assert_status(&head, 200);
    assert!(!body.is_empty());
}

#[test]
fn shared_state_counts_over_all_connections() {
    let running = Running::start_example("shared_state");
    let count = || -> u64 {
        let (head, body) = get(&running, "/");
        assert_status(&head, 200);
        let digits = body.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty());
        digits.unwrap_or_else(|| panic!("no number in {body}")).parse().expect("a number")
    };
    let counts: Vec<u64> = (0..10).map(|_| count()).collect();
    assert!(counts.is_sorted_by(|earlier, later| earlier < later), "{counts:?}");
}

#[test]
fn graceful_shutdown_finishes_a_request_and_exits_with_0() {
    let mut running = Running::start_example("graceful_shutdown");
    let mut idle = running.connect();
    idle.write_all(GET).unwrap();
    assert_status(&read_response(&mut idle).0, 200);
    let mut begun = running.connect();
    begun.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n").unwrap();
    read_response(&mut begun);
    running.signal(SIGINT);
    // The server closes idle connections when it begins to drain.
    assert_eq!(read_to_end(&mut idle), "");
    begun.write_all(b"Host: a\r\n\r\n").unwrap();
    assert_status(&read_to_end(&mut begun), 200);
    assert_eq!(running.wait().code(), Some(0));
}
