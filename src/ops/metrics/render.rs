//! The exposition, by prometheus-client.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{BUCKETS, CoreMetrics, ERROR_KINDS, Metrics};
use crate::http::{Counter, Rejection};
use crate::server::timeouts::TimeoutKind;

impl Metrics {
    /// All counters as OpenMetrics text 1.0, which Prometheus reads:
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    pub fn render(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Cores(self.lock().clone())));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("a String takes all that is written");
        text
    }
}

struct Cores(Vec<Arc<CoreMetrics>>);

// A collector has to have it, and nobody prints one.
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
            ("connections_closed", "Connections finished", None, |core| core.closed.get()),
            ("connections_evicted", "Idle connections closed to make room", None, |core| {
                core.evicted.get()
            }),
            ("received", "Bytes read from clients", Some(&Unit::Bytes), |core| {
                core.received_bytes.get()
            }),
            ("sent", "Bytes written to clients", Some(&Unit::Bytes), |core| core.sent_bytes.get()),
            (
                "wakeups",
                "Wake-ups of the event loop; requests over wake-ups is how many one brings",
                None,
                |core| core.wakeups.get(),
            ),
        ];
        for (name, help, unit, read) in plain {
            let series = self.each().map(|(thread, core)| ([("thread", thread)], read(core)));
            counter(&mut encoder, name, help, unit, series)?;
        }
        let shed = self.labelled("for_want_of", |core| {
            let at_limit = core.shed_at_limit.get();
            vec![("room", at_limit), ("descriptors", core.shed_without_descriptor.get())]
        });
        counter(&mut encoder, "connections_shed", "Connections turned away", None, shed)?;
        let by_status = self.labelled("status", |core| {
            let of = |class: usize| core.counters.responses[class].get();
            vec![("2xx", of(2)), ("3xx", of(3)), ("4xx", of(4)), ("5xx", of(5))]
        });
        counter(&mut encoder, "requests", "Requests answered", None, by_status)?;
        let timeouts = |core: &CoreMetrics| named(&TimeoutKind::NAMES, &core.timeouts);
        let timeouts = self.labelled("waiting_for", timeouts);
        counter(&mut encoder, "timeouts", "Connections ended by a timeout", None, timeouts)?;
        let names = Rejection::ALL.map(Rejection::name);
        let rejections = self.labelled("reason", |core| named(&names, &core.counters.rejections));
        counter(&mut encoder, "rejections", "Requests refused by the server", None, rejections)?;
        let errors = self.labelled("kind", |core| named(&ERROR_KINDS, &core.errors));
        counter(&mut encoder, "connection_errors", "Sockets that failed", None, errors)?;
        self.encode_active(&mut encoder)?;
        self.encode_busy(&mut encoder)?;
        self.encode_durations(&mut encoder)
    }
}

impl Cores {
    fn each(&self) -> impl Iterator<Item = (usize, &CoreMetrics)> {
        self.0.iter().map(|core| &**core).enumerate()
    }

    /// Series of each core with one more label.
    fn labelled<'a>(
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

    fn encode_active(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Connections open";
        let mut family = encoder.encode_descriptor(
            "pinloop_connections_active",
            help,
            None,
            MetricType::Gauge,
        )?;
        for (thread, core) in self.each() {
            let active = core.accepted.get().saturating_sub(core.closed.get());
            family.encode_family(&[("thread", thread)])?.encode_gauge(&active)?;
        }
        Ok(())
    }

    fn encode_busy(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Longest time that one wake-up has held its loop";
        let name = "pinloop_loop_held_longest";
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (thread, core) in self.each() {
            let longest = seconds(core.busy_longest_ns.get());
            family.encode_family(&[("thread", thread)])?.encode_gauge(&longest)?;
        }
        Ok(())
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "From the wake-up that brought a request to that wake-up's last answer";
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
