//! How one line looks: pure functions.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::http::Record;

/// What the wall clock showed at some instant, so that one clock is read for a line.
#[derive(Debug)]
pub(super) struct Moment {
    at: Instant,
    time: SystemTime,
}

/// What comes before the milliseconds.
const DATE_TIME: &str = "1994-11-06T08:49:37.";

/// How long the wall clock is believed to run as the other one does: it may be set.
const MOMENT_LASTS: Duration = Duration::from_secs(1);

impl Moment {
    pub(super) fn new(at: Instant, time: SystemTime) -> Moment {
        Moment { at, time }
    }

    /// Reads the wall clock where that was too long ago.
    pub(super) fn update(&mut self, now: Instant, clock: impl FnOnce() -> SystemTime) {
        if now.saturating_duration_since(self.at) >= MOMENT_LASTS {
            *self = Moment::new(now, clock());
        }
    }

    pub(super) fn at(&self, now: Instant) -> SystemTime {
        self.time + now.saturating_duration_since(self.at)
    }
}

/// The address of a client, rendered where it is another than that of the line before.
#[derive(Debug)]
pub(super) struct Client {
    address: Option<IpAddr>,
    text: String,
}

impl Default for Client {
    fn default() -> Client {
        Client { address: None, text: "-".to_string() }
    }
}

impl Client {
    pub(super) fn update(&mut self, address: Option<IpAddr>) {
        if self.address != address {
            self.address = address;
            self.text = address.map_or("-".to_string(), |address| address.to_string());
        }
    }
}

/// A time as both formats have it, rendered once a second, or millisecond.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: Option<u64>,
    /// `1994-11-06T08:49:37.042Z`.
    date_time: String,
    /// `06/Nov/1994:08:49:37 +0000`.
    clf: String,
}

impl Stamp {
    /// Renders `now`. A clock that stands outside the years 1970 to 9999 leaves the
    /// second as it was.
    pub(super) fn update(&mut self, now: SystemTime) {
        const YEAR_10000: u64 = 253_402_300_800;
        let Ok(elapsed) = now.duration_since(UNIX_EPOCH) else { return };
        if self.second != Some(elapsed.as_secs()) && elapsed.as_secs() < YEAR_10000 {
            self.second = Some(elapsed.as_secs());
            self.render(now);
        }
        let millisecond = elapsed.subsec_millis();
        self.date_time.truncate(DATE_TIME.len());
        for digit in [millisecond / 100, millisecond / 10 % 10, millisecond % 10] {
            self.date_time.push((b'0' + digit as u8) as char);
        }
        self.date_time.push('Z');
    }

    fn render(&mut self, now: SystemTime) {
        // "Sun, 06 Nov 1994 08:49:37 GMT"
        let text = httpdate::fmt_http_date(now);
        let (day, month, year, time) = (&text[5..7], &text[8..11], &text[12..16], &text[17..25]);
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let number = MONTHS.find(month).map_or(0, |at| at / 3 + 1);
        self.date_time.clear();
        self.clf.clear();
        // Writing to a String does not fail.
        let _ = write!(self.date_time, "{year}-{number:02}-{day}T{time}.");
        let _ = write!(self.clf, "{day}/{month}/{year}:{time} +0000");
    }
}

/// Appends a JSON object. Bytes that are no UTF-8 become U+FFFD; what JSON can't have in
/// a string, such as line ends, is escaped.
pub(super) fn json(
    line: &mut Vec<u8>,
    stamp: &Stamp,
    client: &Client,
    duration: Duration,
    record: &Record<'_>,
) {
    #[derive(Serialize)]
    struct Line<'a> {
        time: &'a str,
        client: Option<&'a str>,
        method: &'a str,
        target: &'a str,
        status: u16,
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
    let fields = Line {
        time: &stamp.date_time,
        client: client.address.map(|_| &*client.text),
        method: &text(&record.method),
        target: &text(&record.target),
        status: record.status,
        body_bytes: record.body_bytes,
        duration_us: duration.as_micros() as u64,
        referer: referer.as_deref(),
        user_agent: user_agent.as_deref(),
    };
    serde_json::to_writer(&mut *line, &fields).expect("a Vec takes all that is written");
    line.push(b'\n');
}

