//! From addresses to the source that they come of, through inlining.
//!
//! An instruction belongs to the innermost function that is not the standard
//! library's: a slice's bounds check counts for who indexes, not for `core`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use addr2line::Loader;

use crate::studies::count::callgrind::{Cost, Profile};

/// A file and a function of the source, as in [`crate::results::Place`].
pub type Place = (String, String);

/// Folder of this project's own files.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../");

/// Where the instructions of a profile of `program` come from, and how many from
/// each place.
pub fn of(profile: &Profile, program: &Path) -> io::Result<BTreeMap<Place, u64>> {
    let program = fs::canonicalize(program)?;
    let loader = Loader::new(&program).map_err(|error| io::Error::other(error.to_string()))?;
    let mut places = BTreeMap::new();
    for Cost { object, symbol, address, times } in &profile.costs {
        let place = match Path::new(object) == program {
            true => place(&loader, *address, symbol),
            false => (library(Path::new(object)), symbol.clone()),
        };
        *places.entry(place).or_insert(0) += times;
    }
    Ok(places)
}

/// What macros of the standard library make has its file as their only one: that
/// counts for the crate of the symbol.
fn place(loader: &Loader, address: u64, symbol: &str) -> Place {
    let crate_of_symbol = symbol.split("::").next().unwrap_or_default();
    let is_std = ["core", "alloc", "std"].contains(&crate_of_symbol.trim_start_matches('<'));
    let mut found = (crate_of_symbol.to_string(), plain(symbol));
    let Ok(mut frames) = loader.find_frames(address) else { return found };
    while let Ok(Some(frame)) = frames.next() {
        let file = frame.location.and_then(|location| location.file);
        let Some(file) = file.and_then(named) else { continue };
        let of_std = file.starts_with("std/");
        if of_std && !is_std {
            continue;
        }
        let name = frame.function.and_then(|name| Some(name.demangle().ok()?.into_owned()));
        found = (file, plain(&name.unwrap_or_default()));
        if !of_std {
            break;
        }
    }
    found
}

/// A source file's name without where this machine keeps it.
fn named(path: &str) -> Option<String> {
    let workspace = Path::new(WORKSPACE).components().collect::<PathBuf>();
    let workspace = workspace.parent().and_then(Path::parent).unwrap_or(&workspace);
    if let Ok(own) = Path::new(path).strip_prefix(workspace) {
        return Some(own.to_str()?.to_string());
    }
    if let Some((_, library)) = path.split_once("/library/") {
        return Some(format!("std/{library}"));
    }
    // A path in cargo's registry: registry/src/INDEX/CRATE-VERSION/src/…
    if let Some((_, within)) = path.split_once("/registry/src/") {
        let (_, file) = within.split_once('/')?;
        let (package, file) = file.split_once('/')?;
        let (name, _) = package.rsplit_once('-')?;
        return Some(format!("{name}/{file}"));
    }
    Some("other/".to_string() + path.rsplit('/').next()?)
}

/// A function's name without its path and its types: `read` of
/// `<pinloop::http::Request>::read::<u8>`, `start::{closure#0}` of what has no name.
fn plain(name: &str) -> String {
    let mut depth = 0;
    let untyped: String = name
        .replace("->", "")
        .chars()
        .filter(|&c| {
            depth += i32::from(c == '<');
            let kept = depth == 0;
            depth -= i32::from(c == '>');
            kept
        })
        .collect();
    let mut named = Vec::new();
    for segment in untyped.split("::").filter(|segment| !segment.is_empty()) {
        if !segment.starts_with('{') {
            named.clear();
        }
        named.push(segment);
    }
    named.join("::")
}

/// `libc` of `/lib/x86_64-linux-gnu/libc.so.6`.
fn library(object: &Path) -> String {
    let file = object.file_name().map_or("???".into(), |name| name.to_string_lossy());
    file.split(['.', '-']).next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_without_paths_and_types() {
        assert_eq!(plain("advance<a::App>"), "advance");
        assert_eq!(plain("<a::Timespec>::sub_timespec"), "sub_timespec");
        assert_eq!(plain("a::map::<u8, fn(u8) -> b::C>"), "map");
        assert_eq!(plain("a::start::{closure#0}<u8>"), "start::{closure#0}");
        assert_eq!(plain("memcpy"), "memcpy");
    }

    #[test]
    fn files_are_named_without_what_is_this_machines() {
        let own = format!("{WORKSPACE}src/http/request.rs").replace("benches/../", "");
        assert_eq!(named(&own).as_deref(), Some("src/http/request.rs"));
        let std = "/rustc/59807616e1fa/library/core/src/slice/mod.rs";
        assert_eq!(named(std).as_deref(), Some("std/core/src/slice/mod.rs"));
        let registry =
            "/home/a/.cargo/registry/src/index.crates.io-1949cf8c/http-body-1.0.1/src/lib.rs";
        assert_eq!(named(registry).as_deref(), Some("http-body/src/lib.rs"));
        assert_eq!(named("./string/memcpy.S").as_deref(), Some("other/memcpy.S"));
    }

    #[test]
    fn libraries_are_named_without_their_version() {
        assert_eq!(library(Path::new("/lib/x86_64-linux-gnu/libc.so.6")), "libc");
        assert_eq!(library(Path::new("/lib/libm-2.36.so")), "libm");
    }

    #[test]
    fn what_has_no_debugging_information_is_named_by_its_symbol() {
        let program = std::env::current_exe().unwrap();
        let cost = |address, times| Cost {
            object: program.to_str().unwrap().to_string(),
            symbol: "nobody::knows::<u8>".to_string(),
            address,
            times,
        };
        let end = 1 << 46;
        let profile = Profile { instructions: 7, costs: vec![cost(end, 3), cost(end - 1, 4)] };
        let places = of(&profile, &program).unwrap();
        assert_eq!(places, BTreeMap::from([(("nobody".to_string(), "knows".to_string()), 7)]));
    }
}
