//! Responses of one wake-up are sent together, within bounds.
//!
//! A service that waits for the test shows what has been sent so far.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use pinloop::{Config, Request, Response, Server};
use socket2::SockRef;

use crate::support::{GET, PATIENCE, connect, read_response, read_to_end, serve, stop};

const WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";
const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const PANIC: &[u8] = b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n";

/// A server whose loop waits at each request for `/wait` until the test goes on.
struct Stepped {
    server: Server,
    begun: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
    clients: Vec<TcpStream>,
    /// Holds the loop while the requests of the next wake-up arrive.
    gate: TcpStream,
}

impl Stepped {
    /// Starts a server with a body of `body_bytes` for each response, and connects `clients`.
    fn start(clients: usize, body_bytes: usize, config: Config) -> Stepped {
        let (begin, begun) = mpsc::channel();
        let (go_on, going_on) = mpsc::channel();
        let going_on = Arc::new(Mutex::new(going_on));
        let server = serve(config, move |_| {
            let (begin, going_on) = (begin.clone(), going_on.clone());
            let body = vec![b'x'; body_bytes];
            move |request: &Request<'_>, response: &mut Response<'_>| {
                match &*request.path() {
                    "/wait" => {
                        begin.send(()).unwrap();
                        going_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
                    }
                    "/panic" => std::panic::resume_unwind(Box::new("asked for")),
                    _ => {}
                }
                response.body(&body);
            }
        });
        let connected = || {
            let mut client = connect(&server);
            client.write_all(GET).unwrap();
            read_response(&mut client);
            client
        };
        let clients = (0..clients).map(|_| connected()).collect();
        let gate = connected();
        Stepped { server, begun, go_on, clients, gate }
    }

    /// Has the `requests` arrive for one wake-up, one of each client in order, and waits until
    /// the loop stands at the first `/wait` among them.
    fn arrive(&mut self, requests: &[&[u8]]) {
        self.gate.write_all(WAIT).unwrap();
        self.begun.recv_timeout(PATIENCE).unwrap();
        for (client, request) in self.clients.iter_mut().zip(requests) {
            client.write_all(request).unwrap();
        }
        self.go_on();
        read_response(&mut self.gate);
        self.begun.recv_timeout(PATIENCE).unwrap();
    }

    fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }

    /// Returns which clients have got bytes by now: a write on loopback is there at once.
    fn answered(&self) -> Vec<bool> {
        self.clients.iter().map(has_input).collect()
    }

    fn read_all(&mut self, clients: usize) {
        for client in &mut self.clients[..clients] {
            assert!(read_response(client).0.starts_with("HTTP/1.1 200"));
        }
    }
}

fn has_input(client: &TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let peeked = client.peek(&mut [0]);
    client.set_nonblocking(false).unwrap();
    peeked.is_ok_and(|bytes| bytes > 0)
}

fn of_batches(send_batch_max: usize) -> Config {
    Config { send_batch_max, ..Config::default() }
}

/// Returns which clients have their responses of `body_bytes` when the last one is computed.
fn answered_by_then<const N: usize>(
    send_batch_max: usize,
    body_bytes: usize,
    requests: [&[u8]; N],
) -> [bool; N] {
    let mut stepped = Stepped::start(N, body_bytes, of_batches(send_batch_max));
    stepped.arrive(&requests);
    let answered = stepped.answered();
    stepped.go_on();
    stepped.read_all(N);
    stop(stepped.server);
    answered.try_into().unwrap()
}

#[test]
fn responses_of_a_wakeup_wait_for_each_other() {
    assert_eq!(answered_by_then(8, 100, [GET, GET, GET, WAIT]), [false; 4]);
}

#[test]
fn a_batch_of_one_connection_sends_each_response_at_once() {
    assert_eq!(answered_by_then(1, 100, [GET, GET, GET, WAIT]), [true, true, true, false]);
}

#[test]
fn a_batch_has_at_most_the_connections_that_the_setting_says() {
    assert_eq!(answered_by_then(2, 100, [GET, GET, WAIT]), [true, true, false]);
}

#[test]
fn a_batch_ends_with_sixteen_kilobytes() {
    assert_eq!(answered_by_then(8, 9000, [GET, GET, WAIT]), [true, true, false]);
}

