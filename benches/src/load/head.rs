//! The head of an answer, from bytes (RFC 9112, sections 2, 4 and 6).
//!
//! The parser accepts only heads that the RFC allows. A load generator that accepts other bytes
//! would count a broken server as a fast one.

use super::errors::Malformed;

/// Maximum length of a head: near the limits of generous clients (curl: 300 KB in all, browsers:
/// 256 KB), and far more than a server under measurement should send.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The parts of a head that matter for the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// Set if the server announces that this is its last answer on the connection.
    pub(super) closes: bool,
}

/// Rule that gives the end of the body (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The answer has no body.
    NoBody,
    Length(u64),
    Chunked,
    /// The body ends where the connection does.
    UntilClose,
}

/// Returns the head at the start of `input` and its length in bytes, or `None` if the head is
/// incomplete.
pub(super) fn parse(
    input: &[u8],
    method_is_head: bool,
) -> Result<Option<(Head, usize)>, Malformed> {
    let mut lines = Lines { input, at: 0 };
    let Some(status_line) = lines.next_line()? else {
        return if starts_like_http(input) { Ok(None) } else { Err(Malformed::StatusLine) };
    };
    let (status, minor_version) = parse_status_line(status_line)?;
    let mut fields = Fields::default();
    loop {
        match lines.next_line()? {
            None => return Ok(None),
            Some([]) => break,
            Some(line) => fields.read_line(line)?,
        }
    }
    let head = Head {
        status,
        framing: framing(status, minor_version, method_is_head, &fields)?,
        closes: fields.close || (minor_version == 0 && !fields.keep_alive),
    };
    let closes = head.closes || head.framing == Framing::UntilClose;
    Ok(Some((Head { closes, ..head }, lines.at)))
}

struct Lines<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// Returns the next line without its CRLF, or `None` if it is incomplete.
    fn next_line(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let rest = &self.input[self.at..];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return if self.input.len() > HEAD_BYTES_MAX {
                Err(Malformed::HeadTooLong)
            } else {
                Ok(None)
            };
        };
        self.at += end + 1;
        if self.at > HEAD_BYTES_MAX {
            return Err(Malformed::HeadTooLong);
        }
        let line = rest[..end].strip_suffix(b"\r").ok_or(Malformed::LineEnd)?;
        Ok(Some(line))
    }
}

/// Reports whether `input` could still become `HTTP/1.x …`.
fn starts_like_http(input: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    let len = input.len().min(START.len());
    input[..len] == START[..len]
}

/// Returns the status and the minor version of `HTTP/1.1 200 OK`. The reason may be missing.
fn parse_status_line(line: &[u8]) -> Result<(u16, u8), Malformed> {
    let rest = line.strip_prefix(b"HTTP/1.").ok_or(Malformed::StatusLine)?;
    let [minor @ b'0'..=b'9', b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', reason @ ..] =
        rest
    else {
        return Err(Malformed::StatusLine);
    };
    let separated = reason.first().is_none_or(|&byte| byte == b' ');
    if !separated || !reason.iter().all(|&byte| is_text(byte)) {
        return Err(Malformed::StatusLine);
    }
    let digit = |byte: &u8| u16::from(byte - b'0');
    Ok((digit(a) * 100 + digit(b) * 10 + digit(c), minor - b'0'))
}

/// Header fields that decide about framing and about the connection.
#[derive(Default)]
struct Fields {
    content_length: Option<u64>,
    /// Presence of a transfer-encoding field: `true` if its last coding is chunked.
    transfer_encoding: Option<bool>,
    close: bool,
    keep_alive: bool,
    /// The last field, because a line that begins with white space continues it.
    last: LastField,
}

/// Kind of the last field: some may continue on a new line (obs-fold, which clients must accept).
#[derive(Default, PartialEq)]
enum LastField {
    #[default]
    Missing,
    Other,
    /// A field that is read here. No honest server folds these.
    Framing,
}

impl Fields {
    fn read_line(&mut self, line: &[u8]) -> Result<(), Malformed> {
        if matches!(line, [b' ' | b'\t', ..]) {
            let foldable = self.last == LastField::Other && line.iter().all(|&byte| is_text(byte));
            return if foldable { Ok(()) } else { Err(Malformed::Field) };
        }
        let colon = memchr::memchr(b':', line).ok_or(Malformed::Field)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
            return Err(Malformed::Field);
        }
        if !value.iter().all(|&byte| is_text(byte)) {
            return Err(Malformed::Field);
        }
        self.last = LastField::Framing;
        // The length first: it tells most fields apart without looking at them.
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => self.read_content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
                let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
                if self.transfer_encoding.replace(chunked) == Some(true) {
                    return Err(Malformed::TransferEncoding); // something after chunked
                }
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in value.split(|&byte| byte == b',') {
                    let option = option.trim_ascii();
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
                Ok(())
            }
            _ => {
                self.last = LastField::Other;
                Ok(())
            }
        }
    }

    /// Parses one number, or the same number several times (RFC 9112, section 6.3, rule 5).
    fn read_content_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for number in value.split(|&byte| byte == b',') {
            let number = parse_decimal(number.trim_ascii()).ok_or(Malformed::ContentLength)?;
            if self.content_length.is_some_and(|earlier| earlier != number) {
                return Err(Malformed::ContentLength);
            }
            self.content_length = Some(number);
        }
        Ok(())
    }
}

