//! Writes what the crates have to say to stderr, filtered by `RUST_LOG`: a level, such as
//! `debug`, for all of them, or levels by module, such as `warn,pinloop::server=trace`.
//! A module alone says all that it has. Without any of it, warnings and errors.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

/// Begins to log. To be called once.
pub(crate) fn start(rust_log: Option<&str>) {
    let (filters, unreadable) = read(rust_log.unwrap_or_default());
    for part in unreadable {
        eprintln!(
            "pinloop: '{part}' in RUST_LOG is ignored; levels are off, error, warn, info, debug \
             and trace, also of one module, as in mio=debug"
        );
    }
    let most = filters.iter().map(|filter| filter.level).max().unwrap_or(LevelFilter::Off);
    log::set_max_level(most);
    log::set_logger(Box::leak(Box::new(Stderr { filters }))).expect("there is no other logger");
}

struct Stderr {
    filters: Vec<Filter>,
}

/// A level, and the beginning of the names of the modules that it is for.
struct Filter {
    modules: String,
    level: LevelFilter,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= level(&self.filters, metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let (level, module) = (record.level(), record.target());
            // In one piece, as other threads write too. Nobody may be reading it.
            let line = format!("[{level:<5} {module}] {}\n", record.args());
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// That of the filter which says most about the module.
fn level(filters: &[Filter], module: &str) -> LevelFilter {
    let matching = filters.iter().filter(|filter| module.starts_with(&filter.modules));
    matching
        .max_by_key(|filter| filter.modules.len())
        .map_or(LevelFilter::Off, |filter| filter.level)
}

/// The filters, and the parts that are none.
fn read(rust_log: &str) -> (Vec<Filter>, Vec<&str>) {
    let (mut filters, mut unreadable) = (Vec::new(), Vec::new());
    for part in rust_log.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (modules, level) = match part.split_once('=') {
            Some((modules, level)) => (modules, level.parse()),
            None if part.parse::<LevelFilter>().is_ok() => ("", part.parse()),
            None => (part, Ok(LevelFilter::Trace)),
        };
        match level {
            Ok(level) => filters.push(Filter { modules: modules.into(), level }),
            Err(_) => unreadable.push(part),
        }
    }
    if filters.is_empty() {
        filters.push(Filter { modules: String::new(), level: LevelFilter::Warn });
    }
    (filters, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_that_fits_a_module_decides() {
        let (filters, unreadable) = read("warn, pinloop=debug,pinloop::server=off");
        assert!(unreadable.is_empty());
        for (module, expected) in [
            ("mio::poll", LevelFilter::Warn),
            ("pinloop", LevelFilter::Debug),
            ("pinloop::server::listener", LevelFilter::Off),
        ] {
            assert_eq!(level(&filters, module), expected, "{module}");
        }
    }

    #[test]
    fn without_a_level_for_all_the_others_are_silent() {
        let (filters, _) = read("mio=trace");
        assert_eq!(level(&filters, "pinloop"), LevelFilter::Off);
    }

    #[test]
    fn what_is_no_filter_is_told_and_the_rest_holds() {
        let (filters, unreadable) = read("mio=very,INFO,pinloop");
        assert_eq!(unreadable, ["mio=very"]);
        assert_eq!(level(&filters, "mio"), LevelFilter::Info);
        assert_eq!(level(&filters, "pinloop::server"), LevelFilter::Trace);
    }

    #[test]
    fn nothing_readable_leaves_warnings_and_errors() {
        for nothing in ["", " , ", "mio=very"] {
            assert_eq!(level(&read(nothing).0, "pinloop"), LevelFilter::Warn, "{nothing}");
        }
    }
}
