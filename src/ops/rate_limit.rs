//! Rate limits for each client and for all clients together.
//!
//! The server does not know this type; a service uses it if it wants to. The counting is
//! governor's: GCRA keeps one 64-bit time for each client and advances it by
//! compare-and-swap, so the rate is exact over all cores.
//!
//! A budget for each core, rebalanced in the background, would avoid the shared cache line.
//! It was measured to be no cheaper: 89 instructions for all clients together and 359 for
//! one client, without the rebalancing, against governor's 76 and 352 (callgrind, x86-64,
//! rustc 1.95). Most of a check's cost is the clock and the hash of the address. A split
//! budget is also wrong: a client with one connection would get half of a burst of 20.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, QuantaClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota};

use crate::http::Response;

/// Number of requests allowed in each second or minute.
///
/// ```
/// use pinloop::Rate;
///
/// let rate: Rate = "100/s".parse()?;
/// assert_eq!(rate, Rate::per_second(std::num::NonZeroU32::new(100).unwrap()));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    requests: NonZeroU32,
    span: Duration,
}

impl Rate {
    /// Allows `requests` in each second.
    pub fn per_second(requests: NonZeroU32) -> Rate {
        Rate { requests, span: Duration::from_secs(1) }
    }

    /// Allows `requests` in each minute.
    pub fn per_minute(requests: NonZeroU32) -> Rate {
        Rate { requests, span: Duration::from_secs(60) }
    }

    /// Returns the default burst: the requests of 20 ms, so that a late wake-up costs no
    /// client a response, and at least 20, which is a page with its images and scripts.
    pub fn default_burst(self) -> NonZeroU32 {
        let fiftieth = self.requests.get() / 50 / self.span.as_secs() as u32;
        NonZeroU32::new(fiftieth.max(20)).unwrap_or(NonZeroU32::MIN)
    }

    fn quota(self, burst: Option<NonZeroU32>) -> Quota {
        let burst = burst.unwrap_or(self.default_burst());
        // Quota needs an interval above zero. A request each nanosecond is as good as no limit.
        let interval = (self.span / self.requests.get()).max(Duration::from_nanos(1));
        Quota::with_period(interval).expect("an interval above zero").allow_burst(burst)
    }
}

impl FromStr for Rate {
    type Err = String;

    /// Parses `100/s` or `6000/m`. The error says which values are allowed.
    fn from_str(text: &str) -> Result<Rate, String> {
        const WRONG: &str = "allowed is a number of requests and a unit, such as 100/s or 6000/m";
        let (requests, span) = text.split_once('/').ok_or(WRONG)?;
        let requests = requests.trim().parse().map_err(|_| WRONG)?;
        match span.trim() {
            "s" => Ok(Rate::per_second(requests)),
            "m" => Ok(Rate::per_minute(requests)),
            _ => Err(WRONG.to_string()),
        }
    }
}

/// Counts requests against a rate for each client address, a rate for all clients, or both.
/// Share it among the cores in an `Arc`.
///
/// An IPv6 client is its /64 network, because a provider assigns at least a /64 to one
/// subscriber.
///
/// ```
/// use std::sync::Arc;
/// use pinloop::{RateLimiter, Request, Response};
///
/// let limiter = Arc::new(RateLimiter::new(Some(("100/s".parse()?, None)), None));
/// let service = move |request: &Request<'_>, response: &mut Response<'_>| {
///     match limiter.check(request.client()) {
///         Ok(()) => response.body(b"welcome"),
///         Err(too_many) => too_many.respond(response),
///     }
/// };
/// # let _ = service;
/// # Ok::<(), String>(())
/// ```
pub struct RateLimiter {
    limits: Limits<QuantaClock>,
    refused: Arc<Refused>,
}

/// Numbers of refused requests. Only a refusal writes to them.
#[derive(Debug, Default)]
struct Refused {
    by_client: AtomicU64,
    by_total: AtomicU64,
}

/// The rate that a request exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exceeded {
    Client,
    Total,
}

/// Maximum number of clients that are counted by address. 1,000,000 clients take some 64 MB.
const CLIENTS_MAX: usize = 1_000_000;

/// Number of parts of the client table, each with its own lock. 256 parts are four for each
/// of 64 CPUs, and take 32 KB.
const SHARDS: usize = 256;

type Limiter<K, S, C> = governor::RateLimiter<K, S, C, NoOpMiddleware<<C as Clock>::Instant>>;

struct Limits<C: Clock> {
    clock: C,
    per_client: Option<Limiter<IpAddr, DashMapStateStore<IpAddr>, C>>,
    total: Option<Limiter<NotKeyed, InMemoryState, C>>,
    clients_max: usize,
    /// Set while there are more than `clients_max` clients.
    crowded: AtomicBool,
}

