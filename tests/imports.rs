//! The rules of the house: no circles of imports, and limits on the names that a module may use.
//!
//! The rules are checked on the module trees below `src/lib.rs` and `src/main.rs`.

mod circles;
mod made_up;
mod modules;
mod references;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use references::{Reference, Tree};

/// Paths that the protocol core may not use: I/O, threads and clocks. The type `SystemTime` is
/// allowed, because a `date` header is made from one.
const NOT_IN_HTTP: [&str; 9] = [
    "std::io",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "mio",
    "socket2",
];

#[test]
fn no_two_files_need_each_other() {
    let circles: Vec<String> =
        ROOTS.iter().flat_map(|root| circles::find(&tree(root).references())).collect();
    let (count, list) = (circles.len(), circles.join("\n\n"));
    assert!(circles.is_empty(), "{count} circles of imports:\n\n{list}\n");
}

#[test]
fn http_uses_no_io_no_clock_and_no_module_outside_http() {
    let references = tree("src/lib.rs").references();
    assert_eq!(violations_of_http(&references), Vec::<String>::new());
}

#[test]
fn the_server_does_not_know_the_demo_service() {
    let references = tree("src/lib.rs").references();
    let known = references.iter().filter(|reference| is_below(&reference.origin, "crate::app"));
    let known: Vec<String> =
        known.filter(|reference| is_in(reference, "server")).map(text).collect();
    assert_eq!(known, Vec::<String>::new());
}

#[test]
fn the_demo_service_knows_the_protocol_and_what_any_service_may_use() {
    let allowed = [
        "crate::http",
        "crate::app",
        "crate::ops::metrics",
        "crate::ops::readiness",
        "crate::ops::workers",
        "crate::ops::rate_limit",
    ];
    let references = tree("src/lib.rs").references();
    let other = references
        .iter()
        .filter(|reference| is_in(reference, "app") && is_below(&reference.origin, "crate"))
        .filter(|reference| !allowed.iter().any(|module| is_below(&reference.origin, module)));
    assert_eq!(other.map(text).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn the_library_and_the_binary_forbid_unsafe_code() {
    for root in ROOTS {
        let tree = tree(root);
        let forbids = &tree.modules()[0].forbids;
        assert!(forbids.iter().any(|lint| lint == "unsafe_code"), "{root} allows unsafe code");
    }
}

#[test]
fn each_source_file_is_in_a_module_tree() {
    let mut in_trees = BTreeSet::new();
    for root in ROOTS {
        in_trees.extend(tree(root).modules().iter().map(|module| module.file.clone()));
    }
    let orphans: Vec<PathBuf> =
        files_below(Path::new("src")).into_iter().filter(|file| !in_trees.contains(file)).collect();
    assert_eq!(orphans, Vec::<PathBuf>::new(), "files that no module declares");
}

const ROOTS: [&str; 2] = ["src/lib.rs", "src/main.rs"];

fn tree(root: &str) -> Tree {
    Tree::read(root, &|file| fs::read_to_string(repository().join(file)).ok())
}

/// Describes each reference of `http` that its rules forbid.
fn violations_of_http(references: &[Reference]) -> Vec<String> {
    let is_forbidden = |reference: &&Reference| {
        let origin = &reference.origin;
        NOT_IN_HTTP.iter().any(|path| is_below(origin, path))
            || origin.ends_with("SystemTime::now")
            || (is_below(origin, "crate") && !is_below(origin, "crate::http"))
    };
    let of_http = references.iter().filter(|reference| is_in(reference, "http"));
    of_http.filter(is_forbidden).map(text).collect()
}

/// Reports whether `path` is `module` or starts with it.
fn is_below(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Reports whether the reference is in a file of the module `name` at the crate's root.
fn is_in(reference: &Reference, name: &str) -> bool {
    let file = reference.from_file.strip_prefix("src").expect("a file below src");
    file.starts_with(name) || file == Path::new(&format!("{name}.rs"))
}

fn text(reference: &Reference) -> String {
    let Reference { from_file, written, origin, .. } = reference;
    format!("{} refers to {written}, which is {origin}", from_file.display())
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join(folder)).expect("a folder");
    let paths = entries.map(|entry| folder.join(entry.expect("an entry").file_name()));
    let files = paths.flat_map(|path| match repository().join(&path).is_dir() {
        true => files_below(&path),
        false => vec![path],
    });
    files.collect()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
