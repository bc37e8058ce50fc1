//! How many requests each client, and all of them together, may make.
//!
//! A plain type that a service can use or leave: the server knows nothing of it. The
//! counting is governor's: one 64-bit time for each client, moved on by a
//! compare-and-swap (GCRA), so that the rate holds over all cores exactly.
//!
//! # Why not a budget for each core
//!
//! Budgets that belong to one core, and are rebalanced in the background, would spare
//! the shared cache line. But they were measured to be no cheaper. User instructions
//! of one check with its clock, as callgrind counters them, 64 clients (x86-64, rustc
//! 1.95):
//!
//! | | all together | per client |
//! | --- | --- | --- |
//! | governor 0.10, quanta's clock | 76 | 352 |
//! | a budget of the core's own in a `HashMap`, the system's clock, no rebalancing yet | 89 | 359 |
//!
//! In the server, a `GET /` of 2,430 instructions has 390 more with a rate for each
//! client, and 100 more with one for all. What a check costs is the clock and the hash of the address. Two cores that do
//! nothing but check the same client, for which the line goes back and forth, take
//! 0.15 us for each check (and 0.18 us with budgets, where the clock is slower): some
//! 2 % of what a request takes. And a budget that is split is wrong where it matters
//! most: a client with one connection would have half of a burst of 20.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::clock::{Clock, QuantaClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota};

use crate::http::Response;

/// So many requests in a second or a minute.
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
    /// So many requests in a second.
    pub fn per_second(requests: NonZeroU32) -> Rate {
        Rate { requests, span: Duration::from_secs(1) }
    }

    /// So many requests in a minute.
    pub fn per_minute(requests: NonZeroU32) -> Rate {
        Rate { requests, span: Duration::from_secs(60) }
    }

    /// The requests that may come at once after a pause, where nothing else is said:
    /// what the rate allows in 20 ms, so that a wake-up that comes late costs nobody
    /// an answer, and at least 20: a page with what belongs to it.
    pub fn default_burst(self) -> NonZeroU32 {
        let fiftieth = self.requests.get() / 50 / self.span.as_secs() as u32;
        NonZeroU32::new(fiftieth.max(20)).unwrap_or(NonZeroU32::MIN)
    }

    fn quota(self, burst: Option<NonZeroU32>) -> Quota {
        let burst = burst.unwrap_or(self.default_burst());
        // One in a nanosecond is the most that can be told from no limit.
        let interval = self.span / self.requests.get();
        Quota::with_period(interval.max(Duration::from_nanos(1)))
            .expect("an interval that is not zero")
            .allow_burst(burst)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let wrong = || format!("'{text}' is no rate such as 100/s or 6000/m");
        let (requests, span) = text.split_once('/').ok_or_else(wrong)?;
        let requests = requests.trim().parse().map_err(|_| wrong())?;
        match span.trim() {
            "s" => Ok(Rate::per_second(requests)),
            "m" => Ok(Rate::per_minute(requests)),
            _ => Err(wrong()),
        }
    }
}

/// Counters requests against a rate for each client address, one for all together, or
/// both. Share it among the cores in an `Arc`.
///
/// An IPv6 client is the /64 that its address is in, as that is what one subscriber
/// has.
///
/// ```
/// use std::sync::Arc;
/// use pinloop::{RateLimiter, Request, Response};
///
/// let limiter = Arc::new(RateLimiter::new(Some(("100/s".parse()?, None)), None));
/// let service = move |_: &Request<'_>, response: &mut Response<'_>| {
///     match limiter.check(response.client()) {
///         Ok(()) => response.body(b"welcome"),
///         Err(too_many) => too_many.answer(response),
///     }
/// };
/// # let _ = service;
/// # Ok::<(), String>(())
/// ```
pub struct RateLimiter(Limits<QuantaClock>);

/// The clients beyond which they are counted by larger networks. 1,000,000: some 64 MB.
const CLIENTS_MAX: usize = 1_000_000;

