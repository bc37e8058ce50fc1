//! Compares the parser of heads with a second implementation of RFC 9112, 2 to 7, that takes no
//! shortcuts: the same heads are valid, and they have the same parts.

use std::net::Ipv6Addr;

use pinloop::http::{Framing, TargetSyntax};
use pinloop::{BodyPolicy, Limits, Request, Response, Service};

use super::feed::feed;

/// Parts of a request head.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    method: String,
    target: String,
    path: String,
    query: Option<String>,
    host: Option<String>,
    minor_version: u8,
    fields: Vec<(String, Vec<u8>)>,
    framing: Framing,
}

/// Checks `input` as a request head and the bytes behind it.
pub(crate) fn check(input: &[u8]) {
    // The second implementation knows the syntax of RFC 3986 alone.
    let limits = Limits { target_syntax: TargetSyntax::Rfc3986, ..Limits::default() };
    if input.len() >= limits.head_bytes_max {
        return;
    }
    let mut seen = Seen(None);
    feed(&mut seen, &limits, input, &[]);
    assert_eq!(seen.0, read(input, limits.headers_max));
}

/// A service that keeps the first head that it sees.
struct Seen(Option<Head>);

impl Seen {
    fn see(&mut self, request: &Request<'_>) {
        self.0.get_or_insert_with(|| Head {
            method: request.method().into(),
            target: request.target().into(),
            path: request.path().into_owned(),
            query: request.query().map(Into::into),
            host: request.host().map(Into::into),
            minor_version: request.minor_version(),
            fields: request.headers().map(|(name, value)| (name.into(), value.into())).collect(),
            framing: request.framing(),
        });
    }
}

impl Service for Seen {
    fn call(&mut self, request: &Request<'_>, _: &mut Response<'_>) {
        self.see(request);
    }

    fn body_policy(&mut self, request: &Request<'_>, _: &mut Response<'_>) -> BodyPolicy {
        self.see(request);
        BodyPolicy::Collect
    }
}

/// Parses the head at the start of `input`. Returns `None` if it is incomplete or invalid.
fn read(mut input: &[u8], headers_max: usize) -> Option<Head> {
    while let Some(rest) = input.strip_prefix(b"\r\n") {
        input = rest;
    }
    let end = input.windows(4).position(|end| end == b"\r\n\r\n")?;
    let mut lines = split(&input[..end], b"\r\n").into_iter();
    let [method, target, version] = split(lines.next()?, b" ").try_into().ok()?;
    if !is_token(method) {
        return None;
    }
    let minor_version = match version {
        b"HTTP/1.0" => 0,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => 1,
        _ => return None,
    };
    let (method, target) = (text(method)?, text(target)?);

    let fields: Vec<(String, Vec<u8>)> = lines.map(field).collect::<Option<_>>()?;
    if fields.len() > headers_max {
        return None;
    }
    let all = |name: &str| -> Vec<Vec<u8>> {
        let of_name = fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.clone()).collect()
    };
    let hosts = all("host");
    let host = match hosts.as_slice() {
        [] if minor_version == 0 => None,
        [host] => Some(text(host).filter(|host| is_authority(host))?),
        _ => return None,
    };
    let is_expected = |value: &Vec<u8>| {
        members(value).iter().all(|member| member.eq_ignore_ascii_case(b"100-continue"))
    };
    if !all("expect").iter().all(is_expected) {
        return None;
    }
    let (authority, path, query) = read_target(&method, &target)?;
    Some(Head {
        path: normalize(&path),
        query,
        host: authority.or(host),
        minor_version,
        framing: framing(minor_version, &all("transfer-encoding"), &all("content-length"))?,
        fields,
        method,
        target,
    })
}

/// `field-name ":" OWS field-value OWS`
fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_valid =
        is_token(name) && value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    is_valid.then(|| (String::from_utf8_lossy(name).into(), trim(value).to_vec()))
}

