//! Request targets and hosts (RFC 9112, 3.2; RFC 3986).

use std::borrow::Cow;

use crate::http::chars;
use crate::http::rejection::Rejection;

/// A request target. What it is asked for depends on the method that it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Target<'a> {
    pub(in crate::http) whole: &'a str,
    /// Bytes of the path that it begins with, perhaps with a query behind it (RFC 9112,
    /// 3.2.1); 0 for one in another form, which is looked into when asked.
    path_bytes: usize,
    /// That path has escapes.
    is_escaped: bool,
}

impl<'a> Target<'a> {
    /// Whether it is in one of the four forms, and that one is `method`'s (RFC 9112, 3.2).
    pub(in crate::http) fn check(&self, method: &str) -> Result<(), Rejection> {
        match self.path_bytes {
            0 => split(method, self.whole).map(drop),
            _ => Ok(()),
        }
    }

    /// The path of the target, as that of a request with `method`, with the escapes of
    /// unreserved characters resolved.
    #[inline]
    pub(in crate::http) fn path(&self, method: &str) -> Cow<'a, str> {
        if self.path_bytes > 0 && !self.is_escaped {
            return Cow::Borrowed(&self.whole[..self.path_bytes]);
        }
        self.unusual_path(method)
    }

    #[inline(never)]
    fn unusual_path(&self, method: &str) -> Cow<'a, str> {
        match self.parts(method).0 {
            path if path.contains('%') => Cow::Owned(normalize(path)),
            path => Cow::Borrowed(path),
        }
    }

    /// What follows the `?`.
    pub(in crate::http) fn query(&self, method: &str) -> Option<&'a str> {
        self.parts(method).1
    }

    /// Path and query.
    fn parts(&self, method: &str) -> (&'a str, Option<&'a str>) {
        match self.path_bytes {
            // It has been checked.
            0 => split(method, self.whole).unwrap_or((self.whole, None)),
            bytes => {
                let (path, query) = self.whole.split_at(bytes);
                (path, query.get(1..))
            }
        }
    }
}

/// Reads the target at the start of `input`, up to a space, and says what follows that
/// space; `None` where there is none yet. What is no path has yet to be checked.
pub(in crate::http) fn parse<'a>(
    method: &str,
    input: &'a [u8],
) -> Result<Option<(Target<'a>, &'a [u8])>, Rejection> {
    match input {
        [] => Ok(None),
        [b'/', ..] if method != "CONNECT" => origin_form(input),
        _ => other_form(input),
    }
}

fn origin_form(input: &[u8]) -> Result<Option<(Target<'_>, &[u8])>, Rejection> {
    let Scanned { bytes, path_bytes, is_escaped } = scan(input);
    match &input[bytes..] {
        [b' ', rest @ ..] => {
            Ok(Some((Target { whole: text(&input[..bytes])?, path_bytes, is_escaped }, rest)))
        }
        [] | [b'%'] | [b'%', _] => Ok(None),
        rest => Err(not_in_target(rest[0])),
    }
}

/// What of some input is a path, and perhaps a query.
struct Scanned {
    bytes: usize,
    path_bytes: usize,
    /// The path has escapes.
    is_escaped: bool,
}

#[inline(always)]
fn scan(input: &[u8]) -> Scanned {
    let mut path_bytes = None;
    let mut is_escaped = false;
    let mut at = 0;
    loop {
        match &input[at..] {
            [byte, ..] if chars::is_plain_target(*byte) => at += 1,
            [b'?', ..] => {
                path_bytes = path_bytes.or(Some(at));
                at += 1;
            }
            escape @ [b'%', ..] if is_escape(escape) => {
                is_escaped |= path_bytes.is_none();
                at += 3;
            }
            _ => return Scanned { bytes: at, path_bytes: path_bytes.unwrap_or(at), is_escaped },
        }
    }
}

#[cold]
fn other_form(input: &[u8]) -> Result<Option<(Target<'_>, &[u8])>, Rejection> {
    let Some(bytes) = input.iter().position(|byte| !byte.is_ascii_graphic()) else {
        return Ok(None);
    };
    match &input[bytes..] {
        [b' ', ..] if bytes == 0 => Err(Rejection::RequestLine),
        [b' ', rest @ ..] => {
            let whole = text(&input[..bytes])?;
            Ok(Some((Target { whole, path_bytes: 0, is_escaped: false }, rest)))
        }
        rest => Err(not_in_target(rest[0])),
    }
}

/// The rejection of a byte that no target has.
#[cold]
fn not_in_target(byte: u8) -> Rejection {
    // A control character is likelier the end of a line that lacks a part.
    if byte.is_ascii_control() { Rejection::RequestLine } else { Rejection::Target }
}

/// The characters that were found to be ASCII.
fn text(bytes: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(bytes).map_err(|_| Rejection::Target)
}

