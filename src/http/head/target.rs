//! Request targets (RFC 9112, 3.2; RFC 3986; the WHATWG URL standard).

use std::borrow::Cow;

use super::authority::{is_authority, is_escape, port};
use crate::http::chars::{self, TargetClass, TargetSyntax};
use crate::http::rejection::Rejection;

/// A request target, and the path and the query that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Target<'a> {
    pub(in crate::http) whole: &'a str,
    /// Begin and end of the path within the target.
    path: (u32, u32),
    /// True if the path has a `%`.
    is_escaped: bool,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A path, perhaps with a query behind it (RFC 9112, 3.2.1).
    Origin,
    /// A whole URL (RFC 9112, 3.2.2).
    Absolute,
    /// The whole server: an absolute URL without a path, with OPTIONS (RFC 9112, 3.2.4).
    AbsoluteAsterisk,
    /// `*`, or an authority (RFC 9112, 3.2.3 and 3.2.4). Also a form that has yet to be read by
    /// [`Target::resolve`].
    Other,
}

impl<'a> Target<'a> {
    /// Returns the path, with the escapes of unreserved characters resolved, which are equal to
    /// their characters. Borrowed unless there is an escape.
    #[inline]
    pub(in crate::http) fn path(&self) -> Cow<'a, str> {
        match self.is_escaped {
            false => Cow::Borrowed(self.raw_path()),
            true => Cow::Owned(normalize(self.raw_path())),
        }
    }

    /// Returns the path as it was sent; `*` and the authority of a `CONNECT` stand for
    /// themselves.
    #[inline]
    pub(in crate::http) fn raw_path(&self) -> &'a str {
        let (begin, end) = self.path;
        match self.form {
            Form::Absolute if begin == end => "/",
            Form::AbsoluteAsterisk => "*",
            _ => &self.whole[begin as usize..end as usize],
        }
    }

    /// Returns the part of the target behind its first `?`.
    #[inline]
    pub(in crate::http) fn query(&self) -> Option<&'a str> {
        self.whole[self.path.1 as usize..].get(1..)
    }

    /// Returns the authority that the target names, if its form has one.
    pub(in crate::http) fn authority(&self, method: &str) -> Option<&'a str> {
        match self.form {
            Form::Other if method == "CONNECT" => Some(self.whole),
            Form::Origin | Form::Other => None,
            Form::Absolute | Form::AbsoluteAsterisk => {
                let (_, rest) = self.whole.split_once("://")?;
                Some(&rest[..authority_end(rest)])
            }
        }
    }

    /// Reports whether the target is a path, perhaps with a query.
    pub(super) fn is_origin(&self) -> bool {
        self.form == Form::Origin
    }

    /// Reads a target in a form other than a path, which depends on the method; the target is
    /// rejected if the method does not allow its form (RFC 9112, 3.2).
    #[cold]
    pub(super) fn resolve(
        self,
        method: &str,
        syntax: TargetSyntax,
    ) -> Result<Target<'a>, Rejection> {
        match method {
            "CONNECT" => {
                // The authority-form is for CONNECT alone, and needs a port (RFC 9112, 3.2.3).
                let is_authority = is_authority(self.whole.as_bytes())
                    && port(self.whole).is_some_and(|port| !port.is_empty());
                if is_authority { Ok(self) } else { Err(Rejection::Target) }
            }
            "OPTIONS" if self.whole == "*" => Ok(self),
            _ => self.resolve_absolute(method, syntax),
        }
    }

    /// Reads the absolute-form. Its authority replaces `host` (RFC 9112, 3.2.2).
    fn resolve_absolute(self, method: &str, syntax: TargetSyntax) -> Result<Target<'a>, Rejection> {
        let (scheme, rest) = self.whole.split_once("://").ok_or(Rejection::Target)?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(Rejection::Scheme);
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(Rejection::Target);
        }
        let (authority, rest) = rest.split_at(authority_end(rest));
        // Userinfo is rejected as well (RFC 9110, 4.2.4).
        if !is_authority(authority.as_bytes()) {
            return Err(Rejection::Target);
        }
        let scanned = scan(rest.as_bytes(), syntax);
        if scanned.bytes < rest.len() {
            return Err(Rejection::Target);
        }
        let begin = self.whole.len() - rest.len();
        let form = match rest {
            "" if method == "OPTIONS" => Form::AbsoluteAsterisk,
            _ => Form::Absolute,
        };
        let path = (begin as u32, (begin + scanned.path_bytes) as u32);
        Ok(Target { path, is_escaped: scanned.is_escaped, form, ..self })
    }

    #[inline(always)]
    fn origin(whole: &'a str, scanned: &Scanned) -> Target<'a> {
        let path = (0, scanned.path_bytes as u32);
        Target { whole, path, is_escaped: scanned.is_escaped, form: Form::Origin }
    }
}

