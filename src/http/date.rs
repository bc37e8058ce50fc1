//! The `date` header line, rendered once a second (RFC 9110, 6.6.1).

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

/// The example of RFC 9110, as the last line of a head.
const EXAMPLE: &[u8; 39] = b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

/// The `date` header line of the second in which it was last updated.
#[derive(Debug)]
pub struct Date {
    second: u64,
    line: [u8; EXAMPLE.len()],
    /// Kept, so that rendering allocates nothing.
    text: String,
}

impl Date {
    /// Returns the date at `now`.
    pub fn at(now: SystemTime) -> Date {
        let mut date = Date { second: u64::MAX, line: *EXAMPLE, text: String::new() };
        date.update(now);
        date
    }

    /// Renders the date again if `now` is in another second than before. A clock outside the
    /// years 1970 to 9999 leaves the date as it was.
    pub fn update(&mut self, now: SystemTime) {
        const YEAR_10000: u64 = 253_402_300_800;
        let second = match now.duration_since(UNIX_EPOCH) {
            Ok(elapsed) if elapsed.as_secs() < YEAR_10000 => elapsed.as_secs(),
            _ => return,
        };
        if second != self.second {
            self.second = second;
            let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
            self.text.clear();
            write!(self.text, "{date}").expect("writing to a String does not fail");
            self.line[6..35].copy_from_slice(self.text.as_bytes());
        }
    }

    /// Returns the header line with its CRLF and the empty line after it: `date` ends each head,
    /// so both are written in one copy.
    pub(super) fn last_line(&self) -> &[u8; EXAMPLE.len()] {
        &self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_the_date_of_the_rfc() {
        let date = Date::at(UNIX_EPOCH + Duration::from_millis(784_111_777_999));
        assert_eq!(date.last_line(), b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n");
    }

    #[test]
    fn follows_the_clock_unless_the_clock_is_absurd() {
        let mut date = Date::at(UNIX_EPOCH);
        assert_eq!(date.last_line(), b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n");
        date.update(UNIX_EPOCH + Duration::from_secs(1));
        assert_eq!(date.last_line(), b"date: Thu, 01 Jan 1970 00:00:01 GMT\r\n\r\n");
        date.update(UNIX_EPOCH - Duration::from_secs(5));
        date.update(UNIX_EPOCH + Duration::from_secs(300_000_000_000));
        assert_eq!(date.last_line(), b"date: Thu, 01 Jan 1970 00:00:01 GMT\r\n\r\n");
    }
}