/// Splits a target that is in another form than a path into path and query.
fn split<'a>(method: &str, target: &'a str) -> Result<(&'a str, Option<&'a str>), Rejection> {
    match method {
        "CONNECT" => {
            // The authority-form, for CONNECT alone, and with a port (RFC 9112, 3.2.3).
            let is_authority = is_authority(target.as_bytes())
                && port(target).is_some_and(|port| !port.is_empty());
            if is_authority { Ok((target, None)) } else { Err(Rejection::Target) }
        }
        "OPTIONS" if target == "*" => Ok((target, None)),
        _ => absolute(method, target),
    }
}

/// The authority that a valid target names, if its form has one.
pub(in crate::http) fn authority<'a>(method: &str, target: &'a str) -> Option<&'a str> {
    if method == "CONNECT" {
        return Some(target);
    }
    if target.starts_with('/') {
        return None;
    }
    let (_, rest) = target.split_once("://")?;
    Some(&rest[..authority_end(rest)])
}

/// Whether `value` is `uri-host [":" port]` with a host that is not empty, as a
/// `host` field must be (RFC 9110, 7.2) and as http targets need (4.2.1).
pub(in crate::http) fn is_authority(value: &[u8]) -> bool {
    let digits = value.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (host, port) = value.split_at(value.len() - digits);
    match host {
        [host @ .., b':'] => is_host(host) && is_port(port),
        _ => is_host(value),
    }
}

fn is_host(host: &[u8]) -> bool {
    // Four at a time: most are a name or an IPv4 address.
    let (fours, rest) = host.as_chunks();
    let is_plain =
        fours.iter().all(chars::are_reg_name) && rest.iter().all(|&b| chars::is_reg_name(b));
    !host.is_empty() && (is_plain || is_other_host(host))
}

/// A name with escapes, or an IP literal (RFC 3986, 3.2.2).
#[cold]
fn is_other_host(host: &[u8]) -> bool {
    let mut rest = match host {
        [b'[', literal @ .., b']'] => return is_ip_literal(literal),
        name => name,
    };
    while let [byte, after @ ..] = rest {
        rest = match rest {
            [b'%', _, _, after @ ..] if is_escape(rest) => after,
            _ if chars::is_reg_name(*byte) => after,
            _ => return false,
        };
    }
    true
}

/// Whether digits are a port that TCP has: leading zeros are none of its value.
fn is_port(digits: &[u8]) -> bool {
    // Four digits are one whatever they are.
    digits.len() <= 4 || tcp_port(digits).is_some()
}

#[cold]
fn tcp_port(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |number, digit| {
        number.checked_mul(10)?.checked_add(u16::from(digit - b'0'))
    })
}

/// The path with the escapes of unreserved characters resolved: those, and only
/// those, are equal to their characters. The digits of the others are put in upper
/// case, as they mean the same in either (RFC 3986, 6.2.2).
#[cold]
pub(in crate::http) fn normalize(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        normal.push_str(&rest[..at]);
        let escape = &rest[at..at + 3];
        match u8::from_str_radix(&escape[1..], 16) {
            Ok(byte) if chars::is_unreserved(byte) => normal.push(char::from(byte)),
            _ => normal.push_str(&escape.to_ascii_uppercase()),
        }
        rest = &rest[at + 3..];
    }
    normal.push_str(rest);
    normal
}

/// The absolute-form, whose authority stands in for `host` (RFC 9112, 3.2.2).
fn absolute<'a>(method: &str, target: &'a str) -> Result<(&'a str, Option<&'a str>), Rejection> {
    let (scheme, rest) = target.split_once("://").ok_or(Rejection::Target)?;
    if scheme.eq_ignore_ascii_case("https") {
        return Err(Rejection::Scheme);
    }
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(Rejection::Target);
    }
    let end = authority_end(rest);
    // Userinfo is refused with whatever else is no authority (RFC 9110, 4.2.4).
    if !is_authority(&rest.as_bytes()[..end]) {
        return Err(Rejection::Target);
    }
    match &rest[end..] {
        // OPTIONS without a path is for the whole server (RFC 9112, 3.2.4).
        "" if method == "OPTIONS" => Ok(("*", None)),
        "" => Ok(("/", None)),
        query if query.starts_with('?') => path_and_query(query).map(|(_, query)| ("/", query)),
        path => path_and_query(path),
    }
}

/// Where what follows the scheme turns from authority to path or query.
fn authority_end(rest: &str) -> usize {
    rest.find(['/', '?']).unwrap_or(rest.len())
}

fn path_and_query(target: &str) -> Result<(&str, Option<&str>), Rejection> {
    let Scanned { bytes, path_bytes, .. } = scan(target.as_bytes());
    if bytes < target.len() {
        return Err(Rejection::Target);
    }
    let (path, query) = target.split_at(path_bytes);
    Ok((path, query.get(1..)))
}