impl RateLimiter {
    /// Makes a limiter with a rate and a burst for each client, and for all clients together.
    ///
    /// The burst is the number of requests that may come at once after a pause. `None` stands
    /// for [`Rate::default_burst`].
    pub fn new(
        per_client: Option<(Rate, Option<NonZeroU32>)>,
        total: Option<(Rate, Option<NonZeroU32>)>,
    ) -> RateLimiter {
        let limits = Limits::new(per_client, total, CLIENTS_MAX, QuantaClock::default());
        RateLimiter { limits, refused: Arc::default() }
    }

    /// Makes a limiter with other rates, which adds to the same numbers of refused requests. Its
    /// clients begin with a full budget.
    #[must_use]
    pub fn with_rates(
        &self,
        per_client: Option<(Rate, Option<NonZeroU32>)>,
        total: Option<(Rate, Option<NonZeroU32>)>,
    ) -> RateLimiter {
        let new = RateLimiter::new(per_client, total);
        RateLimiter { refused: self.refused.clone(), ..new }
    }

    /// Counts a request of `client`. Without an address, only the rate for all clients holds.
    ///
    /// # Errors
    /// Returns the time to wait if the request exceeds a rate. A request that exceeds only
    /// the rate for all clients still counts for its client.
    pub fn check(&self, client: Option<IpAddr>) -> Result<(), TooMany> {
        self.limits.check(client).map_err(|(exceeded, retry_after)| {
            let refused = match exceeded {
                Exceeded::Client => &self.refused.by_client,
                Exceeded::Total => &self.refused.by_total,
            };
            refused.fetch_add(1, Ordering::Relaxed);
            TooMany { retry_after }
        })
    }

    /// Returns the number of requests that have exceeded the rate of their client.
    pub fn refused_by_client(&self) -> u64 {
        self.refused.by_client.load(Ordering::Relaxed)
    }

    /// Returns the number of requests that have exceeded the rate of all clients.
    pub fn refused_by_total(&self) -> u64 {
        self.refused.by_total.load(Ordering::Relaxed)
    }

    /// Forgets clients with a full budget.
    ///
    /// Call it every few seconds if there is a rate for each client, because each new client
    /// takes memory. Call it outside the event loops: 100,000 clients take some 10 ms. Beyond
    /// 1,000,000 clients, clients are counted by /24 and /48 network.
    pub fn forget(&self) {
        self.limits.forget();
    }
}

/// The refusal of a request that exceeds a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Shortest time until another request can pass.
    pub retry_after: Duration,
}

impl TooMany {
    /// Sends 429 (RFC 6585, 4) with `retry-after` in whole seconds, at least one (RFC 9110,
    /// 10.2.3).
    pub fn respond(self, response: &mut Response<'_>) {
        let wait = self.retry_after;
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.status(429).header("retry-after", seconds.max(1).to_string()).body(b"");
    }
}

impl<C: Clock + Clone> Limits<C> {
    fn new(
        per_client: Option<(Rate, Option<NonZeroU32>)>,
        total: Option<(Rate, Option<NonZeroU32>)>,
        clients_max: usize,
        clock: C,
    ) -> Limits<C> {
        let keyed = |(rate, burst): (Rate, _)| {
            let clients = DashMapStateStore::with_shard_amount(SHARDS);
            governor::RateLimiter::new(rate.quota(burst), clients, clock.clone())
        };
        let direct = |(rate, burst): (Rate, _)| {
            governor::RateLimiter::direct_with_clock(rate.quota(burst), clock.clone())
        };
        Limits {
            per_client: per_client.map(keyed),
            total: total.map(direct),
            clients_max,
            crowded: AtomicBool::new(false),
            clock,
        }
    }

    fn check(&self, client: Option<IpAddr>) -> Result<(), (Exceeded, Duration)> {
        let wait = |until: NotUntil<C::Instant>| until.wait_time_from(self.clock.now());
        if let (Some(limiter), Some(client)) = (&self.per_client, client) {
            let network = network(client, self.crowded.load(Ordering::Relaxed));
            let checked = limiter.check_key(&network);
            checked.map_err(|until| (Exceeded::Client, wait(until)))?;
        }
        let Some(limiter) = &self.total else { return Ok(()) };
        limiter.check().map_err(|until| (Exceeded::Total, wait(until)))
    }

    fn forget(&self) {
        let Some(limiter) = &self.per_client else { return };
        limiter.retain_recent();
        let clients = limiter.len();
        let crowded = clients > self.clients_max;
        if crowded != self.crowded.swap(crowded, Ordering::Relaxed) {
            let how = if crowded { "/24 and /48" } else { "address and /64" };
            log::warn!("the rate limit knows {clients} clients, and counts them by {how} now");
        }
        if !crowded {
            limiter.shrink_to_fit();
        }
    }
}

/// Returns the key of a client: its IPv4 address or IPv6 /64 network. If the table is crowded,
/// returns its /24 or /48, because an attacker has few of those.
fn network(client: IpAddr, crowded: bool) -> IpAddr {
    let bits = if crowded { 16 } else { 0 };
    match client.to_canonical() {
        IpAddr::V4(address) if crowded => IpAddr::V4((u32::from(address) & !0xff).into()),
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & u128::MAX << (64 + bits)))
        }
    }
}

