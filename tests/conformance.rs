//! Every requirement of RFC 9112, and of the parts of RFC 9110 that an origin
//! server meets, each with the bytes that show it.
//!
//! A requirement has a section, a level, a sentence that says what pinloop does,
//! also where the RFC leaves a choice, and several requests. Each of them is fed
//! to the core whole, byte by byte and split at each place, with the same answers;
//! and where the connection stays open, the request after it is answered, where
//! it is to be closed, nothing after it is.
//!
//! What takes time or sockets to show is in `server` and `hostile`.

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
use crate::support::{DATE, feed};

/// How many requirements of each level there are; the README states them too.
const COUNTS: [(Level, usize); 3] = [(Level::Must, 79), (Level::Should, 34), (Level::May, 16)];

/// How many requests show them.
const CASES: usize = 1_034;

#[test]
fn every_requirement_is_met() {
    let failures: Vec<String> = table().iter().flat_map(Requirement::failures).collect();
    assert!(failures.is_empty(), "{} failed:\n\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_table_is_as_large_as_is_stated() {
    let table = table();
    let counters =
        COUNTS.map(|(level, _)| (level, table.iter().filter(|row| row.level == level).count()));
    let cases = table.iter().map(|row| row.cases.len()).sum::<usize>();
    println!("{counters:?}, {cases} cases");
    assert_eq!((counters, cases), (COUNTS, CASES));
    let [must, should, may] = COUNTS.map(|(_, count)| count);
    let readme = include_str!("../README.md");
    let levels = format!("{must} MUST, {should} SHOULD and {may} MAY, shown by ");
    let requests = format!("{},{:03} requests", CASES / 1_000, CASES % 1_000);
    assert!(readme.contains(&(levels + &requests)), "the README states other numbers");
    for row in &table {
        assert!(row.cases.len() > 1, "one request is not enough for: {}", row.sentence);
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

/// How binding a requirement is (RFC 2119).
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

/// What a request is answered with.
#[derive(Clone)]
struct Expected {
    statuses: Vec<u16>,
    end: End,
    has: Vec<String>,
    lacks: Vec<String>,
}

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// What follows is the next request.
    Open,
    /// What follows belongs to a request that is not complete.
    Waits,
    /// What follows is not read, and the last answer says so.
    Closed,
    /// The last answer was cut off in its midst.
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

/// Answered with these statuses, and open.
fn open<const N: usize>(statuses: [u16; N]) -> Expected {
    Expected::new(&statuses, End::Open)
}

/// Answered with these statuses, and closed.
fn closed<const N: usize>(statuses: [u16; N]) -> Expected {
    Expected::new(&statuses, End::Closed)
}

/// Answered with this status alone, and closed.
fn refused(status: u16) -> Expected {
    closed([status])
}

/// Answered with these statuses so far.
fn waits<const N: usize>(statuses: [u16; N]) -> Expected {
    Expected::new(&statuses, End::Waits)
}

/// Answered with these statuses, and closed before the last answer is complete.
fn cut<const N: usize>(statuses: [u16; N]) -> Expected {
    Expected::new(&statuses, End::Cut)
}

impl Expected {
    fn new(statuses: &[u16], end: End) -> Expected {
        Expected { statuses: statuses.to_vec(), end, has: Vec::new(), lacks: Vec::new() }
    }

    /// The answers contain this.
    fn has(mut self, part: impl Into<String>) -> Expected {
        self.has.push(part.into());
        self
    }

    /// The answers do not contain this.
    fn lacks(mut self, part: impl Into<String>) -> Expected {
        self.lacks.push(part.into());
        self
    }
}

impl Requirement {
    fn new(level: Level, section: &'static str, sentence: &'static str) -> Requirement {
        Requirement { section, level, sentence, limits: Limits::default(), cases: Vec::new() }
    }

    /// The limits of the cases.
    fn within(mut self, limits: Limits) -> Requirement {
        self.limits = limits;
        self
    }

    /// Adds a request and what is expected of it.
    fn case(self, expected: Expected, input: impl Into<Vec<u8>>) -> Requirement {
        self.each(expected, [input])
    }

    /// Adds several requests of which the same is expected.
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

/// What is sent after a case, to see whether it is read as a request.
const FOLLOWER: &[u8] = b"GET /follower HTTP/1.1\r\nHost: follower\r\n\r\n";

/// Longer inputs are split at some places only, or they would take seconds.
const SPLIT_EVERYWHERE_BYTES: usize = 600;

impl Case {
    /// What is wrong with the answers, if anything is.
    fn failure(&self, limits: &Limits) -> Option<String> {
        let whole = feed(&mut Probe, limits, &self.input, &[]);
        let (output, is_closed, _) = &whole;
        let text = String::from_utf8_lossy(output);
        if let Some(reason) = self.expected.mismatch(&text, *is_closed) {
            return Some(format!("{reason}; the answer is {}", short(output)));
        }

        let length = self.input.len();
        let step = if length > SPLIT_EVERYWHERE_BYTES { 61 } else { 1 };
        let splits = (1..length).step_by(step.max(length / SPLIT_EVERYWHERE_BYTES * 10));
        let ways = splits.map(|at| vec![at]).chain([vec![step; length / step]]);
        for pieces in ways {
            let split = feed(&mut Probe, limits, &self.input, &pieces);
            if split != whole {
                let first = pieces[0];
                return Some(format!("split at {first}, the answer is {}", short(&split.0)));
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
        (!right).then(|| format!("with a request behind it, the answer is {}", short(&more)))
    }
}

impl Expected {
    fn mismatch(&self, output: &str, is_closed: bool) -> Option<String> {
        let statuses: Vec<u16> = output
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|answer| answer[..3].parse().expect("a status code"))
            .collect();
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
            return Some("the last answer and the connection differ on whether it closes".into());
        }
        // RFC 9110, 6.6.1; an interim answer needs none.
        let finals = statuses.iter().filter(|&&status| status >= 200).count();
        if output.matches(DATE).count() != finals {
            return Some("not each answer has a date".into());
        }
        let missing = self.has.iter().find(|part| !output.contains(part.as_str()));
        let excess = self.lacks.iter().find(|part| output.contains(part.as_str()));
        match (missing, excess) {
            (Some(part), _) => Some(format!("{part:?} is missing")),
            (_, Some(part)) => Some(format!("{part:?} may not be")),
            _ => None,
        }
    }
}

/// The bytes as a literal, shortened in the middle.
fn short(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.len() {
        0..700 => text,
        length => format!("{} … {}", &text[..400], &text[length - 200..]),
    }
}

/// A request with this line.
fn line(request_line: impl AsRef<[u8]>) -> Vec<u8> {
    [request_line.as_ref(), b"\r\nHost: a\r\n\r\n"].concat()
}

/// A request with this line, a host, these field lines and this content.
fn request(request_line: &str, fields: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Vec<u8> {
    let line = request_line.as_bytes();
    [line, b"\r\nHost: a\r\n", fields.as_ref(), b"\r\n\r\n", content.as_ref()].concat()
}

/// A GET request with these field lines.
fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    request("GET / HTTP/1.1", fields, "")
}

/// A request for an echo with these field lines and content.
fn post(fields: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Vec<u8> {
    request("POST /echo HTTP/1.1", fields, content)
}

/// A request for an echo with this content, in the chunked coding already.
fn chunks(content: impl AsRef<[u8]>) -> Vec<u8> {
    post("Transfer-Encoding: chunked", content)
}
