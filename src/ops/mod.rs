//! Optional parts of a server: an access log, metrics, rate limits, worker threads.

#[cfg(feature = "access-log")]
pub(crate) mod access_log;
pub(crate) mod metrics;
#[cfg(not(feature = "access-log"))]
mod off;
#[cfg(feature = "rate-limit")]
pub(crate) mod rate_limit;
pub(crate) mod readiness;
pub(crate) mod workers;

#[cfg(not(feature = "access-log"))]
pub(crate) use off::access_log;
