//! The state machine of one connection: input and a service in, output out.
//!
//! [`Connection::advance`] decides; the functions below it each take one step
//! from one state. The states are drawn in the [module's docs](super).

use core::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::body::{Chunked, Decoded, Decoder};
use super::buffer::Buffer;
use super::counters::Counters;
use super::date::Date;
use super::deferred::{DeferredResponse, ResponseSink};
use super::head::headers::{Framing, Persistence};
use super::record::{self, PendingRecord, Recorder, RequestInfo};
use super::rejection::Rejection;
use super::request::{self, Fields, Head, NO_FIELD};
use super::response::body_encoder::{Flow, Producer, ResponseState};
use super::response::{Finished, Response, ResponseFraming};
use super::service::{BodyPolicy, Receiver, Service};
use super::spares::Spares;
use super::{HEADERS_MAX_CAP, Limits};

/// The protocol's side of one connection. It owns memory only while something
/// is unfinished.
#[derive(Default)]
pub struct Connection {
    state: State,
}

/// What a step needs besides the bytes.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The bounds on what a client may send.
    pub limits: &'a Limits,
    /// The date of the wake-up.
    pub date: &'a Date,
    /// The server stops: the answer to the last request that has arrived is the
    /// last on its connection.
    pub draining: bool,
    /// Who takes deferred answers; without, none can be deferred.
    pub sink: Option<&'a Arc<dyn ResponseSink>>,
    /// What the sink knows this connection by.
    pub address: u64,
    /// The address of the client, where it is known.
    pub client: Option<&'a IpAddr>,
    /// Where answers are counted, if anywhere.
    pub counters: Option<&'a Counters>,
    /// Who takes the record of each request, if anyone.
    pub recorder: Option<&'a dyn Recorder>,
    /// Where requests leave their memory to others; without, each whose content comes in
    /// pieces allocates its own.
    pub spares: Option<&'a Spares>,
}

impl<'a> Context<'a> {
    /// A context that does not drain and takes no deferred answers.
    pub fn new(limits: &'a Limits, date: &'a Date) -> Context<'a> {
        Context {
            limits,
            date,
            draining: false,
            sink: None,
            address: 0,
            client: None,
            counters: None,
            recorder: None,
            spares: None,
        }
    }

    /// Whether a request with `rest` behind it in the input is to be the last one:
    /// none may be answered after a `connection: close`, and a head that is not whole
    /// has not arrived.
    fn is_last_before(&self, rest: &[u8]) -> bool {
        self.draining && !rest.windows(4).any(|end| end == b"\r\n\r\n")
    }

    fn count_answer(&self, status: u16) {
        if let Some(counters) = self.counters {
            counters.answers[usize::from(status / 100)].add(1);
        }
    }
}

/// What [`Connection::advance`] did and wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// What the connection wants next.
    pub next: Next,
}

/// What a connection wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More input, after the rest that was not consumed.
    Read,
    /// To be called again, with the input that was not consumed, once the
    /// output is sent.
    Flush,
    /// An answer that is being made elsewhere, by [`Connection::deliver`]; then to be
    /// called again with the input that was not consumed.
    Wait,
    /// To be closed once the output is sent.
    Close {
        /// The client may still be sending: the write side is to be shut down
        /// first, and the rest read and discarded, or a reset could destroy the
        /// answer on its way (RFC 9112, 9.6).
        linger: bool,
    },
}

/// What an unfinished connection waits for, as far as the protocol knows: says
/// which timeout holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A head, or the rest of one.
    Head,
    /// The rest of a request's content.
    Body,
    /// Room for the rest of an answer.
    Room,
    /// An answer that is being made elsewhere.
    Response,
    /// Nothing: all is said.
    Close,
}

#[derive(Default)]
enum State {
    /// The next byte begins a head, or an empty line before one.
    #[default]
    Head,
    /// The content is collected for the service.
    Collect(Box<Collecting>),
    /// The content goes to a receiver as it comes.
    Stream(Box<Streaming>),
    /// The answer's content is written as there is room.
    Produce(Box<Producing>),
    /// The answer is made elsewhere.
    Deferred { to: ResponseFraming, unread: bool, record: PendingRecord },
    /// No byte is read as a request any more.
    Closed { linger: bool },
}

struct Collecting {
    /// The bytes of the head, to be read again when the content is there.
    head: Buffer,
    content: Buffer,
    decoder: Decoder,
}

