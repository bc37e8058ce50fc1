//! The metrics of the binary that are not those of an event loop.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use pinloop::app::App;
use pinloop::{Config, RateLimiter};

use crate::diagnostics::Diagnostics;

/// Adds the figures of the logs, the limits, the workers and the rate limits to the metrics, if
/// there are any.
pub(crate) fn add(
    config: &Config,
    app: &App,
    current: &Arc<Mutex<Config>>,
    limiter: Option<&Arc<ArcSwap<RateLimiter>>>,
    diagnostics: &Diagnostics,
) {
    if config.metrics.is_some() {
        add_logs(config, diagnostics);
        add_limits(config, current);
        add_phase(config);
        add_workers(config, app);
        if let Some(limiter) = limiter {
            add_refused(config, limiter);
        }
    }
}

fn add_logs(config: &Config, diagnostics: &Diagnostics) {
    let Some(metrics) = &config.metrics else { return };
    let help = "Messages that standard error did not take";
    metrics.add_counter("log_lines_dropped", help, diagnostics.dropped());
    metrics.add_counter("panics", "Panics of any thread", diagnostics.panics());
    if let Some(log) = &config.access_log {
        let help = "Lines of the access log that were dropped or could not be written";
        metrics.add_counter("access_log_lines_dropped", help, log.dropped_counter());
    }
}

/// Reads one limit.
type ReadLimit = fn(&Config) -> u64;

/// Adds the limits, so that an alert can compare a figure with its limit.
fn add_limits(config: &Config, current: &Arc<Mutex<Config>>) {
    let Some(metrics) = &config.metrics else { return };
    let per_client = |config: &Config| config.connections_per_client_max.map(NonZeroUsize::get);
    let limits: [(&str, ReadLimit); 5] = [
        ("max-connections", |config| config.connections_max as u64),
        ("max-buffered-bytes", |config| config.buffered_bytes_max as u64),
        ("max-head-bytes", |config| config.limits.head_bytes_max as u64),
        ("max-headers", |config| config.limits.headers_max as u64),
        ("max-body-bytes", |config| config.limits.body_bytes_max),
    ];
    let add = |option, read: Box<dyn Fn(&Config) -> u64 + Send + Sync>| {
        let current = current.clone();
        let help = "Limits by the name of their option";
        metrics.add_gauge("limit", help, Some(("option", option)), move || {
            read(&current.lock().unwrap_or_else(PoisonError::into_inner)) as f64
        });
    };
    limits.into_iter().for_each(|(option, read)| add(option, Box::new(read)));
    if per_client(config).is_some() {
        let read = move |config: &Config| per_client(config).unwrap_or_default() as u64;
        add("max-connections-per-client", Box::new(read));
    }
}

fn add_phase(config: &Config) {
    let Some(metrics) = &config.metrics else { return };
    let readiness = config.readiness.clone();
    let help = "0 serves, 1 is told to stop and serves on, 2 drains";
    metrics.add_gauge("drain_phase", help, None, move || f64::from(readiness.phase() as u8));
}

fn add_workers(config: &Config, app: &App) {
    let (Some(metrics), Some(workers)) = (&config.metrics, &app.workers) else { return };
    let (waiting, begun, waited) = (workers.clone(), workers.clone(), workers.clone());
    metrics.add_gauge("worker_jobs_waiting", "Jobs in the queue of the workers", None, move || {
        waiting.figures().waiting as f64
    });
    metrics.add_counter_of("worker_jobs_begun", "Jobs that a worker has begun", None, move || {
        begun.figures().begun as f64
    });
    let help = "Time in seconds that these jobs have waited in the queue";
    metrics.add_counter_of("worker_wait_seconds", help, None, move || {
        waited.figures().waited.as_secs_f64()
    });
}

fn add_refused(config: &Config, limiter: &Arc<ArcSwap<RateLimiter>>) {
    let Some(metrics) = &config.metrics else { return };
    let help = "Requests that exceeded the rate of their client or of all clients";
    let (client, total) = (limiter.clone(), limiter.clone());
    metrics.add_counter_of("limited", help, Some(("rate", "client")), move || {
        client.load().refused_by_client() as f64
    });
    metrics.add_counter_of("limited", help, Some(("rate", "total")), move || {
        total.load().refused_by_total() as f64
    });
}
