//! Adds the steering of new connections to the CPU that received them; otherwise as `pinloop`.

use std::io;

use pinloop::app::App;
use pinloop::{Config, Steer};

use super::Ready;
use super::common::Settings;
use super::pinloop::config;

/// On loopback that is the CPU of the client. Behind a network card it is the CPU of the queue.
pub(super) fn serve(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rounds = settings.rounds;
    let config = Config { steer: Steer::Cpu, ..config(settings) };
    let server = pinloop::start(&config, move |_| App::new(rounds)).map_err(io::Error::other)?;
    ready(server.addr());
    server.join().map(drop)
}
