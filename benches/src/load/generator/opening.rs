//! The connections of a generator: opened at its start, and looked after between runs.

use std::io;
use std::time::Duration;

use mio::{Events, Interest, Token};

use super::{EVENTS_MAX, Generator, TIMER};
use crate::load::clock::{now_ns, wait};
use crate::load::connection::Received;
use crate::load::conntrack;
use crate::load::errors::{Fault, LoadError};
use crate::load::pace::as_ns;
use crate::load::run::{CHECK_EVERY, Tally};
use crate::load::source;

/// Maximum number of connections being opened at once: well below the backlog of any server.
const OPENING_MAX: usize = 128;

impl Generator {
    /// Begins to open a connection.
    pub(super) fn open(&mut self, index: usize) -> Result<(), Fault> {
        let nth = self.part.number(self.connects);
        self.connects += 1;
        let mut stream = source::connect(self.server, nth).map_err(Fault::connecting)?;
        // Once, for both, edge-triggered: no epoll_ctl after that.
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(index), interest)
            .map_err(Fault::connecting)?;
        self.connections[index].open(stream);
        Ok(())
    }

    /// Opens all connections, up to [`OPENING_MAX`] at a time.
    pub(super) fn open_all(&mut self) -> Result<(), LoadError> {
        let addr = self.server;
        let failed = |reason: String| LoadError::Connect { addr, reason };
        let mut events = Events::with_capacity(EVENTS_MAX);
        let (mut begun, mut opened) = (0, 0);
        let mut progress_at = now_ns();
        while opened < self.connections.len() {
            while begun < self.connections.len() && begun - opened < OPENING_MAX {
                self.open(begun).map_err(|fault| failed(fault.to_string()))?;
                begun += 1;
            }
            wait(&mut self.poll, &mut events, CHECK_EVERY)?;
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if let Some(confirmed) = connection.confirm() {
                    confirmed.map_err(|fault| failed(fault.to_string()))?;
                    opened += 1;
                    progress_at = now_ns();
                }
                if event.is_read_closed() {
                    // Closed again already, which a server may do to an idle connection.
                    drop(connection.close());
                }
            }
            if now_ns() - progress_at > as_ns(self.timeout) {
                let all = self.connections.len();
                let reason = format!(
                    "it took {opened} of {all} connections, and no more for {:?}{}",
                    self.timeout,
                    conntrack::reason_for_silence()
                );
                return Err(failed(reason));
            }
        }
        Ok(())
    }

    /// Handles what happened to idle connections since the last run.
    ///
    /// A server may close idle connections. They are closed here too, and opened again when they
    /// are needed.
    pub(super) fn catch_up(&mut self) -> io::Result<()> {
        let mut unheeded = Tally::new(None);
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            wait(&mut self.poll, &mut events, Duration::ZERO)?;
            if events.is_empty() {
                return Ok(());
            }
            for event in events.iter().filter(|event| event.token() != TIMER) {
                let connection = &mut self.connections[event.token().0];
                let received = connection.receive(&mut self.inbox, true, 0, &mut unheeded);
                if !matches!(received, Ok(Received::Waiting)) {
                    drop(connection.close());
                }
            }
        }
    }
}
