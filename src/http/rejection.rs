//! Why a request is refused. Each reason knows its status and what to tell the
//! client, and each ends the connection: after a rejection nothing that arrives
//! is read as a request (RFC 9112, 2.2, 6.3 and 11.2).
//!
//! A peer that hangs up is no error, and neither is an incomplete request.

/// A reason to refuse a request and close its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The request line is not `method SP request-target SP HTTP-version` (RFC 9112, 3).
    RequestLine,
    /// The request target is in no form that its method allows (RFC 9112, 3.2).
    Target,
    /// The target's scheme is `https`, which nobody can have asked over this
    /// connection (RFC 9110, 7.4).
    Scheme,
    /// A major version other than 1 (RFC 9110, 15.6.6).
    Version,
    /// A field line is malformed (RFC 9112, 5).
    HeaderLine,
    /// A line of the head ends in a bare LF, which RFC 9112, 2.2 lets a recipient refuse.
    BareLf,
    /// No `host`, more than one, or one that is not `uri-host [":" port]` (RFC 9112, 3.2).
    Host,
    /// `content-length` is not one decimal number (RFC 9112, 6.3).
    ContentLength,
    /// `transfer-encoding` does not end in exactly one `chunked`, or stands where
    /// it may not: in HTTP/1.0 or beside `content-length` (RFC 9112, 6.1 and 6.3).
    TransferEncoding,
    /// A transfer coding that is not implemented (RFC 9112, 6.1).
    TransferCoding,
    /// The chunked coding is malformed (RFC 9112, 7.1).
    Chunk,
    /// An expectation other than `100-continue` (RFC 9110, 10.1.1).
    Expectation,
    /// The method is longer than a whole head may be, and so than any that is
    /// implemented (RFC 9112, 3).
    MethodTooLong,
    /// The target is longer than a whole head may be.
    TargetTooLong,
    /// The head has more bytes or more fields than allowed.
    HeadTooLarge,
    /// The content has more bytes than allowed.
    ContentTooLarge,
    /// The request took too long to arrive.
    Timeout,
    /// The service panicked or broke its own promise before its answer had begun.
    Service,
    /// The server has as many connections, or as many bytes buffered, as it may.
    Overload,
}

impl Rejection {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Rejection; 19] = [
        Rejection::RequestLine,
        Rejection::Target,
        Rejection::Scheme,
        Rejection::Version,
        Rejection::HeaderLine,
        Rejection::BareLf,
        Rejection::Host,
        Rejection::ContentLength,
        Rejection::TransferEncoding,
        Rejection::TransferCoding,
        Rejection::Chunk,
        Rejection::Expectation,
        Rejection::MethodTooLong,
        Rejection::TargetTooLong,
        Rejection::HeadTooLarge,
        Rejection::ContentTooLarge,
        Rejection::Timeout,
        Rejection::Service,
        Rejection::Overload,
    ];

    /// The reason in a word, as a label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Rejection::RequestLine => "request_line",
            Rejection::Target => "target",
            Rejection::Scheme => "scheme",
            Rejection::Version => "version",
            Rejection::HeaderLine => "field_line",
            Rejection::BareLf => "bare_lf",
            Rejection::Host => "host",
            Rejection::ContentLength => "content_length",
            Rejection::TransferEncoding => "transfer_encoding",
            Rejection::TransferCoding => "transfer_coding",
            Rejection::Chunk => "chunk",
            Rejection::Expectation => "expectation",
            Rejection::MethodTooLong => "method_too_long",
            Rejection::TargetTooLong => "target_too_long",
            Rejection::HeadTooLarge => "head_too_large",
            Rejection::ContentTooLarge => "content_too_large",
            Rejection::Timeout => "timeout",
            Rejection::Service => "service",
            Rejection::Overload => "overload",
        }
    }

    /// The status code of the answer (RFC 9110, 15).
    pub fn status(self) -> u16 {
        match self {
            Rejection::RequestLine
            | Rejection::Target
            | Rejection::HeaderLine
            | Rejection::BareLf
            | Rejection::Host
            | Rejection::ContentLength
            | Rejection::TransferEncoding
            | Rejection::Chunk => 400,
            Rejection::Timeout => 408,
            Rejection::ContentTooLarge => 413,
            Rejection::TargetTooLong => 414,
            Rejection::Expectation => 417,
            Rejection::Scheme => 421,
            Rejection::HeadTooLarge => 431,
            Rejection::Service => 500,
            Rejection::TransferCoding | Rejection::MethodTooLong => 501,
            Rejection::Overload => 503,
            Rejection::Version => 505,
        }
    }

    /// What was wrong and what would be right: the content of the answer.
    pub fn reason(self) -> &'static str {
        match self {
            Rejection::RequestLine => {
                "The request line is not: method SP request-target SP HTTP-version.\n"
            }
            Rejection::Target => {
                "The request target is malformed, or in a form that its method does not allow.\n"
            }
            Rejection::Scheme => "This connection serves http, not https.\n",
            Rejection::Version => "Only HTTP/1.x is served here.\n",
            Rejection::HeaderLine => {
                "A field line is not: name, colon, value without control characters.\n"
            }
            Rejection::BareLf => "A line ends in LF alone; lines end in CRLF.\n",
            Rejection::Host => {
                "There must be exactly one host field, and it must be: host [\":\" port].\n"
            }
            Rejection::ContentLength => "The content-length is not one decimal number.\n",
            Rejection::TransferEncoding => {
                "The transfer-encoding must be chunked, once, in HTTP/1.1, without content-length.\n"
            }
            Rejection::TransferCoding => {
                "The only transfer coding that is implemented is chunked.\n"
            }
            Rejection::Chunk => "The chunked coding of the content is malformed.\n",
            Rejection::Expectation => "The only expectation that is met is 100-continue.\n",
            Rejection::MethodTooLong => "The method is longer than any that is implemented.\n",
            Rejection::TargetTooLong => "The request target is too long.\n",
            Rejection::HeadTooLarge => "The head of the request has too many bytes or fields.\n",
            Rejection::ContentTooLarge => "The content of the request is too large.\n",
            Rejection::Timeout => "The request took too long to arrive.\n",
            Rejection::Service => "The service failed.\n",
            Rejection::Overload => "The server is at its limit; try again later.\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_and_a_status_an_error() {
        for rejection in
            [Rejection::RequestLine, Rejection::Timeout, Rejection::Service, Rejection::Version]
        {
            assert!(rejection.status() >= 400);
            assert!(rejection.reason().ends_with(".\n"));
            assert_eq!(rejection.reason().matches('\n').count(), 1);
        }
    }
}
