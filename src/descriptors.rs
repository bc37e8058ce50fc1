//! The file descriptors of the process, and the limit of their number.

use pinloop::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Maximum number of connections to the address for operators. 64: a few Prometheus servers and
/// load balancers.
pub(crate) const ADMIN_CONNECTIONS: usize = 64;

/// Descriptors of the process itself: standard streams, logs and signals.
const OF_PROCESS: usize = 16;

/// Descriptors for refused connections that are still open.
const OF_REFUSED: usize = 64;

/// Descriptors of each thread: its listener, epoll, waker and reserved descriptor.
const OF_THREAD: usize = 4;

/// Raises the limit of open files to what the connections of `config`, its `threads` and the
/// process need, as far as the hard limit allows.
///
/// If that is not enough and there is an address for operators, lowers the number of connections,
/// so that the operators' connections find descriptors.
pub(crate) fn allow(config: &mut Config, threads: usize, has_admin: bool) {
    let admin = if has_admin { ADMIN_CONNECTIONS + OF_THREAD } else { 0 };
    let others = threads * OF_THREAD + OF_PROCESS + admin;
    let connections = config.connections_max;
    let limit = getrlimit(Resource::Nofile);
    let needed = connections.saturating_add(others + OF_REFUSED) as u64;
    let mut current = limit.current.unwrap_or(u64::MAX);
    let raised = needed.min(limit.maximum.unwrap_or(u64::MAX));
    let new = Rlimit { current: Some(raised), maximum: limit.maximum };
    if raised > current && setrlimit(Resource::Nofile, new).is_ok() {
        current = raised;
    }
    if current >= needed {
        return;
    }
    if has_admin {
        let fit = (current as usize).saturating_sub(others + OF_REFUSED).max(1);
        config.connections_max = fit;
        log::warn!(
            "--max-connections is {fit} instead of {connections}, because the limit of open \
             files is {current} and --admin-addr keeps {ADMIN_CONNECTIONS} of them; raise it \
             (ulimit -n)"
        );
    } else {
        let fit = current.saturating_sub(others as u64);
        log::warn!(
            "{fit} of at most {connections} connections fit into the limit of {current} open \
             files; raise it (ulimit -n), or lower --max-connections"
        );
    }
}
