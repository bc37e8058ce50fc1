//! The two formats of a line: pure functions.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::ops::Not;
use std::time::Duration;

use serde::Serialize;
use serde_json::ser::Formatter;

use super::timestamp::Timestamp;
use crate::http::{Record, Rejection};

/// Appends a JSON object. Bytes that are not valid UTF-8 become U+FFFD; characters that could
/// end a line or control a terminal are escaped. `id` stands for a request without one.
pub(super) fn json(
    line: &mut Vec<u8>,
    timestamp: &Timestamp,
    duration: Duration,
    id: &str,
    record: &Record<'_>,
) {
    #[derive(Serialize)]
    struct Line<'a> {
        time: &'a str,
        client: Option<IpAddr>,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<IpAddr>,
        request_id: &'a str,
        method: &'a str,
        target: &'a str,
        http_version: &'a str,
        status: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        rejection: Option<&'a str>,
        #[serde(skip_serializing_if = "Not::not")]
        cut: bool,
        request_body_bytes: u64,
        body_bytes: u64,
        duration_us: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        referer: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_agent: Option<&'a str>,
    }
    let text = String::from_utf8_lossy;
    let referer = record.referer.as_deref().map(text);
    let user_agent = record.user_agent.as_deref().map(text);
    let given_id = record.id.as_deref().map(text);
    let fields = Line {
        time: &timestamp.rfc3339,
        client: client(record),
        peer: record
            .peer
            .map(|peer| peer.to_canonical())
            .filter(|&peer| Some(peer) != client(record)),
        request_id: given_id.as_deref().unwrap_or(id),
        method: &text(&record.method),
        target: &text(&record.target),
        http_version: if record.minor_version == 0 { "1.0" } else { "1.1" },
        status: record.status,
        rejection: record.rejection.map(Rejection::name),
        cut: record.is_cut,
        request_body_bytes: record.request_body_bytes,
        body_bytes: record.body_bytes,
        duration_us: duration.as_micros() as u64,
        referer: referer.as_deref(),
        user_agent: user_agent.as_deref(),
    };
    let mut serializer = serde_json::Serializer::with_formatter(&mut *line, Harmless);
    fields.serialize(&mut serializer).expect("a Vec takes every write");
    line.push(b'\n');
}

