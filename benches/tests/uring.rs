//! The rungs on io_uring over real sockets: they answer as those on epoll do, however requests
//! arrive and responses are taken.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pinloop_bench::rig::machine;
use pinloop_bench::variants::{self, Settings};
use socket2::{Domain, SockRef, Socket, Type};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Time after which a test gives up on a server that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time without a byte after which a client takes the buffers of both sockets to be full.
const STALLED: Duration = Duration::from_millis(200);

#[test]
fn requests_are_answered_wherever_they_are_cut() {
    let request = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    for (epoll, uring) in pairs() {
        let bytes = [GET, if epoll.answers { request } else { GET }, GET].concat();
        let expected = epoll.exchange(&bytes);
        for cut in 1..bytes.len() {
            let mut stream = uring.connect();
            stream.set_nodelay(true).unwrap();
            stream.write_all(&bytes[..cut]).unwrap();
            stream.write_all(&bytes[cut..]).unwrap();
            assert_eq!(rest(stream), expected, "{} cut at {cut}", uring.name);
        }
        let mut stream = uring.connect();
        stream.set_nodelay(true).unwrap();
        bytes.iter().for_each(|byte| stream.write_all(&[*byte]).unwrap());
        assert_eq!(rest(stream), expected, "{} byte by byte", uring.name);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    for (epoll, uring) in pairs() {
        for count in [16, 300] {
            let requests = |at: usize| match epoll.answers {
                true => format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", ["", "echo", "no"][at % 3]),
                false => "GET / HTTP/1.1\r\n\r\n".to_string(),
            };
            let bytes: String = (0..count).map(requests).collect();
            let answers = uring.exchange(bytes.as_bytes());
            assert_eq!(answers, epoll.exchange(bytes.as_bytes()), "{} {count}", uring.name);
            assert_eq!(answers.matches("HTTP/1.1 ").count(), count);
        }
    }
}

/// The client sends until nobody takes more, and reads then: the server sends a part of what is
/// due, again and again, and stops receiving.
#[test]
fn a_client_that_reads_late_gets_every_byte() {
    for (_, uring) in pairs() {
        let count = 60_000;
        let mut stream = uring.connect_with_small_buffers();
        let expected = uring.exchange(GET).repeat(count);
        let requests = GET.repeat(count);
        stream.set_write_timeout(Some(STALLED)).unwrap();
        let sent = send_until_stalled(&mut stream, &requests);
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let answers = exchange_rest(stream, &requests[sent..]);
        assert!(answers == expected.as_bytes(), "{}: {} bytes", uring.name, answers.len());
    }
}

#[test]
fn a_large_echo_is_sent_in_parts_to_a_client_that_reads_late() {
    let Some(uring) = Server::start("pinloop_on_uring") else { return };
    // More than the buffers of the server's socket can hold.
    let bytes = (kernel_bytes("tcp_rmem") + kernel_bytes("tcp_wmem") + 8_000_000).min(64_000_000);
    let body: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    let head = format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    let request = [head.as_bytes(), &body].concat();
    let mut stream = uring.connect_with_small_buffers();
    stream.set_write_timeout(Some(STALLED)).unwrap();
    let sent = send_until_stalled(&mut stream, &request);
    assert!(sent < request.len(), "all of {sent} bytes are held");
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let answer = exchange_rest(stream, &request[sent..]);
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert!(answer.ends_with(&body), "{} bytes", answer.len());
}

/// There are 256 buffers for received bytes.
#[test]
fn more_connections_than_buffers_are_all_answered() {
    for (_, uring) in pairs() {
        let expected = uring.exchange(GET);
        let mut streams: Vec<TcpStream> = (0..600).map(|_| uring.connect()).collect();
        streams.iter_mut().for_each(|stream| stream.write_all(GET).unwrap());
        for stream in streams {
            assert_eq!(rest(stream), expected, "{}", uring.name);
        }
    }
}

#[test]
fn a_connection_that_the_client_ends_is_closed_and_others_go_on() {
    for (_, uring) in pairs() {
        let expected = uring.exchange(GET);
        for end in [Ending::Close, Ending::Reset, Ending::HalfARequest] {
            let mut ending = uring.connect();
            let mut staying = uring.connect();
            match end {
                Ending::Close => ending.write_all(GET).unwrap(),
                Ending::HalfARequest => ending.write_all(&GET[..9]).unwrap(),
                Ending::Reset => {
                    ending.write_all(&GET.repeat(100)).unwrap();
                    SockRef::from(&ending).set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
            drop(ending);
            staying.write_all(GET).unwrap();
            assert_eq!(rest(staying), expected, "{} after {end:?}", uring.name);
        }
    }
}

#[derive(Debug)]
enum Ending {
    Close,
    Reset,
    HalfARequest,
}

#[test]
fn the_server_closes_after_the_last_response() {
    let Some(uring) = Server::start("pinloop_on_uring") else { return };
    let epoll = Server::start("pinloop").unwrap();
    let last = [
        &b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"[..],
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
    ];
    for request in last {
        let answers = [&uring, &epoll].map(|server| {
            let mut stream = server.connect();
            // The server discards the second request, which must not destroy the response.
            stream.write_all(&[request, GET].concat()).unwrap();
            read_to_end(&mut stream)
        });
        assert_eq!(answers[0], answers[1], "{}", request.escape_ascii());
        assert_eq!(answers[0].matches("HTTP/1.1 ").count(), 1);
    }
}

/// The request has no host. If the server closed at once, what follows would have the client see a
/// reset.
#[test]
fn a_client_that_goes_on_sending_after_a_rejection_sees_an_orderly_end() {
    let Some(uring) = Server::start("pinloop_on_uring") else { return };
    let mut stream = uring.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    for _ in 0..3 {
        stream.write_all(GET).unwrap();
    }
    rest(stream);
}

#[test]
fn a_key_is_used_again_after_its_connection_has_closed() {
    for (_, uring) in pairs() {
        let expected = uring.exchange(GET);
        for _ in 0..300 {
            assert_eq!(uring.exchange(GET), expected, "{}", uring.name);
        }
    }
}

/// A rung that serves on a thread of this process.
struct Server {
    name: &'static str,
    answers: bool,
    address: SocketAddr,
}

impl Server {
    /// Starts a rung; `None`, and a sentence, if this machine cannot run it.
    fn start(name: &str) -> Option<Server> {
        let variant = variants::find(name).unwrap();
        if let Some(reason) = variants::unavailable(variant) {
            println!("{name} is left out: {reason}");
            return None;
        }
        let cores = vec![machine::allowed_cores().unwrap()[0]];
        let (ready, address) = mpsc::channel();
        thread::spawn(move || {
            let settings =
                Settings { address: ([127, 0, 0, 1], 0).into(), cores, rounds: 1, connections: 0 };
            (variant.serve)(&settings, &|address| ready.send(address).unwrap()).unwrap();
        });
        let address = address.recv().unwrap();
        Some(Server { name: variant.name, answers: variant.answers, address })
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The buffer of the client's socket is set before the connection, so that it bounds the
    /// window from the beginning.
    fn connect_with_small_buffers(&self) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_send_buffer_size(4096).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends `bytes`, and returns all that comes back until the end.
    fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        rest(stream)
    }
}

/// Returns the largest size of a socket's buffer, in bytes.
fn kernel_bytes(name: &str) -> usize {
    let sizes = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
    sizes.split_whitespace().last().unwrap().parse().unwrap()
}

/// Each rung on epoll with the one on io_uring; none if this machine cannot run them.
fn pairs() -> Vec<(Server, Server)> {
    let pair = |variant: &variants::Variant| {
        let uring = Server::start(variant.name)?;
        Some((Server::start(variant.base.unwrap()).unwrap(), uring))
    };
    variants::ON_URING.iter().filter_map(pair).collect()
}

/// Shuts down the side of the client, and reads what is left. The server answers all complete
/// requests before it closes.
fn rest(mut stream: TcpStream) -> String {
    stream.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut stream)
}

/// Reads until the server closes; masks the dates.
fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let lines = text.split_inclusive('\n');
    lines.map(|line| if line.starts_with("date: ") { "date\n" } else { line }).collect()
}

/// Writes until the socket takes no more for a while; returns the number of bytes that it took.
fn send_until_stalled(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // A pause of this process interrupts what has a timeout.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
    sent
}

/// Writes `bytes` on another thread, and reads until the server closes; masks the dates.
fn exchange_rest(stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = stream;
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answers = Vec::new();
        reader.read_to_end(&mut answers).unwrap();
        mask_dates(&answers)
    })
}

fn mask_dates(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    lines
        .flat_map(|line| if line.starts_with(b"date: ") { b"date\n" } else { line })
        .copied()
        .collect()
}