pub(super) struct Streaming {
    decoder: Decoder,
    pub(super) receiver: Receiver,
    answer: ResponseState,
    /// The answer so far, until it begins: see [`Limits::held_bytes_max`].
    pub(super) held: Buffer,
    begun: bool,
    is_head: bool,
    record: PendingRecord,
}

struct Producing {
    producer: Producer,
    answer: ResponseState,
    /// Content of the request is left unread.
    unread: bool,
    record: PendingRecord,
}

impl Streaming {
    fn asked<'a>(&mut self) -> RequestInfo<'a> {
        RequestInfo::PendingRecord { record: self.record.take(), is_head: self.is_head }
    }

    /// Holds back the answer, which begins at `start` of the output, unless it has begun.
    fn hold(mut self: Box<Self>, start: usize, output: &mut Vec<u8>) -> Box<Self> {
        if !self.begun {
            self.held.extend_from_slice(&output[start..]);
            output.truncate(start);
        }
        self
    }
}

/// What a step did with its input.
struct Step {
    used: usize,
    state: State,
    /// What is needed before another step can be taken.
    needs: Option<Next>,
}

impl Step {
    fn to(state: State, used: usize) -> Step {
        Step { used, state, needs: None }
    }

    /// The rest of the input is the beginning of something that has to be whole.
    fn partial(state: State, used: usize) -> Step {
        Step { used, state, needs: Some(Next::Read) }
    }
}

impl Connection {
    /// Consumes as many complete requests as `input` holds, appends their answers
    /// to `output`, and says what it wants next.
    ///
    /// Stops early when `output` holds [`Limits::output_bytes_high`] or more.
    // Inlined, as there is one caller in a program, and a call of its own costs 31
    // instructions.
    #[inline(always)]
    pub fn advance<S: Service>(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        service: &mut S,
        context: &Context<'_>,
    ) -> Progress {
        let mut consumed = 0;
        let mut fields = [NO_FIELD; FIELDS_USUAL];
        loop {
            let rest = &input[consumed..];
            if let State::Closed { linger } = self.state {
                return Progress {
                    consumed,
                    next: Next::Close { linger: linger || !rest.is_empty() },
                };
            }
            if output.len() >= context.limits.output_bytes_high {
                return Progress { consumed, next: Next::Flush };
            }
            let step = match self.state {
                State::Head if rest.is_empty() => Step::partial(State::Head, 0),
                State::Head => begin(rest, &mut fields, output, service, context),
                _ => go_on(std::mem::take(&mut self.state), rest, output, service, context),
            };
            consumed += step.used;
            if !matches!(step.state, State::Head) {
                self.state = step.state;
            }
            if let Some(next) = step.needs {
                return Progress { consumed, next };
            }
        }
    }

    /// Refuses what has begun to arrive, where no answer to it has begun, and
    /// ends the connection: for reasons that the protocol does not know of, such
    /// as time.
    /// `input` is what was not consumed of it.
    pub fn refuse(
        &mut self,
        rejection: Rejection,
        input: &[u8],
        output: &mut Vec<u8>,
        context: &Context<'_>,
    ) {
        let asked = match &mut self.state {
            State::Head => Some(RequestInfo::Bytes(input)),
            State::Collect(collecting) => Some(RequestInfo::Bytes(&collecting.head)),
            State::Stream(streaming) if !streaming.begun => Some(streaming.asked()),
            State::Deferred { to, record, .. } => {
                Some(RequestInfo::PendingRecord { record: record.take(), is_head: to.is_head })
            }
            State::Stream(_) | State::Produce(_) | State::Closed { .. } => None,
        };
        let state = asked.map(|asked| refuse(rejection, asked, output, context));
        self.abandon(context);
        self.state = state.unwrap_or(State::Closed { linger: true });
    }

    /// Records a request whose answer has begun, or is waited for, and will never be
    /// whole: its connection ends.
    pub fn abandon(&mut self, context: &Context<'_>) {
        match &mut self.state {
            State::Stream(streaming) => {
                let said = match streaming.begun {
                    true => streaming.answer.said,
                    false => streaming.answer.said.unheard(),
                };
                record::record_kept(streaming.record.take(), said, context);
            }
            State::Produce(producing) => {
                let body_bytes = producing.answer.said.body_bytes;
                record::record_streamed(&mut producing.record, body_bytes, context);
            }
            State::Deferred { record, .. } => record::record_streamed(record, 0, context),
            State::Head | State::Collect(_) | State::Closed { .. } => {}
        }
    }

