//! Listening sockets: from socket activation, from the process before this one, or new ones.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use log::debug;
use pinloop::{Listeners, StartError};

use crate::cli::{self, Arguments};
use crate::takeover::{self, Inherited, Sockets};

/// Queue of each new socket: see [`pinloop::Config::backlog`].
const BACKLOG: u32 = 1024;

/// Name of the sockets for `--admin-addr` in `LISTEN_FDNAMES`. All others are those of `--addr`.
const ADMIN_NAME: &str = "admin";

/// The sockets that this process has got from outside.
#[derive(Default)]
pub(crate) struct Given {
    sockets: Sockets,
    /// They replace `--addr` and `--admin-addr`.
    are_activated: bool,
    inherited: Option<Inherited>,
}

/// Looks for sockets that this process has been given.
///
/// # Errors
/// If something in `LISTEN_FDS` is not a TCP socket, or the process at `--takeover` does not
/// answer as it should.
pub(crate) fn find(arguments: &Arguments) -> Result<Given, Box<dyn Error>> {
    let sockets = activated()?;
    if !sockets.public.is_empty() || !sockets.admin.is_empty() {
        let (public, admin) = (sockets.public.len(), sockets.admin.len());
        debug!("chosen: {public} activated sockets for clients, {admin} for operators");
        return Ok(Given { sockets, are_activated: true, inherited: None });
    }
    let Some(path) = &arguments.takeover else { return Ok(Given::default()) };
    let inherited = takeover::ask(path).map_err(|error| {
        cli::refuse(format_args!("cannot take over at {}: {error}", path.display()))
    })?;
    let mut given = Given { inherited, ..Given::default() };
    if let Some(inherited) = &mut given.inherited {
        given.sockets = std::mem::take(&mut inherited.sockets);
        let (public, admin) = (given.sockets.public.len(), given.sockets.admin.len());
        debug!("chosen: took over {public} sockets for clients, {admin} for operators");
    }
    Ok(given)
}

/// Returns the sockets of `LISTEN_FDS` (sd_listen_fds(3)).
fn activated() -> io::Result<Sockets> {
    // Before the sockets, because listenfd may remove the variables.
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut fds = ListenFd::from_env();
    let mut sockets = Sockets::default();
    for at in 0..fds.len() {
        let name = names.split(':').nth(at).unwrap_or_default();
        let taken = fds.take_tcp_listener(at).map_err(|error| {
            io::Error::other(format!("socket {at} '{name}' of LISTEN_FDS is unusable: {error}"))
        })?;
        match name {
            ADMIN_NAME => sockets.admin.extend(taken),
            _ => sockets.public.extend(taken),
        }
    }
    Ok(sockets)
}

impl Given {
    /// Reports whether there are activated sockets for operators.
    pub(crate) fn has_admin(&self) -> bool {
        self.are_activated && !self.sockets.admin.is_empty()
    }

    /// Returns the sockets for clients: those that were given, or `count` new ones on `addr`.
    pub(crate) fn public(
        &mut self,
        addr: SocketAddr,
        count: usize,
    ) -> Result<Listeners, StartError> {
        let given = std::mem::take(&mut self.sockets.public);
        self.choose(given, Some(addr), count)
    }

    /// Returns the sockets for operators, or one new socket on `addr`.
    pub(crate) fn admin(&mut self, addr: Option<SocketAddr>) -> Result<Listeners, StartError> {
        let given = std::mem::take(&mut self.sockets.admin);
        self.choose(given, addr, 1)
    }

    fn choose(
        &self,
        given: Vec<TcpListener>,
        addr: Option<SocketAddr>,
        count: usize,
    ) -> Result<Listeners, StartError> {
        let is_meant = |socket: &TcpListener| {
            self.are_activated
                || socket.local_addr().is_ok_and(|own| addr.is_some_and(|addr| is_at(own, addr)))
        };
        let given: Vec<TcpListener> = given.into_iter().filter(is_meant).collect();
        match addr {
            Some(addr) if given.is_empty() => Listeners::bind(addr, BACKLOG, count)
                .map_err(|error| StartError::Listen(addr, error)),
            _ => Listeners::inherit(given).map_err(StartError::Io),
        }
    }

    /// Tells the process before this one, if there is one, that this one serves.
    pub(crate) fn confirm(&mut self) {
        if let Some(inherited) = self.inherited.take() {
            inherited.confirm();
        }
    }
}

/// Reports whether a socket at `own` serves an address that was asked for. Port 0 stands for any
/// port.
fn is_at(own: SocketAddr, addr: SocketAddr) -> bool {
    own == addr || addr.port() == 0 && own.ip() == addr.ip()
}
