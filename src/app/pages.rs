//! The pages for operators: `/healthz`, `/readyz` and `/metrics`.

use std::borrow::Cow;

use crate::http::{HeaderLine, Request, Response, Service, header_line};
use crate::{Metrics, Readiness};

const TEXT_LINE: HeaderLine = header_line!("content-type", "text/plain");

/// Content type of the metrics, for clients that accept it.
#[cfg(feature = "metrics")]
const OPENMETRICS_LINE: HeaderLine =
    header_line!("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Content type of the metrics for all others.
#[cfg(feature = "metrics")]
const PROMETHEUS_LINE: HeaderLine =
    header_line!("content-type", "text/plain; version=0.0.4; charset=utf-8");

/// The pages for operators as a service of their own, for an address that clients do not reach.
/// None of its requests is logged.
///
/// ```no_run
/// use pinloop::app::Pages;
/// use pinloop::{Config, Metrics, Readiness};
///
/// let pages = Pages { metrics: Some(Metrics::default()), readiness: Readiness::default() };
/// let config = Config { addr: ([127, 0, 0, 1], 9090).into(), ..Config::default() };
/// let server = pinloop::start(&config, move |_core| pages.clone())?;
/// # let _ = server;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Pages {
    /// Counters for `GET /metrics`. `None` sends 404.
    pub metrics: Option<Metrics>,
    /// Phase of the server that `/readyz` is about.
    pub readiness: Readiness,
}

impl Service for Pages {
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>) {
        response.exclude_from_log();
        let is_ready = self.readiness.is_ready();
        respond(request, &request.path(), is_ready, self.metrics.as_ref(), response);
    }
}

/// Reports whether `path` is a health check. A load balancer sends one every few seconds, so
/// they are neither limited nor logged.
pub(super) fn is_health(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Sends the page at `path`, or 404.
pub(super) fn respond(
    request: &Request<'_>,
    path: &str,
    is_ready: bool,
    metrics: Option<&Metrics>,
    response: &mut Response<'_>,
) {
    const READ: &str = "GET, HEAD, OPTIONS";
    let (status, body, line): (u16, Cow<'static, str>, _) = match (path, metrics) {
        ("/healthz", _) => (200, "alive\n".into(), TEXT_LINE),
        ("/readyz", _) if is_ready => (200, "ready\n".into(), TEXT_LINE),
        ("/readyz", _) => (503, "draining\n".into(), TEXT_LINE),
        #[cfg(feature = "metrics")]
        ("/metrics", Some(metrics)) if accepts_openmetrics(request) => {
            (200, metrics.render().into(), OPENMETRICS_LINE)
        }
        #[cfg(feature = "metrics")]
        ("/metrics", Some(metrics)) => (200, metrics.render_text().into(), PROMETHEUS_LINE),
        _ => return response.status(404).body(b""),
    };
    match request.method() {
        "GET" | "HEAD" => response.status(status).header_line(line).body(body.as_bytes()),
        "OPTIONS" => response.status(204).header("allow", READ).body(b""),
        _ => response.status(405).header("allow", READ).body(b""),
    }
}

/// Reports whether the client names OpenMetrics, as Prometheus does. `*/*` does not suffice,
/// because `promtool` and people with curl expect the older format.
#[cfg(feature = "metrics")]
fn accepts_openmetrics(request: &Request<'_>) -> bool {
    let values = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
    let mut ranges = values.flat_map(|(_, value)| value.split(|&byte| byte == b','));
    ranges.any(|range| {
        let name = range.split(|&byte| byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"application/openmetrics-text")
    })
}
