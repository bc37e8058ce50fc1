//! A report of made-up results, in the three ways in which people read it.

use pinloop_bench::report::section::Options;
use pinloop_bench::report::{html, markdown, terminal};
use pinloop_bench::results::Results;
use pinloop_bench::studies;

pub(crate) fn text(results: &Results) -> String {
    terminal::render(&studies::report(results, &Options::default()).unwrap())
}

pub(crate) fn page(results: &Results) -> String {
    html::render(&studies::report(results, &Options::default()).unwrap()).unwrap()
}

pub(crate) fn markdown(results: &Results) -> String {
    markdown::render(&studies::report(results, &Options::default()).unwrap())
}