/// Parts of the table of clients, each with its lock: 256 are four for each of 64 CPUs,
/// and take 32 KB.
const SHARDS: usize = 256;

type Limiter<K, S, C> = governor::RateLimiter<K, S, C, NoOpMiddleware<<C as Clock>::Instant>>;

struct Limits<C: Clock> {
    clock: C,
    per_client: Option<Limiter<IpAddr, DashMapStateStore<IpAddr>, C>>,
    total: Option<Limiter<NotKeyed, InMemoryState, C>>,
    clients_max: usize,
    /// There are more clients than that.
    crowded: AtomicBool,
}

impl RateLimiter {
    /// A limiter with a rate and a burst for each client, and for all together. A
    /// burst is how many requests may come at once after a pause;
    /// [`Rate::default_burst`] without.
    pub fn new(
        per_client: Option<(Rate, Option<NonZeroU32>)>,
        total: Option<(Rate, Option<NonZeroU32>)>,
    ) -> RateLimiter {
        RateLimiter(Limits::new(per_client, total, CLIENTS_MAX, QuantaClock::default()))
    }

    /// Counters a request of `client`, unless it is one too many. One that is so for the
    /// sake of all has been counted for its client.
    pub fn check(&self, client: Option<IpAddr>) -> Result<(), TooMany> {
        self.0.check(client).map_err(|retry_after| TooMany { retry_after })
    }

    /// Forgets the clients that have paused for so long that they might as well be new.
    /// To be called every few seconds where there is a rate for each client, as by
    /// [`Background`](crate::Background), or their number only grows.
    pub fn forget(&self) {
        self.0.forget();
    }
}

/// A request is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// The least time after which another one may pass.
    pub retry_after: Duration,
}

impl TooMany {
    /// Answers with 429 (RFC 6585, 4) and `retry-after`, in whole seconds and at least
    /// one (RFC 9110, 10.2.3).
    pub fn answer(self, response: &mut Response<'_>) {
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

    fn check(&self, client: Option<IpAddr>) -> Result<(), Duration> {
        let wait = |until: NotUntil<C::Instant>| until.wait_time_from(self.clock.now());
        if let (Some(limiter), Some(client)) = (&self.per_client, client) {
            let network = network(client, self.crowded.load(Ordering::Relaxed));
            limiter.check_key(&network).map_err(wait)?;
        }
        self.total.as_ref().map_or(Ok(()), |limiter| limiter.check().map_err(wait))
    }

    fn forget(&self) {
        let Some(limiter) = &self.per_client else { return };
        limiter.retain_recent();
        let clients = limiter.len();
        let crowded = clients > self.clients_max;
        if crowded != self.crowded.swap(crowded, Ordering::Relaxed) {
            let how = if crowded { "/24 and /48" } else { "address and /64" };
            log::warn!("the rate limit knows {clients} clients, and counters them by {how} now");
        }
        if !crowded {
            limiter.shrink_to_fit();
        }
    }
}

/// What a client is counted by: its address, or the network that one subscriber has;
/// where it is crowded, a network that an attacker does not have very many of.
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

    /// Offers one request each `interval` for `span`; how many pass.
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
    fn less_than_the_rate_all_passes() {
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
    fn says_how_long_to_wait() {
        let (limits, clock) = limits(Some(("6/m", 2)), None);
        assert_eq!(limits.check(client(1)), Ok(()));
        assert_eq!(limits.check(client(1)), Ok(()));
        assert_eq!(limits.check(client(1)), Err(Duration::from_secs(10)));
        assert_eq!(limits.check(client(2)), Ok(()));
        clock.advance(Duration::from_secs(4));
        assert_eq!(limits.check(client(1)), Err(Duration::from_secs(6)));
        clock.advance(Duration::from_secs(6));
        assert_eq!(limits.check(client(1)), Ok(()));
    }

    #[test]
    fn clients_that_pause_are_forgotten_and_too_many_counted_by_network() {
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
    fn an_ipv6_client_is_its_64_and_a_mapped_address_is_ipv4() {
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
