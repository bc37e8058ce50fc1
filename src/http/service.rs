//! What answers requests.

use super::body::Piece;
use super::request::Request;
use super::response::Response;
use super::response::body_encoder::BodyWriter;

/// Answers requests: a plain function, or a type where the content of requests
/// is to be streamed.
///
/// There is one per core, so it needs neither locks nor `Send`. It holds up
/// every connection of its core for as long as it runs.
pub trait Service {
    /// Answers a request that is there as a whole.
    ///
    /// A panic costs this request a 500 and its connection, and nothing else.
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>);

    /// Chooses from the head what is to happen to the content. Is asked once for
    /// each request with content, before any of it is read.
    ///
    /// To stream it, write status and fields of the answer, but don't end it.
    fn body_policy(&mut self, request: &Request<'_>, response: &mut Response<'_>) -> BodyPolicy {
        let _ = (request, response);
        BodyPolicy::Collect
    }
}

impl<F: FnMut(&Request<'_>, &mut Response<'_>)> Service for F {
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>) {
        self(request, response);
    }
}

/// What is to happen to the content of a request.
pub enum BodyPolicy {
    /// It is collected, up to [`Limits::body_bytes_max`](super::Limits), and the
    /// service called once it is whole.
    Collect,
    /// It goes to `receiver` as it comes, while the answer is written. What the
    /// client does not read back holds up what is read from it.
    Stream {
        /// The length of the answer's content in bytes; without, it is chunked.
        length: Option<u64>,
        /// Where the content goes.
        receiver: Receiver,
    },
    /// It is not wanted: the service is called at once, without it, and the
    /// connection closes after the answer.
    Ignore,
}

/// Takes the content of a request piece by piece, `None` for its end, and writes
/// the content of the answer.
pub type Receiver = Box<dyn FnMut(Option<&Piece<'_>>, &mut BodyWriter<'_>)>;
