//! Listening sockets: from socket activation, from the process before this one, or new ones.

use std::error::Error;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;

use listenfd::ListenFd;
use log::debug;
use pinloop::{Address, Listeners, StartError};

use crate::cli::{self, Arguments};
use crate::takeover::{self, Inherited, SocketSet, Sockets};

/// Queue of each new socket: see [`pinloop::Config::backlog`].
const BACKLOG: u32 = 1024;

/// Name of the sockets for `--admin-addr` in `LISTEN_FDNAMES`. All others are those of `--addr`.
const ADMIN_NAME: &str = "admin";

/// The sockets that this process has got from outside.
#[derive(Default)]
pub(crate) struct Given {
    sockets: Sockets,
    inherited: Option<Inherited>,
}

/// Looks for sockets that this process has been given.
///
/// # Errors
/// If something in `LISTEN_FDS` is not a socket for streams, or the process at `--takeover` does not
/// answer as it should.
pub(crate) fn find(arguments: &Arguments) -> Result<Given, Box<dyn Error>> {
    let sockets = activated()?;
    let (public, admin) = (sockets.public.fds.len(), sockets.admin.fds.len());
    if public + admin > 0 {
        debug!("chosen: {public} activated sockets for clients, {admin} for operators");
        return Ok(Given { sockets, inherited: None });
    }
    let Some(path) = &arguments.takeover else { return Ok(Given::default()) };
    let inherited = takeover::ask(path).map_err(|error| {
        cli::refuse(format_args!("cannot take over at {}: {error}", path.display()))
    })?;
    let mut given = Given { inherited, ..Given::default() };
    if let Some(inherited) = &mut given.inherited {
        given.sockets = mem::take(&mut inherited.sockets);
        let (public, admin) = (given.sockets.public.fds.len(), given.sockets.admin.fds.len());
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
        let taken = take(&mut fds, at).map_err(|error| {
            io::Error::other(format!("socket {at} '{name}' of LISTEN_FDS is unusable: {error}"))
        })?;
        let set = if name == ADMIN_NAME { &mut sockets.admin } else { &mut sockets.public };
        set.fds.extend(taken);
        set.are_activated = true;
    }
    Ok(sockets)
}

/// Takes a socket of either kind.
fn take(fds: &mut ListenFd, at: usize) -> io::Result<Option<OwnedFd>> {
    if let Ok(taken) = fds.take_unix_listener(at) {
        return Ok(taken.map(OwnedFd::from));
    }
    Ok(fds.take_tcp_listener(at)?.map(OwnedFd::from))
}

impl Given {
    /// Reports whether there are activated sockets for clients.
    pub(crate) fn has_public(&self) -> bool {
        self.sockets.public.are_activated
    }

    /// Reports whether there are activated sockets for operators.
    pub(crate) fn has_admin(&self) -> bool {
        self.sockets.admin.are_activated
    }

    /// Reports whether the process before this one still serves on the same sockets.
    pub(crate) fn are_inherited(&self) -> bool {
        self.inherited.is_some()
    }

    /// Returns the sockets for clients: those that were given, or `count` new ones.
    pub(crate) fn public(
        &mut self,
        arguments: &Arguments,
        count: usize,
    ) -> Result<Listeners, StartError> {
        let given = mem::take(&mut self.sockets.public);
        choose(given, Some(&arguments.addr), arguments, count)
    }

    /// Returns the sockets for operators: those that were given, or a new one.
    pub(crate) fn admin(&mut self, arguments: &Arguments) -> Result<Listeners, StartError> {
        let given = mem::take(&mut self.sockets.admin);
        choose(given, arguments.admin_addr.as_ref(), arguments, 1)
    }

    /// Tells the process before this one, if there is one, that this one serves.
    pub(crate) fn confirm(&mut self) {
        if let Some(inherited) = self.inherited.take() {
            inherited.confirm();
        }
    }
}

/// Returns the sockets that were given, if they are for `address` or replace it. Otherwise binds
/// `count` new ones.
fn choose(
    given: SocketSet,
    address: Option<&Address>,
    arguments: &Arguments,
    count: usize,
) -> Result<Listeners, StartError> {
    if given.are_activated {
        return Listeners::inherit(given.fds).map_err(StartError::Io);
    }
    let is_meant = |socket: &OwnedFd| {
        Address::of(socket).is_ok_and(|own| address.is_some_and(|address| is_at(&own, address)))
    };
    let fds: Vec<OwnedFd> = given.fds.into_iter().filter(is_meant).collect();
    match address {
        Some(address) if fds.is_empty() => bind(address, arguments, count),
        _ => Listeners::take_over(fds).map_err(StartError::Io),
    }
}

/// Binds `count` sockets to an IP address, or one Unix socket.
fn bind(address: &Address, arguments: &Arguments, count: usize) -> Result<Listeners, StartError> {
    let bound = match address {
        Address::Ip(addr) => Listeners::bind(*addr, BACKLOG, count),
        Address::Unix(path) => Listeners::bind_unix(&arguments.unix_socket(path), BACKLOG),
    };
    bound.map_err(|error| StartError::Listen(address.clone(), error))
}

/// Reports whether a socket at `own` serves an address that was asked for. Port 0 stands for any
/// port.
fn is_at(own: &Address, address: &Address) -> bool {
    match (own, address) {
        (Address::Ip(own), Address::Ip(addr)) => {
            own == addr || addr.port() == 0 && own.ip() == addr.ip()
        }
        _ => own == address,
    }
}
