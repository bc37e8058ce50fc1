//! A load and its outcome as JSON, to send them to another machine and back.
//!
//! Both forms are exact: what was read is equal to what was written.

/// Bytes as a text with one character for each byte, U+0000 to U+00FF. A request stays readable,
/// and is a third of the size of a list of numbers.
pub(super) mod bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::load) fn serialize<S: Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&bytes.iter().map(|&byte| char::from(byte)).collect::<String>())
    }

    pub(in crate::load) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let byte = |c: char| {
            u8::try_from(c).map_err(|_| D::Error::custom(format!("'{c}' stands for no byte")))
        };
        text.chars().map(byte).collect()
    }
}

/// Histograms of latencies as pairs of a value and its count, in ascending order.
pub(super) mod histogram {
    use hdrhistogram::Histogram;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::super::latencies::latencies;

    pub(in crate::load) fn serialize<S: Serializer>(
        latency_ns: &Histogram<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let pair = |step: hdrhistogram::iterators::IterationValue<u64>| {
            (step.value_iterated_to(), step.count_at_value())
        };
        serializer.collect_seq(latency_ns.iter_recorded().map(pair))
    }

    pub(in crate::load) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Histogram<u64>, D::Error> {
        let mut latency_ns = latencies();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            latency_ns.record_n(value, count).map_err(D::Error::custom)?;
        }
        Ok(latency_ns)
    }
}
