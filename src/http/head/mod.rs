//! Parses a request head.

pub(in crate::http) mod headers;
pub(in crate::http) mod request_line;
pub(in crate::http) mod target;
