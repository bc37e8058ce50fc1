//! Collects the body of a request for the service.

use super::outcome::{Next, Outcome};
use super::respond::{After, RequestInfo, reject, respond};
use crate::http::body::{Decoded, Decoder};
use crate::http::context::{Context, HEADERS_MAX_CAP};
use crate::http::head::{self, Framing, NO_HEADER};
use crate::http::rejection::Rejection;
use crate::http::request::Request;
use crate::http::service::Service;

/// A request while its body arrives.
pub(in crate::http) struct Collect {
    /// The bytes of the head, to be read again when the body is complete.
    head: Vec<u8>,
    body: Vec<u8>,
    decoder: Decoder,
}

impl Collect {
    pub(in crate::http) fn new(head: &[u8], framing: Framing) -> Collect {
        Collect { head: head.to_vec(), body: Vec::new(), decoder: Decoder::new(framing) }
    }

    /// Returns the memory that the request holds, in bytes.
    pub(in crate::http) fn buffered_bytes(&self) -> usize {
        self.head.capacity() + self.body.capacity()
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
                    let collected = self.body.len() as u64;
                    let bytes = collected.saturating_add(piece.chunk_bytes.unwrap_or(0));
                    if bytes <= context.limits.body_bytes_max {
                        self.body.extend_from_slice(piece.data);
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
                let request = Request::new(&head, &self.body, context.client);
                respond(&request, is_last, output, service, context)
            }
            _ => After::End(reject(Rejection::Service, self.info(), output, context)),
        }
    }
}
