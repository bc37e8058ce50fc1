//! Latencies of one slice, in few bytes.

use serde::{Deserialize, Serialize};

/// Buckets for every doubling of a latency: neighbours are 2.2 % apart, which is
/// less than two runs on one machine ever are.
const PER_OCTAVE: f64 = 32.0;

/// A histogram: bucket `n` holds latencies of at most 2^(n/32) ns, and of more
/// than bucket `n - 1` does.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Latency {
    /// The bucket that `counts` begins with.
    pub first: u32,
    /// One number for each bucket. A negative number stands for its count of empty buckets.
    pub counts: Vec<i64>,
}

impl Latency {
    /// From latencies in ns and how often each was seen, ascending.
    pub fn of(latencies: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut latency = Self::default();
        // The bucket after the last.
        let mut end = None;
        for (ns, count) in latencies.into_iter().filter(|&(_, count)| count > 0) {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            let bucket = bucket_of(ns);
            match end {
                None => latency.first = bucket,
                Some(end) if bucket < end => {
                    latency.counts.last_mut().into_iter().for_each(|last| *last += count);
                    continue;
                }
                Some(end) if bucket > end => latency.counts.push(-i64::from(bucket - end)),
                Some(_) => {}
            }
            latency.counts.push(count);
            end = Some(bucket + 1);
        }
        latency
    }

    /// Buckets that are not empty, ascending: upper bound in ns, and count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut bucket = i64::from(self.first);
        self.counts.iter().filter_map(move |&count| {
            let this = bucket;
            bucket = this.saturating_add(if count < 0 { count.saturating_neg() } else { 1 });
            (count > 0).then(|| (upper_ns(this), count.unsigned_abs()))
        })
    }
}

fn bucket_of(ns: u64) -> u32 {
    let near = ((ns.max(1) as f64).log2() * PER_OCTAVE).ceil() as u32;
    // A latency that is a bound itself may land on either side of it.
    if near > 0 && upper_ns(i64::from(near) - 1) >= ns { near - 1 } else { near }
}

fn upper_ns(bucket: i64) -> u64 {
    (bucket as f64 / PER_OCTAVE).exp2() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_and_latencies_to_two_percent() {
        let seen = [(900, 1), (740_000, 2), (740_001, 3), (12_000_000, 4)];
        let buckets: Vec<_> = Latency::of(seen).buckets().collect();
        assert_eq!(buckets.iter().map(|(_, count)| count).collect::<Vec<_>>(), [&1, &5, &4]);
        for ((upper, _), value) in buckets.iter().zip([900.0, 740_001.0, 12_000_000.0]) {
            let off = *upper as f64 / value;
            assert!((1.0..1.022).contains(&off), "{upper} for {value}");
        }
    }

    #[test]
    fn nothing_is_a_histogram_too() {
        assert_eq!(Latency::of([]).buckets().count(), 0);
        assert_eq!(Latency::of([(0, 1)]).buckets().collect::<Vec<_>>(), [(1, 1)]);
    }

    #[test]
    fn a_bound_is_in_its_own_bucket() {
        for bucket in 160..1400 {
            let upper = upper_ns(bucket);
            assert_eq!(Latency::of([(upper, 1)]).buckets().next(), Some((upper, 1)));
        }
    }
}