fn framing(minor_version: u8, codings: &[Vec<u8>], lengths: &[Vec<u8>]) -> Option<Framing> {
    let mut numbers = Vec::new();
    for value in lengths {
        for member in split(value, b",") {
            let digits = text(trim(member))?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            numbers.push(is_number.then(|| digits.parse::<u64>().ok())??);
        }
    }
    if numbers.iter().any(|number| number != &numbers[0]) {
        return None;
    }
    if !codings.is_empty() {
        let names: Vec<&[u8]> = codings.iter().flat_map(|value| members(value)).collect();
        let is_chunked = matches!(names[..], [name] if name.eq_ignore_ascii_case(b"chunked"));
        return (is_chunked && minor_version > 0 && numbers.is_empty()).then_some(Framing::Chunked);
    }
    Some(match numbers.first() {
        None | Some(0) => Framing::None,
        Some(&length) => Framing::Length(length),
    })
}

/// Returns the authority, path and query of a target in a form that the method allows.
fn read_target(method: &str, target: &str) -> Option<(Option<String>, String, Option<String>)> {
    if method == "CONNECT" {
        let port = target.rsplit(':').next()?;
        let is_valid = is_authority(target) && target.contains(':') && !port.is_empty();
        return (is_valid && !port.ends_with(']'))
            .then(|| (Some(target.into()), target.into(), None));
    }
    if method == "OPTIONS" && target == "*" {
        return Some((None, "*".into(), None));
    }
    let (authority, rest) = match target.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("http://") => {
            let end = target[7..].find(['/', '?']).map_or(target.len(), |at| at + 7);
            (Some(&target[7..end]), &target[end..])
        }
        _ if target.starts_with('/') => (None, target),
        _ => return None,
    };
    if authority.is_some_and(|authority| !is_authority(authority)) || !is_path_and_query(rest) {
        return None;
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query.to_string())),
        None => (rest, None),
    };
    let path = match path {
        "" if method == "OPTIONS" && query.is_none() => "*",
        "" => "/",
        path => path,
    };
    Some((authority.map(Into::into), path.into(), query))
}

/// `*( pchar / "/" / "?" )`
fn is_path_and_query(text: &str) -> bool {
    is_escaped_well(text) && text.bytes().all(|byte| is_reg_name(byte) || b"%:@/?".contains(&byte))
}

/// `uri-host [ ":" port ]` with a nonempty host.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((literal, rest)) if is_ip_literal(literal) => {
            ("ip", rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")))
        }
        Some(_) => return false,
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let is_host = !host.is_empty()
        && is_escaped_well(host)
        && host.bytes().all(|b| b == b'%' || is_reg_name(b));
    is_host && port.is_some_and(is_port)
}

fn is_port(digits: &str) -> bool {
    let number = digits.trim_start_matches('0');
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && (number.is_empty() || number.parse::<u16>().is_ok())
}

fn is_ip_literal(literal: &str) -> bool {
    match literal.strip_prefix(['v', 'V']).map(|rest| rest.split_once('.')) {
        None => literal.parse::<Ipv6Addr>().is_ok(),
        Some(None) => false,
        Some(Some((version, address))) => {
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !address.is_empty()
                && address.bytes().all(|byte| byte == b':' || is_reg_name(byte))
        }
    }
}

/// `unreserved / sub-delims`
fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

fn is_escaped_well(text: &str) -> bool {
    let is_hex = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    text.split('%').skip(1).all(is_hex)
}

/// Resolves the escapes of unreserved characters and converts the others to upper case.
fn normalize(path: &str) -> String {
    let mut parts = path.split('%');
    let mut normalized = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let byte = u8::from_str_radix(&part[..2], 16).expect("two digits");
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => normalized.push(char::from(byte)),
            false => normalized.push_str(&format!("%{byte:02X}")),
        }
        normalized.push_str(&part[2..]);
    }
    normalized
}

fn is_token(bytes: &[u8]) -> bool {
    let is_token_char =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_token_char)
}

fn members(value: &[u8]) -> Vec<&[u8]> {
    let all = split(value, b",").into_iter().map(trim);
    all.filter(|member| !member.is_empty()).collect()
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Returns the parts of `bytes` between the separators.
fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(separator.len()).position(|part| part == separator) {
        parts.push(&rest[..at]);
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest);
    parts
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}
