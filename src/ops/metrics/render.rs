//! Renders the counters as OpenMetrics text with prometheus-client.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::process::{self, Figure};
use super::{BUCKETS, CoreMetrics, ERROR_KINDS, Metrics, Other, lock, text_format};
use crate::http::{Counter, Rejection};
use crate::server::timeouts::TimeoutKind;

impl Metrics {
    /// Returns all counters as OpenMetrics 1.0 text, which Prometheus asks for. Its content type is
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    ///
    /// Figures of the process, such as `process_resident_memory_bytes`, are among them.
    ///
    /// ```
    /// let text = pinloop::Metrics::default().render();
    /// assert!(text.ends_with("# EOF\n"));
    /// ```
    pub fn render(&self) -> String {
        let cores = lock(&self.cores).clone();
        let groups = match self.by_core {
            true => {
                cores.into_iter().enumerate().map(|(at, core)| (Some(at), vec![core])).collect()
            }
            false => vec![(None, cores)],
        };
        let mut registry = Registry::default();
        let others = lock(&self.others).clone();
        let own = registry.sub_registry_with_prefix("pinloop");
        own.register_collector(Box::new(Figures { groups, others }));
        registry.register_collector(Box::new(ProcessFigures));
        let mut text = String::new();
        text::encode(&mut text, &registry).expect("a String takes every write");
        text
    }

    /// Returns all counters in the text format of Prometheus, for tools that do not know OpenMetrics,
    /// such as `promtool`. Its content type is `text/plain; version=0.0.4; charset=utf-8`.
    ///
    /// ```
    /// let text = pinloop::Metrics::default().render_text();
    /// assert!(text.contains("# TYPE pinloop_build_info gauge\n"));
    /// ```
    pub fn render_text(&self) -> String {
        text_format::from_openmetrics(&self.render())
    }
}

struct Figures {
    /// Cores whose figures are summed up, with the number of the thread if it is one core.
    groups: Vec<(Option<usize>, Vec<Arc<CoreMetrics>>)>,
    others: Vec<Arc<Other>>,
}

// `Collector` requires Debug, but the registry never prints a collector.
impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

type Labels = Vec<(&'static str, String)>;

/// A counter of each core: name, description, unit and value.
type Plain = (&'static str, &'static str, Option<Unit>, fn(&CoreMetrics) -> u64);

/// Values of a counter of one core, by the value of a label.
type ByLabel = fn(&CoreMetrics) -> Vec<(&'static str, u64)>;

const PLAIN: [Plain; 7] = [
    ("connections_accepted", "Connections accepted", None, |core| core.accepted.get()),
    ("connections_closed", "Connections closed", None, |core| core.closed.get()),
    (
        "connections_passed",
        "Connections that the event loop that accepted them has passed to one with fewer",
        None,
        |core| core.passed.get(),
    ),
    ("connections_evicted", "Idle connections closed to make room", None, |core| {
        core.evicted.get()
    }),
    ("received", "Bytes read from clients", Some(Unit::Bytes), |core| core.received_bytes.get()),
    ("sent", "Bytes written to clients", Some(Unit::Bytes), |core| core.sent_bytes.get()),
    (
        "wakeups",
        "Wake-ups of the event loop; requests divided by wake-ups is the batch size",
        None,
        |core| core.wakeups.get(),
    ),
];

/// Name, description, label and values.
const LABELED: [(&str, &str, &str, ByLabel); 5] = [
    ("connections_shed", "Connections refused", "for_want_of", |core| {
        let at_limit = core.shed_at_limit.get();
        vec![("room", at_limit), ("descriptors", core.shed_without_descriptor.get())]
    }),
    ("requests", "Requests answered; 4xx does not include 429", "status", |core| {
        let of = |class: usize| core.counters.responses[class].get();
        let limited = core.counters.too_many_requests.get();
        let others = of(4).saturating_sub(limited);
        vec![("2xx", of(2)), ("3xx", of(3)), ("4xx", others), ("429", limited), ("5xx", of(5))]
    }),
    ("timeouts", "Connections ended by a timeout", "waiting_for", |core| {
        named(&TimeoutKind::NAMES, &core.timeouts)
    }),
    ("rejections", "Requests refused by the server", "reason", |core| {
        named(&Rejection::ALL.map(Rejection::name), &core.counters.rejections)
    }),
    ("connection_errors", "Socket errors", "kind", |core| named(&ERROR_KINDS, &core.errors)),
];

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        for (name, help, unit, read) in &PLAIN {
            let mut family =
                encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            for (labels, cores) in self.groups() {
                let sum: u64 = cores.iter().map(|core| read(core)).sum();
                encode(&mut family, &labels, true, sum as f64)?;
            }
        }
        for (name, help, label, read) in LABELED {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, cores) in self.groups() {
                for (value, sum) in sums(cores, read) {
                    let labels = [&labels[..], &[(label, value.to_string())]].concat();
                    encode(&mut family, &labels, true, sum as f64)?;
                }
            }
        }
        self.encode_gauges(encoder)?;
        self.encode_durations(encoder)?;
        self.encode_others(encoder)?;
        let build = [("version", env!("CARGO_PKG_VERSION")), ("target", std::env::consts::ARCH)];
        encoder
            .encode_descriptor("build", "Version of the program", None, MetricType::Info)?
            .encode_info(&build)
    }
}

