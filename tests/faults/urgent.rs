//! Urgent data (`MSG_OOB`) makes a read short although more bytes have arrived.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Mutex, mpsc};

use pinloop::Config;
use socket2::SockRef;

use crate::support::process::Running;
use crate::support::{APP, connect, read_response, serve, stop};

/// Pieces of two requests. An urgent byte goes between two pieces.
const PIECES: [&[&str]; 7] = [
    &["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    &["", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    &["GET / HT", "TP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    &["GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n", "\r\n"],
    &[
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\nTry ",
        "POST /echoGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    &[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\n",
        "Try POST /echo",
    ],
    &["GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ""],
];

fn send(stream: &mut TcpStream, pieces: &[&str]) {
    for (n, piece) in pieces.iter().enumerate() {
        if n > 0 {
            let sent = SockRef::from(&*stream).send_out_of_band(b"!").unwrap();
            assert_eq!(sent, 1);
        }
        stream.write_all(piece.as_bytes()).unwrap();
    }
}

fn assert_two_responses(stream: &mut TcpStream, pieces: &[&str]) {
    for _ in 0..2 {
        assert_eq!(read_response(stream).1, b"Try POST /echo", "{pieces:?}");
    }
}

/// Urgent data between two requests left the second one without a response in 33 of 40 cases
/// (issue 13, number 15). All bytes are there when the server reads.
#[test]
fn urgent_data_strands_no_request_that_has_arrived() {
    let running = Running::start_unpinned(&[]);
    let mut streams: Vec<TcpStream> = (0..40).map(|_| running.connect()).collect();
    for stream in &mut streams {
        send(stream, &["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
        read_response(stream);
    }
    for _ in 0..3 {
        running.freeze();
        for (n, stream) in streams.iter_mut().enumerate() {
            send(stream, PIECES[n % PIECES.len()]);
        }
        running.thaw();
        for (n, stream) in streams.iter_mut().enumerate() {
            assert_two_responses(stream, PIECES[n % PIECES.len()]);
        }
    }
}

/// The same if the first byte of a connection is urgent, and with a server that reads while
/// the bytes arrive (issue 13, number 15).
#[test]
fn urgent_data_strands_no_request_that_is_arriving() {
    let server = serve(Config::default(), |_| APP.clone());
    for n in 0..200 {
        let mut stream = connect(&server);
        let pieces = PIECES[n % PIECES.len()];
        send(&mut stream, pieces);
        assert_two_responses(&mut stream, pieces);
    }
    stop(server);
}

/// The same when the event that announces the urgent data comes before a turn that is put off.
#[test]
fn urgent_data_strands_no_request_while_the_loop_is_busy() {
    use pinloop::{Request, Response};
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let held = Mutex::new(Some((begin, released)));
    let server = serve(Config::default(), move |_| {
        let held = held.lock().unwrap().take().expect("one thread");
        move |request: &Request<'_>, response: &mut Response<'_>| {
            if request.path() == "/hold" {
                held.0.send(()).unwrap();
                held.1.recv().unwrap();
            }
            response.body(b"Try POST /echo");
        }
    });
    let mut streams: Vec<TcpStream> = (0..40).map(|_| connect(&server)).collect();
    for _ in 0..5 {
        let mut holder = connect(&server);
        holder.write_all(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        begun.recv().unwrap();
        for (n, stream) in streams.iter_mut().enumerate() {
            send(stream, PIECES[n % 4]);
        }
        release.send(()).unwrap();
        for (n, stream) in streams.iter_mut().enumerate() {
            assert_two_responses(stream, PIECES[n % 4]);
        }
    }
    stop(server);
}
