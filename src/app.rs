//! The demo service: an echo, and a response that costs a chosen amount of CPU time.
//!
//! It is the service of the 2017 post "Web Services with Rust Part 1: Exploring Hyper".
//! [`route`] works on plain strings, so that every variant of the comparison calls it and
//! sends the same bytes. Sockets, threads and code for a single variant do not belong here.

mod pages;

#[cfg(feature = "rate-limit")]
use std::sync::Arc;
use std::sync::LazyLock;

#[cfg(feature = "rate-limit")]
use arc_swap::{ArcSwap, Cache};
use serde::Serialize;

use crate::http::{
    BodyPolicy, BodyWriter, DeferredResponse, Flow, Framing, HeaderLine, Piece, Request, Response,
    Service, header_line,
};
pub use pages::Pages;

use crate::{Metrics, Readiness, Workers};
#[cfg(feature = "rate-limit")]
use crate::{RateLimiter, TooMany};

/// Body of `GET /` and `GET /echo`.
pub const HINT: &str = "Try POST /echo";

/// Content type of [`HINT`].
pub const TEXT: &str = "text/plain";

/// Content type of the work function's result.
pub const JSON: &str = "application/json";

/// Content type of an echo if the request has no content type (RFC 9110, 8.3).
pub const OCTETS: &str = "application/octet-stream";

/// Largest response of `GET /bytes/N`: 1 MiB.
pub const BYTES_MAX: usize = 1024 * 1024;

/// Response that is written at once; a larger one is streamed, so that memory stays bounded.
const AT_ONCE: usize = 64 * 1024;

/// Rounds of the work function for one `GET /data` in the post.
pub const DEFAULT_ROUNDS: u32 = 100;

const TEXT_LINE: HeaderLine = header_line!("content-type", "text/plain");
const OCTETS_LINE: HeaderLine = header_line!("content-type", "application/octet-stream");
const JSON_LINE: HeaderLine = header_line!("content-type", "application/json");

/// The response to a request.
///
/// Not `#[non_exhaustive]`, because each variant of the comparison must handle every route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// 200 [`TEXT`] with [`HINT`].
    Hint,
    /// 200 with the body and the content type of the request.
    Echo,
    /// 200 [`JSON`] with the result of [`work`].
    Data,
    /// 200 [`OCTETS`] with this many [`bytes`].
    Bytes(usize),
    /// 204 with this `allow` (RFC 9110, 9.3.7).
    Options(&'static str),
    /// 405 with this `allow` (RFC 9110, 15.5.6).
    NotAllowed(&'static str),
    /// 404.
    NotFound,
    /// 501, because the method is unknown (RFC 9110, 9.1) or `CONNECT`, which is for proxies
    /// (9.3.6).
    NotImplemented,
}

/// Returns the response to `method` on `path`, which has no query.
///
/// Methods are case-sensitive (RFC 9110, 9.1). The path `*` is the target of a server-wide
/// `OPTIONS`.
///
/// ```
/// use pinloop::app::{Route, route};
///
/// assert_eq!(route("GET", "/data"), Route::Data);
/// assert_eq!(route("POST", "/data"), Route::NotAllowed("GET, HEAD, OPTIONS"));
/// ```
#[inline]
pub fn route(method: &str, path: &str) -> Route {
    const READ: &str = "GET, HEAD, OPTIONS";
    const ECHO: &str = "GET, HEAD, POST, OPTIONS";

    let allow = match path {
        "/" | "/data" => READ,
        _ if sized(path).is_some() => READ,
        "/echo" | "*" => ECHO,
        _ if is_known(method) => return Route::NotFound,
        _ => return Route::NotImplemented,
    };
    match (method, path) {
        ("GET" | "HEAD", "/" | "/echo") => Route::Hint,
        ("GET" | "HEAD", "/data") => Route::Data,
        ("GET" | "HEAD", _) if sized(path).is_some() => Route::Bytes(sized(path).unwrap_or(0)),
        ("POST", "/echo") => Route::Echo,
        ("OPTIONS", _) => Route::Options(allow),
        _ if is_known(method) => Route::NotAllowed(allow),
        _ => Route::NotImplemented,
    }
}

/// Returns the number of bytes that `/bytes/N` asks for, if it is at most [`BYTES_MAX`].
fn sized(path: &str) -> Option<usize> {
    let digits = path.strip_prefix("/bytes/")?;
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|&count| is_plain && count <= BYTES_MAX)
}

/// Returns `count` bytes, which are the same ones each time.
///
/// # Panics
/// If there are more than [`BYTES_MAX`].
pub fn bytes(count: usize) -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| vec![b'x'; BYTES_MAX]);
    &BYTES[..count]
}

