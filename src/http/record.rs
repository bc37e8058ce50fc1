//! What became of each request, for whoever writes it down.

use core::net::IpAddr;
use std::borrow::Cow;

use super::HEADERS_MAX_CAP;
use super::connection::Context;
use super::request::{self, NO_FIELD, Request};

/// A request, as far as it could be read, and what it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The address of the client, where it is known.
    pub client: Option<IpAddr>,
    /// When the request began, as [`Recorder::now`] had it; none where all of it came,
    /// and was answered, just now.
    pub began: Option<u64>,
    /// As it was sent, and as much as could be read.
    pub method: Cow<'a, [u8]>,
    /// As it was sent, and as much as could be read.
    pub target: Cow<'a, [u8]>,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1 and all others.
    pub minor_version: u8,
    /// The `referer` field.
    pub referer: Option<Cow<'a, [u8]>>,
    /// The `user-agent` field.
    pub user_agent: Option<Cow<'a, [u8]>>,
    /// The status code of the answer; 499, as nginx has it, where the client left
    /// before there was one.
    pub status: u16,
    /// Bytes of content in the answer, without their framing.
    pub body_bytes: u64,
}

/// Takes the record of each request, once all of its answer is written.
pub trait Recorder {
    /// The time, in a unit of the recorder's own.
    fn now(&self) -> u64;

    /// Takes one record.
    fn record(&self, record: &Record<'_>);
}

/// What an answer has said.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseSummary {
    pub(super) status: u16,
    pub(super) body_bytes: u64,
    /// It is not to be recorded.
    pub(super) is_private: bool,
}

/// A record that waits for the rest of its answer, where there is a recorder.
pub(super) type PendingRecord = Option<Box<Record<'static>>>;

/// What is known of a request that is refused.
pub(super) enum RequestInfo<'a> {
    /// What has been read of it.
    Bytes(&'a [u8]),
    /// All of it.
    Request(&'a Request<'a>),
    /// What was kept of it.
    PendingRecord { record: PendingRecord, is_head: bool },
}

impl ResponseSummary {
    /// Of an answer that has not begun: what is recorded where the client leaves before
    /// it does.
    pub(super) fn unheard(self) -> ResponseSummary {
        ResponseSummary { status: CLIENT_LEFT, body_bytes: 0, ..self }
    }
}

const CLIENT_LEFT: u16 = 499;

impl<'a> Record<'a> {
    fn of(request: &Request<'a>, context: &Context<'_>) -> Record<'a> {
        Record {
            method: Cow::Borrowed(request.method().as_bytes()),
            target: Cow::Borrowed(request.target().as_bytes()),
            minor_version: request.minor_version(),
            referer: request.header("referer").map(Cow::Borrowed),
            user_agent: request.header("user-agent").map(Cow::Borrowed),
            ..Record::unknown(context)
        }
    }

    /// Of a request of which nothing can be told.
    fn unknown(context: &Context<'_>) -> Record<'a> {
        Record {
            client: context.client.copied(),
            began: None,
            method: Cow::Borrowed(b""),
            target: Cow::Borrowed(b""),
            minor_version: 1,
            referer: None,
            user_agent: None,
            status: CLIENT_LEFT,
            body_bytes: 0,
        }
    }

    fn into_owned(self) -> Record<'static> {
        let own = |text: Cow<'a, [u8]>| Cow::Owned(text.into_owned());
        Record {
            method: own(self.method),
            target: own(self.target),
            referer: self.referer.map(own),
            user_agent: self.user_agent.map(own),
            ..self
        }
    }
}

/// Records an answer that is whole.
#[inline]
pub(super) fn record(request: &Request<'_>, said: ResponseSummary, context: &Context<'_>) {
    if let Some(recorder) = context.recorder
        && !said.is_private
    {
        record_with(recorder, request, said, context);
    }
}

/// Apart from [`record`], so that where nothing is recorded its caller is as small as it
/// would be without.
#[inline(never)]
fn record_with(
    recorder: &dyn Recorder,
    request: &Request<'_>,
    said: ResponseSummary,
    context: &Context<'_>,
) {
    write(Record::of(request, context), said, recorder);
}

/// Keeps what is known of a request until its answer, which has said so much, is whole.
#[inline(never)]
pub(super) fn keep(
    request: &Request<'_>,
    said: ResponseSummary,
    context: &Context<'_>,
) -> PendingRecord {
    let recorder = context.recorder.filter(|_| !said.is_private)?;
    let mut record = Record::of(request, context).into_owned();
    record.began = Some(recorder.now());
    record.status = said.status;
    Some(Box::new(record))
}

/// Bytes of memory that a record keeps.
pub(super) fn kept_bytes(kept: &PendingRecord) -> usize {
    kept.as_ref().map_or(0, |record| {
        let Record { method, target, referer, user_agent, .. } = &**record;
        let fields = [referer, user_agent].into_iter().flatten().map(|field| field.len());
        method.len() + target.len() + fields.sum::<usize>()
    })
}

/// Records what was kept, with what the answer has come to.
#[inline(never)]
pub(super) fn record_kept(kept: PendingRecord, said: ResponseSummary, context: &Context<'_>) {
    if let (Some(record), Some(recorder)) = (kept, context.recorder) {
        write(*record, said, recorder);
    }
}

/// Records what was kept, with so many bytes of content.
pub(super) fn record_streamed(kept: &mut PendingRecord, body_bytes: u64, context: &Context<'_>) {
    if let Some(record) = kept.take() {
        let said = ResponseSummary { status: record.status, body_bytes, is_private: false };
        record_kept(Some(record), said, context);
    }
}

/// Records a rejection.
#[inline(never)]
pub(super) fn record_refused(asked: RequestInfo<'_>, said: ResponseSummary, context: &Context<'_>) {
    let Some(recorder) = context.recorder else { return };
    match asked {
        RequestInfo::Request(request) => write(Record::of(request, context), said, recorder),
        RequestInfo::PendingRecord { record, .. } => record_kept(record, said, context),
        RequestInfo::Bytes(bytes) => {
            let mut fields = [NO_FIELD; HEADERS_MAX_CAP];
            let record = match request::parse(bytes, &mut fields, usize::MAX) {
                Ok(Some(head)) => Record::of(&head.request, context),
                _ => request_line(bytes, context),
            };
            write(record, said, recorder);
        }
    }
}

impl RequestInfo<'_> {
    /// Whether the method is HEAD, so that no answer has content.
    pub(super) fn is_head(&self) -> bool {
        match self {
            RequestInfo::Bytes(bytes) => request::is_head(bytes),
            RequestInfo::Request(request) => request.method() == "HEAD",
            RequestInfo::PendingRecord { is_head, .. } => *is_head,
        }
    }
}

fn write(mut record: Record<'_>, said: ResponseSummary, recorder: &dyn Recorder) {
    record.status = said.status;
    record.body_bytes = said.body_bytes;
    recorder.record(&record);
}

/// What can be told from a head that is malformed or not whole.
fn request_line<'a>(bytes: &'a [u8], context: &Context<'_>) -> Record<'a> {
    let line = bytes.split(|&byte| byte == b'\r' || byte == b'\n').find(|line| !line.is_empty());
    let mut words = line.unwrap_or_default().splitn(3, |&byte| byte == b' ');
    let mut word = || Cow::Borrowed(words.next().unwrap_or_default());
    Record { method: word(), target: word(), ..Record::unknown(context) }
}
