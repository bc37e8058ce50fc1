//! Adds the passing of new connections to the core with the fewest; otherwise as `pinloop`.

use std::io;

use pinloop::app::App;
use pinloop::{Balance, Config};

use super::Ready;
use super::common::Settings;
use super::pinloop::config;

/// Each loop counts its connections, and a new one costs a wake-up if it is passed on.
pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rounds = settings.rounds;
    let config = Config { balance: Balance::Connections, ..config(settings) };
    let server = pinloop::start(&config, move |_| App::new(rounds)).map_err(io::Error::other)?;
    ready(server.addr());
    server.join().map(drop)
}