fn is_known(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "TRACE" | "PATCH")
}

/// The demo service with its optional parts.
///
/// ```no_run
/// use pinloop::app::{App, DEFAULT_ROUNDS};
///
/// let app = App::new(DEFAULT_ROUNDS);
/// let server = pinloop::start(&pinloop::Config::default(), move |_core| app.clone())?;
/// server.join()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct App {
    /// Rounds of the work function for one `GET /data`.
    pub rounds: u32,
    /// Threads for `GET /data?offload`. `None` does the work on the event loop.
    pub workers: Option<Workers>,
    /// Counters for `GET /metrics`. `None` sends 404.
    pub metrics: Option<Metrics>,
    /// Phase of the server for `GET /readyz`. `None` sends 503 only to connections that drain.
    pub readiness: Option<Readiness>,
    /// Rate limit for every path except `/healthz` and `/readyz`. `None` sets no limit.
    #[cfg(feature = "rate-limit")]
    pub limit: Option<Limit>,
}

impl App {
    /// Makes the service without its optional parts.
    pub const fn new(rounds: u32) -> App {
        App {
            rounds,
            workers: None,
            metrics: None,
            readiness: None,
            #[cfg(feature = "rate-limit")]
            limit: None,
        }
    }

    /// Does the work on another thread while the connection waits.
    fn offload(&self, workers: &Workers, response: &mut Response<'_>) {
        let Some(permit) = workers.reserve() else {
            return response.status(503).header("retry-after", "1").body(b"");
        };
        let (responder, rounds) = (response.defer(), self.rounds);
        permit.run(move || {
            responder.respond(DeferredResponse::new(200).header_line(JSON_LINE).body(work(rounds)))
        });
    }

    /// Serves the operator's paths and sends 404 for the rest. Called last, so that these
    /// paths cost the routes of the comparison nothing.
    fn operate(&self, request: &Request<'_>, path: &str, response: &mut Response<'_>) {
        if pages::is_health(path) {
            response.exclude_from_log();
        }
        let is_leaving = self.readiness.as_ref().is_some_and(|readiness| !readiness.is_ready());
        let is_ready = !is_leaving && !response.is_draining();
        pages::respond(request, path, is_ready, self.metrics.as_ref(), response);
    }
}

/// A limiter as one core uses it. Counts each request once, before its body is read.
#[cfg(feature = "rate-limit")]
#[derive(Clone, Debug)]
pub struct Limit {
    limiter: Cache<Arc<ArcSwap<RateLimiter>>, Arc<RateLimiter>>,
    /// Refusal found before the body, for the call that follows the body.
    found: Option<TooMany>,
}

#[cfg(feature = "rate-limit")]
impl Limit {
    /// Uses `limiter`, which all cores share.
    pub fn new(limiter: Arc<RateLimiter>) -> Limit {
        Limit::following(Arc::new(ArcSwap::new(limiter)))
    }

    /// Uses the limiter that `limiter` has at the time of a request.
    pub fn following(limiter: Arc<ArcSwap<RateLimiter>>) -> Limit {
        Limit { limiter: Cache::new(limiter), found: None }
    }

    fn before_body(&mut self, request: &Request<'_>, path: &str) -> bool {
        self.found = self.check(request, path);
        self.found.is_some()
    }

    fn call(&mut self, request: &Request<'_>, path: &str) -> Option<TooMany> {
        match request.framing() {
            Framing::None => self.check(request, path),
            Framing::Length(_) | Framing::Chunked => self.found.take(),
        }
    }

    fn check(&mut self, request: &Request<'_>, path: &str) -> Option<TooMany> {
        match pages::is_health(path) {
            true => None,
            false => self.limiter.load().check(request.client()).err(),
        }
    }
}

