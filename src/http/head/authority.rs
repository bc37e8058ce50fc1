//! Hosts and ports (RFC 3986, 3.2; RFC 9110, 4.2 and 7.2).

use crate::http::chars;

/// Reports whether `value` is `uri-host [":" port]` with a host that is not empty, as a `host`
/// header (RFC 9110, 7.2) and an http target (4.2.1) must have it.
pub(super) fn is_authority(value: &[u8]) -> bool {
    let name_bytes = name_bytes(value);
    match &value[name_bytes..] {
        [] => name_bytes > 0,
        [b':', port @ ..] => name_bytes > 0 && is_port(port),
        _ => is_other_authority(value),
    }
}

/// Returns the number of bytes that `value` begins with and that a name or an IPv4 address may
/// hold.
#[inline]
fn name_bytes(value: &[u8]) -> usize {
    value.iter().position(|&byte| !chars::is_reg_name(byte)).unwrap_or(value.len())
}

/// Returns the port of a valid authority, which may be empty.
pub(super) fn port(authority: &str) -> Option<&str> {
    let after_host = authority.rfind(']').map_or(0, |at| at + 1);
    authority[after_host..].split_once(':').map(|(_, port)| port)
}

/// Reports whether a `%` is followed by two hexadecimal digits (RFC 3986, 2.1).
pub(super) fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Reports whether `value` is a name with escapes or an IP literal, perhaps with a port (RFC 3986,
/// 3.2.2).
#[cold]
fn is_other_authority(value: &[u8]) -> bool {
    let digits = value.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (host, port) = value.split_at(value.len() - digits);
    match host {
        [host @ .., b':'] => is_other_host(host) && is_port(port),
        _ => is_other_host(value),
    }
}

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
    !host.is_empty()
}

/// Reports whether `text` is a TCP port, which may be empty. Leading zeros do not count.
#[inline]
fn is_port(text: &[u8]) -> bool {
    let mut number = 0u32;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return false;
        }
        number = number.saturating_mul(10).saturating_add(u32::from(digit));
    }
    number <= u32::from(u16::MAX)
}

/// Reports whether the text between brackets is an IPv6 address or a later kind.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_hosts_from_other_text() {
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
}
