//! Rules for imports: they keep a fault in one part from hiding in another.
//!
//! Imports are read from the syntax tree, as module paths: comments and texts do not
//! count, and `super::` is resolved.

use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{ItemUse, UseTree};

/// Code that makes figures and sections of a study's record.
const SHOWN: [&str; 15] = [
    "answer",
    "assertion",
    "comparison",
    "disturbance",
    "figures",
    "hardware",
    "interface",
    "lives",
    "method",
    "network",
    "section",
    "sizes",
    "skipped",
    "square",
    "verdicts",
];

#[test]
fn the_load_generator_shares_no_code_with_anything_it_measures() {
    check("load", &|path| is_in(path, "load") || is_in(path, "stdout"));
    for (module, path) in foreign_imports() {
        assert!(!module.starts_with("load") || path != "pinloop", "{module} uses {path}");
    }
}

#[test]
fn statistics_know_nothing_else() {
    check("stats", &|path| is_in(path, "stats"));
}

#[test]
fn the_report_names_no_study() {
    check("report", &|path| ["report", "results", "stats"].iter().any(|of| is_in(path, of)));
}

#[test]
fn the_rig_knows_neither_what_it_measures_nor_how_it_is_shown() {
    check("rig", &|path| ["rig", "load", "results"].iter().any(|of| is_in(path, of)));
}

#[test]
fn figures_and_sections_of_a_study_use_its_own_record_only() {
    let mut checked = 0;
    for (module, path) in imports() {
        let parts: Vec<&str> = module.split("::").collect();
        let ["studies", study, file, ..] = parts.as_slice() else { continue };
        if !SHOWN.contains(file) {
            continue;
        }
        checked += 1;
        let own = format!("studies::{study}");
        let allowed = [own.as_str(), "report", "results", "stats"];
        assert!(allowed.iter().any(|of| is_in(&path, of)), "{module} uses {path}");
        for part in ["measure", "args"] {
            assert!(!is_in(&path, &format!("{own}::{part}")), "{module} uses {path}");
        }
    }
    assert!(checked > 50, "only {checked} imports were found");
}

#[test]
fn measurements_make_no_figures() {
    for (module, path) in imports() {
        if module.starts_with("studies::") && module.ends_with("::measure") {
            assert!(!is_in(&path, "report") && !is_in(&path, "cli"), "{module} uses {path}");
        }
    }
}

#[test]
fn only_pinloops_own_rungs_use_more_of_it_than_the_answers() {
    check("variants", &|path| is_in(path, "variants"));
    for (module, path) in foreign_imports().iter().filter(|(of, _)| is_in(of, "variants")) {
        // In the list of variants `pinloop` is the module of the first rung.
        let own = module == "variants" || module.starts_with("variants::pinloop");
        assert!(own || is_in(path, "pinloop::app"), "{module} uses {path}");
    }
}

#[test]
fn imports_are_resolved() {
    let code = "use super::a::{b, c as d}; use crate::e; fn f() { crate::g::h(); super::super::i() } \
                mod tests { use super::*; } /* crate::not */ ";
    let mut found = Imports::of("x::y", code).inner;
    found.sort();
    assert_eq!(found, ["e", "g::h", "i", "x::a::b", "x::a::c", "x::y"]);
}

/// Holds the imports of a part of the crate against a rule.
fn check(part: &str, rule: &dyn Fn(&str) -> bool) {
    let imports: Vec<_> = imports().into_iter().filter(|(module, _)| is_in(module, part)).collect();
    assert!(!imports.is_empty(), "{part} has imports");
    for (module, path) in imports {
        assert!(rule(&path), "{module} uses {path}");
    }
}

fn is_in(path: &str, part: &str) -> bool {
    path == part || path.strip_prefix(part).is_some_and(|rest| rest.starts_with("::"))
}

/// Module and path within this crate, of all imports.
fn imports() -> Vec<(String, String)> {
    all(|imports| imports.inner)
}

/// Module and path of all imports from `pinloop`.
fn foreign_imports() -> Vec<(String, String)> {
    all(|imports| imports.foreign)
}

fn all(of: impl Fn(Imports) -> Vec<String>) -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for file in files_below(&source) {
        let name = file.strip_prefix(&source).unwrap().with_extension("");
        let module = name.to_string_lossy().replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module).to_string();
        let paths = of(Imports::of(&module, &fs::read_to_string(&file).unwrap()));
        found.extend(paths.into_iter().map(|path| (module.clone(), path)));
    }
    found
}

/// Imports of a file.
#[derive(Default)]
struct Imports {
    /// Names of the module, from the crate's root.
    module: Vec<String>,
    inner: Vec<String>,
    foreign: Vec<String>,
}

impl Imports {
    fn of(module: &str, code: &str) -> Self {
        let module = module.split("::").map(String::from).collect();
        let mut imports = Self { module, ..Self::default() };
        imports.visit_file(&syn::parse_file(code).unwrap());
        imports
    }

    fn add(&mut self, names: &[String]) {
        let ups = names.iter().take_while(|name| *name == "super").count();
        let base = self.module.len().saturating_sub(ups);
        match names.first().map(String::as_str) {
            Some("crate") => self.inner.push(names[1..].join("::")),
            Some("super") => {
                self.inner.push([&self.module[..base], &names[ups..]].concat().join("::"));
            }
            Some("pinloop") => self.foreign.push(names.join("::")),
            _ => {}
        }
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(name) => self.add(&with(&name.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_tree(before, tree));
            }
        }
    }
}

impl<'a> Visit<'a> for Imports {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if names.len() > 1 {
            self.add(&names);
        }
        visit::visit_path(self, path);
    }
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
