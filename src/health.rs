//! `--check URL`: a health check for containers without a shell.

use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};

use pinloop::Address;
use socket2::{SockAddr, Socket, Type};

/// Time for the connection, and the same time for the whole response.
const WAIT: Duration = Duration::from_secs(3);

/// Bytes of a status line up to the end of its status code and the byte behind it.
const STATUS_BYTES: usize = "HTTP/1.1 200 ".len();

/// An `http` URL with an IP address or `localhost`. Other names are refused, because looking them up
/// in a static binary can need shared libraries of glibc, which a container without a shell lacks.
/// A Unix socket is written as in nginx's `proxy_pass`: `http://unix:/run/a.sock:/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthUrl {
    address: Address,
    path: String,
}

impl FromStr for HealthUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<HealthUrl, &'static str> {
        const WRONG: &str = "allowed is http://IP:PORT/PATH, such as http://127.0.0.1:9090/readyz, \
                             or http://unix:SOCKET:/PATH";
        let rest = text.strip_prefix("http://").ok_or(WRONG)?;
        if let Some(rest) = rest.strip_prefix("unix:") {
            let (socket, path) = rest.rsplit_once(":/").ok_or(WRONG)?;
            let address = format!("unix:{socket}").parse().map_err(|_| WRONG)?;
            return HealthUrl::new(address, format!("/{path}")).ok_or(WRONG);
        }
        let at = rest.find('/').unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        let local = |port: &str| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?)));
        let addr = match host.strip_prefix("localhost:") {
            Some(port) => local(port),
            None => host.parse().or_else(|_| format!("{host}:80").parse()).ok(),
        };
        let path = if path.is_empty() { "/" } else { path };
        HealthUrl::new(Address::Ip(addr.ok_or(WRONG)?), path.into()).ok_or(WRONG)
    }
}

impl HealthUrl {
    /// Returns the URL if its path can stand in a request.
    fn new(address: Address, path: String) -> Option<HealthUrl> {
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then_some(HealthUrl { address, path })
    }
}

impl Display for HealthUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.address.is_unix() { ":" } else { "" };
        write!(f, "http://{}{colon}{}", self.address, self.path)
    }
}

/// Asks for the page, and returns its status code.
///
/// # Errors
/// Returns the system's error, or that the response is not HTTP or too late.
pub(crate) fn check(url: &HealthUrl) -> io::Result<u16> {
    let (addr, host) = match &url.address {
        Address::Ip(addr) => (SockAddr::from(*addr), addr.to_string()),
        Address::Unix(path) => (SockAddr::unix(path)?, "localhost".to_string()),
    };
    let mut stream = Socket::new(addr.domain(), Type::STREAM, None)?;
    stream.set_write_timeout(Some(WAIT))?;
    match url.address.is_unix() {
        // Waits for room in the queue as long as a write does.
        true => stream.connect(&addr).map_err(in_time)?,
        false => stream.connect_timeout(&addr, WAIT)?,
    }
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {host}\r\nuser-agent: pinloop-check\r\n\
         connection: close\r\n\r\n",
        url.path
    );
    stream.write_all(request.as_bytes()).map_err(in_time)?;
    let start = read_start(&mut stream, Instant::now() + WAIT)?;
    status(&start).ok_or_else(|| io::Error::other("the response is not HTTP/1.1"))
}

/// Reads the first bytes of the response, however many parts they come in.
fn read_start(stream: &mut Socket, until: Instant) -> io::Result<[u8; STATUS_BYTES]> {
    let mut start = [0; STATUS_BYTES];
    let mut filled = 0;
    while filled < STATUS_BYTES {
        let left = until.saturating_duration_since(Instant::now());
        // Zero would stand for no timeout.
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(&mut start[filled..]) {
            _ if left.is_zero() => return Err(in_time(io::ErrorKind::WouldBlock.into())),
            Ok(0) => return Err(io::Error::other("the connection has ended without a response")),
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(in_time(error)),
        }
    }
    Ok(start)
}

/// Returns the status of a response. The status line may lack the phrase and the space before it.
fn status(start: &[u8; STATUS_BYTES]) -> Option<u16> {
    let (line, end) = start.split_at(STATUS_BYTES - 1);
    let code = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.1 ")?;
    let is_code = code.bytes().all(|byte| byte.is_ascii_digit()) && matches!(end, b" " | b"\r");
    is_code.then(|| code.parse().ok())?
}

/// Says that the time is over, if that is what the error means.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::new(error.kind(), format!("nothing within {WAIT:?}"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_an_address_a_port_and_a_path() {
        for (text, same) in [
            ("http://127.0.0.1:9090/readyz", "http://127.0.0.1:9090/readyz"),
            ("http://[::1]:9090", "http://[::1]:9090/"),
            ("http://127.0.0.1/a?b", "http://127.0.0.1:80/a?b"),
            ("http://unix:/run/a.sock:/readyz", "http://unix:/run/a.sock:/readyz"),
            ("http://localhost:8080/", "http://127.0.0.1:8080/"),
        ] {
            assert_eq!(text.parse::<HealthUrl>().unwrap().to_string(), same);
        }
        for wrong in [
            "",
            "https://127.0.0.1/",
            "127.0.0.1:80",
            "http://a.example/",
            "http://::1/ a",
            "http://unix:/a",
        ] {
            assert!(wrong.parse::<HealthUrl>().is_err(), "{wrong}");
        }
    }
}
