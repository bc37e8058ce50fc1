//! Every limit of the server with its unit, its default and the reason for that number.

mod memory;

use std::fmt::{self, Display};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::http::{HEADERS_MAX_CAP, Limits, Trust};
use crate::ops::access_log::AccessLog;
use crate::ops::metrics::Metrics;
use crate::ops::readiness::Readiness;
use crate::server::address::Address;
use crate::server::timeouts::Timeouts;

/// Settings of a server.
///
/// Fill in the rest with `..Config::default()`, because later versions add fields.
///
/// ```
/// let config = pinloop::Config { connections_max: 500, ..pinloop::Config::default() };
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on. Default `127.0.0.1:8080`; with port 0 the kernel picks a port. For a
    /// Unix socket see [`Listeners::bind_unix`](crate::Listeners::bind_unix).
    pub addr: SocketAddr,
    /// Number of threads, each with its own event loop and listener. Default: one for each
    /// CPU in `cores`, or else for each CPU available to the process, within the CPU quota of
    /// its cgroup.
    pub threads: Option<NonZeroUsize>,
    /// CPUs to pin the threads to, by the kernel's numbers. Default: the CPUs available to the
    /// process.
    pub cores: Option<Vec<usize>>,
    /// Pins each thread to a CPU, because a thread that migrates loses its caches. Default:
    /// only if `cores` is given, or there is a thread for each available CPU. With fewer
    /// threads, two servers on the machine would share one CPU and leave another one idle.
    pub pin: Option<bool>,
    /// Number of connections that a listener queues until they are accepted. Default 1,024,
    /// which a loop accepts in a few milliseconds. The kernel caps it at
    /// `net.core.somaxconn`.
    pub backlog: u32,
    /// Choice of the event loop for a new connection. Default [`Balance::Kernel`].
    pub balance: Balance,
    /// Choice of the listener for a new connection. Default [`Steer::Hash`].
    pub steer: Steer,
    /// Accepts a connection once its first bytes have arrived, and reads at once: for clients that
    /// send one request each. Off by default.
    ///
    /// The kernel then holds back a connection without bytes (`TCP_DEFER_ACCEPT`, tcp(7)) for
    /// about the time of `timeouts.head`. It counts for no limit, and it is lost when the server
    /// stops.
    pub defer_accept: bool,
    /// Maximum number of open connections, over all threads. Default 10,000: an idle
    /// connection takes some 250 bytes here and 2 KiB in the kernel, so they fit in 30 MB.
    /// Each needs a file descriptor (`ulimit -n`).
    pub connections_max: usize,
    /// Maximum number of open connections of one client: an IPv4 address, or a /64 of IPv6.
    /// More are answered with 503 and closed. Peers of Unix sockets have no address and are not
    /// counted. Default: no limit, because a proxy is one client.
    pub connections_per_client_max: Option<NonZeroUsize>,
    /// Treatment of connections beyond `connections_max`.
    pub when_full: WhenFull,
    /// Proxies that are trusted to name their clients. From all other peers, the headers that
    /// name a client are ignored. `connections_per_client_max` does not apply to these proxies.
    /// Default: no proxy is trusted.
    pub trust: Option<Trust>,
    /// Requires each connection from a proxy in `trust` to begin with a header of the PROXY
    /// protocol, version 1 or 2. Other connections must not have one. Default: false.
    pub proxy_protocol: bool,
    /// Maximum number of bytes of unfinished requests and unsent responses, over all
    /// connections. Each thread has an equal share, and a request that exceeds it gets 503.
    /// Default: a quarter of the memory of the cgroup or of the machine, but at least 16 MiB
    /// and at most 1 GiB, which is 1,000 requests with a body of 1 MiB each.
    pub buffered_bytes_max: usize,
    /// Maximum number of bytes of a streamed response that are kept for a client that sends its
    /// whole body before it reads. All of them together have half of `buffered_bytes_max`.
    /// Default 0: nothing is read from a client that does not read, so that it takes no memory.
    pub unread_bytes_max: usize,
    /// Maximum number of connections whose responses are sent together, after all of them are
    /// computed. Default 8: more saves little, and the first response waits for the last. 1
    /// sends each response at once.
    pub send_batch_max: usize,
    /// Limits on one request.
    pub limits: Limits,
    /// Timeouts of a connection.
    pub timeouts: Timeouts,
    /// Counters for each thread's events. Default: events are not counted.
    pub metrics: Option<Metrics>,
    /// Log with one line for each request. Default: requests are not logged.
    pub access_log: Option<AccessLog>,
    /// Phase of the server, for `/readyz`. Each server needs one of its own. Default: a new one.
    pub readiness: Readiness,
}

/// Choice of the event loop for a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Balance {
    /// The kernel chooses, by a hash of addresses and ports. The loops share nothing, and with few
    /// connections some loops have several times as many as others.
    #[default]
    Kernel,
    /// A loop that accepts a connection while another one has fewer passes it to the loop with
    /// the fewest, before it reads a byte. A passed connection costs a wake-up of that loop.
    ///
    /// A loop that has left a passed connection waiting for 0.1 s, because its service blocks it,
    /// gets no more until it takes that one.
    Connections,
}

/// Choice of the listener for a new connection, by the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Steer {
    /// A hash of addresses and ports.
    #[default]
    Hash,
    /// The listener of the CPU that has received the first packet (`SO_INCOMING_CPU`, socket(7)),
    /// if a thread is pinned to that CPU, and the hash otherwise. It pays if each queue of the
    /// network card is pinned to one CPU.
    ///
    /// Needs pinned threads and a listening socket for each of them. Before Linux 6.2 the kernel
    /// ignores the option for most connections.
    Cpu,
}

