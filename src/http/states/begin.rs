//! Begins a request: reads its head, asks the service what happens to the body, and responds if
//! the request has arrived whole.

use super::collect::Collect;
use super::outcome::{End, Next, Outcome};
use super::respond::{After, RequestInfo, reject, respond, respond_unread};
use super::stream::Stream;
use crate::http::body::Decoder;
use crate::http::context::{Context, HEADERS_MAX_CAP};
use crate::http::guard::{Guarded, catch};
use crate::http::head::{self, Framing, Head, Headers, NO_HEADER, Scan};
use crate::http::rejection::Rejection;
use crate::http::request::Request;
use crate::http::response::{Response, ResponseFraming, ResponseState};
use crate::http::service::{BodyPolicy, Receiver, Service};

/// The beginning of a request.
pub(in crate::http) struct Begun {
    /// Number of input bytes used.
    pub(in crate::http) used: usize,
    pub(in crate::http) what: What,
}

/// The state of a request that has begun.
pub(in crate::http) enum What {
    /// The head has not arrived whole.
    Incomplete(Scan),
    /// The request has been read, or rejected.
    Over(After),
    Collect(Box<Collect>),
    /// With the need before the next step.
    Stream(Box<Stream>, Next),
}

/// The number of input bytes used, if the next byte begins another request: the usual case, which
/// has nothing to drop. Otherwise the state of the request.
pub(in crate::http) type Begin = Result<usize, Begun>;

#[inline(always)]
fn over(after: After, used: usize) -> Begin {
    match after {
        After::End(End::NextRequest) => Ok(used),
        after => Err(Begun { used, what: What::Over(after) }),
    }
}

fn ended(end: End, used: usize) -> Begin {
    over(After::End(end), used)
}

/// Header slots for most heads: the navigation of a browser has some 16 headers, and a proxy
/// adds a few. A head with more is read again with the slots that the limits allow.
pub(in crate::http) const HEADERS_USUAL: usize = 24;

/// Reads a head and does what its framing and the service ask for.
#[inline(always)]
pub(in crate::http) fn begin<'i, S: Service>(
    input: &'i [u8],
    slots: &mut Headers<'i>,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Begin {
    let limits = context.limits;
    let slots = &mut slots[..limits.headers_max.min(HEADERS_USUAL)];
    let parsed = head::parse(input, slots, limits.head_bytes_max, limits.target_syntax);
    // By reference, because copying a head costs 28 instructions.
    match &parsed {
        Err(Rejection::HeadTooLarge) if limits.headers_max > HEADERS_USUAL => {
            begin_with_many_headers(input, output, service, context)
        }
        parsed => begin_parsed(parsed, input, output, service, context),
    }
}

