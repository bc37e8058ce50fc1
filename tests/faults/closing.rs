//! The last response of a connection arrives whole, whatever the client still sends.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use pinloop::http::{BodyWriter, Flow};
use pinloop::{Config, Request, Response, Server};
use socket2::{Domain, Socket, Type};

use crate::support::response::{dechunk, read_some, split_head};
use crate::support::{PATIENCE, serve, stop};

const BODY_BYTES: usize = 1_500_000;

/// Size of the receive buffer of a client that reads slowly, in bytes.
const BUFFER_BYTES: usize = 16 * 1024;

/// Requests that end their connection with the response.
const LAST_REQUESTS: [&str; 4] = [
    "GET /body HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /body HTTP/1.0\r\n\r\n",
    "GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
];

fn serve_large() -> Server {
    let mut config = Config::default();
    config.timeouts.linger = Duration::from_millis(100);
    serve(config, |_| {
        let body = vec![b'x'; BODY_BYTES];
        move |request: &Request<'_>, response: &mut Response<'_>| match &*request.path() {
            "/close" => response.close().body(&body),
            "/stream" => {
                let mut rest = BODY_BYTES;
                response.stream(None, move |writer: &mut BodyWriter<'_>| {
                    let piece = rest.min(10_000);
                    writer.write(&vec![b'x'; piece]);
                    rest -= piece;
                    if rest == 0 { Flow::Done } else { Flow::More }
                });
            }
            _ => response.body(&body),
        }
    })
}

/// Connects with a small receive buffer.
fn connect_slowly(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
    socket.connect(&server.addr().into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.into()
}

/// Reads the response slowly, and calls `disturb` once `after` bytes have arrived. Panics if
/// the connection is reset or a byte of the body is missing.
fn read_slowly(mut stream: TcpStream, after: usize, disturb: impl FnOnce(&mut TcpStream)) {
    let (mut response, mut piece, mut disturb) = (Vec::new(), [0; 16 * 1024], Some(disturb));
    loop {
        if response.len() >= after
            && let Some(disturb) = disturb.take()
        {
            disturb(&mut stream);
        }
        let read = read_some(&mut stream, &mut piece).unwrap_or_else(|error| {
            panic!("{error} after {} bytes; disturbed after {after}", response.len())
        });
        if read == 0 {
            break;
        }
        response.extend_from_slice(&piece[..read]);
        thread::sleep(Duration::from_millis(1));
    }
    let (head, body) = split_head(&response);
    let is_chunked = head.windows(7).any(|window| window == b"chunked");
    let body = if is_chunked { dechunk(body) } else { body.to_vec() };
    assert_eq!(body.len(), BODY_BYTES, "bytes of the body; disturbed after {after}");
}

/// Sends each closing request, and disturbs its response at several times.
fn assert_arrives(behind: &[u8], disturb: impl Fn(&mut TcpStream) + Sync) {
    let (server, disturb) = (serve_large(), &disturb);
    thread::scope(|scope| {
        for request in LAST_REQUESTS {
            for after in [0, 1, 200_000, 800_000, 1_400_000] {
                let mut stream = connect_slowly(&server);
                stream.write_all(&[request.as_bytes(), behind].concat()).unwrap();
                scope.spawn(move || read_slowly(stream, after, disturb));
            }
        }
    });
    stop(server);
}

/// An empty line behind the closing request reset the connection: all but 127 KB of 1.5 MB were
/// lost (issue 13, number 6; RFC 9112, 9.6).
#[test]
fn a_late_empty_line_does_not_cut_off_the_last_response() {
    assert_arrives(b"", |stream| stream.write_all(b"\r\n").unwrap());
}

/// The same after the server had begun to linger (issue 13, number 6).
#[test]
fn late_bytes_and_a_half_close_do_not_cut_off_the_last_response() {
    assert_arrives(b"", |stream| {
        stream.write_all(&[b'x'; 100]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
}

/// The same with bytes and a half-close that arrive with the request (issue 13, number 6).
#[test]
fn pipelined_bytes_and_a_half_close_do_not_cut_off_the_last_response() {
    for behind in [&b"\r\n"[..], &[b'x'; 100], &[b'x'; 60_000], b"GET / HTTP/1.1\r\n\r\n"] {
        assert_arrives(behind, |stream| stream.shutdown(Shutdown::Write).unwrap());
    }
}

/// The same with bytes that arrive when the linger timeout has passed (issue 13, number 6).
#[test]
fn bytes_after_the_linger_timeout_do_not_cut_off_the_last_response() {
    assert_arrives(b"", |stream| {
        // Three times the linger timeout and its precision.
        thread::sleep(Duration::from_millis(900));
        stream.write_all(b"\r\n").unwrap();
        stream.write_all(&[b'x'; 100]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
}

/// The same for a client that sends without an end.
#[test]
fn a_client_that_keeps_sending_gets_the_last_response() {
    assert_arrives(b"", |stream| {
        let mut writer = stream.try_clone().unwrap();
        thread::spawn(move || {
            while writer.write_all(&[b'x'; 1_000]).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        });
    });
}

/// The same for a client that has shut down its side and reads nothing for a while.
#[test]
fn a_half_closed_client_that_reads_late_gets_the_last_response() {
    assert_arrives(b"", |stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        thread::sleep(Duration::from_millis(900));
    });
}
