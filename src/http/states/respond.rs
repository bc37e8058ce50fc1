//! Has the service answer a whole request, or rejects a request; says what follows.

use log::debug;

use super::deferred::Deferred;
use super::outcome::{Close, End, end};
use super::produce::Produce;
use crate::http::context::Context;
use crate::http::deferred::DeferredResponse;
use crate::http::guard::catch;
use crate::http::head::{self, Head, Persistence};
use crate::http::peer::Peer;
use crate::http::record::{BodyRecorder, PendingRecord, Record, ResponseSummary};
use crate::http::rejection::Rejection;
use crate::http::request::Request;
use crate::http::response::{Finished, Response, ResponseFraming};
use crate::http::service::Service;

/// The successor of a request that has been read, or rejected.
pub(in crate::http) enum After {
    /// The end of the response.
    End(End),
    /// A producer that writes the body of the response.
    Produce(Box<Produce>),
    /// A response that is made elsewhere.
    Deferred(Deferred),
}

/// The known part of a request that is rejected.
pub(in crate::http) enum RequestInfo<'a> {
    /// The bytes that have been read of it.
    Bytes(&'a [u8]),
    /// Its valid head.
    Request(&'a Request<'a>),
    /// The record that was kept of it.
    Pending { record: PendingRecord, is_head: bool },
}

/// Calls the service with a request that is whole.
// One function, not inlined, because then the service is inlined into it.
#[inline(never)]
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
        let info = RequestInfo::Request(request);
        return After::End(reject(Rejection::Service, info, output, context));
    }
    match response.finish() {
        Finished::Whole(persistence, summary) => {
            context.count_response(summary.status);
            context.record(request, summary);
            After::End(end(persistence, false))
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

/// Calls the service as [`respond`] does, after `body_bytes` of the request body have arrived.
pub(in crate::http) fn respond_after_body<S: Service>(
    request: &Request<'_>,
    is_last: bool,
    body_bytes: u64,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> After {
    let Some(recorder) = context.recorder else {
        return respond(request, is_last, output, service, context);
    };
    let recorder = BodyRecorder { recorder, body_bytes };
    let context = Context { recorder: Some(&recorder), ..*context };
    let mut after = respond(request, is_last, output, service, &context);
    let pending = match &mut after {
        After::End(_) => None,
        After::Produce(produce) => produce.record.as_mut(),
        After::Deferred(deferred) => deferred.record.as_mut(),
    };
    if let Some(record) = pending {
        record.request_body_bytes = body_bytes;
    }
    after
}

/// Calls the service without reading the body of the request, which is therefore the last one on
/// its connection (RFC 9112, 9.3).
pub(in crate::http) fn respond_unread<S: Service>(
    head: &Head<'_>,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> After {
    let request = Request::new(head, &[], context.peer);
    match respond_after_body(&request, true, 0, output, service, context) {
        After::Produce(mut produce) => {
            produce.unread = true;
            After::Produce(produce)
        }
        After::Deferred(deferred) => After::Deferred(Deferred { unread: true, ..deferred }),
        After::End(_) => After::End(End::Close(Close::Linger)),
    }
}

/// Writes a deferred response. `input` is what has arrived behind the request.
pub(in crate::http) fn deliver(
    mut deferred: Deferred,
    response: DeferredResponse,
    input: &[u8],
    output: &mut Vec<u8>,
    context: &Context<'_>,
) -> After {
    if context.is_last_before(input) {
        deferred.framing.persistence = deferred.framing.persistence.ended();
    }
    let mut writer = Response::new(output, context, deferred.framing);
    writer.write_deferred(response);
    match writer.finish() {
        Finished::Whole(persistence, summary) => {
            context.count_response(summary.status);
            context.record_pending_as(deferred.record, summary);
            After::End(end(persistence, deferred.unread))
        }
        Finished::Streaming(state, producer) => {
            context.count_response(state.summary.status);
            if let Some(record) = &mut deferred.record {
                record.status = state.summary.status;
            }
            let mut produce = Produce::new(producer, state, deferred.record);
            produce.unread = deferred.unread;
            After::Produce(Box::new(produce))
        }
        // A deferred response is never deferred again.
        Finished::Deferred(..) => After::End(End::NextRequest),
    }
}

/// Writes the response to a request that is rejected: the last one on its connection.
#[cold]
pub(in crate::http) fn reject(
    rejection: Rejection,
    info: RequestInfo<'_>,
    output: &mut Vec<u8>,
    context: &Context<'_>,
) -> End {
    match context.peer.and_then(Peer::address) {
        Some(address) => debug!("rejecting a request of {address}: {}", rejection.name()),
        None => debug!("rejecting a request: {}", rejection.name()),
    }
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
    record_rejected(rejection, info, response.summary(), context);
    End::Close(Close::Linger)
}

fn record_rejected(
    rejection: Rejection,
    info: RequestInfo<'_>,
    summary: ResponseSummary,
    context: &Context<'_>,
) {
    let Some(recorder) = context.recorder else { return };
    let mut record = match info {
        RequestInfo::Request(request) => Record { request_body_bytes: 0, ..Record::of(request) },
        RequestInfo::Pending { record: Some(record), .. } => *record,
        RequestInfo::Pending { record: None, .. } => return,
        RequestInfo::Bytes(bytes) => Record::of_rejected(bytes, context.peer),
    };
    record.rejection = Some(rejection);
    record.write(summary, recorder);
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