/// Reads the target at the start of `input`, up to a space, and returns the input behind that
/// space; returns `None` if there is no space yet. A target that is not a path has yet to be
/// read by [`Target::resolve`].
#[inline(always)]
pub(super) fn parse<'a>(
    method: &str,
    input: &'a [u8],
    syntax: TargetSyntax,
) -> Result<Option<(Target<'a>, &'a [u8])>, Rejection> {
    match input {
        [] => Ok(None),
        [b'/', ..] if method != "CONNECT" => origin_form(input, syntax),
        _ => other_form(input),
    }
}

#[inline(always)]
fn origin_form(
    input: &[u8],
    syntax: TargetSyntax,
) -> Result<Option<(Target<'_>, &[u8])>, Rejection> {
    let scanned = scan(input, syntax);
    match &input[scanned.bytes..] {
        [b' ', rest @ ..] => {
            Ok(Some((Target::origin(text(&input[..scanned.bytes])?, &scanned), rest)))
        }
        [] | [b'%'] | [b'%', _] => Ok(None),
        rest => Err(rejection_of(rest[0])),
    }
}

/// The part of some input that is a path and perhaps a query.
struct Scanned {
    bytes: usize,
    path_bytes: usize,
    /// True if the path has a `%`.
    is_escaped: bool,
}

#[inline(always)]
fn scan(input: &[u8], syntax: TargetSyntax) -> Scanned {
    let class = TargetClass::of(syntax);
    let mut path_bytes = None;
    let mut is_escaped = false;
    let mut at = 0;
    loop {
        match &input[at..] {
            [byte, ..] if class.contains(*byte) => at += 1,
            [b'?', ..] => {
                path_bytes = path_bytes.or(Some(at));
                at += 1;
            }
            escape @ [b'%', ..] if syntax == TargetSyntax::Url || is_escape(escape) => {
                is_escaped |= path_bytes.is_none();
                at += 1;
            }
            _ => return Scanned { bytes: at, path_bytes: path_bytes.unwrap_or(at), is_escaped },
        }
    }
}

/// Returns the number of bytes at the start of `input` that a target can go on with.
pub(super) fn plain_bytes(input: &[u8], syntax: TargetSyntax) -> usize {
    scan(input, syntax).bytes
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
            let path = (0, bytes as u32);
            Ok(Some((Target { whole, path, is_escaped: false, form: Form::Other }, rest)))
        }
        rest => Err(rejection_of(rest[0])),
    }
}

/// Returns the rejection of a byte that no target has.
#[cold]
fn rejection_of(byte: u8) -> Rejection {
    // A control character is more likely the end of a line that lacks a part.
    if byte.is_ascii_control() { Rejection::RequestLine } else { Rejection::Target }
}

/// Returns bytes that are known to be ASCII as text.
fn text(bytes: &[u8]) -> Result<&str, Rejection> {
    std::str::from_utf8(bytes).map_err(|_| Rejection::Target)
}

/// Returns the length of the authority at the start of `rest`, which follows the scheme.
fn authority_end(rest: &str) -> usize {
    rest.find(['/', '?']).unwrap_or(rest.len())
}