/// Escapes the characters that control a terminal or reorder its text, which JSON allows in
/// strings: DEL, the C1 controls and the controls of bidirectional text.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut written = 0;
        // In ASCII only DEL is harmful. serde_json has escaped the other controls.
        let is_harmless = fragment.bytes().all(|byte| byte < 0x7f);
        for (at, harmful) in fragment.match_indices(is_harmful).take_while(|_| !is_harmless) {
            writer.write_all(&fragment.as_bytes()[written..at])?;
            written = at + harmful.len();
            harmful.chars().try_for_each(|c| write!(writer, "\\u{:04x}", u32::from(c)))?;
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

fn is_harmful(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}'
            | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Returns the address of the client. A listener for both IP versions sees `::ffff:192.0.2.1`
/// instead of 192.0.2.1.
fn client(record: &Record<'_>) -> Option<IpAddr> {
    record.client.map(|client| client.to_canonical())
}

/// Appends a line of the combined log format.
pub(super) fn combined(line: &mut Vec<u8>, timestamp: &Timestamp, record: &Record<'_>) {
    // Writing to a Vec does not fail.
    let _ = match client(record) {
        Some(client) => write!(line, "{client}"),
        None => write!(line, "-"),
    };
    let _ = write!(line, " - - [{}] \"", timestamp.clf);
    if record.method.is_empty() {
        line.push(b'-');
    } else {
        escape(line, &record.method);
        line.push(b' ');
        escape(line, &record.target);
        let _ = write!(line, " HTTP/1.{}", record.minor_version);
    }
    let _ = write!(line, "\" {} {} \"", record.status, record.body_bytes);
    escape(line, record.referer.as_deref().unwrap_or(b"-"));
    line.extend_from_slice(b"\" \"");
    escape(line, record.user_agent.as_deref().unwrap_or(b"-"));
    line.extend_from_slice(b"\"\n");
}

/// Appends a client's bytes, with `\xHH` for each byte that could end a field or a line or
/// control a terminal, as in nginx.
fn escape(line: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'"' | b'\\' | ..=0x1f | 0x7f.. => {
                // Writing to a Vec does not fail.
                let _ = write!(line, "\\x{byte:02X}");
            }
            _ => line.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn timestamp() -> Timestamp {
        let mut timestamp = Timestamp::default();
        timestamp.update(UNIX_EPOCH + Duration::from_millis(784_111_777_042));
        timestamp
    }

    fn record() -> Record<'static> {
        Record {
            client: Some("192.0.2.1".parse().unwrap()),
            peer: Some("192.0.2.1".parse().unwrap()),
            id: None,
            began: None,
            method: Cow::Borrowed(b"GET"),
            target: Cow::Borrowed(b"/a?b"),
            minor_version: 1,
            referer: None,
            user_agent: Some(Cow::Borrowed(b"curl/8")),
            request_body_bytes: 3,
            status: 200,
            body_bytes: 14,
            rejection: None,
            is_cut: false,
        }
    }

    fn as_json(record: &Record<'_>) -> String {
        let mut line = Vec::new();
        json(&mut line, &timestamp(), Duration::from_nanos(12_345), "made", record);
        String::from_utf8(line).unwrap()
    }

    fn as_combined(record: &Record<'_>) -> String {
        let mut line = Vec::new();
        combined(&mut line, &timestamp(), record);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_json_line_has_all_fields() {
        assert_eq!(
            as_json(&record()),
            "{\"time\":\"1994-11-06T08:49:37.042Z\",\"client\":\"192.0.2.1\",\
             \"request_id\":\"made\",\"method\":\"GET\",\"target\":\"/a?b\",\
             \"http_version\":\"1.1\",\"status\":200,\"request_body_bytes\":3,\
             \"body_bytes\":14,\"duration_us\":12,\
             \"user_agent\":\"curl/8\"}\n"
        );
    }

    #[test]
    fn a_json_line_has_the_proxy_the_given_id_and_the_end_of_a_bad_request() {
        let record = Record {
            peer: Some("10.0.0.1".parse().unwrap()),
            id: Some(Cow::Borrowed(b"given")),
            rejection: Some(Rejection::Host),
            is_cut: true,
            ..record()
        };
        let line = as_json(&record);
        assert!(line.contains(r#""client":"192.0.2.1","peer":"10.0.0.1","request_id":"given""#));
        assert!(line.contains(r#""status":200,"rejection":"host","cut":true,"#), "{line}");
    }

    #[test]
    fn a_combined_line_has_the_fields_that_apache_documents() {
        assert_eq!(
            as_combined(&record()),
            "192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b HTTP/1.1\" 200 14 \"-\" \
             \"curl/8\"\n"
        );
    }

    #[test]
    fn no_byte_of_a_client_ends_a_field_or_a_line() {
        let all: Vec<u8> = (0..=255).collect();
        let record = Record {
            target: Cow::Borrowed(&all),
            referer: Some(Cow::Borrowed(&all)),
            user_agent: Some(Cow::Borrowed(&all)),
            ..record()
        };
        let line = as_combined(&record);
        assert_eq!((line.matches('"').count(), line.matches('\n').count()), (6, 1), "{line}");
        assert!(line.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        let line = as_json(&record);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(line.trim_end().chars().all(|c| c >= ' '), "{line:?}");
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("a JSON object");
        assert_eq!(parsed["target"], String::from_utf8_lossy(&all).as_ref());
    }

    #[test]
    fn json_lines_escape_what_controls_a_terminal() {
        let text = "a\u{7f}\u{85}\u{9b}\u{a0}é\u{200e}\u{202e}b\u{2067}\u{2069}\n";
        let line = as_json(&Record { target: Cow::Borrowed(text.as_bytes()), ..record() });
        let escaped =
            r#""a\u007f\u0085\u009b~é\u200e\u202eb\u2067\u2069\n""#.replace('~', "\u{a0}");
        assert!(line.contains(&escaped), "{line}");
        let parsed: serde_json::Value = serde_json::from_str(&line).expect("a JSON object");
        assert_eq!(parsed["target"], text);
    }

    #[test]
    fn a_client_of_a_dual_stack_listener_is_logged_as_ipv4() {
        let client = Some("::ffff:192.0.2.1".parse().unwrap());
        let record = Record { client, ..record() };
        assert!(as_json(&record).contains(r#""client":"192.0.2.1""#));
        assert!(as_combined(&record).starts_with("192.0.2.1 "));
    }

    #[test]
    fn a_rejected_request_without_a_method_has_dashes() {
        let record = Record { client: None, method: Cow::Borrowed(b""), status: 400, ..record() };
        assert!(as_combined(&record).starts_with("- - - ["));
        assert!(as_combined(&record).contains("] \"-\" 400 14 "));
    }
}
