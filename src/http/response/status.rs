//! Status lines. A new phrase is one row of the table.

use super::number::write_decimal;

/// Appends the status line of a status code from 200 to 599.
#[inline]
pub(super) fn write_status_line(output: &mut Vec<u8>, status: u16) {
    match status {
        200 => output.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        status => write_other_status_line(output, status),
    }
}

fn write_other_status_line(output: &mut Vec<u8>, status: u16) {
    output.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(output, u64::from(status));
    output.push(b' ');
    output.extend_from_slice(reason_phrase(status).as_bytes());
    output.extend_from_slice(b"\r\n");
}

/// Returns the phrase of a status code (RFC 9110, 15; RFC 6585). Other codes have an empty
/// phrase, which the grammar allows (RFC 9112, 4).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
