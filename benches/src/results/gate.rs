//! The record of the gate: the differences between the answers of the servers.

use serde::{Deserialize, Serialize};

/// Findings of the gate.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Gate {
    /// Key of the server that the others were compared with.
    pub reference: String,
    /// Names of the exchanges that were compared.
    pub exchanges: Vec<String>,
    /// Every answer that differs.
    pub differences: Vec<Difference>,
    /// Servers from outside, each with its numbers of equal and of other answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<OutsideAnswers>,
}

impl Gate {
    /// Reports whether every contender gives the service's answers.
    pub fn is_passed(&self) -> bool {
        self.differences.iter().all(|difference| !difference.subject.is_binding())
    }
}

/// Number of exchanges in which a server from outside gives the status and the body of the
/// reference, and number of those in which it does not.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct OutsideAnswers {
    /// Key of the server.
    pub contender: String,
    /// Exchanges with the same status and body.
    pub same: u64,
    /// Exchanges with another status or body.
    pub different: u64,
}

/// One answer that differs, dates masked.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Difference {
    /// Key of the server that gave the answer.
    pub contender: String,
    /// Name of the exchange.
    pub exchange: String,
    /// Subject of the exchange.
    pub subject: Subject,
    /// True if it showed under load: the answers are sentences about the server then.
    #[serde(default)]
    pub under_load: bool,
    /// The reference's answer.
    pub expected: String,
    /// This contender's answer.
    pub found: String,
}

/// Subject of an exchange of the gate, which gives a difference its meaning.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The request of the regime with this key. A server with another answer gets no
    /// figure, because it would compare unlike things.
    Measured(String),
    /// An answer of the service: a difference is a fault.
    Service,
    /// A decision of a library that the RFCs leave open, or that one of the two has wrong:
    /// good to know.
    Protocol,
    /// An answer of the service, from a server from outside, which may differ: good to
    /// know.
    Outside,
    /// A request that no client should send: only the status and the end of the connection
    /// are compared.
    Invalid,
}

impl Subject {
    /// Reports whether another answer is a fault, and not only good to know.
    pub fn is_binding(&self) -> bool {
        matches!(self, Self::Measured(_) | Self::Service)
    }
}