fn framing(
    status: u16,
    minor_version: u8,
    method_is_head: bool,
    fields: &Fields,
) -> Result<Framing, Malformed> {
    if fields.transfer_encoding.is_some() && (fields.content_length.is_some() || minor_version == 0)
    {
        // Two lengths, or a coding that HTTP/1.0 does not have: the end of the body is in doubt.
        return Err(Malformed::TransferEncoding);
    }
    if method_is_head || matches!(status, 100..=199 | 204 | 304) {
        return Ok(Framing::NoBody);
    }
    Ok(match (fields.transfer_encoding, fields.content_length) {
        (Some(true), _) => Framing::Chunked,
        (Some(false), _) | (None, None) => Framing::UntilClose,
        (None, Some(length)) => Framing::Length(length),
    })
}

fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Reports whether `byte` may be in a field value or a reason: any byte but controls.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Reports whether `byte` may be in a field name (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, Malformed> {
        parse(text.as_bytes(), false).map(|parsed| parsed.map(|(head, _)| head))
    }

    fn framing_of(text: &str) -> Framing {
        head(text).unwrap().unwrap().framing
    }

    fn closes(text: &str) -> bool {
        head(text).unwrap().unwrap().closes
    }

    #[test]
    fn reads_status_and_length() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nTry POST /echo";
        let expected = Head { status: 200, framing: Framing::Length(14), closes: false };
        assert_eq!(parse(text.as_bytes(), false), Ok(Some((expected, text.len() - 14))));
    }

    #[test]
    fn a_head_cut_anywhere_is_incomplete() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\nconnection: close\r\n\r\n";
        for cut in 0..text.len() {
            assert_eq!(head(&text[..cut]), Ok(None), "cut after {cut} bytes");
        }
    }

    #[test]
    fn the_reason_may_be_empty_missing_or_long() {
        for line in ["HTTP/1.1 404", "HTTP/1.1 404 ", "HTTP/1.1 404 Not  Found, \u{e4}\tnowhere"] {
            assert_eq!(head(&format!("{line}\r\n\r\n")).unwrap().unwrap().status, 404);
        }
    }

    #[test]
    fn nonsense_is_malformed_at_its_first_bytes() {
        for text in ["x", "SSH-2.0-OpenSSH_9", "HTTP/2.0 200 OK\r\n", "http/1.1 200", "\r\n\r\n"] {
            assert_eq!(head(text), Err(Malformed::StatusLine), "{text:?}");
        }
    }

    #[test]
    fn a_bad_status_line_is_malformed() {
        for line in [
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000",
            "HTTP/1.1 099 x",
            "HTTP/1.1  200",
            "HTTP/1.1 200OK",
            "HTTP/1.1 200 \u{7}",
            "HTTP/1.x 200",
        ] {
            let text = format!("{line}\r\n\r\n");
            assert_eq!(head(&text), Err(Malformed::StatusLine), "{line:?}");
        }
    }

    #[test]
    fn bad_fields_are_malformed() {
        for field in ["nocolon", ": value", "na me: x", "name : x", "a: b\0c", " folded: first"] {
            let text = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
            assert_eq!(head(&text), Err(Malformed::Field), "{field:?}");
        }
    }

    #[test]
    fn a_line_ends_with_cr_and_lf() {
        assert_eq!(head("HTTP/1.1 200 OK\ncontent-length: 0\n\n"), Err(Malformed::LineEnd));
    }

    #[test]
    fn a_folded_field_is_taken_unless_it_frames() {
        let ok = "HTTP/1.1 200 OK\r\nx-note: a\r\n b\r\ncontent-length: 3\r\n\r\n";
        assert_eq!(framing_of(ok), Framing::Length(3));
        let bad = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n 4\r\n\r\n";
        assert_eq!(head(bad), Err(Malformed::Field));
    }

    #[test]
    fn content_length_is_one_number() {
        let with =
            |value: &str| head(&format!("HTTP/1.1 200 OK\r\ncontent-length: {value}\r\n\r\n"));
        assert_eq!(with("5, 5").unwrap().unwrap().framing, Framing::Length(5));
        for value in ["", "-1", "+1", "0x10", "5, 6", "1 2", "99999999999999999999"] {
            assert_eq!(with(value), Err(Malformed::ContentLength), "{value:?}");
        }
        let twice = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n";
        assert_eq!(head(twice), Err(Malformed::ContentLength));
    }

    #[test]
    fn transfer_encoding_decides_by_its_last_coding() {
        let with = |fields: &str| head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
        let framing = |fields: &str| with(fields).unwrap().unwrap().framing;
        assert_eq!(framing("transfer-encoding: gzip, Chunked"), Framing::Chunked);
        assert_eq!(framing("transfer-encoding: gzip"), Framing::UntilClose);
        let both = "transfer-encoding: chunked\r\ncontent-length: 3";
        assert_eq!(with(both), Err(Malformed::TransferEncoding));
        let after = "transfer-encoding: chunked\r\ntransfer-encoding: gzip";
        assert_eq!(with(after), Err(Malformed::TransferEncoding));
        let old = head("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(old, Err(Malformed::TransferEncoding));
    }

    #[test]
    fn some_answers_have_no_body_whatever_they_say() {
        for status in [100, 103, 204, 304] {
            let text = format!("HTTP/1.1 {status} x\r\ncontent-length: 5\r\n\r\n");
            assert_eq!(framing_of(&text), Framing::NoBody);
        }
        let get = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(parse(get, true).unwrap().unwrap().0.framing, Framing::NoBody);
    }

    #[test]
    fn without_a_length_the_body_ends_with_the_connection() {
        assert_eq!(framing_of("HTTP/1.1 200 OK\r\n\r\n"), Framing::UntilClose);
        assert!(closes("HTTP/1.1 200 OK\r\n\r\n"));
    }

    #[test]
    fn knows_when_the_connection_ends() {
        let with = |version: &str, value: &str| {
            closes(&format!(
                "HTTP/{version} 200 OK\r\nconnection: {value}\r\ncontent-length: 0\r\n\r\n"
            ))
        };
        assert!(with("1.1", "Close"));
        assert!(with("1.1", "foo, close"));
        assert!(!with("1.1", "keep-alive"));
        assert!(!with("1.1", "closed"));
        assert!(with("1.0", "foo"));
        assert!(!with("1.0", "Keep-Alive"));
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        assert_eq!(head(&endless), Err(Malformed::HeadTooLong));
        let many = format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(HEAD_BYTES_MAX / 6));
        assert_eq!(head(&many), Err(Malformed::HeadTooLong));
    }
}