/// Resolves the escapes of unreserved characters: those, and only those, are equal to their
/// characters. Puts the digits of other escapes in upper case, because they mean the same in
/// either (RFC 3986, 6.2.2). Leaves a `%` that begins no escape.
#[cold]
fn normalize(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        let escape = match after {
            [high, low, ..] if *byte == b'%' => chars::hex_value(*high).zip(chars::hex_value(*low)),
            _ => None,
        };
        let Some((high, low)) = escape else {
            normal.push(char::from(*byte));
            rest = after;
            continue;
        };
        match high << 4 | low {
            byte if chars::is_unreserved(byte) => normal.push(char::from(byte)),
            _ => {
                normal.push('%');
                let digits = [after[0], after[1]].map(|digit| digit.to_ascii_uppercase());
                digits.into_iter().for_each(|digit| normal.push(char::from(digit)));
            }
        }
        rest = &after[2..];
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: TargetSyntax = TargetSyntax::Rfc3986;

    /// Returns the path and the query of a target in a request line.
    fn parts(
        method: &str,
        target: &str,
        syntax: TargetSyntax,
    ) -> Result<(String, Option<String>), Rejection> {
        let input = format!("{target} HTTP/1.1");
        for bytes in 0..=target.len() {
            let early = parse(method, &input.as_bytes()[..bytes], syntax);
            assert!(!matches!(early, Ok(Some(_))), "{bytes}");
        }
        let (parsed, rest) = parse(method, input.as_bytes(), syntax)?.expect("it has its space");
        let parsed = if parsed.is_origin() { parsed } else { parsed.resolve(method, syntax)? };
        assert_eq!((parsed.whole, rest), (target, b"HTTP/1.1".as_slice()));
        Ok((parsed.path().into_owned(), parsed.query().map(str::to_string)))
    }

    #[test]
    fn each_form_is_accepted_only_with_its_methods() {
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
            ("OPTIONS", "http://h?q", "/", Some("q")),
            ("OPTIONS", "*", "*", None),
            ("OPTIONS", "http://h:1", "*", None),
            ("CONNECT", "h:1", "h:1", None),
        ] {
            for syntax in [RFC, TargetSyntax::Url] {
                let found = parts(method, target, syntax);
                assert_eq!(found, Ok((path.to_string(), query.map(str::to_string))), "{target}");
            }
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
            ("GET", "/\""),
            ("GET", "/a?<"),
            ("GET", "/a?>"),
            ("GET", "/\u{e4}"),
            ("GET", "http://h/\u{e4}"),
        ] {
            for syntax in [RFC, TargetSyntax::Url] {
                assert_eq!(parts(method, target, syntax), Err(Rejection::Target), "{target}");
            }
        }
        assert_eq!(parts("GET", "https://h/", RFC), Err(Rejection::Scheme));
    }

    #[test]
    fn accepts_what_browsers_leave_unescaped_unless_told_to_be_strict() {
        for target in [
            "/?a[]=1",
            "/?q={x}",
            "/?a|b",
            "/?x=^",
            "/?`",
            "/?\\",
            "/%",
            "/%2",
            "/?%zz",
            "/[a]|b",
            "/100%",
            "http://h/?a[]=%",
        ] {
            assert!(parts("GET", target, TargetSyntax::Url).is_ok(), "{target}");
            assert_eq!(parts("GET", target, RFC), Err(Rejection::Target), "{target}");
        }
    }

    #[test]
    fn unreserved_escapes_are_equal_to_their_characters_and_others_are_not() {
        assert_eq!(normalize("/d%61t%61"), "/data");
        assert_eq!(normalize("/%7e%2Fx%20%c3%a4%25"), "/~%2Fx%20%C3%A4%25");
        assert_eq!(normalize("/%2561"), "/%2561");
        assert_eq!(normalize("/%zz%4%"), "/%zz%4%");
        for target in [b"/data ".as_slice(), b"http://h/data "] {
            let (plain, _) = parse("GET", target, RFC).expect("a target").expect("a whole one");
            let plain = if plain.is_origin() { plain } else { plain.resolve("GET", RFC).unwrap() };
            assert!(matches!(plain.path(), Cow::Borrowed("/data")));
        }
    }
}
