//! Everything that a step of the state machine needs besides bytes: limits, the date, the client,
//! and the places that count and record requests. The caller makes a context for each wake-up.

use std::sync::Arc;

use super::chars::TargetSyntax;
use super::counters::Counters;
use super::date::Date;
use super::deferred::ResponseSink;
use super::head;
use super::peer::Peer;
use super::record::{PendingRecord, Record, Recorder, ResponseSummary};
use super::rejection::Rejection;
use super::request::Request;

/// Largest value that [`Limits::headers_max`] can have: the header slots live on the stack,
/// 32 bytes each.
pub const HEADERS_MAX_CAP: usize = 256;

/// Bounds on one connection. Sizes are in bytes.
///
/// Build it with `..Limits::default()`, because fields will be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum size of a request head, with its empty line. Default 16 KiB, as Node and h11
    /// have it; nginx allows 32 KiB in lines of 8 KiB, Apache 8 KiB a line.
    pub head_bytes_max: usize,
    /// Maximum number of headers in a request. Default 100, as hyper and Apache have it.
    pub headers_max: usize,
    /// Maximum size of a body that is collected for a service. Default 1 MiB, as nginx has it.
    /// A streamed body has no limit.
    pub body_bytes_max: u64,
    /// Size of unsent output at which no further request is answered. Default 64 KiB: a
    /// quarter of a default socket buffer, so that one write still takes it all.
    pub output_bytes_high: usize,
    /// Maximum size of a response to a streamed request that is held back until the body is
    /// complete, so that a malformed body can still be answered with 400. Default 16 KiB.
    pub held_bytes_max: usize,
    /// Characters that a request target may hold. Default [`TargetSyntax::Url`].
    pub target_syntax: TargetSyntax,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes_max: 16 * 1024,
            headers_max: 100,
            body_bytes_max: 1024 * 1024,
            output_bytes_high: 64 * 1024,
            held_bytes_max: 16 * 1024,
            target_syntax: TargetSyntax::Url,
        }
    }
}

/// Everything that [`Connection::advance`](super::Connection::advance) needs besides bytes.
///
/// Build it with [`Context::new`] and functional update, because fields will be added.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Bounds on what a client may send.
    pub limits: &'a Limits,
    /// Date of the wake-up.
    pub date: &'a Date,
    /// True once the server stops. The response to the last request that has arrived is then
    /// the last one on its connection.
    pub draining: bool,
    /// Number of requests that one call of `advance` may answer before it returns
    /// [`Next::Flush`](super::Next::Flush). Default: no bound.
    pub requests_max: u32,
    /// Takes deferred responses and wake-ups. Without a sink no response can be deferred.
    pub sink: Option<&'a Arc<dyn ResponseSink>>,
    /// Number of this connection, for the sink.
    pub connection_id: u64,
    /// Other end of the connection, if it is known.
    pub peer: Option<&'a Peer>,
    /// Counts responses and rejections.
    pub counters: Option<&'a Counters>,
    /// Takes a record of each request.
    pub recorder: Option<&'a dyn Recorder>,
}

impl<'a> Context<'a> {
    /// Returns a context that does not drain, defers nothing, and counts and records nothing.
    pub fn new(limits: &'a Limits, date: &'a Date) -> Context<'a> {
        Context {
            limits,
            date,
            draining: false,
            requests_max: u32::MAX,
            sink: None,
            connection_id: 0,
            peer: None,
            counters: None,
            recorder: None,
        }
    }

    /// Reports whether the request before `rest` is the last one of its connection: the server
    /// drains, and no further head has arrived whole.
    pub(super) fn is_last_before(&self, rest: &[u8]) -> bool {
        self.draining && !head::has_whole_head(rest)
    }

    pub(super) fn count_response(&self, status: u16) {
        if let Some(counters) = self.counters {
            counters.responses[usize::from(status / 100)].add(1);
            if status == 429 {
                counters.too_many_requests.add(1);
            }
        }
    }

    pub(super) fn count_rejection(&self, rejection: Rejection) {
        if let Some(counters) = self.counters {
            counters.rejections[rejection as usize].add(1);
        }
    }

    /// Records a request once its response is complete.
    #[inline]
    pub(super) fn record(&self, request: &Request<'_>, summary: ResponseSummary) {
        if let Some(recorder) = self.recorder
            && summary.is_logged
        {
            record_request(recorder, request, summary);
        }
    }

    /// Keeps what is known of a request until its response is complete.
    #[inline(never)]
    pub(super) fn pending_record(
        &self,
        request: &Request<'_>,
        summary: ResponseSummary,
    ) -> PendingRecord {
        let recorder = self.recorder.filter(|_| summary.is_logged)?;
        let mut record = Record::of(request).into_owned();
        record.began = Some(recorder.now());
        record.status = summary.status;
        Some(Box::new(record))
    }

    /// Records a request that was kept by [`pending_record`](Self::pending_record), with the
    /// status that it had then.
    pub(super) fn record_pending(&self, pending: &mut PendingRecord, body_bytes: u64) {
        if let Some(record) = pending.take() {
            let summary = ResponseSummary { status: record.status, body_bytes, is_logged: true };
            self.record_pending_as(Some(record), summary);
        }
    }

    /// Records a request that was kept by [`pending_record`](Self::pending_record).
    #[inline(never)]
    pub(super) fn record_pending_as(&self, pending: PendingRecord, summary: ResponseSummary) {
        if let (Some(record), Some(recorder)) = (pending, self.recorder) {
            record.write(summary, recorder);
        }
    }
}

/// Stands apart from [`Context::record`], so that its caller stays small without a recorder.
#[inline(never)]
fn record_request(recorder: &dyn Recorder, request: &Request<'_>, summary: ResponseSummary) {
    Record::of(request).write(summary, recorder);
}
