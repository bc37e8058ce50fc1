//! The published run: its words and its picture are what the report makes of the
//! committed file, and nothing else.
//!
//! To publish another run:
//!
//! ```sh
//! cargo bench -- --full --out benches/run/results.json
//! cargo bench -- report benches/run/results.json --markdown \
//!     --picture benches/run/ladder.svg --readme README.md > benches/run/report.md
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use pinloop_bench::results::Results;
use pinloop_bench::studies;
use pinloop_bench::studies::ladder::figures;

use crate::rendered;

#[test]
fn the_committed_words_are_those_of_the_committed_run() {
    let committed = fs::read_to_string(root().join("benches/run/report.md")).unwrap();
    let renewed = rendered::markdown(&published());
    for (committed, renewed) in committed.lines().zip(renewed.lines()) {
        assert_eq!(committed, renewed, "benches/run/report.md is of another run or program");
    }
    assert_eq!(committed.lines().count(), renewed.lines().count());
    assert!(renewed.contains("| hyper_per_core |"));
}

#[test]
fn the_picture_is_drawn_from_the_committed_run() {
    let picture = studies::ladder_picture(&published()).unwrap().unwrap();
    let committed = fs::read_to_string(root().join("benches/run/ladder.svg")).unwrap();
    assert!(committed == picture, "benches/run/ladder.svg is of another run or program");
}

#[test]
fn the_committed_run_is_whole_and_all_of_it_is_shown() {
    let results = published();
    assert!(results.complete && results.optimized);
    assert!(results.regimes.len() >= 3);
    let page = rendered::page(&results);
    let text = rendered::text(&results);
    for regime in figures::of(&results) {
        assert!(regime.a_to_a.is_some(), "{}", regime.title);
        assert!(page.contains(&regime.title) && text.contains(&regime.title));
        for row in &regime.rows {
            assert!(row.figures.is_ok(), "{} in {}", row.contender, regime.title);
        }
    }
    for contender in &results.contenders {
        assert!(text.contains(&contender.key), "{}", contender.key);
    }
    for nonsense in ["NaN", "inf µs", "inf ms", "-0.00 µs"] {
        assert!(!page.contains(nonsense) && !text.contains(nonsense), "{nonsense}");
    }
}

fn published() -> Results {
    Results::read(&root().join("benches/run/results.json")).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
