//! Header lines: checked when they are written, or when the program is compiled.

use crate::http::chars;

/// A header line that was checked when the program was compiled, and is written in one copy.
/// Made by [`header_line!`](crate::header_line).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderLine(&'static str);

impl HeaderLine {
    /// Makes a header line for [`header_line!`](crate::header_line).
    #[doc(hidden)]
    pub const fn new(name: &'static str, value: &'static str, line: &'static str) -> HeaderLine {
        assert!(!name.is_empty() && chars::all!(name, chars::is_token), "not a header name");
        assert!(chars::all!(value, chars::is_field_value), "the value has control characters");
        assert!(line.len() == name.len() + value.len() + 4, "made by header_line!");
        HeaderLine(line)
    }

    pub(in crate::http) fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }
}

/// Makes a [`HeaderLine`](crate::http::HeaderLine) of a name and a value.
///
/// ```
/// const TEXT: pinloop::http::HeaderLine = pinloop::header_line!("content-type", "text/plain");
/// ```
///
/// An invalid header does not compile:
///
/// ```compile_fail
/// const WRONG: pinloop::http::HeaderLine = pinloop::header_line!("content type", "text/plain");
/// ```
#[macro_export]
macro_rules! header_line {
    ($name:literal, $value:literal) => {
        $crate::http::HeaderLine::new($name, $value, concat!($name, ": ", $value, "\r\n"))
    };
}

/// Writes a header line.
///
/// # Panics
/// If the name or the value is invalid: see [`Response::header`](super::Response::header).
#[track_caller]
pub(in crate::http) fn write_header(output: &mut Vec<u8>, name: &str, value: &[u8]) {
    let is_name = !name.is_empty() && name.bytes().all(chars::is_token);
    assert!(is_name, "{name:?} is not a header name: use letters, digits and hyphens");
    let is_value = value.iter().all(|&b| chars::is_field_value(b));
    assert!(is_value, "the value of header {name:?} has control characters: remove or encode them");
    debug_assert!(!is_reserved(name), "pinloop writes the header {name:?} itself: leave it out");
    output.extend_from_slice(name.as_bytes());
    output.extend_from_slice(b": ");
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

/// Reports whether the server writes this header itself.
fn is_reserved(name: &str) -> bool {
    ["connection", "content-length", "transfer-encoding", "date"]
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
}
