//! The record of one request and its response, for an access log.

use core::net::IpAddr;
use std::borrow::Cow;

use super::head::{self, Head};
use super::request::Request;

/// A request, as far as it could be read, and what was sent in response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Address of the client, if it is known.
    pub client: Option<IpAddr>,
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
    /// Status code of the response; 499, as nginx has it, if the client left before there was
    /// one.
    pub status: u16,
    /// Size of the response body, without its framing.
    pub body_bytes: u64,
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
        Record::of_head(request.head(), request.client())
    }

    /// Returns the record of a rejected head, as far as it can be read.
    pub(super) fn of_rejected(bytes: &'a [u8], client: Option<IpAddr>) -> Record<'a> {
        let lines = || bytes.split(|&byte| matches!(byte, b'\r' | b'\n'));
        // Empty lines may come before a head (RFC 9112, 2.2).
        let line = lines().find(|line| !line.is_empty()).unwrap_or_default();
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let mut word = || words.next().unwrap_or_default();
        let (method, target, version) = (word(), word(), word());
        let header = |name: &str| lines().find_map(|line| head::header_value(line, name));
        Record {
            client,
            began: None,
            method: Cow::Borrowed(method),
            target: Cow::Borrowed(target),
            minor_version: u8::from(version != b"HTTP/1.0"),
            referer: header("referer").map(Cow::Borrowed),
            user_agent: header("user-agent").map(Cow::Borrowed),
            status: CLIENT_LEFT,
            body_bytes: 0,
        }
    }

    fn of_head(head: &Head<'a>, client: Option<IpAddr>) -> Record<'a> {
        Record {
            client,
            began: None,
            method: Cow::Borrowed(head.line.method.as_bytes()),
            target: Cow::Borrowed(head.line.target.whole.as_bytes()),
            minor_version: head.line.minor_version,
            referer: head.header("referer").map(Cow::Borrowed),
            user_agent: head.header("user-agent").map(Cow::Borrowed),
            status: CLIENT_LEFT,
            body_bytes: 0,
        }
    }

    pub(super) fn into_owned(self) -> Record<'static> {
        let own = |text: Cow<'a, [u8]>| Cow::Owned(text.into_owned());
        Record {
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

/// Returns the memory that a pending record holds, in bytes.
pub(super) fn pending_bytes(pending: &PendingRecord) -> usize {
    pending.as_ref().map_or(0, |record| {
        let Record { method, target, referer, user_agent, .. } = &**record;
        let optional = [referer, user_agent].into_iter().flatten().map(|value| value.len());
        method.len() + target.len() + optional.sum::<usize>()
    })
}
