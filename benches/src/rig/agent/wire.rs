//! Messages between the measure and an agent: a greeting in one line, then frames of JSON.
//!
//! A frame is the length of its JSON in four bytes, the highest first, and then the JSON. Each question
//! has a number, and its answer has the same one.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::load::{Arrivals, Expected, Pace, Placement, Shape, Stop, Target};
use crate::rig::process::Readiness;

/// Version of these messages. Raise it with every change.
pub const PROTOCOL: u32 = 2;

/// Beginning of the line that an agent greets with. A remote shell may print lines before it.
pub const GREETING: &str = "pinloop-agent ";

/// Kind of build: servers of a debug build say nothing about those of a release build.
const BUILD: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

/// Hash of the sources of this build: two builds of one version may differ in messages or servers.
const SOURCES: &str = env!("PINLOOP_SOURCES");

/// Largest frame: the answers of a load with a histogram have some 100 KiB.
const FRAME_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// A question with its number.
#[derive(Debug, Deserialize, Serialize)]
pub struct Question {
    /// Counts up from 0.
    pub number: u64,
    /// The question itself.
    pub ask: Ask,
}

/// An answer with the number of its question.
#[derive(Debug, Deserialize, Serialize)]
pub struct Answer {
    /// Number of the question.
    pub number: u64,
    /// True if another answer to the same question follows.
    #[serde(default)]
    pub goes_on: bool,
    /// The result as each [`Ask`] says, or a sentence for people about the server asked for.
    pub result: Result<serde_json::Value, String>,
}

/// A question or an order to an agent. Servers have the numbers that [`Ask::Start`] returned.
#[derive(Debug, Deserialize, Serialize)]
pub enum Ask {
    /// Describe the machine. Returns a [`Side`](crate::results::Side).
    Describe {
        /// The network interface with this address is described.
        address: Option<IpAddr>,
        /// Without an address: the interface that leads to this machine is described.
        peer: Option<IpAddr>,
    },
    /// Return why the machine cannot serve each of these variants, by name; none if it can.
    Unavailable(Vec<String>),
    /// Start a server and wait until it is ready. Returns a [`Started`].
    Start(Start),
    /// Read what a server and the machine have used so far. Returns an
    /// [`Observed`](crate::rig::meter::Observed).
    Read {
        /// Number of the server.
        server: u32,
        /// CPUs of the server.
        cores: Vec<usize>,
        /// Wait until the server sleeps.
        settle: bool,
    },
    /// Report whether a server still runs.
    Check(u32),
    /// End a server, whatever it does.
    End(u32),
    /// Return the memory of a server, and that of the kernel for sockets, as
    /// [`MemoryUse`](crate::rig::memory::MemoryUse).
    Memory(u32),
    /// Return how a server's event loops share these clients, each with its number of requests.
    EventLoops(u32, BTreeMap<SocketAddr, u64>),
    /// Attach hardware counters to a server, and start them. Returns false if the machine has no counters.
    CountHardware(u32),
    /// Stop the counters of a server. Returns the counts, for this number of requests.
    HardwareCounts(u32, u64),
    /// Take the machine's pace on this CPU.
    Thermometer(usize),
    /// Return the time that the machine's CPUs have been busy.
    MachineTime,
    /// Open connections to a server one after the other. Returns how long each took, in ns.
    RoundTrips(SocketAddr),
    /// Return the time since the agent's start, by its own clock.
    Now,
    /// Open connections to a server. Returns the number of their generator.
    Connect(Target, Shape, Placement),
    /// Compare every answer that a generator gets with this one, or with the first one. Returns it.
    Compare(u32, Option<Expected>),
    /// Load a server. Returns the [`Outcome`](crate::load::Outcome), and how late the order was.
    Run(Run),
    /// Let clients arrive at a server. Returns an [`Interval`](crate::load::Interval) each time that one
    /// has passed, and then the [`Outcome`](crate::load::Outcome) and how late the order was.
    Arrive(Arrive),
    /// End the load that is under way at the end of its interval. The agent does not answer this.
    Halt,
    /// Close the connections of a generator.
    Disconnect(u32),
}

/// Clients that come one after another.
#[derive(Debug, Deserialize, Serialize)]
pub struct Arrive {
    /// Number of the generator.
    pub generator: u32,
    /// When clients come, on all machines together.
    pub arrivals: Arrivals,
    /// Length of an interval, in ns.
    pub every_ns: u64,
    /// Start of the load, by the agent's clock.
    pub start: Duration,
}

