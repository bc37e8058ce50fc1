//! The state machine of one connection: input and a service in, output out. The states are
//! drawn in the [module's docs](super).

use super::body::Decoder;
use super::context::{Context, HEADERS_MAX_CAP, Limits};
use super::deferred::DeferredResponse;
use super::guard::{Guarded, catch};
use super::head::{self, Framing, Head, Headers, NO_HEADER, Scan};
use super::rejection::Rejection;
use super::request::Request;
use super::response::{Response, ResponseFraming, ResponseState};
use super::service::{BodyPolicy, Receiver, Service};
use super::states::collect::Collect;
use super::states::deferred::Deferred;
use super::states::outcome::{Close, End, Next, Outcome};
use super::states::produce::Produce;
use super::states::respond::{After, RequestInfo, deliver, reject, respond, respond_unread};
use super::states::stream::Stream;

/// The protocol state of one connection. It owns memory only while something is unfinished.
#[derive(Default)]
pub struct Connection {
    state: State,
}

/// What [`Connection::advance`] did, and wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of input bytes that were consumed.
    pub consumed: usize,
    /// What the connection wants next.
    pub next: Next,
}

/// What an unfinished connection waits for, which decides the timeout that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// A head, or the rest of one.
    Head,
    /// The rest of a request body.
    Body,
    /// Room for the rest of a response.
    Room,
    /// A response that is made elsewhere.
    Response,
    /// A paused producer.
    Producer,
    /// Nothing: the last response is written.
    Close,
}

enum State {
    /// The next byte begins a head, or an empty line before one.
    Head(Scan),
    Collect(Box<Collect>),
    Stream(Box<Stream>),
    Produce(Box<Produce>),
    Deferred(Deferred),
    /// No byte is read as a request any more.
    Closed(Close),
}

impl Default for State {
    fn default() -> State {
        State::Head(Scan::default())
    }
}

impl State {
    /// Returns the state that follows; `None` for the next request.
    #[inline(always)]
    fn after(after: After) -> Option<State> {
        match after {
            After::End(end) => State::after_end(end),
            After::Produce(produce) => Some(State::Produce(produce)),
            After::Deferred(deferred) => Some(State::Deferred(deferred)),
        }
    }

    #[inline(always)]
    fn after_end(end: End) -> Option<State> {
        match end {
            End::NextRequest => None,
            End::Close(close) => Some(State::Closed(close)),
        }
    }
}

/// What a step did with its input.
struct Step {
    used: usize,
    /// The state that follows; `None` if the next byte begins a head.
    state: Option<State>,
    /// What is needed before another step can be taken.
    needs: Option<Next>,
}

impl Step {
    #[inline(always)]
    fn after(after: After, used: usize) -> Step {
        Step { used, state: State::after(after), needs: None }
    }

    fn after_end(end: End, used: usize) -> Step {
        Step { used, state: State::after_end(end), needs: None }
    }

    /// A step of a state within a request; `follow` returns the state that follows it.
    fn within<T>(used: usize, outcome: Outcome<T>, follow: fn(T) -> Option<State>) -> Step {
        match outcome {
            Outcome::Pending(next) => Step { used, state: None, needs: Some(next) },
            Outcome::Over(after) => {
                Step { used, state: Some(follow(after).unwrap_or_default()), needs: None }
            }
        }
    }
}

impl Connection {
    /// Consumes as many complete requests as `input` holds, appends their responses to
    /// `output`, and returns what the connection wants next.
    ///
    /// Stops early when `output` holds [`Limits::output_bytes_high`](super::Limits) bytes or
    /// more, or when [`Context::requests_max`] requests have been answered.
    // Inlined, because a program has one caller and a call costs 31 instructions.
    #[inline(always)]
    pub fn advance<S: Service>(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        service: &mut S,
        context: &Context<'_>,
    ) -> Progress {
        let mut consumed = 0;
        let mut requests_left = context.requests_max;
        let mut slots = [NO_HEADER; HEADERS_USUAL];
        loop {
            let rest = &input[consumed..];
            if output.len() >= context.limits.output_bytes_high
                && !matches!(self.state, State::Closed(_))
            {
                return Progress { consumed, next: Next::Flush };
            }
            let step = match &mut self.state {
                State::Head(_) if rest.is_empty() => {
                    return Progress { consumed, next: Next::Read };
                }
                State::Head(_) if requests_left == 0 => {
                    return Progress { consumed, next: Next::Flush };
                }
                State::Head(scan) => {
                    let Limits { head_bytes_max, target_syntax, .. } = *context.limits;
                    if scan.goes_on(rest, head_bytes_max, target_syntax) {
                        return Progress { consumed, next: Next::Read };
                    }
                    requests_left -= 1;
                    begin(rest, &mut slots, output, service, context)
                }
                State::Closed(close) => {
                    let close = match *close {
                        // Unread input would have the kernel reset the connection.
                        Close::Now if !rest.is_empty() => Close::Linger,
                        close => close,
                    };
                    return Progress { consumed, next: Next::Close(close) };
                }
                _ => self.resume(rest, output, service, context),
            };
            consumed += step.used;
            if let Some(state) = step.state {
                self.state = state;
            }
            if let Some(next) = step.needs {
                return Progress { consumed, next };
            }
        }
    }

