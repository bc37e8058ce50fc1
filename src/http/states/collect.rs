//! Collects the body of a request for the service, or discards it.

use super::outcome::{Next, Outcome};
use super::respond::{After, RequestInfo, reject, respond_after_body};
use crate::http::body::{Decoded, Decoder};
use crate::http::context::{Context, HEADERS_MAX_CAP};
use crate::http::head::{self, Framing, NO_HEADER};
use crate::http::record::Record;
use crate::http::rejection::Rejection;
use crate::http::request::Request;
use crate::http::service::Service;

/// A request while its body arrives.
pub(in crate::http) struct Collect {
    /// The bytes of the head, to be read again when the body is complete.
    head: Vec<u8>,
    body: Vec<u8>,
    /// Number of bytes that have arrived of the body.
    arrived: u64,
    is_kept: bool,
    decoder: Decoder,
}

impl Collect {
    /// `is_kept` is false if the service does not want the body.
    pub(in crate::http) fn new(head: &[u8], framing: Framing, is_kept: bool) -> Collect {
        let decoder = Decoder::new(framing);
        Collect { head: head.to_vec(), body: Vec::new(), arrived: 0, is_kept, decoder }
    }

    /// Returns the memory that the request holds, in bytes.
    pub(in crate::http) fn buffered_bytes(&self) -> usize {
        self.head.capacity() + self.body.capacity()
    }

    /// Records the request if its connection ends before its body has arrived.
    pub(in crate::http) fn abandon(&self, context: &Context<'_>) {
        if let Some(recorder) = context.recorder {
            let record = Record::of_rejected(&self.head, context.peer);
            let cut = Record { request_body_bytes: self.arrived, is_cut: true, ..record };
            recorder.record(&cut);
        }
    }

    pub(in crate::http) fn info(&mut self) -> RequestInfo<'_> {
        RequestInfo::Bytes(&self.head)
    }

    /// Collects what has arrived of the body; calls the service once it is complete. Returns
    /// the number of bytes used.
    pub(in crate::http) fn step<S: Service>(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        service: &mut S,
        context: &Context<'_>,
    ) -> (usize, Outcome<After>) {
        let mut used = 0;
        loop {
            let (step, decoded) = self.decoder.decode(&input[used..]);
            used += step;
            let rejection = match decoded {
                Ok(Decoded::Piece(piece)) => {
                    // A chunk announces its size. A content-length was checked before.
                    let bytes = self.arrived.saturating_add(piece.chunk_bytes.unwrap_or(0));
                    if bytes <= context.limits.body_bytes_max {
                        self.arrived += piece.data.len() as u64;
                        if self.is_kept {
                            self.body.extend_from_slice(piece.data);
                        }
                        continue;
                    }
                    used -= piece.data.len();
                    Rejection::BodyTooLarge
                }
                Ok(Decoded::Partial) => return (used, Outcome::Pending(Next::Read)),
                Ok(Decoded::End) => {
                    let is_last = context.is_last_before(&input[used..]);
                    return (used, Outcome::Over(self.respond(is_last, output, service, context)));
                }
                Err(rejection) => rejection,
            };
            let end = reject(rejection, self.info(), output, context);
            return (used, Outcome::Over(After::End(end)));
        }
    }

    fn respond<S: Service>(
        &mut self,
        is_last: bool,
        output: &mut Vec<u8>,
        service: &mut S,
        context: &Context<'_>,
    ) -> After {
        let mut slots = [NO_HEADER; HEADERS_MAX_CAP];
        // The head was valid when it arrived, under the same limits.
        match head::parse(&self.head, &mut slots, usize::MAX, context.limits.target_syntax) {
            Ok(Some(head)) => {
                let request = Request::new(&head, &self.body, context.peer);
                let bytes = self.arrived;
                respond_after_body(&request, is_last, bytes, output, service, context)
            }
            _ => After::End(reject(Rejection::Service, self.info(), output, context)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use crate::http::{BodyPolicy, Connection, Context, Date, Limits, Next};
    use crate::http::{Request, Response, Service};

    /// A service that does not look at the body.
    struct Ignorant {
        discards: bool,
    }

    impl Service for Ignorant {
        fn call(&mut self, _: &Request<'_>, response: &mut Response<'_>) {
            response.body(b"answered");
        }

        fn body_policy(&mut self, _: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
            if self.discards { BodyPolicy::Discard } else { BodyPolicy::Collect }
        }
    }

    /// Feeds `input` in pieces. Returns the responses, the last state, and the most memory held.
    fn run(input: &[u8], discards: bool) -> (Vec<u8>, Option<Next>, usize) {
        let limits = Limits { body_bytes_max: 10_000, ..Limits::default() };
        let date = Date::at(UNIX_EPOCH);
        let context = Context::new(&limits, &date);
        let (mut connection, mut service) = (Connection::default(), Ignorant { discards });
        let (mut output, mut rest, mut held, mut next) = (Vec::new(), Vec::new(), 0, None);
        for piece in input.chunks(1_000) {
            rest.extend_from_slice(piece);
            let progress = connection.advance(&rest, &mut output, &mut service, &context);
            rest.drain(..progress.consumed);
            held = connection.buffered_bytes().max(held);
            next = Some(progress.next);
        }
        (output, next, held)
    }

    #[test]
    fn a_discarded_body_gets_the_same_response_and_takes_no_memory() {
        let body = "b".repeat(9_000);
        let head = "POST / HTTP/1.1\r\nhost: a\r\n";
        for (framing, status, responses) in [
            (format!("content-length: 9000\r\n\r\n{body}"), 200, 2),
            (format!("expect: 100-continue\r\ncontent-length: 9000\r\n\r\n{body}"), 100, 3),
            (format!("transfer-encoding: chunked\r\n\r\n2328\r\n{body}\r\n0\r\n\r\n"), 200, 2),
            (format!("content-length: 10001\r\n\r\n{body}"), 413, 1),
            (format!("transfer-encoding: chunked\r\n\r\n2711\r\n{body}"), 413, 1),
            (format!("transfer-encoding: chunked\r\n\r\n2328\r\n{body}x"), 400, 1),
        ] {
            let input = format!("{head}{framing}GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            let collected = run(input.as_bytes(), false);
            let discarded = run(input.as_bytes(), true);
            assert_eq!((&discarded.0, discarded.1), (&collected.0, collected.1), "{framing}");
            let text = String::from_utf8(discarded.0).unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
            assert_eq!(text.matches("HTTP/1.1 ").count(), responses, "{text}");
            assert!(discarded.2 < 200, "{} bytes", discarded.2);
        }
    }
}
