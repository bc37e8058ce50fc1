//! Adds metrics, an access log or a limit on requests; otherwise as `pinloop`.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;

use pinloop::app::{App, Limit};
use pinloop::{AccessLog, Config, LogFormat, Metrics, Rate, RateLimiter};

use super::Ready;
use super::common::Settings;
use super::pinloop::config;

pub(super) fn serve_metrics(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let metrics = Some(Metrics::default());
    let app = App { metrics: metrics.clone(), ..App::new(settings.rounds) };
    serve(&Config { metrics, ..config(settings) }, app, ready)
}

/// Logs to a file that costs nothing to write, so that the disk is not measured.
pub(super) fn serve_access_log(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let access_log = Some(AccessLog::file("/dev/null", LogFormat::Json)?);
    serve(&Config { access_log, ..config(settings) }, App::new(settings.rounds), ready)
}

/// Limits at a rate that no client reaches, so that only the counting is measured.
pub(super) fn serve_rate_limit(settings: &Settings, ready: Ready<'_>) -> io::Result<()> {
    let rate = (Rate::per_second(NonZeroU32::MAX), Some(NonZeroU32::MAX));
    let limiter = Arc::new(RateLimiter::new(Some(rate), None));
    let app = App { limit: Some(Limit::new(limiter)), ..App::new(settings.rounds) };
    serve(&config(settings), app, ready)
}

fn serve(config: &Config, app: App, ready: Ready<'_>) -> io::Result<()> {
    let server = pinloop::start(config, move |_| app.clone()).map_err(io::Error::other)?;
    ready(server.addr());
    server.join().map(drop)
}
