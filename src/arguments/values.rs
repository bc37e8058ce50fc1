//! Reads the values of options; an error says what would be right.

use std::ffi::OsStr;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

pub(super) const WHOLE: &str = "a whole number";
pub(super) const POSITIVE: &str = "a whole number from 1 on";

/// A value that the standard library can read, and says what is wrong with.
pub(super) fn parse<T: FromStr<Err: Display>>(value: &OsStr, allowed: &str) -> Result<T, String> {
    text(value)?.parse().map_err(|wrong| format!("{wrong}; allowed is {allowed}"))
}

/// The value of a flag, which only the environment can say.
pub(super) fn flag(value: &OsStr) -> Result<bool, String> {
    match text(value)? {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("allowed are true and false".into()),
    }
}

pub(super) fn text(value: &OsStr) -> Result<&str, String> {
    value.to_str().ok_or_else(|| "it is not UTF-8, and has to be".into())
}

/// CPU numbers, in the order in which they were given.
pub(super) fn cores(list: &str) -> Result<Vec<usize>, String> {
    let wrong = || "that is no list of CPUs such as 0,2-3".to_string();
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        // More than any machine has; 0-99999999999 is a slip.
        if first > last || last >= 4096 {
            return Err(wrong());
        }
        cores.extend(first..=last);
    }
    Ok(cores)
}

/// Without floating point, which takes 28 KB of the binary, and would for this alone.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong =
        || "that is no number of seconds such as 10 or 0.5; 0.1 to 86400 are allowed".to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || fraction.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(wrong());
    }
    let seconds = format!("0{whole}").parse().map_err(|_| wrong())?;
    let nanoseconds = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    Ok(Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_cores() {
        assert_eq!(cores("0,2-4"), Ok(vec![0, 2, 3, 4]));
        for wrong in ["", "a", "3-1", "0,", "-1", "0-999999"] {
            assert!(cores(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn reads_seconds_and_fractions_of_them() {
        for (text, milliseconds) in [("10", 10_000), ("0.5", 500), (".25", 250), ("2.", 2_000)] {
            assert_eq!(seconds(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(seconds("0.000000001"), Ok(Duration::from_nanos(1)));
        for wrong in ["", ".", "-1", "+1", "1e3", "1.-5", "0.0000000001", "99999999999999999999"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
