//! Every difference, and the server that is right.

use crate::compare::OTHER_CONTENT;

/// Server that follows the RFCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// pinloop does; hyper does what a MUST or a SHOULD says otherwise.
    Pinloop,
    /// Both do: the RFC leaves a choice. pinloop mostly takes the stricter way.
    Both,
}

/// A difference between the two: all requests of a topic that they answer so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    pub(crate) topic: &'static str,
    /// The statuses of all answers on the connection, that to the request behind
    /// among them.
    pub(crate) pinloop: &'static str,
    /// As `pinloop`, or [`OTHER_CONTENT`].
    pub(crate) hyper: &'static str,
    pub(crate) right: Right,
    pub(crate) section: &'static str,
    pub(crate) why: &'static str,
}

const fn pinloop(
    topic: &'static str,
    pinloop: &'static str,
    hyper: &'static str,
    section: &'static str,
    why: &'static str,
) -> Difference {
    Difference { topic, pinloop, hyper, right: Right::Pinloop, section, why }
}

const fn both(
    topic: &'static str,
    pinloop: &'static str,
    hyper: &'static str,
    section: &'static str,
    why: &'static str,
) -> Difference {
    Difference { topic, pinloop, hyper, right: Right::Both, section, why }
}

pub(crate) const DIFFERENCES: &[Difference] = &[
    // The request line.
    both("request line", "400", "200 200", "9112 2.2", LONE_LF),
    pinloop("method and target", "400", "200 200", "9112 3.2", FORM),
    pinloop("method and target", "400", "501 200", "9112 3.2.3", "CONNECT has host and port"),
    pinloop("method and target", "421", "200 200", "9110 7.4", "https is not for this connection"),
    both("method and target", "501", "501 200", "9110 9.3.6", "pinloop closes after any CONNECT"),
    pinloop(
        "method and target",
        "200 200",
        OTHER_CONTENT,
        "9112 3.2.4",
        "OPTIONS without path is *",
    ),
    both("content of CONNECT", "501", "501 200", "9110 9.3.6", "pinloop closes after any CONNECT"),
    pinloop("target's characters", "400", "200 200", "9112 3.2", "not in a URI (RFC 3986, 3)"),
    both("target's characters", "200 200", OTHER_CONTENT, "9110 4.2.3", "unreserved escapes"),
    both("target's characters", "200 200", "400", "9112 3.2", "` as the URL standard leaves it"),
    pinloop("version", "200", "200 in 1.0", "9110 6.2", OWN_VERSION),
    pinloop("version", "200 200", "200 in 1.0 200", "9110 6.2", OWN_VERSION),
    pinloop("version", "200", "400", "9110 2.5", "a later minor version is served as 1.1"),
    pinloop("version", "200 200", "400", "9110 2.5", "a later minor version is served as 1.1"),
    pinloop("version", "400", "200", "9112 3.2", "1.1 needs a host"),
    pinloop("version", "400", "200 200", "9112 3.2", "1.1 needs a host"),
    pinloop("version", "505", "400", "9110 15.6.6", "another major version has its own status"),
    // Fields.
    pinloop("host", "400", "200 200", "9112 3.2", "an invalid host is 400"),
    pinloop("host beside an absolute-form target", "400", "200 200", "9112 3.2", "there too"),
    pinloop("number of hosts", "400", "200 200", "9112 3.2", "exactly one host"),
    both("line end", "400", "200 200", "9112 2.2", LONE_LF),
    both("line end", "400", "200 400", "9112 2.2", LONE_LF),
    both("line end", "200 400", "200 200", "9112 2.2", LONE_LF),
    pinloop("connection", "200", "200 in 1.0", "9110 6.2", OWN_VERSION),
    pinloop("connection", "200 200", "200 in 1.0 200", "9110 6.2", OWN_VERSION),
    pinloop("expect", "200", "200 in 1.0", "9110 6.2", OWN_VERSION),
    both("expect", "417", "200 200", "9110 10.1.1", UNKNOWN_EXPECTATION),
    both("expect", "417", "200 in 1.0", "9110 10.1.1", UNKNOWN_EXPECTATION),
    both("expect", "417", "400", "9110 10.1.1", "both refuse: chunked in 1.0 besides"),
    pinloop("expect", "100 200 200", "200 200", "9110 10.1.1", "expectations are a list"),
    // Framing.
    both("content-length", "200 200", "400", "9112 6.3", "the same number several times is one"),
    pinloop("content-length", "400", "431", "9112 6.3", "numbers that differ, no field too large"),
    pinloop("content-length", "413", "431", "9110 15.5.14", "the content is too large, no field"),
    pinloop("transfer-encoding", "200 200", "400", "9110 5.6.1.2", "empty members are ignored"),
    pinloop("transfer-encoding", "400", "200 200", "9112 6.1", "chunked once, and well formed"),
    pinloop("transfer-encoding", "501", "200 200", "9112 6.1", UNKNOWN_CODING),
    both("transfer-encoding", "501", "400", "9112 6.1", "unknown, and chunked is not last"),
    both("content-length and transfer-encoding", "400", "200", "9112 6.3", BOTH_LENGTHS),
    pinloop("content-length and transfer-encoding", "501", "200", "9112 6.1", UNKNOWN_CODING),
    both("content-length and transfer-encoding", "501", "400", "9112 6.1", "as without the length"),
    // The chunked coding.
    both("digits of a chunk size", "400", "200 200", "9112 7.1", "pinloop takes 16 at most"),
    pinloop("chunk size", "400", "200 200", "9112 7.1", "no space between size and CRLF"),
    both("chunk size", "413", "400", "9110 15.5.14", "both refuse: it is too large"),
    pinloop("chunk extension", "400", "200 200", "9112 7.1.1", "extensions have a grammar"),
    pinloop("chunk's end", "400", "200 200", "9112 7.1", "no space between size and CRLF"),
    pinloop("chunk's end", "400", "200", "9112 7.1", "the content ends with CRLF, not LF"),
    both("trailer", "400", "200 200", "9112 2.2", LONE_LF),
];

const LONE_LF: &str = "a lone LF may be taken for a line's end, or refused";
const FORM: &str = "a target in no form, or not in one of its method, or with userinfo";
const OWN_VERSION: &str = "an answer says the server's version";
const UNKNOWN_EXPECTATION: &str = "an unknown expectation may be 417";
const UNKNOWN_CODING: &str = "a coding that is not understood is 501, not the content";
const BOTH_LENGTHS: &str = "may be refused, or read as chunked and closed";
