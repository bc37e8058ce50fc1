//! Regimes: the ways in which the servers are loaded.

use std::num::NonZeroU64;

/// One way to load every server.
#[derive(Clone, Debug)]
pub struct Regime {
    /// Unique name, as in results.json.
    pub key: &'static str,
    /// Title for people.
    pub title: &'static str,
    /// Title in a few words, for the middle of a sentence.
    pub brief: &'static str,
    /// Bytes of one request.
    pub request: Vec<u8>,
    /// Time at which a request is due.
    pub pace: Pace,
    /// Number of connections at a time.
    pub connections: usize,
    /// Number of requests in flight on each connection, sent in one write.
    pub pipeline: usize,
    /// Number of answers after which a connection is closed and another one opened. `None`: never.
    pub requests_per_connection: Option<NonZeroU64>,
    /// Set if the floor takes part: its constant answer has the length of this regime's answers,
    /// and these take no work.
    pub floor: bool,
    /// Set if the answers take the work of `/data`. A server that skips the work would win.
    pub work: bool,
    /// Bytes of the response's body, if the regime is one of those that differ in it only.
    pub response_bytes: Option<usize>,
}

/// Event that makes a request due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// The answer to the previous request on the same connection.
    Closed,
    /// The clock, this number of times a second.
    Rate(f64),
    /// The clock, at half the rate of the slowest server in a closed loop: all servers have time to
    /// spare, and the same work.
    HalfOfSlowest,
}

/// Number of connections that keeps a server's core busy.
const CONNECTIONS: usize = 64;

/// Requests per second at which a server sleeps before each request.
const NEAR_IDLE: f64 = 1000.0;

/// Number of connections with more state than any cache holds.
const MANY_CONNECTIONS: usize = 4000;

/// Body length of the large echo.
const ECHO_BYTES: usize = 64 * 1024;

/// Connections of a regime up to which all servers have theirs at the same time. A process of a
/// usual system may have 20,000 descriptors, and there are some 13 servers.
const CROWD: usize = 1000;

impl Regime {
    /// Reports whether the generator has too few descriptors for the connections of all servers
    /// at the same time.
    pub fn is_crowded(&self) -> bool {
        self.connections > CROWD
    }

    /// Returns a closed loop with one request at a time on each of 64 connections, which stay open,
    /// without the floor.
    pub fn closed(
        key: &'static str,
        title: &'static str,
        brief: &'static str,
        request: Vec<u8>,
    ) -> Self {
        Self {
            key,
            title,
            brief,
            request,
            pace: Pace::Closed,
            connections: CONNECTIONS,
            pipeline: 1,
            requests_per_connection: None,
            floor: false,
            work: false,
            response_bytes: None,
        }
    }

    /// Reports whether the answer is the body of the request.
    pub fn is_echo(&self) -> bool {
        self.request.starts_with(b"POST /echo ")
    }
}

/// Returns the regimes of the quick ladder.
pub fn quick() -> Vec<Regime> {
    vec![
        Regime {
            floor: true,
            ..Regime::closed(
                "closed",
                "GET /, one request at a time on each of 64 connections",
                "for one small GET at a time",
                get("/"),
            )
        },
        Regime {
            pipeline: 16,
            floor: true,
            ..Regime::closed(
                "pipelined",
                "GET /, 16 requests at a time on each of 64 connections",
                "for 16 pipelined GETs at a time",
                get("/"),
            )
        },
        Regime {
            work: true,
            ..Regime::closed(
                "data",
                "GET /data with its work, one at a time on each of 64 connections",
                "with the work of /data",
                get("/data"),
            )
        },
    ]
}

/// Returns the regimes of the full ladder: those of the quick one, and other common loads.
pub fn full() -> Vec<Regime> {
    let mut regimes = quick();
    regimes.extend([
        Regime {
            pace: Pace::HalfOfSlowest,
            floor: true,
            ..Regime::closed(
                "half",
                "GET / at a fixed rate, half of what the slowest can answer, on 64 connections",
                "at half of the slowest one's rate",
                get("/"),
            )
        },
        Regime {
            pace: Pace::Rate(NEAR_IDLE),
            floor: true,
            ..Regime::closed(
                "idle",
                "GET / near idle, 1,000 requests a second on 64 connections",
                "near idle",
                get("/"),
            )
        },
        Regime {
            requests_per_connection: Some(NonZeroU64::MIN),
            floor: true,
            ..Regime::closed(
                "connect",
                "GET /, each request on a connection of its own, 64 at a time",
                "with a connection for each request",
                get("/"),
            )
        },
        Regime::closed(
            "echo",
            "POST /echo of 64 KiB, one at a time on each of 64 connections",
            "for an echo of 64 KiB",
            post("/echo", &vec![b'x'; ECHO_BYTES]),
        ),
        Regime {
            connections: MANY_CONNECTIONS,
            floor: true,
            ..Regime::closed(
                "many",
                "GET /, one request at a time on each of 4,000 connections",
                "on 4,000 connections",
                get("/"),
            )
        },
    ]);
    regimes.extend(sizes());
    regimes
}

/// Returns all regimes: those of the full ladder, and one that `--regimes` can name.
pub fn all() -> Vec<Regime> {
    let mut regimes = full();
    regimes.push(Regime {
        requests_per_connection: NonZeroU64::new(10),
        floor: true,
        ..Regime::closed(
            "connect10",
            "GET /, a new connection for every ten requests, 64 at a time",
            "with a connection for every ten requests",
            get("/"),
        )
    });
    regimes
}

/// Regimes with responses of 1 KiB to 1 MiB, one at a time on each of 64 connections.
fn sizes() -> [Regime; 4] {
    let sized = |key, title, brief, bytes: usize| Regime {
        response_bytes: Some(bytes),
        ..Regime::closed(key, title, brief, get(&format!("/bytes/{bytes}")))
    };
    [
        sized("1k", "GET of 1 KiB on 64 connections", "for a response of 1 KiB", 1024),
        sized("16k", "GET of 16 KiB on 64 connections", "for a response of 16 KiB", 16 << 10),
        sized("256k", "GET of 256 KiB on 64 connections", "for a response of 256 KiB", 256 << 10),
        sized("1m", "GET of 1 MiB on 64 connections", "for a response of 1 MiB", 1 << 20),
    ]
}

/// Returns a GET request with the three header fields that any client sends.
pub(crate) fn get(path: &str) -> Vec<u8> {
    request("GET", path, "", &[])
}

fn post(path: &str, content: &[u8]) -> Vec<u8> {
    request("POST", path, &format!("content-length: {}\r\n", content.len()), content)
}

fn request(method: &str, path: &str, more: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: pinloop\r\naccept: */*\r\n\
         {more}\r\n"
    );
    [head.as_bytes(), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_the_full_ladder_begins_with_the_quick_one() {
        let keys = |regimes: Vec<Regime>| regimes.iter().map(|of| of.key).collect::<Vec<_>>();
        let (quick, full, all) = (keys(quick()), keys(full()), keys(all()));
        assert!(full.starts_with(&quick) && all.starts_with(&full));
        assert_eq!(full.len(), 12);
        for key in &all {
            assert_eq!(all.iter().filter(|other| *other == key).count(), 1, "{key}");
        }
    }

    #[test]
    fn a_request_is_as_long_as_it_says() {
        let echo = post("/echo", b"hello");
        assert!(echo.ends_with(b"content-length: 5\r\n\r\nhello"));
        assert!(get("/").ends_with(b"accept: */*\r\n\r\n"));
    }
}
