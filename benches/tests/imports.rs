//! Who may import whom: the rules that keep a fault in one part from hiding in
//! another.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_load_generator_shares_no_code_with_anything_it_measures() {
    for (file, line) in code_of("src/load") {
        assert!(!mentions(&line, "pinloop::"), "{file}: {line}");
        for part in ["variants", "rig", "studies", "report"] {
            assert!(!mentions(&line, &format!("crate::{part}")), "{file}: {line}");
        }
    }
}

#[test]
fn the_report_is_made_from_results_alone() {
    for (file, line) in code_of("src/report") {
        assert!(!mentions(&line, "pinloop::"), "{file}: {line}");
        for part in ["variants", "rig", "load"] {
            assert!(!mentions(&line, &format!("crate::{part}")), "{file}: {line}");
        }
    }
}

#[test]
fn the_measurement_does_not_know_what_it_measures() {
    for (file, line) in code_of("src/rig") {
        assert!(!mentions(&line, "pinloop::"), "{file}: {line}");
        for part in ["variants", "studies", "report"] {
            assert!(!mentions(&line, &format!("crate::{part}")), "{file}: {line}");
        }
    }
}

#[test]
fn only_pinloops_own_rungs_use_more_of_it_than_the_answers() {
    for (file, line) in code_of("src/variants") {
        let own = file.starts_with("pinloop");
        // The second is the rung's own module, in the list of rungs.
        let other_use = line.replace("pinloop::app", "").replace("serve: pinloop::serve", "");
        assert!(own || !mentions(&other_use, "pinloop::"), "{file}: {line}");
        for part in ["load", "rig", "studies", "report"] {
            assert!(!mentions(&line, &format!("crate::{part}")), "{file}: {line}");
        }
    }
}

/// Whether `line` has `path`, not as the end of a longer name.
fn mentions(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
    })
}

/// File names and lines of all Rust files below `directory`, without comments.
fn code_of(directory: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for file in files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.extend(code.map(|line| (name.clone(), line.to_string())));
    }
    assert!(!lines.is_empty(), "{directory} has code");
    lines
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_mention_is_found_and_a_longer_name_is_not() {
    assert!(mentions("use pinloop::app;", "pinloop::"));
    assert!(mentions("    pinloop::serve()", "pinloop::"));
    assert!(!mentions("use my_pinloop::app;", "pinloop::"));
    assert!(!mentions("target/pinloop/results.json", "pinloop::"));
}