/// Whether a `%` is followed by its two hexadecimal digits (RFC 3986, 2.1).
fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// What stands between the brackets of an IPv6 address or a later kind.
#[cold]
fn is_ip_literal(literal: &[u8]) -> bool {
    match literal {
        [b'v' | b'V', rest @ ..] => {
            let mut parts = rest.splitn(2, |&b| b == b'.');
            let version = parts.next().unwrap_or_default();
            let address = parts.next().unwrap_or_default();
            let in_address = |&b: &u8| b == b':' || chars::is_reg_name(b);
            !version.is_empty()
                && version.iter().all(u8::is_ascii_hexdigit)
                && !address.is_empty()
                && address.iter().all(in_address)
        }
        _ => std::str::from_utf8(literal)
            .is_ok_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok()),
    }
}

/// What follows the colon behind the host.
fn port(authority: &str) -> Option<&str> {
    let after_host = authority.rfind(']').map_or(0, |at| at + 1);
    authority[after_host..].split_once(':').map(|(_, port)| port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_hosts_from_what_is_none() {
        for host in [
            "a",
            "example.com",
            "a:80",
            "a:",
            "a:65535",
            "a:000080",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "a%20b",
            "[v1.x:y]",
        ] {
            assert!(is_authority(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "a b", "a:b", "a:80:80", "u@a", "a/", "[::1", "::1", "[::1]a", "[]", "a%2",
            "a%zz", "ä", "a:65536", "a:99999", "a:+80", "a: 80",
        ] {
            assert!(!is_authority(host.as_bytes()), "{host}");
        }
    }

    /// Path and query of a target that a request line goes on behind.
    fn parts(method: &str, target: &str) -> Result<(String, Option<String>), Rejection> {
        let input = format!("{target} HTTP/1.1");
        for bytes in 0..=target.len() {
            assert!(!matches!(parse(method, &input.as_bytes()[..bytes]), Ok(Some(_))), "{bytes}");
        }
        let (parsed, rest) = parse(method, input.as_bytes())?.expect("it has its space");
        parsed.check(method)?;
        assert_eq!((parsed.whole, rest), (target, b"HTTP/1.1".as_slice()));
        let query = parsed.query(method).map(str::to_string);
        Ok((parsed.path(method).into_owned(), query))
    }

    #[test]
    fn each_form_only_where_it_belongs() {
        for (method, target, path, query) in [
            ("GET", "/", "/", None),
            ("GET", "/a?b?c", "/a", Some("b?c")),
            ("GET", "/a?", "/a", Some("")),
            ("GET", "/a?%62%2f", "/a", Some("%62%2f")),
            ("GET", "/d%61t%61?b", "/data", Some("b")),
            ("GET", "http://h/a?b", "/a", Some("b")),
            ("GET", "http://h/d%61ta", "/data", None),
            ("GET", "HTTP://h", "/", None),
            ("GET", "http://h?q", "/", Some("q")),
            ("OPTIONS", "*", "*", None),
            ("OPTIONS", "http://h:1", "*", None),
            ("CONNECT", "h:1", "h:1", None),
        ] {
            let found = parts(method, target);
            assert_eq!(found, Ok((path.to_string(), query.map(str::to_string))), "{target}");
        }
        for (method, target) in [
            ("GET", "*"),
            ("GET", "h:1"),
            ("GET", "a"),
            ("CONNECT", "/"),
            ("CONNECT", "h"),
            ("CONNECT", "h:"),
            ("GET", "http://"),
            ("GET", "http:///a"),
            ("GET", "http://u@h/"),
            ("GET", "ftp://h/"),
            ("GET", "/a#b"),
            ("GET", "/%2"),
            ("GET", "/a?%zz"),
            ("GET", "/\u{e4}"),
            ("GET", "http://h/\u{e4}"),
        ] {
            assert_eq!(parts(method, target), Err(Rejection::Target), "{method} {target}");
        }
        assert_eq!(parts("GET", "https://h/"), Err(Rejection::Scheme));
    }

    #[test]
    fn unreserved_escapes_are_equal_to_their_characters_and_others_are_not() {
        assert_eq!(normalize("/d%61t%61"), "/data");
        assert_eq!(normalize("/%7e%2Fx%20%c3%a4%25"), "/~%2Fx%20%C3%A4%25");
        assert_eq!(normalize("/%2561"), "/%2561");
        let (plain, _) = parse("GET", b"/data ").expect("a target").expect("a whole one");
        assert!(matches!(plain.path("GET"), Cow::Borrowed("/data")));
        let (absolute, _) = parse("GET", b"http://h/data ").expect("one").expect("a whole one");
        assert!(matches!(absolute.path("GET"), Cow::Borrowed("/data")));
    }
}
