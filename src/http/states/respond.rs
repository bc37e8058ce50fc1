//! Has the service answer a whole request, or rejects a request; says what follows.

use super::deferred::Deferred;
use super::produce::Produce;
use crate::http::context::Context;
use crate::http::guard::catch;
use crate::http::head::{self, Head, Persistence};
use crate::http::record::{PendingRecord, Record, ResponseSummary};
use crate::http::rejection::Rejection;
use crate::http::request::Request;
use crate::http::response::{Finished, Response, ResponseFraming};
use crate::http::service::Service;

/// What the connection wants before its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More input, after the rest that was not consumed.
    Read,
    /// To be called again, with the input that was not consumed, once the output is sent.
    Flush,
    /// A deferred response, by [`Connection::deliver`](crate::http::Connection::deliver), or a
    /// wake-up of its producer, by [`Connection::wake`](crate::http::Connection::wake). Then to
    /// be called again with the input that was not consumed.
    Wait,
    /// To be closed once the output is sent.
    Close(Close),
}

/// How a connection is to be closed once the output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// At once.
    Now,
    /// After the client has read the response. The client may still be sending, so the write
    /// side is to be shut down first, and the input read and discarded: a reset could destroy
    /// the response on its way (RFC 9112, 9.6).
    Linger,
    /// By a reset. The response has no other sign that it is incomplete.
    Reset,
}

/// The result of one step of a state.
pub(in crate::http) enum Outcome {
    /// The state goes on when this is there.
    Pending(Next),
    /// The state has ended.
    Over(After),
}

/// What follows a request that has been read, or rejected.
pub(in crate::http) enum After {
    /// The next request.
    NextRequest,
    /// A producer that writes the body of the response.
    Produce(Box<Produce>),
    /// A response that is made elsewhere.
    Deferred(Deferred),
    /// The end of the connection.
    Close(Close),
}

/// What is known of a request that is rejected.
pub(in crate::http) enum RequestInfo<'a> {
    /// The bytes that have been read of it.
    Bytes(&'a [u8]),
    /// Its valid head.
    Request(&'a Request<'a>),
    /// The record that was kept of it.
    Pending { record: PendingRecord, is_head: bool },
}

/// Calls the service with a request that is whole.
#[inline(always)]
pub(in crate::http) fn respond<S: Service>(
    request: &Request<'_>,
    is_last: bool,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> After {
    let start = output.len();
    let mut response = Response::new(output, context, ResponseFraming::of(request.head(), is_last));
    if catch(|| service.call(request, &mut response)).is_none() {
        drop(response);
        output.truncate(start);
        return reject(Rejection::Service, RequestInfo::Request(request), output, context);
    }
    match response.finish() {
        Finished::Whole(persistence, summary) => {
            context.count_response(summary.status);
            context.record(request, summary);
            after(persistence, false)
        }
        Finished::Deferred(framing, summary) => {
            let record = context.pending_record(request, summary);
            After::Deferred(Deferred { framing, unread: false, record })
        }
        Finished::Streaming(state, producer) => {
            context.count_response(state.summary.status);
            let record = context.pending_record(request, state.summary);
            After::Produce(Box::new(Produce::new(producer, state, record)))
        }
    }
}

/// Calls the service with a request whose body is not read, so it is the last one on its
/// connection (RFC 9112, 9.3).
pub(in crate::http) fn respond_unread<S: Service>(
    head: &Head<'_>,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> After {
    let request = Request::new(head, &[], context.client);
    match respond(&request, true, output, service, context) {
        After::Produce(mut produce) => {
            produce.unread = true;
            After::Produce(produce)
        }
        After::Deferred(deferred) => After::Deferred(Deferred { unread: true, ..deferred }),
        After::NextRequest | After::Close(_) => After::Close(Close::Linger),
    }
}

/// Writes the response to a request that is rejected: the last one on its connection.
#[cold]
pub(in crate::http) fn reject(
    rejection: Rejection,
    info: RequestInfo<'_>,
    output: &mut Vec<u8>,
    context: &Context<'_>,
) -> After {
    context.count_rejection(rejection);
    context.count_response(rejection.status());
    let framing = ResponseFraming {
        persistence: Persistence::Close,
        is_head: info.is_head(),
        minor_version: 1,
    };
    let mut response = Response::new(output, context, framing);
    response
        .status(rejection.status())
        .header("content-type", "text/plain")
        .body(rejection.sentence().as_bytes());
    record_rejected(info, response.summary(), context);
    After::Close(Close::Linger)
}

fn record_rejected(info: RequestInfo<'_>, summary: ResponseSummary, context: &Context<'_>) {
    let Some(recorder) = context.recorder else { return };
    match info {
        RequestInfo::Request(request) => Record::of(request).write(summary, recorder),
        RequestInfo::Pending { record, .. } => context.record_pending_as(record, summary),
        RequestInfo::Bytes(bytes) => {
            Record::of_rejected(bytes, context.client.copied()).write(summary, recorder);
        }
    }
}

impl RequestInfo<'_> {
    fn is_head(&self) -> bool {
        match self {
            RequestInfo::Bytes(bytes) => head::is_head(bytes),
            RequestInfo::Request(request) => request.head().is_head(),
            RequestInfo::Pending { is_head, .. } => *is_head,
        }
    }
}

/// Returns what follows a response. If a part of the request body is left unread, the client
/// may still be sending it.
#[inline]
pub(in crate::http) fn after(persistence: Persistence, unread: bool) -> After {
    match persistence {
        Persistence::Keep | Persistence::KeepSaid => After::NextRequest,
        Persistence::Close if unread => After::Close(Close::Linger),
        Persistence::Close => After::Close(Close::Now),
        Persistence::CloseUnasked => After::Close(Close::Linger),
    }
}
