//! The client that trusted proxies name in `Forwarded` (RFC 7239) or `X-Forwarded-For`.
//!
//! Each proxy appends the address of its own client, so the list is read from its end. The first
//! address that is not that of a trusted proxy is the client's. What stands before that address
//! was written by the client, and is never looked at.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::trust::{ClientHeader, Trust};

/// Returns the client of a request that has come from `from`, a trusted proxy, which has no address
/// at the other end of a Unix socket. `values` are those of the header that names clients, in the
/// order of their lines.
///
/// An element that is not an address ends the search, because nothing tells if what stands before
/// it can be trusted. The client is then the proxy that has written that element.
pub(super) fn client<'a>(
    from: Option<IpAddr>,
    values: impl DoubleEndedIterator<Item = &'a [u8]>,
    trust: &Trust,
) -> Option<IpAddr> {
    let header = trust.header();
    let mut client = from;
    for value in values.rev() {
        for element in elements_from_the_end(value, header) {
            let node = match header {
                ClientHeader::XForwardedFor => node(element),
                ClientHeader::Forwarded => for_node(element),
            };
            let Some(address) = node else { return client };
            client = Some(address);
            if !trust.contains(address) {
                return client;
            }
        }
    }
    client
}

/// Returns the elements of a list, the last one first. Empty elements are ignored (RFC 9110, 5.6.1).
fn elements_from_the_end(value: &[u8], header: ClientHeader) -> impl Iterator<Item = &[u8]> {
    let elements = split_from_the_end(value, b',', header == ClientHeader::Forwarded);
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Returns the address of the one `for` parameter of an element. A malformed parameter of any name
/// makes the whole element malformed, so that it has no address.
fn for_node(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    let pairs = split_from_the_end(element, b';', true).map(<[u8]>::trim_ascii);
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (pair[..at].trim_ascii(), unquote(pair[at + 1..].trim_ascii())?);
        // Each parameter occurs at most once (RFC 7239, 4).
        if name.eq_ignore_ascii_case(b"for") && found.replace(node(&value)?).is_some() {
            return None;
        }
    }
    found
}

/// Splits at each `separator`, the last part first, and if `has_strings` not within quoted strings.
///
/// Strings are looked for from the end of the text, because the proxies have written the end and
/// the client may have written the beginning. A string that the client has left open would
/// swallow the elements of the proxies otherwise.
fn split_from_the_end(
    text: &[u8],
    separator: u8,
    has_strings: bool,
) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = last_separator(text, separator, has_strings) else { return rest.take() };
        rest = Some(&text[..at]);
        Some(&text[at + 1..])
    })
}

fn last_separator(text: &[u8], separator: u8, has_strings: bool) -> Option<usize> {
    let mut is_in_string = false;
    for (at, &byte) in text.iter().enumerate().rev() {
        if has_strings && byte == b'"' {
            // Within a string, an escaped quote is not its beginning.
            is_in_string = !is_in_string || is_escaped(text, at);
        } else if byte == separator && !is_in_string {
            return Some(at);
        }
    }
    None
}

/// Reports whether the byte at `at`, which is part of a quoted string, stands behind an escape.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let backslashes = text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
    backslashes % 2 == 1
}

/// Returns a token as it is, and the content of a quoted string; `None` for a string without its
/// beginning or its end.
fn unquote(value: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return (!value.contains(&b'"')).then(|| value.to_vec());
    };
    let mut content = Vec::new();
    let mut bytes = quoted.iter();
    loop {
        match bytes.next()? {
            b'"' => return bytes.next().is_none().then_some(content),
            b'\\' => content.push(*bytes.next()?),
            &byte => content.push(byte),
        }
    }
}

/// Returns the address of a node: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]` or
/// `[2001:db8::1]:80`, and `2001:db8::1` without brackets as `X-Forwarded-For` has it. The words
/// `unknown` and `_hidden` have none.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(text).ok()?;
    if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        let address = is_port.then(|| address.parse::<Ipv6Addr>().ok())??;
        return Some(IpAddr::from(address).to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = text.split_once(':')?;
    is_port(port).then(|| address.parse::<Ipv4Addr>().ok())?.map(IpAddr::from)
}