    /// Writes the answer that was deferred, where one is waited for. `input` is what
    /// was not consumed.
    pub fn deliver(
        &mut self,
        answer: &DeferredResponse,
        input: &[u8],
        output: &mut Vec<u8>,
        context: &Context<'_>,
    ) {
        self.state = match std::mem::take(&mut self.state) {
            State::Deferred { mut to, unread, record } => {
                if context.is_last_before(input) {
                    to.persistence = to.persistence.ended();
                }
                let (persistence, said) = Response::new(output, context, to).write(answer);
                context.count_answer(said.status);
                record::record_kept(record, said, context);
                after(persistence, unread)
            }
            state => state,
        };
    }

    /// What the connection waits for, where it has said [`Next::Read`] or [`Next::Flush`].
    pub fn waiting(&self) -> Waiting {
        match self.state {
            State::Head => Waiting::Head,
            State::Collect(_) | State::Stream(_) => Waiting::Body,
            State::Produce(_) => Waiting::Room,
            State::Deferred { .. } => Waiting::Response,
            State::Closed { .. } => Waiting::Close,
        }
    }

    /// Bytes of memory that unfinished requests and answers hold.
    pub fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Collect(collecting) => {
                collecting.head.capacity() + collecting.content.capacity()
            }
            State::Stream(streaming) => {
                streaming.held.capacity() + record::kept_bytes(&streaming.record)
            }
            State::Produce(producing) => record::kept_bytes(&producing.record),
            State::Deferred { record, .. } => record::kept_bytes(record),
            State::Head | State::Closed { .. } => 0,
        }
    }
}

/// Takes a step from a state in the midst of a request, of which there may be nothing
/// more to read.
#[inline(never)]
fn go_on<S: Service>(
    state: State,
    input: &[u8],
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Step {
    match state {
        State::Collect(collecting) => collect(collecting, input, output, service, context),
        State::Stream(streaming) => stream_on(streaming, input, output, context),
        State::Produce(mut producing) => match produce(&mut producing, output, context) {
            Some(state) => Step::to(state, 0),
            None => Step::to(State::Produce(producing), 0),
        },
        deferred @ State::Deferred { .. } => {
            Step { used: 0, state: deferred, needs: Some(Next::Wait) }
        }
        state @ (State::Head | State::Closed { .. }) => Step::to(state, 0),
    }
}

/// Room for the fields of most heads: a browser's navigation has some 16, and a proxy adds
/// a few. A head with more is read again with as much room as the limits allow.
const FIELDS_USUAL: usize = 24;

/// Reads a head and does what its framing and the service ask for.
#[inline(always)]
fn begin<'i, S: Service>(
    input: &'i [u8],
    fields: &mut Fields<'i>,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Step {
    let Limits { head_bytes_max, headers_max, .. } = *context.limits;
    let fields = &mut fields[..headers_max.min(FIELDS_USUAL)];
    match &mut request::parse(input, fields, head_bytes_max) {
        Err(Rejection::HeadTooLarge) if headers_max > FIELDS_USUAL => {
            begin_with_many_fields(input, output, service, context)
        }
        parsed => begin_parsed(parsed, input, output, service, context),
    }
}

