//! The options of the command line, and the settings that they make.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use clap::Parser;
use clap_complete::Shell;
use pinloop::app::DEFAULT_ROUNDS;
use pinloop::http::Limits;
use pinloop::{
    Address, Balance, ClientHeader, Config, LogFormat, Metrics, Networks, Rate, Steer, Trust,
    UnixSocket, WhenFull,
};

use super::help::AFTER_HELP;
use super::timeouts::TimeoutArgs;
use super::values::{CpuList, group, mode, number, user};
use crate::health::HealthUrl;

/// Heading of the options that print something and exit.
pub(super) const DOCUMENTS: &str = "Checks, completions and manual";

/// A small HTTP/1.1 server: one pinned thread, event loop and listener for each CPU
///
/// Serves GET / and /echo, POST /echo (returns the body) and GET /data (returns the result
/// of CPU-bound work).
#[derive(Clone, Debug, Parser)]
#[command(name = "pinloop", version, after_long_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    /// TOML file with the names of the options, such as max-connections = 500. The command line
    /// and the environment come before it. SIGHUP reads it again
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,
    /// Unix socket at which a successor asks for the listening sockets. A process that starts with
    /// the same path takes them over, and the one before it drains. No connection is refused
    #[arg(long, value_name = "PATH", help_heading = "Address and threads")]
    pub(crate) takeover: Option<PathBuf>,
    /// Ask for this page and exit, with 0 if its status is 2xx and with 1 otherwise, such as
    /// http://127.0.0.1:9090/readyz
    #[arg(long, value_name = "URL", help_heading = DOCUMENTS)]
    pub(crate) check: Option<HealthUrl>,
    /// Check the options, the environment and the configuration file, and exit
    #[arg(long, help_heading = DOCUMENTS)]
    pub(crate) check_config: bool,
    /// Address to listen on; port 0 picks a free port. unix:PATH is a Unix socket
    #[arg(long, value_name = "IP:PORT|unix:PATH", help_heading = "Address and threads")]
    #[arg(default_value_t = Config::default().addr.into())]
    pub(crate) addr: Address,
    /// Octal mode of the files of Unix sockets; connecting needs the permission to write
    #[arg(long, value_name = "MODE", help_heading = "Address and threads", default_value = "660")]
    #[arg(value_parser = mode)]
    pub(super) unix_mode: u32,
    /// User that the files of Unix sockets belong to, by name or number [default: the user of the
    /// process]
    #[arg(long, value_name = "USER", help_heading = "Address and threads", value_parser = user)]
    pub(super) unix_user: Option<u32>,
    /// Group that the files of Unix sockets belong to, by name or number [default: the group of the
    /// process]
    #[arg(long, value_name = "GROUP", help_heading = "Address and threads", value_parser = group)]
    pub(super) unix_group: Option<u32>,
    /// Number of threads [default: one for each available CPU, within the CPU quota of the
    /// cgroup]
    #[arg(long, value_name = "N", help_heading = "Address and threads")]
    #[arg(value_parser = number(Config::THREADS))]
    threads: Option<usize>,
    /// Choice of the thread for a new connection: the kernel's hash, or the thread with the fewest
    /// connections, which costs a wake-up of that thread for each connection that changes over
    #[arg(long, value_name = "BY", help_heading = "Address and threads", default_value = "kernel")]
    balance: Balance,
    /// Choice of the listener for a new connection: a hash of its addresses and ports, or the CPU that
    /// has received it, if a thread is pinned to that CPU
    #[arg(long, value_name = "BY", help_heading = "Address and threads", default_value = "hash")]
    steer: Steer,
    /// Accept a connection once its first bytes have arrived, and read at once: cheaper where a
    /// connection has one request. Until then the kernel keeps the connection, for about the
    /// head timeout; it counts for no limit, and is lost when the server stops
    #[arg(long, help_heading = "Address and threads")]
    defer_accept: bool,
    /// CPUs to pin the threads to, such as 0,2-3 [default: the available CPUs]
    #[arg(long, value_name = "LIST", help_heading = "Address and threads")]
    cores: Option<CpuList>,
    /// Pin each thread to a CPU. Without this option and --no-pin, threads are pinned if
    /// --cores is given or there is one for each available CPU
    #[arg(long, help_heading = "Address and threads")]
    pub(super) pin: bool,
    /// Leave the placement of the threads to the scheduler
    #[arg(long, help_heading = "Address and threads")]
    pub(super) no_pin: bool,
    /// Networks of the proxies that are trusted to name their clients, such as
    /// 10.0.0.0/8,2001:db8::/32; unix stands for all peers of Unix sockets. Rate limits, logs and services then see these clients [default:
    /// none]
    #[arg(long, value_name = "CIDR,...", help_heading = "Behind a proxy")]
    trust: Option<Networks>,
    /// Header in which the trusted proxies name the client. The other one is ignored, because a
    /// proxy passes it on as the client has sent it
    #[arg(long, value_name = "HEADER", help_heading = "Behind a proxy")]
    #[arg(default_value = "x-forwarded-for")]
    client_header: ClientHeader,
    /// Require the PROXY protocol, version 1 or 2, on connections of trusted proxies
    #[arg(long, help_heading = "Behind a proxy")]
    proxy_protocol: bool,
    /// Rounds of the work function for each GET /data; 100 rounds take some 8 microseconds
    #[arg(long, value_name = "ROUNDS", help_heading = "Work of GET /data")]
    #[arg(default_value_t = DEFAULT_ROUNDS, value_parser = number(0..=u32::MAX))]
    pub(crate) work: u32,
    /// Number of threads for GET /data?offload; 0 disables them [default: one for each CPU
    /// that the event loops leave free, at least 1]
    #[arg(long, value_name = "N", help_heading = "Work of GET /data")]
    #[arg(value_parser = number(0..=*Config::THREADS.end()))]
    pub(crate) workers: Option<usize>,
    /// File that gets a line for each request; - is standard output. SIGHUP reopens it
    #[arg(long, value_name = "FILE|-", help_heading = "Logs and metrics")]
    pub(crate) access_log: Option<PathBuf>,
    /// Format of the access log
    #[arg(long, value_name = "FORMAT", help_heading = "Logs and metrics", default_value = "json")]
    pub(crate) access_log_format: LogFormat,
    /// Count events and serve the counters at GET /metrics to all clients
    #[arg(long, help_heading = "Logs and metrics")]
    metrics: bool,
    /// Address that serves GET /metrics, /healthz and /readyz, on a thread of its own, also while
    /// --addr is full. Its requests are neither limited nor logged [default: none]
    #[arg(long, value_name = "IP:PORT|unix:PATH", help_heading = "Logs and metrics")]
    pub(crate) admin_addr: Option<Address>,
    /// Give the metrics of each thread a series of its own, instead of their sum
    #[arg(long, help_heading = "Logs and metrics")]
    metrics_by_core: bool,
    /// Rate of requests for each client address, such as 100/s or 6000/m; requests beyond it
    /// get 429. An IPv6 client is its /64 network
    #[arg(long, value_name = "RATE", help_heading = "Rate limits")]
    pub(crate) rate_limit: Option<Rate>,
    /// Requests that each client may send at once after a pause [default: the rate's
    /// requests of 20 ms, at least 20]
    #[arg(long, value_name = "N", help_heading = "Rate limits")]
    #[arg(value_parser = number(NonZeroU32::MIN..=NonZeroU32::MAX))]
    pub(crate) rate_limit_burst: Option<NonZeroU32>,
    /// Rate of requests for all clients together; requests beyond it get 429
    #[arg(long, value_name = "RATE", help_heading = "Rate limits")]
    pub(crate) rate_limit_total: Option<Rate>,
    /// Requests that all clients together may send at once after a pause [default: the
    /// rate's requests of 20 ms, at least 20]
    #[arg(long, value_name = "N", help_heading = "Rate limits")]
    #[arg(value_parser = number(NonZeroU32::MIN..=NonZeroU32::MAX))]
    pub(crate) rate_limit_total_burst: Option<NonZeroU32>,
    /// Maximum bytes of a request's head; a longer head gets 431, a longer target 414
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    #[arg(default_value_t = Limits::default().head_bytes_max, value_parser = number(Config::HEAD_BYTES))]
    max_head_bytes: usize,
    /// Maximum number of headers of a request; more get 431
    #[arg(long, value_name = "N", help_heading = "Limits")]
    #[arg(default_value_t = Limits::default().headers_max, value_parser = number(Config::HEADERS))]
    max_headers: usize,
    /// Maximum bytes of a body that is collected in memory; a longer body gets 413. POST
    /// /echo streams its body without a limit
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    #[arg(default_value_t = Limits::default().body_bytes_max, value_parser = number(0..=u64::MAX))]
    max_body_bytes: u64,
    /// Maximum bytes of unfinished requests and unsent responses, over all connections; a
    /// request that exceeds it gets 503. If it is given, half of it may hold responses of clients
    /// that send a whole body before they read [default: a quarter of the memory of the cgroup or the
    /// machine, 16 MiB to 1 GiB]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    #[arg(value_parser = number(Config::HEAD_BYTES.start().to_owned()..=usize::MAX))]
    max_buffered_bytes: Option<usize>,
    /// Maximum number of open connections
    #[arg(long, value_name = "N", help_heading = "Limits")]
    #[arg(default_value_t = Config::default().connections_max, value_parser = number(Config::CONNECTIONS))]
    max_connections: usize,
    /// Maximum number of open connections of each client address; more get 503. An IPv6 client
    /// is its /64 network [default: no limit]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    #[arg(value_parser = number(NonZeroUsize::MIN..=NonZeroUsize::MAX))]
    max_connections_per_client: Option<NonZeroUsize>,
    /// Treatment of more connections
    #[arg(long, value_name = "POLICY", help_heading = "Limits", default_value = "shed")]
    when_full: WhenFull,
    #[command(flatten)]
    timeouts: TimeoutArgs,
    /// Print a completion script for this shell and exit
    #[arg(long, value_name = "SHELL", help_heading = DOCUMENTS)]
    pub(super) completions: Option<Shell>,
    /// Print the manual page in roff format and exit
    #[arg(long, help_heading = DOCUMENTS)]
    pub(super) man: bool,
    /// Name and value of each option as text, to tell what has changed.
    #[arg(skip)]
    pub(crate) values: Vec<(String, String)>,
}

