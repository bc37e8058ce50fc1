//! Servers from outside that say that they do the work of `/data`, and do not.
//!
//! The answer cannot show it, because the result of the work is always the same. The CPU time
//! does: the work must add to it about what it adds to the reference.

use crate::report::units::signed_microseconds;
use crate::stats::starts::Costs;

/// Share of the reference's time for the work that a server must take for it. An implementation
/// may be faster, but not four times as fast.
const SHARE_MIN: f64 = 0.25;

/// Least time that the work adds to the reference, in ratio to the cost without the work. Less of
/// it is lost in the noise, and tells nothing.
const WORK_MIN: f64 = 0.2;

/// Returns why the server `key` has no figures with the work; none if it does the work. `without`
/// are the costs of `GET /`, and `with` those of `GET /data`.
pub(crate) fn reason(without: &Costs, with: &Costs, reference: &str, key: &str) -> Option<String> {
    let cost = |costs: &Costs, key: &str| costs.cost(key).map(|cost| cost.value);
    let added = |key: &str| Some(cost(with, key)? - cost(without, key)?);
    let (own, expected) = (added(key)?, added(reference)?);
    let is_known = expected > WORK_MIN * cost(without, reference)?;
    (is_known && own < SHARE_MIN * expected).then(|| {
        format!(
            "it skips the work: GET /data takes {} of CPU time more than GET /, and {} more on \
             {reference}",
            signed_microseconds(own),
            signed_microseconds(expected)
        )
    })
}