#[cold]
#[inline(never)]
fn begin_with_many_headers<S: Service>(
    input: &[u8],
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Begin {
    let limits = context.limits;
    let mut slots = [NO_HEADER; HEADERS_MAX_CAP];
    let slots = &mut slots[..limits.headers_max.min(HEADERS_MAX_CAP)];
    let parsed = head::parse(input, slots, limits.head_bytes_max, limits.target_syntax);
    begin_parsed(&parsed, input, output, service, context)
}

// Inlined, because a call costs a request 20 instructions.
#[inline(always)]
fn begin_parsed<S: Service>(
    parsed: &Result<Option<Head<'_>>, Rejection>,
    input: &[u8],
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Begin {
    match parsed {
        Ok(Some(head)) if head.framing == Framing::None => {
            let is_last = context.is_last_before(&input[head.bytes..]);
            let request = Request::new(head, &[], context.peer);
            over(respond(&request, is_last, output, service, context), head.bytes)
        }
        Ok(Some(head)) => begin_body(head, input, output, service, context),
        Ok(None) => incomplete(input, context),
        Err(rejection) => {
            // Bytes beyond the limit were not looked at, and need not have arrived.
            let window = &input[..input.len().min(context.limits.head_bytes_max)];
            ended(reject(*rejection, RequestInfo::Bytes(window), output, context), 0)
        }
    }
}

#[cold]
fn incomplete(input: &[u8], context: &Context<'_>) -> Begin {
    let scan = Scan::after(input, context.limits.target_syntax);
    Err(Begun { used: 0, what: What::Incomplete(scan) })
}

/// The choice of the service for a body.
enum Chosen {
    Collect { is_kept: bool },
    Ignore,
    Stream(Receiver, ResponseState),
}

/// Asks the service what happens to the body, and begins it.
#[inline(never)]
fn begin_body<S: Service>(
    head: &Head<'_>,
    input: &[u8],
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Begin {
    if head.line.method == "CONNECT" {
        // It has no body, whatever its headers say (RFC 9110, 9.3.6).
        return over(respond_unread(head, output, service, context), head.bytes);
    }
    let rest = &input[head.bytes..];
    let before = output.len();
    if head.expects_continue {
        // Also if the body has arrived already, which RFC 9110, 10.1.1 leaves open, so that the
        // response does not depend on how the request arrives.
        output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let start = output.len();
    let request = Request::new(head, &[], context.peer);
    let info = RequestInfo::Request(&request);
    let is_last = is_last(head, rest, context);
    let Some(chosen) = choose(&request, is_last, start, output, service, context) else {
        output.truncate(before);
        let end = reject(Rejection::Service, info, output, context);
        return ended(end, head.bytes);
    };
    match chosen {
        Chosen::Ignore => {
            output.truncate(before);
            over(respond_unread(head, output, service, context), head.bytes)
        }
        Chosen::Collect { is_kept } => {
            output.truncate(start);
            let Framing::Length(length) = head.framing else {
                return collect(head, input, is_kept);
            };
            if length > context.limits.body_bytes_max {
                output.truncate(before);
                let end = reject(Rejection::BodyTooLarge, info, output, context);
                return ended(end, head.bytes);
            }
            match rest.get(..length as usize) {
                None => collect(head, input, is_kept),
                Some(body) => {
                    let kept = if is_kept { body } else { &[] };
                    let request = Request::new(head, kept, context.peer);
                    let after = respond(&request, is_last, output, service, context);
                    over(after, head.bytes + body.len())
                }
            }
        }
        Chosen::Stream(receiver, state) => {
            let mut record = context.pending_record(&request, state.summary);
            record.iter_mut().for_each(|record| record.request_body_bytes = 0);
            let stream = Stream {
                decoder: Decoder::new(head.framing),
                receiver: Guarded::new(receiver),
                state,
                held: Vec::new(),
                begun: false,
                is_head: head.is_head(),
                record,
            };
            begin_stream(stream, start, head.bytes, input, output, context)
        }
    }
}

/// Hands the receiver what has arrived of a body, which begins behind `head_bytes` of the input.
/// The stream is boxed only if the body is incomplete.
fn begin_stream(
    mut stream: Stream,
    start: usize,
    head_bytes: usize,
    input: &[u8],
    output: &mut Vec<u8>,
    context: &Context<'_>,
) -> Begin {
    let (used, outcome) = stream.receive(start, &input[head_bytes..], output, context);
    let used = head_bytes + used;
    match outcome {
        Outcome::Over(end) => ended(end, used),
        Outcome::Pending(next) => Err(Begun { used, what: What::Stream(Box::new(stream), next) }),
    }
}

/// Calls the service's choice for a body; returns `None` if it panicked. The response begins at
/// `start` of the output.
fn choose<S: Service>(
    request: &Request<'_>,
    is_last: bool,
    start: usize,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Option<Chosen> {
    // Without a sink, because a responder taken here could answer the next request.
    let context = Context { sink: None, ..*context };
    let framing = ResponseFraming::of(request.head(), is_last);
    catch(|| {
        let mut response = Response::new(output, &context, framing);
        match service.body_policy(request, &mut response) {
            BodyPolicy::Stream { length, receiver } => {
                Chosen::Stream(receiver, response.finish_head(length, start))
            }
            BodyPolicy::Collect => Chosen::Collect { is_kept: true },
            BodyPolicy::Discard => Chosen::Collect { is_kept: false },
            BodyPolicy::Ignore => Chosen::Ignore,
        }
    })
}

fn collect(head: &Head<'_>, input: &[u8], is_kept: bool) -> Begin {
    let collect = Collect::new(&input[..head.bytes], head.framing, is_kept);
    Err(Begun { used: head.bytes, what: What::Collect(Box::new(collect)) })
}

/// Reports whether a request with a body is the last one on its connection. `rest` is the input
/// behind its head.
fn is_last(head: &Head<'_>, rest: &[u8], context: &Context<'_>) -> bool {
    context.draining && {
        let decoder = Decoder::new(head.framing);
        context.is_last_before(decoder.rest_after(rest))
    }
}
