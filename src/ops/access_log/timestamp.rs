//! The time of a line in both formats.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// A time in both formats. Formats the date once a second and the milliseconds for each line.
#[derive(Debug, Default)]
pub(super) struct Timestamp {
    second: Option<u64>,
    /// `1994-11-06T08:49:37.042Z`.
    pub(super) rfc3339: String,
    /// `06/Nov/1994:08:49:37 +0000`.
    pub(super) clf: String,
}

impl Timestamp {
    /// Formats `now`. Outside the years 1970 to 9999 the last second stays.
    pub(super) fn update(&mut self, now: SystemTime) {
        const YEAR_10000: u64 = 253_402_300_800;
        let Ok(elapsed) = now.duration_since(UNIX_EPOCH) else { return };
        if self.second != Some(elapsed.as_secs()) && elapsed.as_secs() < YEAR_10000 {
            self.second = Some(elapsed.as_secs());
            self.format_date(now);
        }
        self.rfc3339.truncate("1994-11-06T08:49:37.".len());
        // Writing to a String does not fail.
        let _ = write!(self.rfc3339, "{:03}Z", elapsed.subsec_millis());
    }

    fn format_date(&mut self, now: SystemTime) {
        // "Sun, 06 Nov 1994 08:49:37 GMT"
        let text = httpdate::fmt_http_date(now);
        let (day, month, year, time) = (&text[5..7], &text[8..11], &text[12..16], &text[17..25]);
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let number = MONTHS.find(month).map_or(0, |at| at / 3 + 1);
        self.rfc3339 = format!("{year}-{number:02}-{day}T{time}.");
        self.clf = format!("{day}/{month}/{year}:{time} +0000");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn both_formats_follow_the_clock() {
        let mut timestamp = Timestamp::default();
        let time = UNIX_EPOCH + Duration::from_millis(784_111_777_042);
        timestamp.update(time);
        assert_eq!(timestamp.rfc3339, "1994-11-06T08:49:37.042Z");
        assert_eq!(timestamp.clf, "06/Nov/1994:08:49:37 +0000");
        timestamp.update(time + Duration::from_millis(958));
        assert_eq!(timestamp.rfc3339, "1994-11-06T08:49:38.000Z");
        assert_eq!(timestamp.clf, "06/Nov/1994:08:49:38 +0000");
    }
}
