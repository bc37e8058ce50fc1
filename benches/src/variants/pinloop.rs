//! Adds HTTP: this project's core, with every check, limit and timeout; otherwise as
//! `floor_batched`.

use std::io;

use pinloop::Config;
use pinloop::app::App;

use super::Ready;
use super::common::{BACKLOG, Settings};

/// The library starts the pinned threads, and binds their listeners, by itself.
pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rounds = settings.rounds;
    let server =
        pinloop::start(&config(settings), move |_| App::new(rounds)).map_err(io::Error::other)?;
    ready(server.addr());
    server.join().map(drop)
}

/// Returns the library's defaults with what every rung is told.
pub(super) fn config(settings: &Settings) -> Config {
    let defaults = Config::default();
    Config {
        addr: settings.address,
        cores: Some(settings.cores.clone()),
        backlog: BACKLOG.into(),
        connections_max: defaults.connections_max.max(settings.connections),
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_the_default_raise_the_limit_and_fewer_do_not_lower_it() {
        let admitted = |connections| {
            let address = ([127, 0, 0, 1], 0).into();
            config(&Settings { address, cores: vec![0], rounds: 1, connections }).connections_max
        };
        assert_eq!(admitted(15_000), 15_000);
        assert_eq!(admitted(0), Config::default().connections_max);
    }
}