/// A load of a server.
#[derive(Debug, Deserialize, Serialize)]
pub struct Run {
    /// Number of the generator.
    pub generator: u32,
    /// When requests start.
    pub pace: Pace,
    /// When the load ends.
    pub stop: Stop,
    /// Start of the load, by the agent's clock.
    pub start: Duration,
}

/// A server to start.
#[derive(Debug, Deserialize, Serialize)]
pub struct Start {
    /// Path of the program on the agent's machine.
    pub program: String,
    /// Arguments; see [`crate::rig::process::PORT`] and its neighbors for the words that are
    /// replaced.
    pub arguments: Vec<String>,
    /// CPUs that it may run on.
    pub cores: Vec<usize>,
    /// Address to listen on.
    pub listen: IpAddr,
    /// Sign that it is ready.
    pub readiness: Readiness,
    /// Time until it must be ready.
    pub patience: Duration,
}

/// A server that is ready.
#[derive(Debug, Deserialize, Serialize)]
pub struct Started {
    /// Number of the server at its agent.
    pub server: u32,
    /// Process id on its machine.
    pub id: u32,
    /// Address that it listens on.
    pub address: SocketAddr,
}

/// Writes one frame.
pub fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).ok().filter(|&length| length <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| invalid(&format!("a message of {} bytes", json.len())))?;
    // In one write, so that a message is one packet.
    let frame = [&length.to_be_bytes(), json.as_slice()].concat();
    to.write_all(&frame)?;
    to.flush()
}

/// Reads one frame. An error of kind `UnexpectedEof` if the other side has ended.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > FRAME_BYTES_MAX {
        return Err(invalid(&format!("a message of {length} bytes")));
    }
    let mut json = vec![0; length as usize];
    from.read_exact(&mut json)?;
    // An end within a frame is nonsense, and not one that more bytes could mend.
    serde_json::from_slice(&json).map_err(|error| invalid(&error.to_string()))
}

/// Returns the line that an agent greets with.
pub fn greeting() -> String {
    format!("{GREETING}{PROTOCOL} {} {BUILD} {SOURCES}\n", env!("CARGO_PKG_VERSION"))
}

/// Checks the greeting of an agent, the line without [`GREETING`]. The error is a sentence.
pub fn check_greeting(rest: &str) -> Result<(), String> {
    let mut words = rest.split_ascii_whitespace();
    let mut word = || words.next().unwrap_or("unknown");
    let (protocol, version, build, sources) = (word(), word(), word(), word());
    let own = env!("CARGO_PKG_VERSION");
    if protocol != PROTOCOL.to_string() || version != own || build != BUILD {
        return Err(format!(
            "its agent is of version {version} with protocol {protocol}, a {build} build, and this \
             program of version {own} with protocol {PROTOCOL}, a {BUILD} build: both must be alike"
        ));
    }
    if sources != SOURCES {
        return Err(format!(
            "its agent was built from other sources ({sources}) than this program ({SOURCES}), \
             although both are of version {own}: build both from the same commit"
        ));
    }
    Ok(())
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not of this protocol"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Question { number: 7, ask: Ask::Check(3) }).unwrap();
        write(&mut bytes, &Question { number: 8, ask: Ask::MachineTime }).unwrap();
        let mut rest = bytes.as_slice();
        let first: Question = read(&mut rest).unwrap();
        assert!(matches!(first, Question { number: 7, ask: Ask::Check(3) }), "{first:?}");
        let second: Question = read(&mut rest).unwrap();
        assert!(matches!(second.ask, Ask::MachineTime), "{second:?}");
        let end = read::<Question>(&mut rest).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn text_in_place_of_a_frame_is_an_error_and_takes_no_memory() {
        let error = read::<Question>(&mut "Welcome to this host!\n".as_bytes()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    }

    #[test]
    fn another_version_protocol_or_build_is_refused_by_name() {
        let line = greeting();
        assert_eq!(check_greeting(line.strip_prefix(GREETING).unwrap()), Ok(()));
        let own = env!("CARGO_PKG_VERSION");
        let optimized = format!("{PROTOCOL} {own} optimized\n");
        for other in ["1 0.0.1 debug\n", "99 0.2.0\n", "what?\n", &optimized] {
            let error = check_greeting(other).unwrap_err();
            assert!(error.contains("its agent is of version"), "{error}");
        }
        let of_other_sources = line.replace(SOURCES, "0123456789abcdef");
        for other in
            [of_other_sources.as_str(), line.strip_suffix(&format!(" {SOURCES}\n")).unwrap()]
        {
            let error = check_greeting(other.strip_prefix(GREETING).unwrap()).unwrap_err();
            assert!(error.contains("build both from the same commit"), "{error}");
        }
    }
}