impl std::fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimiter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use governor::clock::FakeRelativeClock;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn limits(
        per_client: Option<(&str, u32)>,
        total: Option<(&str, u32)>,
    ) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let rate = |(rate, burst): (&str, u32)| (rate.parse().unwrap(), NonZeroU32::new(burst));
        (Limits::new(per_client.map(rate), total.map(rate), 2, clock.clone()), clock)
    }

    fn client(number: u8) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)))
    }

    /// Sends one request each `interval` for `span` and returns how many pass.
    fn offer(
        limits: &Limits<FakeRelativeClock>,
        clock: &FakeRelativeClock,
        interval: Duration,
        span: Duration,
        clients: u8,
    ) -> u32 {
        let mut passed = 0;
        for number in 0..span.div_duration_f64(interval) as u32 {
            passed += u32::from(limits.check(client((number % u32::from(clients)) as u8)).is_ok());
            clock.advance(interval);
        }
        passed
    }

    #[test]
    fn five_times_the_rate_gets_the_rate_and_one_burst() {
        for (rate, burst) in [("1000/s", 20), ("60000/m", 20)] {
            let (limits, clock) = limits(Some((rate, burst)), None);
            let passed = offer(&limits, &clock, MS / 5, Duration::from_secs(3), 1);
            assert!((3_000..=3_000 + burst).contains(&passed), "{passed} of {rate}");
        }
    }

    #[test]
    fn requests_below_the_rate_pass() {
        let (limits, clock) = limits(Some(("1000/s", 1)), Some(("1000/s", 1)));
        assert_eq!(offer(&limits, &clock, MS, Duration::from_secs(1), 1), 1_000);
    }

    #[test]
    fn each_client_has_a_rate_of_its_own_and_all_share_the_total() {
        let (each, clock) = limits(Some(("1000/s", 20)), None);
        assert!(offer(&each, &clock, MS / 5, Duration::from_secs(1), 5) >= 4_999);
        let (both, clock) = limits(Some(("1000/s", 20)), Some(("2000/s", 20)));
        let passed = offer(&both, &clock, MS / 5, Duration::from_secs(1), 5);
        assert!((2_000..=2_020).contains(&passed), "{passed}");
    }

    #[test]
    fn refusals_say_how_long_to_wait() {
        let (limits, clock) = limits(Some(("6/m", 2)), None);
        assert_eq!(limits.check(client(1)), Ok(()));
        assert_eq!(limits.check(client(1)), Ok(()));
        assert_eq!(limits.check(client(1)), Err((Exceeded::Client, Duration::from_secs(10))));
        assert_eq!(limits.check(client(2)), Ok(()));
        clock.advance(Duration::from_secs(4));
        assert_eq!(limits.check(client(1)), Err((Exceeded::Client, Duration::from_secs(6))));
        clock.advance(Duration::from_secs(6));
        assert_eq!(limits.check(client(1)), Ok(()));
    }

    #[test]
    fn idle_clients_are_forgotten_and_crowds_counted_by_network() {
        let (limits, clock) = limits(Some(("1/s", 1)), None);
        (1..=3).for_each(|number| assert_eq!(limits.check(client(number)), Ok(())));
        limits.forget();
        assert_eq!(limits.check(client(4)), Ok(()), "the first of its network");
        assert!(limits.check(client(5)).is_err(), "another of that network");
        clock.advance(Duration::from_secs(3));
        limits.forget();
        assert!(limits.per_client.as_ref().unwrap().is_empty());
        assert_eq!((limits.check(client(4)), limits.check(client(5))), (Ok(()), Ok(())));
    }

    #[test]
    fn ipv6_clients_are_their_64_and_mapped_addresses_are_ipv4() {
        let canonical = |text: &str| network(text.parse().unwrap(), false).to_string();
        assert_eq!(canonical("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(canonical("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("2001:db8:1:2::3".parse().unwrap(), true).to_string(), "2001:db8:1::");
    }

    #[test]
    fn reads_rates() {
        let requests = |n| NonZeroU32::new(n).unwrap();
        assert_eq!("100/s".parse(), Ok(Rate::per_second(requests(100))));
        assert_eq!("6/m".parse(), Ok(Rate::per_minute(requests(6))));
        for wrong in ["", "100", "0/s", "-1/s", "1/h", "1.5/s", "/s", "99999999999/s"] {
            let error = wrong.parse::<Rate>().unwrap_err();
            assert!(error.contains("such as 100/s"), "{error}");
        }
    }

    #[test]
    fn a_burst_is_20_ms_of_the_rate_or_20() {
        let burst = |rate: &str| rate.parse::<Rate>().unwrap().default_burst().get();
        assert_eq!([burst("100/s"), burst("5000/s"), burst("60000/m")], [20, 100, 20]);
    }
}
