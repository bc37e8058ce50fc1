//! Parsers of option values. Each error says which values are allowed.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use nix::unistd::{Group, User};
use pinloop::Config;

/// CPU numbers, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CpuList(pub(crate) Vec<usize>);

impl FromStr for CpuList {
    type Err = &'static str;

    fn from_str(list: &str) -> Result<CpuList, &'static str> {
        const WRONG: &str = "allowed is a list of CPUs such as 0,2-3";
        let mut cpus = Vec::new();
        for part in list.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.trim().parse().map_err(|_| WRONG)?;
            let last: usize = last.trim().parse().map_err(|_| WRONG)?;
            // The bound keeps a slip such as 0-99999999999 from filling the memory.
            if first > last || last >= 4096 {
                return Err(WRONG);
            }
            cpus.extend(first..=last);
        }
        Ok(CpuList(cpus))
    }
}

/// Parses the mode of a file, such as 660.
pub(crate) fn mode(text: &str) -> Result<u32, &'static str> {
    let is_octal = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    mode.ok_or("allowed is an octal mode from 0 to 777, such as 660")
}

/// Parses a user, by name or number.
pub(crate) fn user(text: &str) -> Result<u32, String> {
    owner(text, "user", |name| User::from_name(name).map(|user| user.map(|user| user.uid.as_raw())))
}

/// Parses a group, by name or number.
pub(crate) fn group(text: &str) -> Result<u32, String> {
    owner(text, "group", |name| {
        Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()))
    })
}

fn owner(
    text: &str,
    kind: &str,
    find: impl FnOnce(&str) -> nix::Result<Option<u32>>,
) -> Result<u32, String> {
    if let Ok(number) = text.parse::<u32>() {
        // The largest number stands for no change (chown(2)).
        return Some(number).filter(|&number| number < u32::MAX).ok_or("out of range".into());
    }
    match find(text) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(format!("there is no {kind} of this name; allowed is a name or a number")),
        Err(error) => Err(format!("the {kind}s of the system cannot be read: {}", error.desc())),
    }
}

/// Parses a whole number within `allowed`.
pub(crate) fn number<T>(allowed: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| match text.parse() {
        Ok(number) if allowed.contains(&number) => Ok(number),
        _ => Err(format!("allowed is {} to {}", allowed.start(), allowed.end())),
    }
}

/// Parses a number of seconds, at least `least`, without sign and exponent and with at most
/// nine decimal places.
pub(crate) fn seconds(least: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    let allowed = least..=Config::TIMEOUT_MOST;
    move |text| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_plain = fraction.len() <= 9
            && [whole, fraction].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        let time = text.parse().ok().filter(|_| is_plain).map(Duration::try_from_secs_f64);
        match time {
            Some(Ok(time)) if allowed.contains(&time) => Ok(time),
            _ => Err(format!(
                "allowed is {} to {} seconds",
                allowed.start().as_secs_f64(),
                allowed.end().as_secs_f64()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_keep_their_order() {
        assert_eq!("0,2-4".parse(), Ok(CpuList(vec![0, 2, 3, 4])));
        for wrong in ["", "a", "3-1", "0,", "-1", "0-999999"] {
            assert!(wrong.parse::<CpuList>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_are_octal_and_owners_have_a_name_or_a_number() {
        assert_eq!((mode("660"), mode("0600"), mode("0")), (Ok(0o660), Ok(0o600), Ok(0)));
        for wrong in ["", "8", "1000", "rw", "+7", "0o7"] {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
        assert_eq!((user("root"), user("12"), group("root")), (Ok(0), Ok(12), Ok(0)));
        assert!(user("no-such-user").unwrap_err().starts_with("there is no user of this name"));
        assert!(group("4294967295").is_err());
    }

    #[test]
    fn seconds_may_have_nine_decimal_places() {
        let parse = seconds(Duration::ZERO);
        for (text, milliseconds) in [("10", 10_000), ("0.5", 500), (".25", 250), ("2.", 2_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(parse("0.000000001"), Ok(Duration::from_nanos(1)));
        for wrong in ["", ".", "-1", "+1", "1e3", "inf", "nan", "1.-5", "0.0000000001", "86400.1"] {
            assert_eq!(parse(wrong).unwrap_err(), "allowed is 0 to 86400 seconds", "{wrong}");
        }
    }
}
