//! The record of one request and its response, for an access log.

use core::net::IpAddr;
use std::borrow::Cow;

use super::head::{self, Framing};
use super::peer::Peer;
use super::rejection::Rejection;
use super::request::Request;

/// A request, as far as it could be read, and what was sent in response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Address of the client, if it is known: see [`Request::client`].
    pub client: Option<IpAddr>,
    /// Address of the other end of the connection, if it is known: the client or a proxy.
    pub peer: Option<IpAddr>,
    /// Value of the `x-request-id` header, if a trusted proxy has set it.
    pub id: Option<Cow<'a, [u8]>>,
    /// Value of [`Recorder::now`] when the request began. `None` if the request arrived and
    /// was answered in the present wake-up.
    pub began: Option<u64>,
    /// Method as it was sent, as far as it could be read.
    pub method: Cow<'a, [u8]>,
    /// Request target as it was sent, as far as it could be read.
    pub target: Cow<'a, [u8]>,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1 and all others.
    pub minor_version: u8,
    /// Value of the `referer` header.
    pub referer: Option<Cow<'a, [u8]>>,
    /// Value of the `user-agent` header.
    pub user_agent: Option<Cow<'a, [u8]>>,
    /// Number of bytes that have arrived of the request body, without its framing. 0 for a
    /// rejected request.
    pub request_body_bytes: u64,
    /// Status code of the response; 499, as nginx has it, if the connection ended before there
    /// was one.
    pub status: u16,
    /// Size of the response body, without its framing.
    pub body_bytes: u64,
    /// Reason for which the server itself refused the request.
    pub rejection: Option<Rejection>,
    /// The connection ended before the request or its response was complete.
    pub is_cut: bool,
}

/// Takes the record of each request once its response is written.
pub trait Recorder {
    /// Returns the time in a unit of the recorder's own.
    fn now(&self) -> u64;

    /// Takes one record.
    fn record(&self, record: &Record<'_>);
}

/// The status of a response and the size of its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseSummary {
    pub(super) status: u16,
    pub(super) body_bytes: u64,
    /// False if the service excluded the request from the log.
    pub(super) is_logged: bool,
}

impl ResponseSummary {
    /// Returns the summary of a response that has not begun, for a client that leaves before
    /// it does.
    pub(super) fn unsent(self) -> ResponseSummary {
        ResponseSummary { status: CLIENT_LEFT, body_bytes: 0, ..self }
    }
}

/// A record that waits for the end of its response; `None` without a recorder.
pub(super) type PendingRecord = Option<Box<Record<'static>>>;

/// nginx's status for a client that closed its connection before the response.
const CLIENT_LEFT: u16 = 499;

impl<'a> Record<'a> {
    /// Returns the record of a request before its response is known.
    pub(super) fn of(request: &Request<'a>) -> Record<'a> {
        let (head, own) = (request.head(), Cow::Borrowed);
        Record {
            client: request.client(),
            peer: request.peer(),
            id: request.id().map(own),
            method: Cow::Borrowed(head.line.method.as_bytes()),
            target: Cow::Borrowed(head.line.target.whole.as_bytes()),
            minor_version: head.line.minor_version,
            referer: head.header("referer").map(own),
            user_agent: head.header("user-agent").map(own),
            request_body_bytes: match head.framing {
                Framing::Length(bytes) => bytes,
                Framing::None | Framing::Chunked => 0,
            },
            ..Record::unknown()
        }
    }

    /// Returns the record of a rejected head, as far as it can be read.
    pub(super) fn of_rejected(bytes: &'a [u8], peer: Option<&Peer>) -> Record<'a> {
        let lines = || bytes.split(|&byte| matches!(byte, b'\r' | b'\n'));
        // Empty lines may come before a head (RFC 9112, 2.2).
        let line = lines().find(|line| !line.is_empty()).unwrap_or_default();
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let mut word = || words.next().unwrap_or_default();
        let (method, target, version) = (word(), word(), word());
        let header = |name: &str| lines().find_map(|line| head::header_value(line, name));
        let client = |peer: &Peer| {
            let name = peer.trusted_header().unwrap_or_default();
            peer.client(lines().filter_map(|line| head::header_value(line, name)))
        };
        Record {
            client: peer.and_then(client),
            peer: peer.and_then(Peer::address),
            method: Cow::Borrowed(method),
            target: Cow::Borrowed(target),
            minor_version: u8::from(version != b"HTTP/1.0"),
            referer: header("referer").map(Cow::Borrowed),
            user_agent: header("user-agent").map(Cow::Borrowed),
            ..Record::unknown()
        }
    }

    /// Returns the record of a request of which nothing is known.
    fn unknown() -> Record<'a> {
        Record {
            client: None,
            peer: None,
            id: None,
            began: None,
            method: Cow::Borrowed(b""),
            target: Cow::Borrowed(b""),
            minor_version: 1,
            referer: None,
            user_agent: None,
            request_body_bytes: 0,
            status: CLIENT_LEFT,
            body_bytes: 0,
            rejection: None,
            is_cut: false,
        }
    }

    pub(super) fn into_owned(self) -> Record<'static> {
        let own = |text: Cow<'a, [u8]>| Cow::Owned(text.into_owned());
        Record {
            id: self.id.map(own),
            method: own(self.method),
            target: own(self.target),
            referer: self.referer.map(own),
            user_agent: self.user_agent.map(own),
            ..self
        }
    }

    /// Completes the record and hands it to `recorder`.
    pub(super) fn write(mut self, summary: ResponseSummary, recorder: &dyn Recorder) {
        self.status = summary.status;
        self.body_bytes = summary.body_bytes;
        recorder.record(&self);
    }
}

/// A recorder that knows how much of the request body has arrived.
pub(super) struct BodyRecorder<'a> {
    pub(super) recorder: &'a dyn Recorder,
    pub(super) body_bytes: u64,
}

impl Recorder for BodyRecorder<'_> {
    fn now(&self) -> u64 {
        self.recorder.now()
    }

    fn record(&self, record: &Record<'_>) {
        self.recorder.record(&Record { request_body_bytes: self.body_bytes, ..record.clone() });
    }
}

/// Returns the memory that a pending record holds, in bytes.
pub(super) fn pending_bytes(pending: &PendingRecord) -> usize {
    pending.as_ref().map_or(0, |record| {
        let Record { id, method, target, referer, user_agent, .. } = &**record;
        let optional = [id, referer, user_agent].into_iter().flatten().map(|value| value.len());
        method.len() + target.len() + optional.sum::<usize>()
    })
}
