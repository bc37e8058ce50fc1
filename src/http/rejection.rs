//! Reasons to reject a request. Each has a status and a sentence for the client, and each ends
//! the connection: nothing that arrives after a rejection is read as a request (RFC 9112, 2.2,
//! 6.3 and 11.2).
//!
//! A client that hangs up is not an error, and neither is an incomplete request.
//!
//! A new rejection is one row of the table below.

macro_rules! rejections {
    ($($(#[$doc:meta])* $variant:ident $status:literal $name:literal $sentence:literal;)*) => {
        /// A reason to reject a request and close its connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Rejection {
            $($(#[$doc])* $variant,)*
        }

        impl Rejection {
            /// All reasons, in the order of their discriminants.
            pub const ALL: [Rejection; [$($name),*].len()] = [$(Rejection::$variant),*];

            /// Returns the reason in a word, as a label of metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Rejection::$variant => $name,)*
                }
            }

            /// Returns the status code of the response (RFC 9110, 15).
            pub fn status(self) -> u16 {
                match self {
                    $(Rejection::$variant => $status,)*
                }
            }

            /// Returns the body of the response: what was wrong and what would be right.
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Rejection::$variant => concat!($sentence, "\n"),)*
                }
            }
        }
    };
}

rejections! {
    /// Not `method SP request-target SP HTTP-version` (RFC 9112, 3).
    RequestLine 400 "request_line"
        "The request line is not: method SP request-target SP HTTP-version.";
    /// A request target in a form that its method does not allow, or with a character that no
    /// target may hold (RFC 9112, 3.2).
    Target 400 "target"
        "The request target is malformed, or in a form that its method does not allow.";
    /// A target with the scheme `https`, which this connection cannot carry (RFC 9110, 7.4).
    Scheme 421 "scheme"
        "This connection serves http, not https.";
    /// A major version other than 1 (RFC 9110, 15.6.6).
    Version 505 "version"
        "Only HTTP/1.x is served here.";
    /// A malformed header line (RFC 9112, 5).
    HeaderLine 400 "header_line"
        "A field line is not: name, colon, value without control characters.";
    /// A line of the head that ends in a bare LF, which a recipient may reject (RFC 9112, 2.2).
    BareLf 400 "bare_lf"
        "A line ends in LF alone; lines end in CRLF.";
    /// No `host` header, more than one, or one that is not `uri-host [":" port]` (RFC 9112, 3.2).
    Host 400 "host"
        "There must be exactly one host field, and it must be: host [\":\" port].";
    /// A `content-length` that is not one decimal number (RFC 9112, 6.3).
    ContentLength 400 "content_length"
        "The content-length is not one decimal number.";
    /// A `transfer-encoding` that does not end in exactly one `chunked`, or that stands in HTTP/1.0
    /// or beside `content-length` (RFC 9112, 6.1 and 6.3).
    TransferEncoding 400 "transfer_encoding"
        "The transfer-encoding must be chunked, once, in HTTP/1.1, without content-length.";
    /// A transfer coding that is not implemented (RFC 9112, 6.1).
    TransferCoding 501 "transfer_coding"
        "The only transfer coding that is implemented is chunked.";
    /// A connection from a trusted proxy that does not begin with a header of the PROXY protocol.
    ProxyHeader 400 "proxy_header"
        "The connection does not begin with a valid header of the PROXY protocol.";
    /// A malformed chunked coding (RFC 9112, 7.1).
    Chunk 400 "chunk"
        "The chunked coding of the content is malformed.";
    /// An expectation other than `100-continue` (RFC 9110, 10.1.1).
    Expectation 417 "expectation"
        "The only expectation that is met is 100-continue.";
    /// A method longer than a whole head may be (RFC 9112, 3).
    MethodTooLong 501 "method_too_long"
        "The method is longer than any that is implemented.";
    /// A target longer than a whole head may be (RFC 9112, 3).
    TargetTooLong 414 "target_too_long"
        "The request target is too long.";
    /// A head with more bytes or more headers than [`Limits`](super::Limits) allows.
    HeadTooLarge 431 "head_too_large"
        "The head of the request has too many bytes or fields.";
    /// A body with more bytes than [`Limits`](super::Limits) allows.
    BodyTooLarge 413 "body_too_large"
        "The content of the request is too large.";
    /// A request that took too long to arrive.
    Timeout 408 "timeout"
        "The request took too long to arrive.";
    /// A service that panicked, or wrote less than it had promised, before its response began.
    Service 500 "service"
        "The service failed.";
    /// A server at its limit of connections or of buffered bytes.
    Overload 503 "overload"
        "The server is at its limit; try again later.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sentence_is_one_line_and_each_status_an_error() {
        for rejection in Rejection::ALL {
            assert!((400..600).contains(&rejection.status()), "{rejection:?}");
            assert!(rejection.sentence().ends_with(".\n"), "{rejection:?}");
            assert_eq!(rejection.sentence().matches('\n').count(), 1, "{rejection:?}");
        }
    }
}
