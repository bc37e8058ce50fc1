//! The trait that answers requests.

use super::body::Piece;
use super::request::Request;
use super::response::Response;
use super::response::body_encoder::BodyWriter;

/// Answers requests: a plain function, or a type that streams the bodies of requests.
///
/// Each core has one, so it needs neither locks nor `Send`. While it runs, every connection of
/// its core waits.
pub trait Service {
    /// Answers a request that has arrived whole.
    ///
    /// A panic costs this request a 500 and its connection, and nothing else.
    fn call(&mut self, request: &Request<'_>, response: &mut Response<'_>);

    /// Chooses from the head what happens to the body. Called once for each request with a
    /// body, before any of the body is read. To stream the body, set the status and the headers
    /// of the response, but do not end it.
    ///
    /// ```
    /// use pinloop::http::{BodyWriter, Piece};
    /// use pinloop::{BodyPolicy, Request, Response, Service};
    ///
    /// /// Counts the bytes of a body of any size.
    /// struct Upload;
    ///
    /// impl Service for Upload {
    ///     fn call(&mut self, _: &Request<'_>, response: &mut Response<'_>) {
    ///         response.status(411).body(b"send a body\n");
    ///     }
    ///
    ///     fn body_policy(&mut self, _: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
    ///         let mut bytes = 0;
    ///         let receiver = move |piece: Option<&Piece<'_>>, writer: &mut BodyWriter<'_>| {
    ///             match piece {
    ///                 Some(piece) => bytes += piece.data.len(),
    ///                 None => writer.write(format!("{bytes} bytes\n").as_bytes()),
    ///             }
    ///         };
    ///         BodyPolicy::Stream { length: None, receiver: Box::new(receiver) }
    ///     }
    /// }
    ///
    /// let request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    /// assert!(pinloop::testing::call(&mut Upload, request).ends_with(b"5 bytes\n\r\n0\r\n\r\n"));
    /// ```
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

/// The treatment of a request body.
#[non_exhaustive]
pub enum BodyPolicy {
    /// The body is collected, up to [`Limits::body_bytes_max`](super::Limits), and the service
    /// called once it is complete.
    Collect,
    /// The body is read but not kept: the service is called once it has arrived, without it.
    /// Its limit is that of a collected body, and the connection can be used again.
    Discard,
    /// The body goes to `receiver` as it arrives, while the response is written. A client that
    /// does not read the response slows down what is read from it.
    Stream {
        /// Length of the response body in bytes; with `None` it is chunked.
        length: Option<u64>,
        /// Takes the pieces of the body.
        receiver: Receiver,
    },
    /// The body is not wanted: the service is called at once, without it, and the connection
    /// closes after the response.
    Ignore,
}

/// Takes a request body piece by piece, and `None` at its end, and writes the body of the
/// response.
pub type Receiver = Box<dyn FnMut(Option<&Piece<'_>>, &mut BodyWriter<'_>)>;
