//! State that the connections of one event loop share.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::batch::Batch;
use crate::config::Config;
use crate::http::{Context, Date, Peer, Recorder, ResponseSink};
use crate::ops::access_log::{AccessLog, CoreLog};
use crate::ops::metrics::{CoreMetrics, Metrics};

/// Size of one read in bytes, beyond what a response may fill the output with: 64 KiB, which a
/// loopback segment holds.
const READ_BYTES: usize = 64 * 1024;

/// Size above which the output buffer is given back to the allocator, in bytes.
const OUTPUT_BYTES_KEPT: usize = 256 * 1024;

/// The service of a loop, and the buffers that its connections take turns with.
pub(super) struct LoopState<S> {
    pub(super) service: S,
    /// One read goes here.
    pub(super) input: Vec<u8>,
    /// Responses: first those of the batch, then those of the connection that has its turn.
    pub(super) output: Vec<u8>,
    pub(super) batch: Batch,
    pub(super) env: Environment,
}

/// Everything that a turn depends on besides bytes.
pub(super) struct Environment {
    pub(super) config: Config,
    pub(super) date: Date,
    date_until: Instant,
    /// Time of the wake-up.
    pub(super) now: Instant,
    pub(super) draining: bool,
    /// Connections close once they are idle.
    pub(super) closes_idle: bool,
    pub(super) sink: Arc<dyn ResponseSink>,
    pub(super) metrics: Option<Arc<CoreMetrics>>,
    pub(super) log: Option<CoreLog>,
    /// Memory that all connections of the loop hold, in bytes.
    pub(super) buffered_bytes: usize,
}

impl<S> LoopState<S> {
    pub(super) fn new(
        service: S,
        config: Config,
        sink: Arc<dyn ResponseSink>,
        now: Instant,
    ) -> LoopState<S> {
        // A read takes the head and the body of a large request at once.
        let input_bytes = config.limits.output_bytes_high.max(config.limits.head_bytes_max);
        LoopState {
            service,
            input: vec![0; input_bytes.min(READ_BYTES) + READ_BYTES],
            output: Vec::new(),
            batch: Batch::new(config.send_batch_max, config.limits.output_bytes_high, now),
            env: Environment {
                date: Date::at(SystemTime::now()),
                date_until: now,
                now,
                draining: false,
                closes_idle: false,
                sink,
                metrics: config.metrics.as_ref().map(Metrics::add_core),
                log: config.access_log.as_ref().map(|log: &AccessLog| log.core(now)),
                buffered_bytes: 0,
                config,
            },
        }
    }

    /// Applies the settings that can change while the loop runs.
    pub(super) fn apply(&mut self, config: Config) {
        let own = &mut self.env.config;
        own.limits = config.limits;
        own.timeouts = config.timeouts;
        own.connections_max = config.connections_max;
        own.connections_per_client_max = config.connections_per_client_max;
        own.buffered_bytes_max = config.buffered_bytes_max;
        own.when_full = config.when_full;
        own.trust = config.trust;
        own.proxy_protocol = config.proxy_protocol;
    }

    /// Empties the output, but for the batch.
    pub(super) fn clear_output(&mut self) {
        self.output.truncate(self.batch.end());
        if self.output.capacity() > OUTPUT_BYTES_KEPT {
            self.output.shrink_to(OUTPUT_BYTES_KEPT);
        }
    }
}

impl Environment {
    /// Sets the time and, once a second, the date.
    #[inline]
    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = now;
        if let Some(log) = &self.log {
            log.begin_wakeup(now);
        }
        if now >= self.date_until {
            self.update_date();
        }
    }

    #[cold]
    fn update_date(&mut self) {
        let date = SystemTime::now();
        self.date.update(date);
        let into_second = date.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        self.date_until =
            self.now + Duration::from_secs(1) - Duration::from_nanos(into_second.into());
    }

    #[inline]
    pub(super) fn context<'a>(&'a self, connection_id: u64, client: &'a Peer) -> Context<'a> {
        Context {
            limits: &self.config.limits,
            date: &self.date,
            draining: self.draining,
            requests_max: u32::MAX,
            sink: Some(&self.sink),
            connection_id,
            peer: Some(client),
            counters: self.metrics.as_ref().map(|metrics| &metrics.counters),
            recorder: self.log.as_ref().map(|log| log as &dyn Recorder),
        }
    }

    #[inline]
    pub(super) fn count(&self, add: impl FnOnce(&CoreMetrics)) {
        if let Some(metrics) = &self.metrics {
            add(metrics);
        }
    }
}
