//! The run that the README shows: its table and picture are what the report makes of
//! the committed file, and nothing else.
//!
//! To publish another run:
//!
//! ```sh
//! cargo bench -- --full --out benches/run/results.json
//! cargo bench -- report benches/run/results.json --markdown \
//!     --picture benches/run/ladder.svg --readme README.md
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use pinloop_bench::report::page::{self, Options};
use pinloop_bench::report::{markdown, table};
use pinloop_bench::results::Results;
use pinloop_bench::studies::ladder::figures;

#[test]
fn the_readme_has_the_answer_and_the_table_of_the_committed_run() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let renewed = markdown::into_readme(&published(), &readme).unwrap();
    for (committed, renewed) in readme.lines().zip(renewed.lines()) {
        assert_eq!(committed, renewed, "the README is of another run or program");
    }
    assert!(renewed.contains("| hyper_per_core |"));
    assert_eq!(markdown::into_readme(&Results::default(), "no marks"), None);
}

#[test]
fn the_picture_is_drawn_from_the_committed_run() {
    let picture = page::ladder_picture(&published()).unwrap().unwrap();
    let committed = fs::read_to_string(root().join("benches/run/ladder.svg")).unwrap();
    assert!(committed == picture, "benches/run/ladder.svg is of another run or program");
}

#[test]
fn the_committed_run_is_whole_and_all_of_it_is_shown() {
    let results = published();
    assert!(results.complete && results.optimized);
    assert!(results.regimes.len() >= 3);
    let page = page::render(&results, &Options::default()).unwrap();
    let text = table::render(&results);
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
