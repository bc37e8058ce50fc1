//! The requirements of RFC 9112, and of RFC 9110 for an origin server, each with requests that
//! show it.
//!
//! A requirement has a section, a level, several requests, and a sentence on what pinloop does.
//! If the RFC leaves a choice, the sentence names pinloop's choice. Each request is fed to the
//! core whole, byte by byte, and split at each place, with the same responses. A further request
//! behind it is answered if the connection stays open, and is not read if it closes.
//!
//! Tests that need time or sockets are in `server` and `hostile`.

mod chunked;
mod connection;
mod fields;
mod framing;
mod hosts;
mod request_line;
mod semantics;
mod targets;

use pinloop::Limits;

use crate::support::probe::Probe;
use crate::support::response::statuses;
use crate::support::{DATE, feed};

#[test]
fn every_requirement_is_met() {
    let failures: Vec<String> = table().iter().flat_map(Requirement::failures).collect();
    assert!(failures.is_empty(), "{} failed:\n\n{}", failures.len(), failures.join("\n"));
}

/// Prints the size of the table. `cargo test conformance -- --nocapture` shows it.
#[test]
fn each_requirement_has_several_cases() {
    let table = table();
    let count = |level| table.iter().filter(|requirement| requirement.level == level).count();
    let [must, should, may] = [Level::Must, Level::Should, Level::May].map(count);
    let cases: usize = table.iter().map(|requirement| requirement.cases.len()).sum();
    println!("{must} MUST, {should} SHOULD and {may} MAY, shown by {cases} requests");
    // Lower bounds, so that a part of the table cannot get lost unnoticed.
    assert!(must >= 75 && should >= 30 && may >= 15 && cases >= 1_000);
    for requirement in &table {
        let sentence = requirement.sentence;
        assert!(requirement.cases.len() > 1, "one request is not enough for: {sentence}");
    }
}

fn table() -> Vec<Requirement> {
    [
        request_line::requirements(),
        targets::requirements(),
        hosts::requirements(),
        fields::requirements(),
        framing::requirements(),
        chunked::requirements(),
        semantics::requirements(),
        connection::requirements(),
    ]
    .concat()
}

/// Level of a requirement (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Must,
    Should,
    May,
}

/// One row of the table.
#[derive(Clone)]
struct Requirement {
    section: &'static str,
    level: Level,
    sentence: &'static str,
    limits: Limits,
    cases: Vec<Case>,
}

#[derive(Clone)]
struct Case {
    input: Vec<u8>,
    expected: Expected,
}

/// Expected responses and state of the connection.
#[derive(Clone)]
struct Expected {
    statuses: Vec<u16>,
    end: End,
    has: Vec<String>,
    lacks: Vec<String>,
}

/// State of the connection after the responses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The next bytes begin a new request.
    Open,
    /// The next bytes belong to an incomplete request.
    Waits,
    /// The connection closes, and the last response says so.
    Closed,
    /// The connection closes in the middle of the last response.
    Cut,
}

fn must(section: &'static str, sentence: &'static str) -> Requirement {
    Requirement::new(Level::Must, section, sentence)
}

fn should(section: &'static str, sentence: &'static str) -> Requirement {
    Requirement::new(Level::Should, section, sentence)
}

fn may(section: &'static str, sentence: &'static str) -> Requirement {
    Requirement::new(Level::May, section, sentence)
}

/// Expects these statuses and an open connection.
fn open<const N: usize>(statuses: [u16; N]) -> Expected {
    Expected::new(&statuses, End::Open)
}

/// Expects these statuses and a closed connection.
fn closed<const N: usize>(statuses: [u16; N]) -> Expected {
    Expected::new(&statuses, End::Closed)
}

/// Expects this status alone and a closed connection.
fn rejected(status: u16) -> Expected {
    closed([status])
}

/// Expects these statuses so far and an incomplete request.
fn waits<const N: usize>(statuses: [u16; N]) -> Expected {
    Expected::new(&statuses, End::Waits)
}

/// Expects these statuses and a last response that is cut off.
fn cut<const N: usize>(statuses: [u16; N]) -> Expected {
    Expected::new(&statuses, End::Cut)
}

impl Expected {
    fn new(statuses: &[u16], end: End) -> Expected {
        Expected { statuses: statuses.to_vec(), end, has: Vec::new(), lacks: Vec::new() }
    }

    /// Expects that the responses contain `part`.
    fn has(mut self, part: impl Into<String>) -> Expected {
        self.has.push(part.into());
        self
    }

    /// Expects that the responses do not contain `part`.
    fn lacks(mut self, part: impl Into<String>) -> Expected {
        self.lacks.push(part.into());
        self
    }
}

impl Requirement {
    fn new(level: Level, section: &'static str, sentence: &'static str) -> Requirement {
        Requirement { section, level, sentence, limits: Limits::default(), cases: Vec::new() }
    }

    /// Sets the limits for the cases.
    fn within(mut self, limits: Limits) -> Requirement {
        self.limits = limits;
        self
    }

