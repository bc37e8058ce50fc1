//! The state machine of one connection: input and a service in, output out. The states are
//! drawn in the [module's docs](super).

use super::context::{Context, Limits};
use super::deferred::DeferredResponse;
use super::head::{NO_HEADER, Scan};
use super::rejection::Rejection;
use super::service::Service;
use super::states::begin::{Begun, HEADERS_USUAL, What, begin};
use super::states::collect::Collect;
use super::states::deferred::Deferred;
use super::states::outcome::{Close, End, Next, Outcome};
use super::states::produce::Produce;
use super::states::respond::{After, RequestInfo, deliver, reject};
use super::states::stream::Stream;

/// The protocol state of one connection. It owns memory only while something is unfinished.
#[derive(Default)]
pub struct Connection {
    state: State,
}

/// The result of [`Connection::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of input bytes that were consumed.
    pub consumed: usize,
    /// Need of the connection.
    pub next: Next,
}

/// The reason why an unfinished connection waits, which decides the timeout that applies.
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

impl From<End> for State {
    fn from(end: End) -> State {
        match end {
            End::NextRequest => State::default(),
            End::Close(close) => State::Closed(close),
        }
    }
}

impl From<After> for State {
    fn from(after: After) -> State {
        match after {
            After::End(end) => end.into(),
            After::Produce(produce) => State::Produce(produce),
            After::Deferred(deferred) => State::Deferred(deferred),
        }
    }
}

impl Connection {
    /// Consumes the complete requests in `input`, appends their responses to `output`, and returns
    /// what the connection wants next.
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
            let (used, needs) = match &mut self.state {
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
                    match begin(rest, &mut slots, output, service, context) {
                        Ok(used) => (used, None),
                        Err(begun) => self.enter(begun),
                    }
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
            consumed += used;
            if let Some(next) = needs {
                return Progress { consumed, next };
            }
        }
    }

    /// Enters the state that follows a head.
    #[inline(never)]
    fn enter(&mut self, begun: Begun) -> (usize, Option<Next>) {
        let (state, needs) = match begun.what {
            What::Incomplete(scan) => (State::Head(scan), Some(Next::Read)),
            What::Over(after) => (after.into(), None),
            What::Collect(collect) => (State::Collect(collect), None),
            What::Stream(stream, next) => (State::Stream(stream), Some(next)),
        };
        self.state = state;
        (begun.used, needs)
    }

    /// Takes a step from a state within a request.
    #[inline(never)]
    fn resume<S: Service>(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        service: &mut S,
        context: &Context<'_>,
    ) -> (usize, Option<Next>) {
        let (used, outcome) = match &mut self.state {
            State::Collect(collect) => {
                let (used, outcome) = collect.step(input, output, service, context);
                (used, outcome.map(State::from))
            }
            State::Stream(stream) => {
                let (used, outcome) = stream.step(input, output, context);
                (used, outcome.map(State::from))
            }
            State::Produce(produce) => (0, produce.step(output, context).map(State::from)),
            State::Deferred(_) | State::Head(_) | State::Closed(_) => {
                (0, Outcome::Pending(Next::Wait))
            }
        };
        match outcome {
            Outcome::Pending(next) => (used, Some(next)),
            Outcome::Over(state) => {
                self.state = state;
                (used, None)
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
        match info {
            Some(info) => drop(reject(rejection, info, output, context)),
            None => self.abandon(context),
        }
        self.state = State::Closed(close);
        close
    }

    /// Reports whether a response has begun and its body ends with the connection, so that it
    /// would look complete if the connection closed now.
    pub fn is_delimited_by_close(&self) -> bool {
        match &self.state {
            State::Stream(stream) => stream.begun && stream.state.is_delimited_by_close(),
            State::Produce(produce) => produce.is_delimited_by_close(),
            State::Head(_) | State::Collect(_) | State::Deferred(_) | State::Closed(_) => false,
        }
    }

    /// Records a request if its connection ends before its response is complete.
    pub fn abandon(&mut self, context: &Context<'_>) {
        match &mut self.state {
            State::Stream(stream) => stream.abandon(context),
            State::Produce(produce) => produce.abandon(context),
            State::Deferred(deferred) => deferred.abandon(context),
            State::Collect(collect) => collect.abandon(context),
            State::Head(_) | State::Closed(_) => {}
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
            self.state = deliver(deferred, response, input, output, context).into();
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
