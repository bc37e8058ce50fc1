//! pinloop's server and hyper's, each on a thread of this process, with the same
//! service: it answers with what it was asked.

use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pinloop::Config;
use tokio::runtime::Builder;

/// 501 for CONNECT, as the answer to that has no content and ends HTTP if it is 2xx.
fn status(method: &str) -> u16 {
    if method == "CONNECT" { 501 } else { 200 }
}

/// A request as both services see it.
fn asked(method: &str, path: &str, query: Option<&str>, content: &[u8]) -> String {
    let content = content.escape_ascii();
    format!("{method} {path} ? {} : {content}", query.unwrap_or("-"))
}

pub(crate) fn pinloop() -> SocketAddr {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let threads = Some(NonZeroUsize::MIN);
    let config = Config { addr, threads, pin: Some(false), ..Config::default() };
    let service = |request: &pinloop::Request<'_>, response: &mut pinloop::Response<'_>| {
        let (method, path) = (request.method(), request.path());
        let content = asked(method, &path, request.query(), request.body());
        response.status(status(method)).body(content.as_bytes());
    };
    pinloop::start(&config, move |_| service).expect("pinloop starts").addr()
}

/// hyper as it comes: only that a client may be done sending before it is answered,
/// as each client here is.
pub(crate) fn hyper() -> SocketAddr {
    let (sender, addr) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let localhost = (Ipv4Addr::LOCALHOST, 0);
            let listener = tokio::net::TcpListener::bind(localhost).await.expect("a listener");
            sender.send(listener.local_addr().expect("an address")).expect("who asked is there");
            let mut http = http1::Builder::new();
            http.half_close(true);
            while let Ok((stream, _)) = listener.accept().await {
                let connection = http.serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(connection);
            }
        });
    });
    addr.recv().expect("hyper starts")
}

async fn answer(
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut response = hyper::Response::default();
    match body.collect().await {
        Ok(content) => {
            let (method, path) = (head.method.as_str(), head.uri.path());
            let content = asked(method, path, head.uri.query(), &content.to_bytes());
            *response.status_mut() = StatusCode::from_u16(status(method)).expect("a status");
            *response.body_mut() = Full::from(content);
        }
        // As a service should: hyper closes without a word where it is given an error.
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

/// Answers to all requests on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    /// The status of each, and the version where that is not 1.1.
    pub(crate) statuses: String,
    pub(crate) contents: Vec<String>,
}

/// Sends `request`, and reads until the server closes.
pub(crate) fn exchange(addr: SocketAddr, request: &[u8]) -> Answers {
    let mut stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time limit");
    stream.write_all(request).expect("the request is sent");
    // A server may have answered and closed by now.
    let _ = stream.shutdown(Shutdown::Write);
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => {}
    }
    read(&String::from_utf8_lossy(&bytes))
}

fn read(text: &str) -> Answers {
    // The content of a rejection may speak of HTTP/1.1 too.
    let is_head = |answer: &&str| answer.bytes().skip(2).take(3).all(|byte| byte.is_ascii_digit());
    let answers = || text.split("HTTP/1.").skip(1).filter(is_head);
    let statuses: Vec<String> = answers()
        .map(|answer| match answer.split_at(1) {
            ("1", rest) => rest[1..4].to_string(),
            (minor, rest) => format!("{} in 1.{minor}", &rest[1..4]),
        })
        .collect();
    let of_service = answers().filter(|answer| &answer[2..5] == "200");
    let contents = of_service
        .map(|answer| answer.split_once("\r\n\r\n").map_or("", |(_, content)| content).to_string());
    Answers { statuses: statuses.join(" "), contents: contents.collect() }
}
