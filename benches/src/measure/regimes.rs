//! The ways in which the servers are loaded.

/// One way to load every server.
#[derive(Clone, Debug)]
pub struct Regime {
    /// Unique; as in results.json.
    pub key: &'static str,
    /// For people.
    pub title: &'static str,
    /// The same in a few words, for the middle of a sentence.
    pub brief: &'static str,
    /// One request, as it goes over the wire.
    pub request: Vec<u8>,
    /// Connections that stay open.
    pub connections: usize,
    /// Requests under way on each connection, sent in one write.
    pub pipeline: usize,
    /// Whether the floor takes part: its constant bytes are as long as this
    /// regime's answers, and these take no work.
    pub floor: bool,
}

/// Enough to keep a server's core busy from one other core.
const CONNECTIONS: usize = 64;

/// What the quick ladder measures.
pub fn quick() -> Vec<Regime> {
    vec![
        Regime {
            key: "closed",
            brief: "for one small GET at a time",
            title: "GET /, one request at a time on each of 64 connections",
            request: get("/"),
            connections: CONNECTIONS,
            pipeline: 1,
            floor: true,
        },
        Regime {
            key: "pipelined",
            brief: "for 16 pipelined GETs at a time",
            title: "GET /, 16 requests at a time on each of 64 connections",
            request: get("/"),
            connections: CONNECTIONS,
            pipeline: 16,
            floor: true,
        },
        Regime {
            key: "data",
            brief: "with the work of /data",
            title: "GET /data with its work, one at a time on each of 64 connections",
            request: get("/data"),
            connections: CONNECTIONS,
            pipeline: 1,
            floor: false,
        },
    ]
}

/// A request with the three fields that any client sends.
pub(super) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: pinloop\r\naccept: */*\r\n\r\n")
        .into_bytes()
}
