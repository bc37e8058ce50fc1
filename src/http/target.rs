//! Request targets and hosts (RFC 9112, 3.2; RFC 3986).

use std::borrow::Cow;

use super::chars;
use super::error::Refusal;

/// Splits the target of a request with `method` into path and query, in
/// whichever of the four forms it is (RFC 9112, 3.2).
pub(super) fn split<'a>(
    method: &str,
    target: &'a str,
) -> Result<(&'a str, Option<&'a str>), Refusal> {
    if method == "CONNECT" {
        // The authority-form, for CONNECT alone, and with a port (RFC 9112, 3.2.3).
        let authority =
            is_authority(target.as_bytes()) && port(target).is_some_and(|port| !port.is_empty());
        return if authority { Ok((target, None)) } else { Err(Refusal::Target) };
    }
    match target.as_bytes() {
        [b'/', ..] => path_and_query(target),
        b"*" if method == "OPTIONS" => Ok((target, None)),
        _ => absolute(method, target),
    }
}

/// The authority that a valid target names, if its form has one.
pub(super) fn authority<'a>(method: &str, target: &'a str) -> Option<&'a str> {
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
pub(super) fn is_authority(value: &[u8]) -> bool {
    let host_bytes = match value {
        [b'[', ..] => match value.iter().position(|&b| b == b']') {
            Some(end) if is_ip_literal(&value[1..end]) => end + 1,
            _ => return false,
        },
        _ => match reg_name_bytes(value) {
            0 => return false,
            bytes => bytes,
        },
    };
    match &value[host_bytes..] {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => false,
    }
}

/// How many bytes at the start of `value` are a registered name or an IPv4
/// address (RFC 3986, 3.2.2); 0 where an escape is broken.
fn reg_name_bytes(value: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = &value[at..];
        let plain = rest.iter().position(|&b| !chars::is_reg_name(b)).unwrap_or(rest.len());
        at += plain;
        match &rest[plain..] {
            escape @ [b'%', ..] if is_escape(escape) => at += 3,
            [b'%', ..] => return 0,
            _ => return at,
        }
    }
}

/// `*DIGIT` of which TCP has a port: leading zeros are none of its value.
fn is_port(digits: &[u8]) -> bool {
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0u16, |number, digit| {
            number.checked_mul(10)?.checked_add(u16::from(digit - b'0'))
        })
    };
    // Four digits are a port whatever they are.
    digits.iter().all(u8::is_ascii_digit) && (digits.len() <= 4 || number(digits).is_some())
}

/// The path with the escapes of unreserved characters resolved: those, and only
/// those, are equal to their characters. The digits of the others are put in upper
/// case, as they mean the same in either (RFC 3986, 6.2.2).
pub(super) fn normalize(path: &str) -> Cow<'_, str> {
    if !path.bytes().any(|byte| byte == b'%') {
        return Cow::Borrowed(path);
    }
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
    Cow::Owned(normal)
}

/// The absolute-form, whose authority stands in for `host` (RFC 9112, 3.2.2).
fn absolute<'a>(method: &str, target: &'a str) -> Result<(&'a str, Option<&'a str>), Refusal> {
    let (scheme, rest) = target.split_once("://").ok_or(Refusal::Target)?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" => {}
        "https" => return Err(Refusal::Scheme),
        _ => return Err(Refusal::Target),
    }
    let end = authority_end(rest);
    // Userinfo is refused with whatever else is no authority (RFC 9110, 4.2.4).
    if !is_authority(&rest.as_bytes()[..end]) {
        return Err(Refusal::Target);
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

fn path_and_query(target: &str) -> Result<(&str, Option<&str>), Refusal> {
    let bytes = target.as_bytes();
    let mut path_bytes = None;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'?' => path_bytes = path_bytes.or(Some(at)),
            b'%' if !is_escape(&bytes[at..]) => return Err(Refusal::Target),
            _ if chars::is_target(byte) => {}
            _ => return Err(Refusal::Target),
        }
    }
    Ok(match path_bytes {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    })
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

    #[test]
    fn each_form_only_where_it_belongs() {
        assert_eq!(split("GET", "/a?b?c"), Ok(("/a", Some("b?c"))));
        assert_eq!(split("GET", "http://h/a?b"), Ok(("/a", Some("b"))));
        assert_eq!(split("GET", "HTTP://h"), Ok(("/", None)));
        assert_eq!(split("GET", "http://h?q"), Ok(("/", Some("q"))));
        assert_eq!(split("OPTIONS", "*"), Ok(("*", None)));
        assert_eq!(split("OPTIONS", "http://h:1"), Ok(("*", None)));
        assert_eq!(split("CONNECT", "h:1"), Ok(("h:1", None)));
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
            ("GET", "/\u{e4}"),
        ] {
            assert_eq!(split(method, target), Err(Refusal::Target), "{method} {target}");
        }
        assert_eq!(split("GET", "https://h/"), Err(Refusal::Scheme));
    }

    #[test]
    fn unreserved_escapes_are_equal_to_their_characters_and_others_are_not() {
        assert_eq!(normalize("/d%61t%61"), "/data");
        assert_eq!(normalize("/%7e%2Fx%20%c3%a4%25"), "/~%2Fx%20%C3%A4%25");
        assert_eq!(normalize("/%2561"), "/%2561");
        assert!(matches!(normalize("/data"), Cow::Borrowed("/data")));
    }
}
