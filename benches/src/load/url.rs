//! The parts of a URL that the generator needs: the server's address and the target.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// The port of `http` (RFC 9110, section 4.2.1).
const HTTP_PORT: u16 = 80;

/// `http://host[:port][/path][?query]`. A fragment is dropped, as every client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    host: String,
    port: u16,
    /// Value of the header field `host`.
    authority: String,
    /// Path and query for the request line.
    target: String,
}

/// Reason why a text is not a usable URL, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    url: String,
    reason: &'static str,
}

impl Url {
    /// Parses a URL.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        parse(url).map_err(|reason| UrlError { url: url.to_owned(), reason })
    }

    /// Returns the value of the header field `host`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns path and query for the request line.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Resolves the host's name. Returns at least one address.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}

fn parse(url: &str) -> Result<Url, &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("it must begin with http://")?;
    if scheme.eq_ignore_ascii_case("https") {
        return Err("only http:// is spoken here, no TLS");
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err("it must begin with http://");
    }
    let rest = rest.split_once('#').map_or(rest, |(rest, _fragment)| rest);
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("a user's name doesn't belong in it: use --header 'authorization: …'");
    }
    let (host, port) = split_port(authority)?;
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("its path and query must be percent-encoded where they aren't ASCII");
    }
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok(Url {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: port.unwrap_or(HTTP_PORT),
        authority: match port {
            None | Some(HTTP_PORT) => host.to_owned(),
            Some(port) => format!("{host}:{port}"),
        },
        target: format!("{slash}{target}"),
    })
}

/// The host, an IPv6 address still in its brackets, and the port if there is one.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = if authority.starts_with('[') {
        let end = authority.find(']').ok_or("an IPv6 address lacks its closing bracket")?;
        let (host, port) = authority.split_at(end + 1);
        if host[1..end].parse::<std::net::Ipv6Addr>().is_err() {
            return Err("what is in brackets is no IPv6 address");
        }
        (host, port)
    } else {
        authority.split_at(authority.find(':').unwrap_or(authority.len()))
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !host.starts_with('[') && !host.bytes().all(legal) {
        return Err("its host is neither a name nor an address (IPv6: in brackets)");
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let port = port.parse().ok().filter(|&port| port > 0);
            Some(port.ok_or("its port must be from 1 to 65535")?)
        }
        _ => return Err("its port must be from 1 to 65535 (an IPv6 address: in brackets)"),
    };
    Ok((host, port))
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot load '{}': {}", self.url, self.reason)
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, u16, String, String) {
        let url = Url::parse(url).unwrap();
        (url.host, url.port, url.authority, url.target)
    }

    fn expect(url: &str, host: &str, port: u16, authority: &str, target: &str) {
        assert_eq!(parts(url), (host.into(), port, authority.into(), target.into()), "{url}");
    }

    #[test]
    fn takes_urls_apart() {
        expect("http://127.0.0.1:8080/data", "127.0.0.1", 8080, "127.0.0.1:8080", "/data");
        expect("HTTP://example.org", "example.org", 80, "example.org", "/");
        expect("http://example.org:80/", "example.org", 80, "example.org", "/");
        expect("http://example.org:?a=b#c", "example.org", 80, "example.org", "/?a=b");
        expect("http://[::1]:8080/a?b=/c:d@e", "::1", 8080, "[::1]:8080", "/a?b=/c:d@e");
        expect("http://[::1]", "::1", 80, "[::1]", "/");
    }

    #[test]
    fn says_what_is_wrong_with_others() {
        for (url, reason) in [
            ("", "must begin with http://"),
            ("127.0.0.1:8080/", "must begin with http://"),
            ("ftp://host/", "must begin with http://"),
            ("https://host/", "no TLS"),
            ("http://", "names no host"),
            ("http:///path", "names no host"),
            ("http://:80/", "names no host"),
            ("http://me:secret@host/", "--header"),
            ("http://host:0/", "from 1 to 65535"),
            ("http://host:65536/", "from 1 to 65535"),
            ("http://host:+80/", "from 1 to 65535"),
            ("http://::1/", "names no host"),
            ("http://fe80::1/", "in brackets"),
            ("http://[::1/", "closing bracket"),
            ("http://[1]/", "no IPv6 address"),
            ("http://[::1]8080/", "from 1 to 65535"),
            ("http://ho st/", "neither a name nor an address"),
            ("http://host/a b", "percent-encoded"),
            ("http://host/\u{e4}", "percent-encoded"),
            ("http://host/\r\nx: y", "percent-encoded"),
        ] {
            let said = Url::parse(url).unwrap_err().to_string();
            assert!(said.contains(reason), "{url:?}: {said}");
            assert!(said.starts_with(&format!("cannot load '{url}': ")), "{said}");
        }
    }

    #[test]
    fn resolves_addresses_and_names() {
        let resolve = |url| Url::parse(url).unwrap().resolve().unwrap();
        assert_eq!(resolve("http://127.0.0.1:8080"), ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(resolve("http://[::1]:8080"), ["[::1]:8080".parse().unwrap()]);
        assert!(resolve("http://localhost").iter().all(|addr| addr.ip().is_loopback()));
    }
}
