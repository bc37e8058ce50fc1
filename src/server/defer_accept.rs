//! `TCP_DEFER_ACCEPT` (tcp(7)), which neither std nor socket2 sets on a listener.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::libc::{self, IPPROTO_TCP, TCP_DEFER_ACCEPT};
use nix::sys::socket::setsockopt;
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};

sockopt_impl!(
    /// Seconds that the kernel waits for the first bytes of a connection before it lets the
    /// connection be accepted. The kernel rounds up to the time of some retransmission.
    DeferAccept,
    Both,
    IPPROTO_TCP,
    TCP_DEFER_ACCEPT,
    i32
);

/// Has the kernel hold back connections without bytes for about `time`, at least a second.
///
/// # Errors
/// If the kernel refuses it.
pub(super) fn defer_accept(listener: &impl AsFd, time: Duration) -> io::Result<()> {
    let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX).max(1);
    setsockopt(listener, DeferAccept, &seconds)
        .map_err(|error| io::Error::other(format!("TCP_DEFER_ACCEPT: {}", error.desc())))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use nix::sys::socket::getsockopt;

    use super::*;

    #[test]
    fn the_kernel_rounds_up_to_the_time_of_a_retransmission() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        defer_accept(&listener, Duration::from_millis(10)).unwrap();
        assert_eq!(getsockopt(&listener, DeferAccept).unwrap(), 1);
        defer_accept(&listener, Duration::from_secs(10)).unwrap();
        assert_eq!(getsockopt(&listener, DeferAccept).unwrap(), 15);
    }
}