#[test]
fn after_a_request_that_took_long_responses_are_sent_at_once() {
    let mut stepped = Stepped::start(3, 100, of_batches(8));
    stepped.arrive(&[GET, GET, WAIT]);
    assert_eq!(stepped.answered(), [false; 3]);
    std::thread::sleep(Duration::from_millis(1));
    stepped.go_on();
    stepped.read_all(3);
    stepped.arrive(&[GET, GET, WAIT]);
    assert!(stepped.answered()[0]);
    stepped.go_on();
    stepped.read_all(3);
    stop(stepped.server);
}

#[test]
fn a_last_response_takes_the_waiting_ones_along() {
    let mut stepped = Stepped::start(4, 100, of_batches(8));
    stepped.arrive(&[GET, GET, CLOSE, WAIT]);
    assert_eq!(stepped.answered(), [true, true, true, false]);
    stepped.go_on();
    assert!(read_to_end(&mut stepped.clients[2]).starts_with("HTTP/1.1 200"));
    stepped.read_all(2);
    read_response(&mut stepped.clients[3]);
    stop(stepped.server);
}

#[test]
fn a_client_that_is_gone_leaves_the_rest_of_the_batch_alone() {
    let mut stepped = Stepped::start(4, 100, of_batches(8));
    SockRef::from(&stepped.clients[1]).set_linger(Some(Duration::ZERO)).unwrap();
    stepped.arrive(&[GET, GET, GET, WAIT]);
    // Its response waits in the batch, and the write fails.
    drop(stepped.clients.remove(1));
    stepped.go_on();
    stepped.read_all(3);
    stop(stepped.server);
}

#[test]
fn a_panic_leaves_the_rest_of_the_batch_alone() {
    let mut stepped = Stepped::start(4, 100, of_batches(8));
    stepped.arrive(&[GET, PANIC, GET, WAIT]);
    stepped.go_on();
    assert!(read_response(&mut stepped.clients.remove(1)).0.starts_with("HTTP/1.1 500"));
    stepped.read_all(3);
    stop(stepped.server);
}

#[test]
fn pipelined_responses_of_a_batch_come_whole_and_in_order() {
    let mut stepped = Stepped::start(4, 10, of_batches(8));
    let (several, many) = (GET.repeat(16), GET.repeat(300));
    stepped.arrive(&[&several, &many, &several, WAIT]);
    stepped.go_on();
    for (client, count) in stepped.clients.iter_mut().zip([16, 300, 16, 1]) {
        for _ in 0..count {
            assert_eq!(read_response(client).1, b"xxxxxxxxxx");
        }
    }
    stop(stepped.server);
}

#[test]
fn a_client_that_shuts_its_side_down_gets_its_response() {
    let mut stepped = Stepped::start(3, 100, of_batches(8));
    stepped.gate.write_all(WAIT).unwrap();
    stepped.begun.recv_timeout(PATIENCE).unwrap();
    for client in &mut stepped.clients {
        client.write_all(GET).unwrap();
    }
    stepped.clients[1].shutdown(Shutdown::Write).unwrap();
    stepped.go_on();
    assert!(read_to_end(&mut stepped.clients[1]).starts_with("HTTP/1.1 200"));
    stepped.clients.swap(1, 2);
    stepped.read_all(2);
    stop(stepped.server);
}

#[test]
fn responses_that_a_socket_does_not_take_are_sent_when_it_does() {
    // 2,000 responses of 5 kB are more than the buffers of both sides hold.
    const COUNT: usize = 2000;
    let mut stepped = Stepped::start(3, 5000, of_batches(8));
    stepped.arrive(&[GET, GET, WAIT]);
    stepped.go_on();
    stepped.read_all(3);
    // Nobody reads until all is sent.
    for _ in 0..COUNT / 10 {
        for client in &mut stepped.clients {
            client.write_all(&GET.repeat(10)).unwrap();
        }
    }
    for client in &mut stepped.clients {
        for _ in 0..COUNT {
            assert_eq!(read_response(client).1.len(), 5000);
        }
    }
    stop(stepped.server);
}
