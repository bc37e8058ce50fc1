//! Every limit and timeout of the server, with its unit, its default and the
//! reason for that number.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::http::{HEADERS_MAX_CAP, Limits};
use crate::ops::access_log::AccessLog;
use crate::ops::metrics::Metrics;
use crate::server::timeouts::Timeouts;

/// How a server is set up.
///
/// ```
/// let config = pinloop::Config { connections_max: 500, ..pinloop::Config::default() };
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. `127.0.0.1:8080`; port 0 has the kernel pick one.
    pub addr: SocketAddr,
    /// Threads, each with its own event loop and listener. One per core of
    /// `cores`, or per CPU that the process may use.
    pub threads: Option<NonZeroUsize>,
    /// The CPUs to pin the threads to, as the kernel numbers them. The first ones
    /// that the process may use.
    pub cores: Option<Vec<usize>>,
    /// Whether threads are pinned at all. Yes: a thread that migrates leaves its
    /// caches behind.
    pub pin: bool,
    /// Connections that a listener's queue holds until they are accepted. 1,024:
    /// what a loop takes a few milliseconds to accept; the kernel caps it at
    /// `net.core.somaxconn`.
    pub backlog: u32,
    /// Connections open at a time, over all threads. 10,000: with an idle one at
    /// some 250 bytes here and 2 KiB in the kernel, under 30 MB. Mind `ulimit -n`.
    pub connections_max: usize,
    /// Maximum number of open connections of one client: an IPv4 address, or a /64 of IPv6.
    /// More are answered with 503 and closed. Default: no limit, because a proxy is one client.
    pub connections_per_client_max: Option<NonZeroUsize>,
    /// What becomes of connections beyond `connections_max`.
    pub when_full: WhenFull,
    /// Bytes of unfinished requests and unsent answers that one thread keeps, over
    /// all its connections; whoever adds more is shed with 503. 256 MiB: 256
    /// requests with 1 MiB of content each, or 4,000 clients that don't read.
    pub buffered_bytes_max: usize,
    /// Bounds on what one connection may send.
    pub limits: Limits,
    /// How long a connection may take for what.
    pub timeouts: Timeouts,
    /// Where to count what happens. Nowhere.
    pub metrics: Option<Metrics>,
    /// Where to write a line for each request. Nowhere.
    pub access_log: Option<AccessLog>,
}

/// What becomes of connections beyond [`Config::connections_max`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// They are accepted, answered with 503, and closed: a client, or a balancer,
    /// learns at once to go elsewhere.
    #[default]
    Shed,
    /// They wait in the listener's queue until another connection closes.
    Wait,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            threads: None,
            cores: None,
            pin: true,
            backlog: 1024,
            connections_max: 10_000,
            connections_per_client_max: None,
            when_full: WhenFull::Shed,
            buffered_bytes_max: 256 * 1024 * 1024,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            metrics: None,
            access_log: None,
        }
    }
}

/// The least head that can be told from an attack: a request line and a host.
const HEAD_BYTES_LEAST: usize = 64;

/// The largest head: it lives in the input buffer of each thread.
const HEAD_BYTES_MOST: usize = 1024 * 1024;

/// The longest timeout: ticks of 100 ms in a u32 last for years, and a day is
/// as good as never here.
const TIMEOUT_MOST: Duration = Duration::from_secs(24 * 60 * 60);

impl Config {
    /// Refuses values that no server can be run with, and says what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        in_range("max-head-bytes", limits.head_bytes_max, HEAD_BYTES_LEAST, HEAD_BYTES_MOST)?;
        in_range("max-headers", limits.headers_max, 1, HEADERS_MAX_CAP)?;
        in_range("max-connections", self.connections_max, 1, usize::MAX)?;
        in_range("output_bytes_high", limits.output_bytes_high, 1, usize::MAX)?;
        in_range("buffered_bytes_max", self.buffered_bytes_max, limits.head_bytes_max, usize::MAX)?;
        let timeouts = &self.timeouts;
        for option in Timeouts::OPTIONS {
            let (name, timeout, least) = (option.name, (option.get)(timeouts), option.least);
            if !(least..=TIMEOUT_MOST).contains(&timeout) {
                return Err(ConfigError(format!(
                    "{name} is {timeout:?}; allowed is {least:?} to {TIMEOUT_MOST:?}"
                )));
            }
        }
        Ok(())
    }
}

fn in_range(name: &str, value: usize, least: usize, most: usize) -> Result<(), ConfigError> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false if most == usize::MAX => {
            Err(ConfigError(format!("{name} is {value}; allowed is {least} or more")))
        }
        false => Err(ConfigError(format!("{name} is {value}; allowed is {least} to {most}"))),
    }
}

/// A setting that can't be honoured: says what was given and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub(crate) String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_with_what_can() {
        let mut config = Config::default();
        config.limits.headers_max = 300;
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "max-headers is 300; allowed is 1 to 256"
        );
        let mut config = Config::default();
        config.timeouts.head = Duration::ZERO;
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "head-timeout is 0ns; allowed is 100ms to 86400s"
        );
    }
}
