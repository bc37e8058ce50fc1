//! `--check URL`: a health check for containers without a shell.

use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use pinloop::Address;
use socket2::{SockAddr, Socket, Type};

/// Time for the connection, and for each part of the response.
const WAIT: Duration = Duration::from_secs(3);

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
/// Returns the system's error, or that the response is not HTTP.
pub(crate) fn check(url: &HealthUrl) -> io::Result<u16> {
    let (addr, host) = match &url.address {
        Address::Ip(addr) => (SockAddr::from(*addr), addr.to_string()),
        Address::Unix(path) => (SockAddr::unix(path)?, "localhost".to_string()),
    };
    let mut stream = Socket::new(addr.domain(), Type::STREAM, None)?;
    stream.set_write_timeout(Some(WAIT))?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.connect_timeout(&addr, WAIT)?;
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {host}\r\nuser-agent: pinloop-check\r\n\
         connection: close\r\n\r\n",
        url.path
    );
    stream.write_all(request.as_bytes())?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    let status = std::str::from_utf8(&start).ok().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other("the response is not HTTP/1.1"))
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
