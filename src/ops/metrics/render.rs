//! Renders the counters as OpenMetrics text with prometheus-client.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{BUCKETS, CoreMetrics, ERROR_KINDS, Metrics, ProcessCounter, lock};
use crate::http::{Counter, Rejection};
use crate::server::timeouts::TimeoutKind;

impl Metrics {
    /// Returns all counters as OpenMetrics 1.0 text, which Prometheus reads. Its content type
    /// is `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    ///
    /// ```
    /// let text = pinloop::Metrics::default().render();
    /// assert!(text.ends_with("# EOF\n"));
    /// ```
    pub fn render(&self) -> String {
        let mut registry = Registry::default();
        let (cores, others) = (lock(&self.cores).clone(), lock(&self.others).clone());
        registry.register_collector(Box::new(Cores { cores, others }));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("a String takes every write");
        text
    }
}

struct Cores {
    cores: Vec<Arc<CoreMetrics>>,
    others: Vec<ProcessCounter>,
}

// `Collector` requires Debug, but the registry never prints a collector.
impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cores").finish_non_exhaustive()
    }
}

type Read = fn(&CoreMetrics) -> u64;

impl Collector for Cores {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plain: [(&str, &str, Option<&Unit>, Read); 6] = [
            ("connections_accepted", "Connections accepted", None, |core| core.accepted.get()),
            ("connections_closed", "Connections closed", None, |core| core.closed.get()),
            ("connections_evicted", "Idle connections closed to make room", None, |core| {
                core.evicted.get()
            }),
            ("received", "Bytes read from clients", Some(&Unit::Bytes), |core| {
                core.received_bytes.get()
            }),
            ("sent", "Bytes written to clients", Some(&Unit::Bytes), |core| core.sent_bytes.get()),
            (
                "wakeups",
                "Wake-ups of the event loop; requests divided by wake-ups is the batch size",
                None,
                |core| core.wakeups.get(),
            ),
        ];
        for (name, help, unit, read) in plain {
            let series = self.each().map(|(thread, core)| ([("thread", thread)], read(core)));
            counter(&mut encoder, name, help, unit, series)?;
        }
        let shed = self.labeled("for_want_of", |core| {
            let at_limit = core.shed_at_limit.get();
            vec![("room", at_limit), ("descriptors", core.shed_without_descriptor.get())]
        });
        counter(&mut encoder, "connections_shed", "Connections refused", None, shed)?;
        let by_status = self.labeled("status", |core| {
            let of = |class: usize| core.counters.responses[class].get();
            vec![("2xx", of(2)), ("3xx", of(3)), ("4xx", of(4)), ("5xx", of(5))]
        });
        counter(&mut encoder, "requests", "Requests answered", None, by_status)?;
        let timeouts = |core: &CoreMetrics| named(&TimeoutKind::NAMES, &core.timeouts);
        let timeouts = self.labeled("waiting_for", timeouts);
        counter(&mut encoder, "timeouts", "Connections ended by a timeout", None, timeouts)?;
        let names = Rejection::ALL.map(Rejection::name);
        let rejections = self.labeled("reason", |core| named(&names, &core.counters.rejections));
        counter(&mut encoder, "rejections", "Requests refused by the server", None, rejections)?;
        let errors = self.labeled("kind", |core| named(&ERROR_KINDS, &core.errors));
        counter(&mut encoder, "connection_errors", "Socket errors", None, errors)?;
        let active = |core: &CoreMetrics| core.accepted.get().saturating_sub(core.closed.get());
        self.gauge(&mut encoder, "connections_active", "Open connections", None, active)?;
        let help = "Longest time that one wake-up has blocked its loop";
        let longest = |core: &CoreMetrics| seconds(core.busy_longest_ns.get());
        self.gauge(&mut encoder, "loop_held_longest", help, Some(&Unit::Seconds), longest)?;
        for (name, help, count) in &self.others {
            let name = format!("pinloop_{name}");
            encoder
                .encode_descriptor(&name, help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, u64>(&count.load(Ordering::Relaxed), None)?;
        }
        self.encode_durations(&mut encoder)
    }
}

impl Cores {
    fn each(&self) -> impl Iterator<Item = (usize, &CoreMetrics)> {
        self.cores.iter().map(|core| &**core).enumerate()
    }

    /// Returns the series of each core with one more label.
    fn labeled<'a>(
        &'a self,
        label: &'static str,
        values: impl Fn(&CoreMetrics) -> Vec<(&'static str, u64)> + 'a,
    ) -> impl Iterator<Item = ([(&'static str, String); 2], u64)> + 'a {
        self.each().flat_map(move |(thread, core)| {
            let labels =
                move |name: &str| [("thread", thread.to_string()), (label, name.to_string())];
            values(core).into_iter().map(move |(name, value)| (labels(name), value))
        })
    }

    fn gauge<V: EncodeGaugeValue>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        read: fn(&CoreMetrics) -> V,
    ) -> fmt::Result {
        let name = format!("pinloop_{name}");
        let mut family = encoder.encode_descriptor(&name, help, unit, MetricType::Gauge)?;
        for (thread, core) in self.each() {
            family.encode_family(&[("thread", thread)])?.encode_gauge(&read(core))?;
        }
        Ok(())
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help =
            "Time from the wake-up that completed a request to the last response of that wake-up";
        let name = "pinloop_request_duration";
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for (thread, core) in self.each() {
            let bound = |bucket: usize| seconds(1_024 << bucket);
            let mut buckets: Vec<(f64, u64)> =
                (0..BUCKETS).map(|bucket| (bound(bucket), core.durations[bucket].get())).collect();
            buckets.push((f64::INFINITY, core.durations_beyond.get()));
            let count = buckets.iter().map(|(_, count)| count).sum();
            let sum = seconds(core.durations_sum_ns.get());
            family
                .encode_family(&[("thread", thread)])?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

fn counter<const N: usize, V>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    series: impl Iterator<Item = ([(&'static str, V); N], u64)>,
) -> fmt::Result
where
    [(&'static str, V); N]: prometheus_client::encoding::EncodeLabelSet,
{
    let name = format!("pinloop_{name}");
    let mut family = encoder.encode_descriptor(&name, help, unit, MetricType::Counter)?;
    for (labels, value) in series {
        family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
    }
    Ok(())
}

fn named<const N: usize>(
    names: &[&'static str; N],
    counters: &[Counter; N],
) -> Vec<(&'static str, u64)> {
    names.iter().copied().zip(counters.iter().map(Counter::get)).collect()
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