    /// Takes a step from a state within a request.
    #[inline(never)]
    fn resume<S: Service>(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        service: &mut S,
        context: &Context<'_>,
    ) -> Step {
        match &mut self.state {
            State::Collect(collect) => {
                let (used, outcome) = collect.step(input, output, service, context);
                Step::within(used, outcome, State::after)
            }
            State::Stream(stream) => {
                let (used, outcome) = stream.step(input, output, context);
                Step::within(used, outcome, State::after_end)
            }
            State::Produce(produce) => {
                Step::within(0, produce.step(output, context), State::after_end)
            }
            State::Deferred(_) | State::Head(_) | State::Closed(_) => {
                Step { used: 0, state: None, needs: Some(Next::Wait) }
            }
        }
    }

    /// Rejects a request that has begun to arrive, unless its response has begun, and ends the
    /// connection: for reasons that the protocol does not know, such as time. `input` is the
    /// input that was not consumed. Returns how the connection is to be closed.
    pub fn reject(
        &mut self,
        rejection: Rejection,
        input: &[u8],
        output: &mut Vec<u8>,
        context: &Context<'_>,
    ) -> Close {
        let close = if self.is_delimited_by_close() { Close::Reset } else { Close::Linger };
        let info = match &mut self.state {
            State::Head(_) => Some(RequestInfo::Bytes(input)),
            State::Collect(collect) => Some(collect.info()),
            State::Stream(stream) => stream.info(),
            State::Deferred(deferred) => Some(RequestInfo::Pending {
                record: deferred.record.take(),
                is_head: deferred.framing.is_head,
            }),
            State::Produce(_) | State::Closed(_) => None,
        };
        if let Some(info) = info {
            reject(rejection, info, output, context);
        }
        self.abandon(context);
        self.state = State::Closed(close);
        close
    }

    /// Reports whether a response has begun whose body ends with the connection, so that it
    /// would look complete if the connection closed now.
    pub fn is_delimited_by_close(&self) -> bool {
        match &self.state {
            State::Stream(stream) => stream.begun && stream.state.is_delimited_by_close(),
            State::Produce(produce) => produce.is_delimited_by_close(),
            State::Head(_) | State::Collect(_) | State::Deferred(_) | State::Closed(_) => false,
        }
    }

    /// Records a request whose connection ends before its response is complete.
    pub fn abandon(&mut self, context: &Context<'_>) {
        match &mut self.state {
            State::Stream(stream) => stream.abandon(context),
            State::Produce(produce) => produce.abandon(context),
            State::Deferred(deferred) => context.record_pending(&mut deferred.record, 0),
            State::Head(_) | State::Collect(_) | State::Closed(_) => {}
        }
    }

    /// Writes a deferred response, if the connection waits for one. `input` is the input that
    /// was not consumed.
    pub fn deliver(
        &mut self,
        response: DeferredResponse,
        input: &[u8],
        output: &mut Vec<u8>,
        context: &Context<'_>,
    ) {
        if let State::Deferred(_) = &self.state
            && let State::Deferred(deferred) = std::mem::take(&mut self.state)
        {
            let after = deliver(deferred, response, input, output, context);
            self.state = State::after(after).unwrap_or_default();
        }
    }

    /// Has a paused producer called again by the next [`advance`](Self::advance); reports
    /// whether there is one.
    pub fn wake(&mut self) -> bool {
        match &mut self.state {
            State::Produce(produce) if produce.is_paused() => {
                produce.wake();
                true
            }
            _ => false,
        }
    }

    /// Returns what the connection waits for after [`advance`](Self::advance).
    pub fn waiting(&self) -> Waiting {
        match &self.state {
            State::Head(_) => Waiting::Head,
            State::Collect(_) | State::Stream(_) => Waiting::Body,
            State::Produce(produce) if produce.is_paused() => Waiting::Producer,
            State::Produce(_) => Waiting::Room,
            State::Deferred(_) => Waiting::Response,
            State::Closed(_) => Waiting::Close,
        }
    }

    /// Returns the memory that unfinished requests and responses hold, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Collect(collect) => collect.buffered_bytes(),
            State::Stream(stream) => stream.buffered_bytes(),
            State::Produce(produce) => produce.buffered_bytes(),
            State::Deferred(deferred) => deferred.buffered_bytes(),
            State::Head(_) | State::Closed(_) => 0,
        }
    }
}