impl Figures {
    fn groups(&self) -> impl Iterator<Item = (Labels, &[Arc<CoreMetrics>])> {
        self.groups.iter().map(|(thread, cores)| {
            let labels = thread.map(|thread| ("thread", thread.to_string()));
            (labels.into_iter().collect(), &cores[..])
        })
    }

    fn encode_gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("connections_active", "Open connections");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, cores) in self.groups() {
            let active = |core: &Arc<CoreMetrics>| {
                core.accepted.get().saturating_sub(core.closed.get()) as f64
            };
            encode(&mut family, &labels, false, cores.iter().map(active).sum())?;
        }
        let (name, help) =
            ("loop_held_longest", "Longest time that one wake-up has blocked its loop");
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, cores) in self.groups() {
            let longest = cores.iter().map(|core| core.busy_longest_ns.get()).max();
            encode(&mut family, &labels, false, seconds(longest.unwrap_or_default()))?;
        }
        let (name, help) = ("threads", "Event loops");
        let count: usize = self.groups.iter().map(|(_, cores)| cores.len()).sum();
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        encode(&mut family, &[], false, count as f64)
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help =
            "Time from the wake-up that completed a request to the last response of that wake-up";
        let unit = Some(&Unit::Seconds);
        let mut family =
            encoder.encode_descriptor("request_duration", help, unit, MetricType::Histogram)?;
        for (labels, cores) in self.groups() {
            let bound = |bucket: usize| seconds(1_024 << bucket);
            let total =
                |read: &dyn Fn(&CoreMetrics) -> u64| cores.iter().map(|core| read(core)).sum();
            let mut buckets: Vec<(f64, u64)> = (0..BUCKETS)
                .map(|bucket| (bound(bucket), total(&|core| core.durations[bucket].get())))
                .collect();
            buckets.push((f64::INFINITY, total(&|core| core.durations_beyond.get())));
            let count = buckets.iter().map(|(_, count)| count).sum();
            let sum = seconds(total(&|core| core.durations_sum_ns.get()));
            with(&mut family, &labels, |metric| {
                metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            })?;
        }
        Ok(())
    }

    fn encode_others(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.others.chunk_by(|one, next| one.name == next.name) {
            let first = &family[0];
            let kind = kind(first.is_counter);
            let mut metric = encoder.encode_descriptor(first.name, first.help, None, kind)?;
            for other in family {
                let labels: Labels =
                    other.label.iter().map(|&(name, value)| (name, value.to_string())).collect();
                encode(&mut metric, &labels, other.is_counter, (other.read)())?;
            }
        }
        Ok(())
    }
}

/// The figures of the process, which have no prefix.
#[derive(Debug)]
struct ProcessFigures;

impl Collector for ProcessFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Figure { name, help, is_counter, value } in process::figures() {
            let mut family = encoder.encode_descriptor(name, help, None, kind(is_counter))?;
            encode(&mut family, &[], is_counter, value)?;
        }
        Ok(())
    }
}

fn kind(is_counter: bool) -> MetricType {
    if is_counter { MetricType::Counter } else { MetricType::Gauge }
}

/// Returns the sums over the cores of the values that `read` returns.
fn sums(cores: &[Arc<CoreMetrics>], read: ByLabel) -> Vec<(&'static str, u64)> {
    let mut sums = read(&CoreMetrics::default());
    for core in cores {
        for (sum, (_, value)) in sums.iter_mut().zip(read(core)) {
            sum.1 += value;
        }
    }
    sums
}

/// Encodes a value, a whole number without a decimal point.
fn encode(
    family: &mut MetricEncoder<'_>,
    labels: &[(&'static str, String)],
    is_counter: bool,
    value: f64,
) -> fmt::Result {
    let whole = (value.fract() == 0.0 && (0.0..9e15).contains(&value)).then_some(value as u64);
    with(family, labels, |metric| match (is_counter, whole) {
        (true, Some(whole)) => metric.encode_counter::<NoLabelSet, _, u64>(&whole, None),
        (true, None) => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        (false, Some(whole)) => metric.encode_gauge(&whole),
        (false, None) => metric.encode_gauge(&value),
    })
}

/// Calls `encode` with the labels. An empty set would be written as `{}`.
fn with(
    family: &mut MetricEncoder<'_>,
    labels: &[(&'static str, String)],
    encode: impl Fn(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() {
        return encode(family);
    }
    encode(&mut family.encode_family(&labels)?)
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