#[cold]
#[inline(never)]
fn begin_with_many_fields<S: Service>(
    input: &[u8],
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Step {
    let Limits { head_bytes_max, headers_max, .. } = *context.limits;
    let mut fields = [NO_FIELD; HEADERS_MAX_CAP];
    let fields = &mut fields[..headers_max.min(HEADERS_MAX_CAP)];
    let parsed = &mut request::parse(input, fields, head_bytes_max);
    begin_parsed(parsed, input, output, service, context)
}

// Inlined, as a call of its own costs a request 20 instructions.
#[inline(always)]
fn begin_parsed<'a, S: Service>(
    parsed: &mut Result<Option<Head<'a>>, Rejection>,
    input: &'a [u8],
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Step {
    match parsed {
        Ok(Some(head)) if head.request.framing() == Framing::None => {
            let is_last = context.is_last_before(&input[head.bytes..]);
            Step::to(answer(head, is_last, output, service, context), head.bytes)
        }
        Ok(Some(head)) => begin_content(head, input, output, service, context),
        Ok(None) => Step::partial(State::Head, 0),
        &mut Err(rejection) => {
            // What lies beyond the limit was not looked at, and need not have arrived.
            let window = &input[..input.len().min(context.limits.head_bytes_max)];
            Step::to(refuse(rejection, RequestInfo::Bytes(window), output, context), 0)
        }
    }
}

/// Asks the service what is to happen to the content, and begins it.
#[inline(never)]
fn begin_content<'a, S: Service>(
    head: &mut Head<'a>,
    input: &'a [u8],
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Step {
    let is_head = head.request.method() == "HEAD";
    let head_bytes = head.bytes;
    if head.request.method() == "CONNECT" {
        // Has no content, whatever its fields say (RFC 9110, 9.3.6).
        return Step::to(answer_unread(head, output, service, context), head_bytes);
    }
    let rest = &input[head_bytes..];
    let content = match head.request.framing() {
        Framing::Length(length) if length <= rest.len() as u64 => Some(&rest[..length as usize]),
        _ => None,
    };
    let is_last = match head.request.framing() {
        // Where it ends is not known yet, and so not what is behind it.
        Framing::Chunked => false,
        _ => context.is_last_before(&rest[content.map_or(rest.len(), <[u8]>::len)..]),
    };
    let refused = |rejection, output: &mut Vec<u8>| {
        Step::to(
            refuse(rejection, RequestInfo::Request(&head.request), output, context),
            head_bytes,
        )
    };

    let before = output.len();
    if head.expects_continue {
        // Also where the content is there already, which RFC 9110, 10.1.1 leaves
        // open: so the answer does not depend on how the request arrives.
        output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    let start = output.len();
    // Who chooses what becomes of the content can't leave the answer to another: its
    // responder would answer the next request.
    let choosing = Context { sink: None, ..*context };
    let chosen = catch_unwind(AssertUnwindSafe(|| {
        let mut response = Response::new(output, &choosing, to(head, is_last));
        match service.body_policy(&head.request, &mut response) {
            BodyPolicy::Stream { length, receiver } => {
                Chosen::Stream(receiver, response.finish_head(length))
            }
            BodyPolicy::Collect => Chosen::Collect,
            BodyPolicy::Ignore => Chosen::Ignore,
        }
    }));
    let Ok(chosen) = chosen else {
        output.truncate(before);
        return refused(Rejection::Service, output);
    };

    match (chosen, head.request.framing()) {
        (Chosen::Ignore, _) => {
            output.truncate(before);
            Step::to(answer_unread(head, output, service, context), head_bytes)
        }
        (Chosen::Collect, Framing::Length(length)) if length > context.limits.body_bytes_max => {
            output.truncate(before);
            refused(Rejection::ContentTooLarge, output)
        }
        (Chosen::Collect, framing) => {
            output.truncate(start);
            if let Some(content) = content {
                head.request.set_body(content);
                let state = answer(head, is_last, output, service, context);
                return Step::to(state, head_bytes + content.len());
            }
            let content = match (context.spares, framing) {
                (Some(spares), Framing::Length(length)) => spares.buffer(length as usize),
                _ => Buffer::default(),
            };
            let mut collecting =
                Collecting { head: Buffer::default(), content, decoder: decoder(framing) };
            collecting.head.extend_from_slice(&input[..head_bytes]);
            Step::to(State::Collect(Box::new(collecting)), head_bytes)
        }
        (Chosen::Stream(receiver, answer), framing) => {
            let record = record::keep(&head.request, answer.said, context);
            let mut streaming = Streaming {
                decoder: decoder(framing),
                receiver,
                answer,
                held: Buffer::default(),
                begun: false,
                is_head,
                record,
            };
            let (used, streamed) = stream(&mut streaming, start, rest, output, context);
            let boxed = |streaming| match context.spares {
                Some(spares) => spares.boxed(streaming),
                None => Box::new(streaming),
            };
            match streamed {
                Streamed::Over(state) => Step::to(state, head_bytes + used),
                Streamed::Unfinished(needs) => {
                    let state = State::Stream(boxed(streaming).hold(start, output));
                    Step { used: head_bytes + used, state, needs: Some(needs) }
                }
            }
        }
    }
}

/// What the service chose for the content.
enum Chosen {
    Collect,
    Ignore,
    Stream(Receiver, ResponseState),
}

/// Collects content, and answers once it is whole.
fn collect<S: Service>(
    mut collecting: Box<Collecting>,
    input: &[u8],
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> Step {
    let mut used = 0;
    loop {
        let (step, decoded) = collecting.decoder.decode(&input[used..]);
        used += step;
        let rejection = match decoded {
            Ok(Decoded::Piece(piece)) => {
                // Chunks say their size first; a content-length has been checked.
                let collected = collecting.content.len() as u64;
                let bytes = collected.saturating_add(piece.chunk_bytes.unwrap_or(0));
                if bytes <= context.limits.body_bytes_max {
                    collecting.content.extend_from_slice(piece.data);
                    continue;
                }
                used -= piece.data.len();
                Rejection::ContentTooLarge
            }
            Ok(Decoded::Partial) => return Step::partial(State::Collect(collecting), used),
            Ok(Decoded::End) => {
                let is_last = context.is_last_before(&input[used..]);
                let state = answer_collected(&collecting, is_last, output, service, context);
                if let Some(spares) = context.spares {
                    spares.leave(collecting.content);
                }
                return Step::to(state, used);
            }
            Err(rejection) => rejection,
        };
        let asked = RequestInfo::Bytes(&collecting.head);
        return Step::to(refuse(rejection, asked, output, context), used);
    }
}

fn answer_collected<S: Service>(
    collecting: &Collecting,
    is_last: bool,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> State {
    let mut fields = [NO_FIELD; HEADERS_MAX_CAP];
    // The head was valid when it arrived, under the same limits.
    match request::parse(&collecting.head, &mut fields, usize::MAX) {
        Ok(Some(mut head)) => {
            head.request.set_body(&collecting.content);
            answer(&head, is_last, output, service, context)
        }
        _ => refuse(Rejection::Service, RequestInfo::Bytes(&collecting.head), output, context),
    }
}

/// Has the service answer a request that is whole.
fn answer<S: Service>(
    head: &Head<'_>,
    is_last: bool,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> State {
    let to = to(head, is_last);
    let start = output.len();
    let request = &head.request;
    let mut response = Response::new(output, context, to);
    let called = catch_unwind(AssertUnwindSafe(|| service.call(request, &mut response)));
    if called.is_err() {
        output.truncate(start);
        return refuse(Rejection::Service, RequestInfo::Request(request), output, context);
    }
    match response.finish() {
        Finished::Whole(persistence, said) => {
            context.count_answer(said.status);
            record::record(request, said, context);
            after(persistence, false)
        }
        Finished::Deferred(to, said) => {
            State::Deferred { to, unread: false, record: record::keep(request, said, context) }
        }
        Finished::Streaming(answer, producer) => {
            context.count_answer(answer.said.status);
            let record = record::keep(request, answer.said, context);
            State::Produce(Box::new(Producing { producer, answer, unread: false, record }))
        }
    }
}

/// Has the service answer a request whose content is not read, so it is the
/// last one on its connection (RFC 9112, 9.3).
fn answer_unread<S: Service>(
    head: &Head<'_>,
    output: &mut Vec<u8>,
    service: &mut S,
    context: &Context<'_>,
) -> State {
    match answer(head, true, output, service, context) {
        State::Produce(mut producing) => {
            producing.unread = true;
            State::Produce(producing)
        }
        State::Deferred { to, record, .. } => State::Deferred { to, unread: true, record },
        _ => State::Closed { linger: true },
    }
}

/// Goes on with content that is streamed.
fn stream_on(
    mut streaming: Box<Streaming>,
    input: &[u8],
    output: &mut Vec<u8>,
    context: &Context<'_>,
) -> Step {
    let start = output.len();
    output.extend_from_slice(&streaming.held);
    streaming.held.clear();
    match stream(&mut streaming, start, input, output, context) {
        (used, Streamed::Unfinished(needs)) => {
            let state = State::Stream(streaming.hold(start, output));
            Step { used, state, needs: Some(needs) }
        }
        (used, Streamed::Over(state)) => {
            if let Some(spares) = context.spares {
                spares.leave_box(streaming);
            }
            Step::to(state, used)
        }
    }
}

/// What became of the content that a receiver is handed.
enum Streamed {
    /// All input is used, or there is enough output for now.
    Unfinished(Next),
    /// The exchange is over.
    Over(State),
}

/// Hands content to its receiver as it comes. The answer, which begins at
/// `start` of the output, is to be held back until it is long enough or complete, so
/// that content which is found to be malformed can still be refused.
fn stream(
    streaming: &mut Streaming,
    start: usize,
    input: &[u8],
    output: &mut Vec<u8>,
    context: &Context<'_>,
) -> (usize, Streamed) {
    let mut used = 0;
    loop {
        let Streaming { decoder, receiver, answer, begun, record, .. } = streaming;
        if output.len() >= context.limits.output_bytes_high {
            // What fills the output may be the answers before this one.
            if start == 0 {
                begin_answer(begun, answer, context);
            }
            return (used, Streamed::Unfinished(Next::Flush));
        }
        let (step, decoded) = decoder.decode(&input[used..]);
        used += step;
        let rejection = match decoded {
            Ok(decoded) => {
                let piece = match &decoded {
                    Decoded::Piece(piece) => Some(piece),
                    Decoded::End => None,
                    Decoded::Partial => return (used, Streamed::Unfinished(Next::Read)),
                };
                let mut writer = answer.writer(output);
                match catch_unwind(AssertUnwindSafe(|| receiver(piece, &mut writer))) {
                    Ok(()) if piece.is_some() => {
                        if output.len() - start > context.limits.held_bytes_max {
                            begin_answer(begun, answer, context);
                        }
                        continue;
                    }
                    Ok(()) if answer.encoder.end(output) => {
                        begin_answer(begun, answer, context);
                        record::record_streamed(record, answer.said.body_bytes, context);
                        return (used, Streamed::Over(after(answer.persistence, false)));
                    }
                    Ok(()) | Err(_) => Rejection::Service,
                }
            }
            Err(rejection) => rejection,
        };
        let state = if *begun {
            record::record_streamed(record, answer.said.body_bytes, context);
            State::Closed { linger: true }
        } else {
            output.truncate(start);
            refuse(rejection, streaming.asked(), output, context)
        };
        return (used, Streamed::Over(state));
    }
}

/// The answer can't be taken back any more.
fn begin_answer(begun: &mut bool, answer: &ResponseState, context: &Context<'_>) {
    if !std::mem::replace(begun, true) {
        context.count_answer(answer.said.status);
    }
}

/// Has the answer's content written until there is enough output or it is complete.
fn produce(
    producing: &mut Producing,
    output: &mut Vec<u8>,
    context: &Context<'_>,
) -> Option<State> {
    let Producing { producer, answer, unread, record } = producing;
    while output.len() < context.limits.output_bytes_high {
        let before = output.len();
        let mut writer = answer.writer(output);
        match catch_unwind(AssertUnwindSafe(|| producer(&mut writer))) {
            // One that writes nothing and is not done would be called for ever.
            Ok(Flow::More) if output.len() > before => {}
            Ok(Flow::Done) if answer.encoder.end(output) => {
                record::record_streamed(record, answer.said.body_bytes, context);
                return Some(after(answer.persistence, *unread));
            }
            Ok(_) | Err(_) => {
                record::record_streamed(record, answer.said.body_bytes, context);
                return Some(State::Closed { linger: *unread });
            }
        }
    }
    None
}

/// Writes the answer to a request that is refused: the last one.
fn refuse(
    rejection: Rejection,
    asked: RequestInfo<'_>,
    output: &mut Vec<u8>,
    context: &Context<'_>,
) -> State {
    if let Some(counters) = context.counters {
        counters.rejections[rejection as usize].add(1);
    }
    context.count_answer(rejection.status());
    let is_head = asked.is_head();
    let to = ResponseFraming { persistence: Persistence::Close, is_head, minor_version: 1 };
    let mut response = Response::new(output, context, to);
    response
        .status(rejection.status())
        .header("content-type", "text/plain")
        .body(rejection.reason().as_bytes());
    record::record_refused(asked, response.said(), context);
    State::Closed { linger: true }
}

fn to(head: &Head<'_>, is_last: bool) -> ResponseFraming {
    let is_last = is_last || head.request.method() == "CONNECT";
    ResponseFraming {
        persistence: if is_last { head.persistence.ended() } else { head.persistence },
        is_head: head.request.method() == "HEAD",
        minor_version: head.request.minor_version(),
    }
}

/// The state after an answer. Where content of the request is left unread, the
/// client may still be sending it.
fn after(persistence: Persistence, unread: bool) -> State {
    match persistence {
        Persistence::Keep | Persistence::KeepSaid => State::Head,
        Persistence::Close => State::Closed { linger: unread },
        Persistence::CloseUnasked => State::Closed { linger: true },
    }
}

fn decoder(framing: Framing) -> Decoder {
    match framing {
        Framing::None => Decoder::Length(0),
        Framing::Length(length) => Decoder::Length(length),
        Framing::Chunked => Decoder::Chunked(Chunked::new()),
    }
}