/// A rate, and its burst if that is not the default.
type RateAndBurst = Option<(Rate, Option<NonZeroU32>)>;

impl Arguments {
    /// Reports whether clients may read the metrics.
    pub(crate) fn has_public_metrics(&self) -> bool {
        self.metrics
    }

    /// Returns the rates and bursts for each client and for all clients.
    pub(crate) fn rates(&self) -> (RateAndBurst, RateAndBurst) {
        let per_client = self.rate_limit.map(|rate| (rate, self.rate_limit_burst));
        let total = self.rate_limit_total.map(|rate| (rate, self.rate_limit_total_burst));
        (per_client, total)
    }

    /// Reports whether the access log goes to standard output.
    pub(crate) fn logs_to_stdout(&self) -> bool {
        self.access_log.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// Returns the Unix socket at `path` as the options want it.
    pub(crate) fn unix_socket(&self, path: &Path) -> UnixSocket {
        UnixSocket {
            path: path.into(),
            mode: self.unix_mode,
            user: self.unix_user,
            group: self.unix_group,
        }
    }

    /// Reports whether an address is that of a Unix socket.
    pub(super) fn has_unix(&self) -> bool {
        self.addr.is_unix() || self.admin_addr.as_ref().is_some_and(Address::is_unix)
    }

    /// Makes counters as the options want them.
    pub(crate) fn new_metrics(&self) -> Metrics {
        let metrics = Metrics::default();
        if self.metrics_by_core { metrics.by_core() } else { metrics }
    }

    /// Returns the server's settings, without the access log.
    pub(crate) fn config(&self) -> Config {
        let default = Config::default();
        Config {
            // A Unix socket is bound by its options.
            addr: match self.addr {
                Address::Ip(addr) => addr,
                Address::Unix(_) => default.addr,
            },
            threads: self.threads.and_then(NonZeroUsize::new),
            cores: self.cores.clone().map(|list| list.0),
            pin: (self.pin || self.no_pin).then_some(self.pin),
            balance: self.balance,
            steer: self.steer,
            defer_accept: self.defer_accept,
            connections_max: self.max_connections,
            connections_per_client_max: self.max_connections_per_client,
            buffered_bytes_max: self.max_buffered_bytes.unwrap_or(default.buffered_bytes_max),
            // Who gives the server memory for this has it used.
            unread_bytes_max: self.max_buffered_bytes.unwrap_or(default.unread_bytes_max),
            when_full: self.when_full,
            trust: self.trust.clone().map(|networks| Trust::new(networks, self.client_header)),
            proxy_protocol: self.proxy_protocol,
            limits: Limits {
                head_bytes_max: self.max_head_bytes,
                headers_max: self.max_headers,
                body_bytes_max: self.max_body_bytes,
                ..Limits::default()
            },
            timeouts: self.timeouts.0.clone(),
            metrics: (self.metrics || self.admin_addr.is_some()).then(|| self.new_metrics()),
            ..default
        }
    }
}
