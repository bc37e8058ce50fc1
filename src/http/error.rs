//! Why a request is refused. Each reason knows its status and what to tell the
//! client, and each ends the connection: after a refusal nothing that arrives
//! is read as a request (RFC 9112, 2.2, 6.3 and 11.2).
//!
//! A peer that hangs up is no error, and neither is an incomplete request.

/// A reason to refuse a request and close its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
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
    FieldLine,
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

impl Refusal {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Refusal; 19] = [
        Refusal::RequestLine,
        Refusal::Target,
        Refusal::Scheme,
        Refusal::Version,
        Refusal::FieldLine,
        Refusal::BareLf,
        Refusal::Host,
        Refusal::ContentLength,
        Refusal::TransferEncoding,
        Refusal::TransferCoding,
        Refusal::Chunk,
        Refusal::Expectation,
        Refusal::MethodTooLong,
        Refusal::TargetTooLong,
        Refusal::HeadTooLarge,
        Refusal::ContentTooLarge,
        Refusal::Timeout,
        Refusal::Service,
        Refusal::Overload,
    ];

    /// The reason in a word, as a label of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::RequestLine => "request_line",
            Refusal::Target => "target",
            Refusal::Scheme => "scheme",
            Refusal::Version => "version",
            Refusal::FieldLine => "field_line",
            Refusal::BareLf => "bare_lf",
            Refusal::Host => "host",
            Refusal::ContentLength => "content_length",
            Refusal::TransferEncoding => "transfer_encoding",
            Refusal::TransferCoding => "transfer_coding",
            Refusal::Chunk => "chunk",
            Refusal::Expectation => "expectation",
            Refusal::MethodTooLong => "method_too_long",
            Refusal::TargetTooLong => "target_too_long",
            Refusal::HeadTooLarge => "head_too_large",
            Refusal::ContentTooLarge => "content_too_large",
            Refusal::Timeout => "timeout",
            Refusal::Service => "service",
            Refusal::Overload => "overload",
        }
    }

    /// The status code of the answer (RFC 9110, 15).
    pub fn status(self) -> u16 {
        match self {
            Refusal::RequestLine
            | Refusal::Target
            | Refusal::FieldLine
            | Refusal::BareLf
            | Refusal::Host
            | Refusal::ContentLength
            | Refusal::TransferEncoding
            | Refusal::Chunk => 400,
            Refusal::Timeout => 408,
            Refusal::ContentTooLarge => 413,
            Refusal::TargetTooLong => 414,
            Refusal::Expectation => 417,
            Refusal::Scheme => 421,
            Refusal::HeadTooLarge => 431,
            Refusal::Service => 500,
            Refusal::TransferCoding | Refusal::MethodTooLong => 501,
            Refusal::Overload => 503,
            Refusal::Version => 505,
        }
    }

    /// What was wrong and what would be right: the content of the answer.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::RequestLine => {
                "The request line is not: method SP request-target SP HTTP-version.\n"
            }
            Refusal::Target => {
                "The request target is malformed, or in a form that its method does not allow.\n"
            }
            Refusal::Scheme => "This connection serves http, not https.\n",
            Refusal::Version => "Only HTTP/1.x is served here.\n",
            Refusal::FieldLine => {
                "A field line is not: name, colon, value without control characters.\n"
            }
            Refusal::BareLf => "A line ends in LF alone; lines end in CRLF.\n",
            Refusal::Host => {
                "There must be exactly one host field, and it must be: host [\":\" port].\n"
            }
            Refusal::ContentLength => "The content-length is not one decimal number.\n",
            Refusal::TransferEncoding => {
                "The transfer-encoding must be chunked, once, in HTTP/1.1, without content-length.\n"
            }
            Refusal::TransferCoding => "The only transfer coding that is implemented is chunked.\n",
            Refusal::Chunk => "The chunked coding of the content is malformed.\n",
            Refusal::Expectation => "The only expectation that is met is 100-continue.\n",
            Refusal::MethodTooLong => "The method is longer than any that is implemented.\n",
            Refusal::TargetTooLong => "The request target is too long.\n",
            Refusal::HeadTooLarge => "The head of the request has too many bytes or fields.\n",
            Refusal::ContentTooLarge => "The content of the request is too large.\n",
            Refusal::Timeout => "The request took too long to arrive.\n",
            Refusal::Service => "The service failed.\n",
            Refusal::Overload => "The server is at its limit; try again later.\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_and_a_status_an_error() {
        for refusal in [Refusal::RequestLine, Refusal::Timeout, Refusal::Service, Refusal::Version]
        {
            assert!(refusal.status() >= 400);
            assert!(refusal.reason().ends_with(".\n"));
            assert_eq!(refusal.reason().matches('\n').count(), 1);
        }
    }
}
