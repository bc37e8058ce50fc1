//! Addresses that a server can listen on.

use std::fmt::{self, Display};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

use socket2::SockRef;

/// Longest path of a Unix socket in bytes (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// Address that a server listens on.
///
/// ```
/// use pinloop::Address;
///
/// assert_eq!("127.0.0.1:80".parse(), Ok(Address::Ip(([127, 0, 0, 1], 80).into())));
/// assert_eq!("unix:/run/a.sock".parse(), Ok(Address::Unix("/run/a.sock".into())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IP address and port, for TCP.
    Ip(SocketAddr),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Returns the address of a listening socket.
    ///
    /// # Errors
    /// If `socket` does not listen for TCP, or for streams at the path of a Unix socket.
    pub fn of(socket: &impl AsFd) -> io::Result<Address> {
        let wrong = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, text);
        let socket = SockRef::from(socket);
        if socket.r#type()? != socket2::Type::STREAM || !socket.is_listener()? {
            return Err(wrong("the socket does not listen for connections"));
        }
        let addr = socket.local_addr()?;
        let unix = || addr.as_pathname().map(|path| Address::Unix(path.into()));
        addr.as_socket()
            .map(Address::Ip)
            .or_else(unix)
            .ok_or_else(|| wrong("allowed are sockets for TCP, and Unix sockets that have a path"))
    }

    /// Reports whether this is the address of a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self, Address::Unix(_))
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Address {
        Address::Ip(addr)
    }
}

impl FromStr for Address {
    type Err = String;

    /// Parses `IP:PORT` or `unix:PATH`. The error says which values are allowed.
    fn from_str(text: &str) -> Result<Address, String> {
        let Some(path) = text.strip_prefix("unix:") else {
            let wrong = "allowed is an IP address and a port, such as 127.0.0.1:8080, or the path \
                         of a Unix socket, such as unix:/run/pinloop.sock";
            return text.parse().map(Address::Ip).map_err(|_| wrong.to_string());
        };
        let path = PathBuf::from(path);
        check_path(path.as_os_str().as_bytes()).map(|()| Address::Unix(path))
    }
}

fn check_path(path: &[u8]) -> Result<(), String> {
    match path {
        [b'@', ..] => Err("allowed is a path; abstract sockets have neither owner nor mode".into()),
        [] => Err("allowed is a path behind unix:, such as unix:/run/pinloop.sock".into()),
        path if path.len() > PATH_BYTES_MAX => {
            Err(format!("the path of a Unix socket has at most {PATH_BYTES_MAX} bytes"))
        }
        _ => Ok(()),
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(addr) => write!(f, "{addr}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_addresses_are_refused_with_what_is_allowed() {
        let refused = |text: &str| text.parse::<Address>().unwrap_err();
        assert!(refused("8080").contains("127.0.0.1:8080, or the path of a Unix socket"));
        assert!(refused("/run/a.sock").contains("such as unix:/run/pinloop.sock"));
        assert!(refused("unix:").contains("allowed is a path behind unix:"));
        assert!(refused("unix:@name").contains("abstract sockets have neither owner nor mode"));
        assert!(refused(&format!("unix:/{}", "a".repeat(107))).contains("at most 107 bytes"));
        assert_eq!("unix:a".parse::<Address>().unwrap().to_string(), "unix:a");
    }
}