    /// Adds a request and the expected outcome.
    fn case(self, expected: Expected, input: impl Into<Vec<u8>>) -> Requirement {
        self.each(expected, [input])
    }

    /// Adds several requests with the same expected outcome.
    fn each<I: Into<Vec<u8>>>(
        mut self,
        expected: Expected,
        inputs: impl IntoIterator<Item = I>,
    ) -> Requirement {
        let cases = inputs.into_iter().zip(std::iter::repeat(expected));
        self.cases.extend(cases.map(|(input, expected)| Case { input: input.into(), expected }));
        self
    }

    fn failures(&self) -> Vec<String> {
        let failed = self.cases.iter().filter_map(|case| {
            let reason = case.failure(&self.limits)?;
            Some(format!(
                "RFC {}, {:?}: {}\n  {}\n  {reason}\n",
                self.section,
                self.level,
                self.sentence,
                short(&case.input)
            ))
        });
        failed.collect()
    }
}

/// Request that is sent after a case, to see whether it is read.
const FOLLOWER: &[u8] = b"GET /follower HTTP/1.1\r\nHost: follower\r\n\r\n";

/// Longer inputs are split at only some places, because all places would take seconds.
const SPLIT_EVERYWHERE_BYTES: usize = 600;

impl Case {
    /// Returns a description of the first fault of the responses.
    fn failure(&self, limits: &Limits) -> Option<String> {
        let whole = feed(&mut Probe, limits, &self.input, &[]);
        let (output, is_closed, _) = &whole;
        let text = String::from_utf8_lossy(output);
        if let Some(reason) = self.expected.mismatch(&text, *is_closed) {
            return Some(format!("{reason}; the response is {}", short(output)));
        }

        let length = self.input.len();
        let step = if length > SPLIT_EVERYWHERE_BYTES { 61 } else { 1 };
        let splits = (1..length).step_by(step.max(length / SPLIT_EVERYWHERE_BYTES * 10));
        let ways = splits.map(|at| vec![at]).chain([vec![step; length / step]]);
        for pieces in ways {
            let split = feed(&mut Probe, limits, &self.input, &pieces);
            if split != whole {
                let first = pieces[0];
                return Some(format!("split at {first}, the response is {}", short(&split.0)));
            }
        }

        let followed = [&self.input, FOLLOWER].concat();
        let (more, is_closed, _) = feed(&mut Probe, limits, &followed, &[]);
        let right = match self.expected.end {
            End::Open => {
                let follower = more.strip_prefix(output.as_slice()).unwrap_or_default();
                !is_closed && follower.starts_with(b"HTTP/1.1 404 ")
            }
            End::Closed | End::Cut => is_closed && more == *output,
            End::Waits => true,
        };
        (!right).then(|| format!("with a request behind it, the response is {}", short(&more)))
    }
}

impl Expected {
    fn mismatch(&self, output: &str, is_closed: bool) -> Option<String> {
        let statuses = statuses(output);
        if statuses != self.statuses {
            return Some(format!("statuses are {statuses:?}, not {:?}", self.statuses));
        }
        if is_closed != matches!(self.end, End::Closed | End::Cut) {
            return Some(format!(
                "the connection is {}",
                if is_closed { "closed" } else { "open" }
            ));
        }
        let last = output.rsplit("HTTP/1.1 ").next().unwrap_or_default();
        if is_closed != last.contains("\r\nconnection: close\r\n") && self.end != End::Cut {
            return Some("`connection: close` does not match the state of the connection".into());
        }
        // RFC 9110, 6.6.1 requires a date in final responses only.
        let finals = statuses.iter().filter(|&&status| status >= 200).count();
        if output.matches(DATE).count() != finals {
            return Some("a final response has no date".into());
        }
        let missing = self.has.iter().find(|part| !output.contains(part.as_str()));
        let excess = self.lacks.iter().find(|part| output.contains(part.as_str()));
        match (missing, excess) {
            (Some(part), _) => Some(format!("{part:?} is missing")),
            (_, Some(part)) => Some(format!("{part:?} must not be there")),
            _ => None,
        }
    }
}

/// Returns the bytes as a literal, shortened in the middle.
fn short(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.len() {
        0..700 => text,
        length => format!("{} … {}", &text[..400], &text[length - 200..]),
    }
}

/// Returns a request with this request line.
fn line(request_line: impl AsRef<[u8]>) -> Vec<u8> {
    [request_line.as_ref(), b"\r\nHost: a\r\n\r\n"].concat()
}

/// Returns a request with this request line, a host, these field lines and this body.
fn request(request_line: &str, fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    let line = request_line.as_bytes();
    [line, b"\r\nHost: a\r\n", fields.as_ref(), b"\r\n\r\n", body.as_ref()].concat()
}

/// Returns a GET request with these field lines.
fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    request("GET / HTTP/1.1", fields, "")
}

/// Returns an echo request with these field lines and this body.
fn post(fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    request("POST /echo HTTP/1.1", fields, body)
}

/// Returns an echo request with this body, which is already chunked.
fn chunks(body: impl AsRef<[u8]>) -> Vec<u8> {
    post("Transfer-Encoding: chunked", body)
}