/// Header slots for most heads: the navigation of a browser has some 16 headers, and a proxy
/// adds a few. A head with more is read again with as many slots as the limits allow.
const HEADERS_USUAL: usize = 24;

/// Reads a head and does what its framing and the service ask for.
#[inline(always)]
fn begin<'i, S: Service>(
    input: &'i [u8],
    slots: &mut Headers<'i>,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Step {
    let limits = context.limits;
    let slots = &mut slots[..limits.headers_max.min(HEADERS_USUAL)];
    match head::parse(input, slots, limits.head_bytes_max, limits.target_syntax) {
        Err(Rejection::HeadTooLarge) if limits.headers_max > HEADERS_USUAL => {
            begin_with_many_headers(input, output, service, context)
        }
        parsed => begin_parsed(&parsed, input, output, service, context),
    }
}

#[cold]
#[inline(never)]
fn begin_with_many_headers<S: Service>(
    input: &[u8],
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Step {
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
) -> Step {
    match parsed {
        Ok(Some(head)) if head.framing == Framing::None => {
            let is_last = context.is_last_before(&input[head.bytes..]);
            let request = Request::new(head, &[], context.client);
            Step::after(respond(&request, is_last, output, service, context), head.bytes)
        }
        Ok(Some(head)) => begin_body(head, input, output, service, context),
        Ok(None) => incomplete(input, context),
        Err(rejection) => {
            // Bytes beyond the limit were not looked at, and need not have arrived.
            let window = &input[..input.len().min(context.limits.head_bytes_max)];
            Step::after_end(reject(*rejection, RequestInfo::Bytes(window), output, context), 0)
        }
    }
}

#[cold]
fn incomplete(input: &[u8], context: &Context<'_>) -> Step {
    let scan = Scan::after(input, context.limits.target_syntax);
    Step { used: 0, state: Some(State::Head(scan)), needs: Some(Next::Read) }
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
) -> Step {
    if head.line.method == "CONNECT" {
        // It has no body, whatever its headers say (RFC 9110, 9.3.6).
        return Step::after(respond_unread(head, output, service, context), head.bytes);
    }
    let rest = &input[head.bytes..];
    let before = output.len();
    if head.expects_continue {
        // Also if the body has arrived already, which RFC 9110, 10.1.1 leaves open, so that the
        // response does not depend on how the request arrives.
        output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let start = output.len();
    let request = Request::new(head, &[], context.client);
    let info = RequestInfo::Request(&request);
    let is_last = is_last(head, rest, context);
    let Some(chosen) = choose(&request, is_last, start, output, service, context) else {
        output.truncate(before);
        let end = reject(Rejection::Service, info, output, context);
        return Step::after_end(end, head.bytes);
    };
    match chosen {
        Chosen::Ignore => {
            output.truncate(before);
            Step::after(respond_unread(head, output, service, context), head.bytes)
        }
        Chosen::Collect { is_kept } => {
            output.truncate(start);
            let Framing::Length(length) = head.framing else {
                return collect(head, input, is_kept);
            };
            if length > context.limits.body_bytes_max {
                output.truncate(before);
                let end = reject(Rejection::BodyTooLarge, info, output, context);
                return Step::after_end(end, head.bytes);
            }
            match rest.get(..length as usize) {
                None => collect(head, input, is_kept),
                Some(body) => {
                    let kept = if is_kept { body } else { &[] };
                    let request = Request::new(head, kept, context.client);
                    let after = respond(&request, is_last, output, service, context);
                    Step::after(after, head.bytes + body.len())
                }
            }
        }
        Chosen::Stream(receiver, state) => {
            let record = context.pending_record(&request, state.summary);
            let mut stream = Stream {
                decoder: Decoder::new(head.framing),
                receiver: Guarded::new(receiver),
                state,
                held: Vec::new(),
                begun: false,
                is_head: head.is_head(),
                record,
            };
            let (used, outcome) = stream.receive(start, rest, output, context);
            let used = head.bytes + used;
            match outcome {
                Outcome::Over(end) => Step::after_end(end, used),
                Outcome::Pending(next) => {
                    let state = Some(State::Stream(Box::new(stream)));
                    Step { used, state, needs: Some(next) }
                }
            }
        }
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

fn collect(head: &Head<'_>, input: &[u8], is_kept: bool) -> Step {
    let collect = Collect::new(&input[..head.bytes], head.framing, is_kept);
    Step { used: head.bytes, state: Some(State::Collect(Box::new(collect))), needs: None }
}

/// Reports whether a request with a body is the last one on its connection. `rest` is the input
/// behind its head.
fn is_last(head: &Head<'_>, rest: &[u8], context: &Context<'_>) -> bool {
    context.draining && {
        let decoder = Decoder::new(head.framing);
        context.is_last_before(decoder.rest_after(rest))
    }
}