/// Reports whether `text` is a port or, as RFC 7239, 6 allows, a hidden one.
fn is_port(text: &str) -> bool {
    let is_hidden = text.starts_with('_');
    is_hidden || !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(header: ClientHeader, values: &[&str]) -> String {
        let trust = Trust::new("10.0.0.0/8,2001:db8:a::/48".parse().unwrap(), header);
        let values = values.iter().map(|value| value.as_bytes());
        client("10.0.0.1".parse().ok(), values, &trust).unwrap().to_string()
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_not_trusted() {
        let find = |values: &[&str]| find(ClientHeader::XForwardedFor, values);
        for (values, client) in [
            (&[][..], "10.0.0.1"),
            (&["192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1 ,10.0.0.2, 10.9.9.9"], "192.0.2.1"),
            (&["6.6.6.6", "192.0.2.1", "10.0.0.2"], "192.0.2.1"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["2001:db8::1, 2001:db8:a::2"], "2001:db8::1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&["[::ffff:192.0.2.1]:4711"], "192.0.2.1"),
            (&["6.6.6.6\", 192.0.2.1, \"10.9.9.9, 10.0.0.2"], "10.0.0.2"),
            (&["192.0.2.1,,"], "192.0.2.1"),
        ] {
            assert_eq!(find(values), client, "{values:?}");
        }
    }

    #[test]
    fn a_proxy_at_a_unix_socket_names_the_client() {
        let trust = Trust::new("unix,10.0.0.0/8".parse().unwrap(), ClientHeader::XForwardedFor);
        let find = |value: &str| client(None, [value.as_bytes()].into_iter(), &trust);
        assert_eq!(find("6.6.6.6, 192.0.2.1, 10.0.0.2"), "192.0.2.1".parse().ok());
        assert_eq!(find("6.6.6.6, unknown"), None, "the proxy itself");
    }

    #[test]
    fn an_element_without_an_address_ends_the_search() {
        let find = |value: &str| find(ClientHeader::XForwardedFor, &[value]);
        for wrong in
            ["unknown", "_hidden", "192.0.2", "192.0.2.1:", "192.0.2.1:999999", "[::1", "é"]
        {
            assert_eq!(find(&format!("6.6.6.6, {wrong}")), "10.0.0.1", "{wrong}");
            assert_eq!(find(&format!("6.6.6.6, {wrong}, 10.0.0.2")), "10.0.0.2", "{wrong}");
        }
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_defines_it() {
        let find = |value: &str| find(ClientHeader::Forwarded, &[value]);
        for (value, client) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=192.0.2.1;proto=http; by=203.0.113.43", "192.0.2.1"),
            ("for=6.6.6.6, proto=https;for=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]:_port\"", "2001:db8::1"),
            ("for=\"192.0.2.\\1\"", "192.0.2.1"),
            ("for=6.6.6.6;ext=\"a,for=7.7.7.7\", for=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.1;ext=\"a,b;c\\\",for=7.7.7.7\"", "192.0.2.1"),
            ("for=6.6.6.6, for=192.0.2.1;ext=\"a\\\\\"", "192.0.2.1"),
            ("for=192.0.2.1;;proto=http;", "192.0.2.1"),
        ] {
            assert_eq!(find(value), client, "{value}");
        }
        for wrong in [
            "for=unknown",
            "for=_hidden",
            "proto=http",
            "for",
            "for=192.0.2.1;for=192.0.2.2",
            "for=\"192.0.2.1",
            "for=\"192.0.2.1\"x",
            "for=192.0.2.1;proto=http\"",
            "192.0.2.1",
        ] {
            assert_eq!(find(&format!("for=6.6.6.6, {wrong}")), "10.0.0.1", "{wrong}");
        }
    }

    /// A string that the client had left open swallowed the element of the proxy, so that the
    /// client could name any address.
    #[test]
    fn a_quote_that_the_client_leaves_open_hides_nothing() {
        // The proxy has appended the last element.
        for appended in ["for=192.0.2.1", "for=\"192.0.2.1:80\";by=\"_a\\\"b\""] {
            for own in ["for=\"6.6.6.6", "for=6.6.6.6;x=\"", "for=6.6.6.6;x=\"a\\", "\"", "\"\"\""]
            {
                let value = format!("{own}, {appended}");
                assert_eq!(find(ClientHeader::Forwarded, &[&value]), "192.0.2.1", "{value}");
            }
        }
    }
}