/// Treatment of connections beyond [`Config::connections_max`] if none of the open ones is idle.
/// Otherwise an idle connection is closed for the new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum WhenFull {
    /// Answers 503 and closes the connection, so that clients and load balancers go elsewhere.
    #[default]
    Shed,
    /// Leaves the connection in the listener's queue until another connection closes or is idle.
    Wait,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            threads: None,
            cores: None,
            pin: None,
            backlog: 1024,
            balance: Balance::Kernel,
            steer: Steer::Hash,
            defer_accept: false,
            connections_max: 10_000,
            connections_per_client_max: None,
            when_full: WhenFull::Shed,
            trust: None,
            proxy_protocol: false,
            buffered_bytes_max: memory::buffered_bytes_default(),
            unread_bytes_max: 0,
            send_batch_max: 8,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            metrics: None,
            access_log: None,
            readiness: Readiness::default(),
        }
    }
}

impl Config {
    /// Allowed number of [`threads`](Config::threads): more than any machine has CPUs for.
    pub const THREADS: RangeInclusive<usize> = 1..=1024;

    /// Allowed number of [`connections_max`](Config::connections_max).
    pub const CONNECTIONS: RangeInclusive<usize> = 1..=usize::MAX;

    /// Allowed bytes of [`Limits::head_bytes_max`]. A request line and a host take 64 bytes.
    /// The upper bound limits the input buffer of each thread, which holds the head.
    pub const HEAD_BYTES: RangeInclusive<usize> = 64..=1024 * 1024;

    /// Allowed number of [`Limits::headers_max`].
    pub const HEADERS: RangeInclusive<usize> = 1..=HEADERS_MAX_CAP;

    /// Longest allowed timeout: one day, which is as good as no timeout.
    pub const TIMEOUT_MOST: Duration = Duration::from_secs(24 * 60 * 60);

    /// Returns the share of a thread in `buffered_bytes_max`, which holds at least one head.
    pub(crate) fn buffered_bytes_of_thread(&self, threads: usize) -> usize {
        (self.buffered_bytes_max / threads).max(self.limits.head_bytes_max)
    }

    /// Checks each number against its range.
    ///
    /// # Errors
    /// Returns the first setting out of range, with its value and the range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let threads = self.threads.map_or(1, NonZeroUsize::get);
        for (name, value, allowed) in [
            ("threads", threads, Config::THREADS),
            ("max-head-bytes", limits.head_bytes_max, Config::HEAD_BYTES),
            ("max-headers", limits.headers_max, Config::HEADERS),
            ("max-connections", self.connections_max, Config::CONNECTIONS),
            ("send_batch_max", self.send_batch_max, 1..=usize::MAX),
            ("output_bytes_high", limits.output_bytes_high, 1..=usize::MAX),
            ("max-buffered-bytes", self.buffered_bytes_max, limits.head_bytes_max..=usize::MAX),
        ] {
            in_range(name, &value, &allowed)?;
        }
        if self.proxy_protocol && self.trust.is_none() {
            let sentence = "proxy-protocol needs trust, because any client can send such a header";
            return Err(ConfigError(sentence.into()));
        }
        Timeouts::OPTIONS.iter().try_for_each(|option| {
            let allowed = option.least.as_secs_f64()..=Config::TIMEOUT_MOST.as_secs_f64();
            in_range(option.name, &(option.get)(&self.timeouts).as_secs_f64(), &allowed)
        })
    }

    /// Checks that the settings fit an address: some are for TCP only.
    ///
    /// # Errors
    /// Returns the first setting that a Unix socket does not have.
    pub fn check_for(&self, address: &Address) -> Result<(), ConfigError> {
        let is_steered = self.steer == Steer::Cpu;
        for (name, is_set) in [("defer-accept", self.defer_accept), ("steer", is_steered)] {
            if is_set && address.is_unix() {
                let sentence = format!("{name} is for TCP; the server listens on {address}");
                return Err(ConfigError(sentence));
            }
        }
        Ok(())
    }
}

fn in_range<T: Display + PartialOrd>(
    name: &str,
    value: &T,
    allowed: &RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if allowed.contains(value) {
        return Ok(());
    }
    let (least, most) = (allowed.start(), allowed.end());
    Err(ConfigError(format!("{name} is {value}; allowed is {least} to {most}")))
}

/// A setting that the server cannot use. The message names the setting, its value and the
/// allowed values; times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub(crate) String);

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        let headers = error(|config| config.limits.headers_max = 300);
        assert_eq!(headers, "max-headers is 300; allowed is 1 to 256");
        let head = error(|config| config.timeouts.head = Duration::ZERO);
        assert_eq!(head, "head-timeout is 0; allowed is 0.1 to 86400");
        let drain = error(|config| config.timeouts.drain = Duration::MAX);
        assert!(drain.ends_with("; allowed is 0 to 86400"), "{drain}");
    }

    #[test]
    fn each_timeout_option_reads_the_field_that_it_sets() {
        let default = Timeouts::default();
        for option in Timeouts::OPTIONS {
            let mut timeouts = default.clone();
            (option.set)(&mut timeouts, Duration::from_secs(7));
            for other in Timeouts::OPTIONS {
                let expected = if other.name == option.name {
                    Duration::from_secs(7)
                } else {
                    (other.get)(&default)
                };
                assert_eq!((other.get)(&timeouts), expected, "{} {}", option.name, other.name);
            }
        }
    }
}