impl Service for App {
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>) {
        // Once, because each call resolves the escapes of the path anew.
        let path = &*request.path();
        #[cfg(feature = "rate-limit")]
        if let Some(too_many) = self.limit.as_mut().and_then(|limit| limit.call(request, path)) {
            return too_many.respond(response);
        }
        match route(request.method(), path) {
            Route::Hint => response.header_line(TEXT_LINE).body(HINT.as_bytes()),
            Route::Echo => {
                response.header("content-type", content_type(request)).body(request.body())
            }
            Route::Data => match &self.workers {
                Some(workers) if request.query() == Some("offload") => {
                    self.offload(workers, response);
                }
                _ => response.header_line(JSON_LINE).body(work(self.rounds).as_bytes()),
            },
            Route::Bytes(count) => send_bytes(count, response),
            Route::Options(allow) => response.status(204).header("allow", allow).body(b""),
            Route::NotAllowed(allow) => response.status(405).header("allow", allow).body(b""),
            Route::NotFound => self.operate(request, path, response),
            Route::NotImplemented => response.status(501).body(b""),
        }
    }

    fn body_policy(&mut self, request: &Request<'_>, response: &mut Response<'_>) -> BodyPolicy {
        let path = &*request.path();
        #[cfg(feature = "rate-limit")]
        if self.limit.as_mut().is_some_and(|limit| limit.before_body(request, path)) {
            return BodyPolicy::Ignore;
        }
        match route(request.method(), path) {
            Route::Echo => {
                response.header("content-type", content_type(request));
                let length = match request.framing() {
                    Framing::Length(bytes) => Some(bytes),
                    Framing::Chunked | Framing::None => None,
                };
                BodyPolicy::Stream { length, receiver: Box::new(echo) }
            }
            // A client that sends `Expect` learns at once that the body is not wanted.
            _ if request.header("expect").is_some() => BodyPolicy::Ignore,
            _ => BodyPolicy::Discard,
        }
    }
}

fn echo(piece: Option<&Piece<'_>>, body: &mut BodyWriter<'_>) {
    if let Some(piece) = piece {
        body.write_piece(piece);
    }
}

fn send_bytes(count: usize, response: &mut Response<'_>) {
    response.header_line(OCTETS_LINE);
    if count <= AT_ONCE {
        return response.body(bytes(count));
    }
    let mut rest = bytes(count);
    response.stream(Some(count as u64), move |body: &mut BodyWriter<'_>| {
        let (now, later) = rest.split_at(rest.len().min(AT_ONCE));
        body.write(now);
        rest = later;
        if rest.is_empty() { Flow::Done } else { Flow::More }
    });
}

fn content_type<'a>(request: &Request<'a>) -> &'a [u8] {
    request.header("content-type").unwrap_or(OCTETS.as_bytes())
}

#[derive(Serialize)]
struct Address {
    street: String,
    city: String,
}

/// Does the CPU-bound work of the post: formats `rounds` Strings and returns the last one as
/// JSON.
///
/// Never inlined, so that a comparison of variants shows their layers and not the inlining.
///
/// ```
/// let json = r#"{"street":"10 Downing Street","city":"Value: 99"}"#;
/// assert_eq!(pinloop::app::work(100), json);
/// ```
#[inline(never)]
pub fn work(rounds: u32) -> String {
    let mut y = "X".to_string();
    for x in 0..rounds {
        y = format!("Value: {}", std::hint::black_box(x));
    }
    let address = Address { street: "10 Downing Street".to_string(), city: y };
    serde_json::to_string(&address).expect("two Strings serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_of_the_table_has_its_route() {
        assert_eq!(route("GET", "/"), Route::Hint);
        assert_eq!(route("HEAD", "/echo"), Route::Hint);
        assert_eq!(route("POST", "/echo"), Route::Echo);
        assert_eq!(route("GET", "/data"), Route::Data);
        assert_eq!(route("OPTIONS", "/data"), Route::Options("GET, HEAD, OPTIONS"));
        assert_eq!(route("OPTIONS", "*"), Route::Options("GET, HEAD, POST, OPTIONS"));
        assert_eq!(route("DELETE", "/data"), Route::NotAllowed("GET, HEAD, OPTIONS"));
        assert_eq!(route("POST", "/"), Route::NotAllowed("GET, HEAD, OPTIONS"));
        assert_eq!(route("GET", "/bytes/1024"), Route::Bytes(1024));
        assert_eq!(route("HEAD", "/bytes/1048576"), Route::Bytes(BYTES_MAX));
        assert_eq!(route("POST", "/bytes/1"), Route::NotAllowed("GET, HEAD, OPTIONS"));
        for path in ["/bytes/1048577", "/bytes/", "/bytes/0", "/bytes/01", "/bytes/+1", "/bytes/x"]
        {
            assert_eq!(route("GET", path), Route::NotFound, "{path}");
        }
        assert_eq!(route("GET", "/nope"), Route::NotFound);
        assert_eq!(route("OPTIONS", "/nope"), Route::NotFound);
    }

    #[test]
    fn unknown_methods_and_methods_in_lower_case_are_not_implemented() {
        assert_eq!(route("get", "/"), Route::NotImplemented);
        assert_eq!(route("BREW", "/nope"), Route::NotImplemented);
    }

    #[test]
    fn the_work_function_returns_the_last_value() {
        assert_eq!(work(100), r#"{"street":"10 Downing Street","city":"Value: 99"}"#);
        assert_eq!(work(0), r#"{"street":"10 Downing Street","city":"X"}"#);
    }
}