/// Appends a line of the combined log format.
pub(super) fn combined(line: &mut Vec<u8>, stamp: &Stamp, client: &Client, record: &Record<'_>) {
    let mut number = itoa::Buffer::new();
    line.extend_from_slice(client.text.as_bytes());
    line.extend_from_slice(b" - - [");
    line.extend_from_slice(stamp.clf.as_bytes());
    line.extend_from_slice(b"] \"");
    if record.method.is_empty() {
        line.push(b'-');
    } else {
        escape(line, &record.method);
        line.push(b' ');
        escape(line, &record.target);
        line.extend_from_slice(b" HTTP/1.");
        line.push(b'0' + record.minor_version);
    }
    line.extend_from_slice(b"\" ");
    line.extend_from_slice(number.format(record.status).as_bytes());
    line.push(b' ');
    line.extend_from_slice(number.format(record.body_bytes).as_bytes());
    line.extend_from_slice(b" \"");
    escape(line, record.referer.as_deref().unwrap_or(b"-"));
    line.extend_from_slice(b"\" \"");
    escape(line, record.user_agent.as_deref().unwrap_or(b"-"));
    line.extend_from_slice(b"\"\n");
}

/// Appends a client's bytes so that they can neither end a field nor a line, nor say
/// anything to a terminal, as nginx does it: `\xHH`.
fn escape(line: &mut Vec<u8>, text: &[u8]) {
    let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | ..=0x1f | 0x7f..);
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        let plain = rest.iter().take_while(|byte| is_plain(byte)).count();
        line.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        if plain == 0 {
            // Writing to a Vec does not fail.
            let _ = write!(line, "\\x{byte:02X}");
            rest = &rest[1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    const EXAMPLE: Duration = Duration::from_millis(784_111_777_042);

    fn stamp() -> Stamp {
        let mut stamp = Stamp::default();
        stamp.update(UNIX_EPOCH + EXAMPLE);
        stamp
    }

    fn record() -> Record<'static> {
        Record {
            client: Some("192.0.2.1".parse().unwrap()),
            began: None,
            method: Cow::Borrowed(b"GET"),
            target: Cow::Borrowed(b"/a?b"),
            minor_version: 1,
            referer: None,
            user_agent: Some(Cow::Borrowed(b"curl/8")),
            status: 200,
            body_bytes: 14,
        }
    }

    fn client(record: &Record<'_>) -> Client {
        let mut client = Client::default();
        client.update(record.client);
        client
    }

    fn as_json(record: &Record<'_>) -> String {
        let mut line = Vec::new();
        json(&mut line, &stamp(), &client(record), Duration::from_nanos(12_345), record);
        String::from_utf8(line).unwrap()
    }

    fn as_combined(record: &Record<'_>) -> String {
        let mut line = Vec::new();
        combined(&mut line, &stamp(), &client(record), record);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_json_line_has_all_fields() {
        assert_eq!(
            as_json(&record()),
            "{\"time\":\"1994-11-06T08:49:37.042Z\",\"client\":\"192.0.2.1\",\"method\":\"GET\",\
             \"target\":\"/a?b\",\"status\":200,\"body_bytes\":14,\"duration_us\":12,\
             \"user_agent\":\"curl/8\"}\n"
        );
    }

    #[test]
    fn a_combined_line_is_what_apache_documents() {
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
    fn a_request_that_could_not_be_read_has_dashes() {
        let record = Record { client: None, method: Cow::Borrowed(b""), status: 400, ..record() };
        assert!(as_combined(&record).starts_with("- - - ["));
        assert!(as_combined(&record).contains("] \"-\" 400 14 "));
    }

    #[test]
    fn time_goes_on_between_two_looks_at_the_wall_clock() {
        let start = Instant::now();
        let mut moment = Moment::new(start, UNIX_EPOCH + EXAMPLE);
        let later = start + Duration::from_millis(958);
        moment.update(later, || unreachable!("too early"));
        let mut stamp = stamp();
        stamp.update(moment.at(later));
        assert_eq!(stamp.date_time, "1994-11-06T08:49:38.000Z");
        moment.update(start + MOMENT_LASTS, || UNIX_EPOCH);
        assert_eq!(moment.at(start + 2 * MOMENT_LASTS), UNIX_EPOCH + MOMENT_LASTS);
    }
}
