//! The text format of Prometheus, version 0.0.4, from OpenMetrics text.

use std::collections::HashMap;
use std::fmt::Write;

/// Rewrites the comments of OpenMetrics text; the samples of both formats are alike.
///
/// In the older format a type stands at the name of the sample, so at that with `_total` or
/// `_info`. It has no type `info`, no `UNIT` and no `EOF`.
pub(super) fn from_openmetrics(openmetrics: &str) -> String {
    let types = openmetrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let kinds: HashMap<&str, &str> = types.filter_map(|of| of.split_once(' ')).collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            text.extend([line, "\n"]);
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        let (Some(keyword @ ("HELP" | "TYPE")), Some(name), Some(rest)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let (suffix, rest) = match (kinds.get(name), keyword) {
            (Some(&"counter"), _) => ("_total", rest),
            (Some(&"info"), "TYPE") => ("_info", "gauge"),
            (Some(&"info"), _) => ("_info", rest),
            _ => ("", rest),
        };
        writeln!(text, "# {keyword} {name}{suffix} {rest}").expect("a String takes every write");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_stand_at_the_names_of_the_samples() {
        let openmetrics = "# HELP sent_bytes Bytes sent.\n\
                           # TYPE sent_bytes counter\n\
                           # UNIT sent_bytes bytes\n\
                           sent_bytes_total{to=\"# TYPE a\"} 7\n\
                           # HELP open Open # sockets.\n\
                           # TYPE open gauge\n\
                           open 1\n\
                           # HELP build Version.\n\
                           # TYPE build info\n\
                           build_info{version=\"1\"} 1\n\
                           # EOF\n";
        let text = "# HELP sent_bytes_total Bytes sent.\n\
                    # TYPE sent_bytes_total counter\n\
                    sent_bytes_total{to=\"# TYPE a\"} 7\n\
                    # HELP open Open # sockets.\n\
                    # TYPE open gauge\n\
                    open 1\n\
                    # HELP build_info Version.\n\
                    # TYPE build_info gauge\n\
                    build_info{version=\"1\"} 1\n";
        assert_eq!(from_openmetrics(openmetrics), text);
    }
}
