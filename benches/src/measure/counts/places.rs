//! From addresses to the source that they come of, through inlining.
//!
//! An instruction belongs to the innermost function that is not the standard
//! library's: a slice's bounds check counts for who indexes, not for `core`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use addr2line::Loader;

use super::callgrind::Profile;

/// A file and a function of the source, as in [`crate::results::Place`].
pub type Place = (String, String);

/// Where this project's own files are.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../");

/// A program's debugging information, and where it was in memory.
pub struct Source {
    object: PathBuf,
    base: u64,
    loader: Loader,
}

impl Source {
    /// Of the program `object`, of which a process's /proc/PID/maps is `maps`.
    pub fn of(object: &Path, maps: &str) -> io::Result<Self> {
        let base = base(object, maps).ok_or_else(|| {
            io::Error::other(format!("{} is not in the process's memory", object.display()))
        })?;
        let loader = Loader::new(object).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { object: object.to_path_buf(), base, loader })
    }

    /// Where the instructions of `profile` come from, and how many from each.
    pub fn places(&self, profile: &Profile) -> BTreeMap<Place, u64> {
        let mut places = BTreeMap::new();
        for cost in &profile.costs {
            let object = Path::new(&cost.object);
            let place = match object == self.object {
                true => self.place(cost.address),
                false => (library(object), cost.symbol.clone()),
            };
            *places.entry(place).or_insert(0) += cost.times;
        }
        places
    }

    fn place(&self, address: u64) -> Place {
        let unknown = || ("unknown".to_string(), String::new());
        let Ok(mut frames) = self.loader.find_frames(address.wrapping_sub(self.base)) else {
            return unknown();
        };
        let mut found = None;
        while let Ok(Some(frame)) = frames.next() {
            let file = frame.location.and_then(|location| location.file);
            let Some(file) = file.and_then(named) else { continue };
            let name = frame.function.and_then(|name| Some(name.demangle().ok()?.into_owned()));
            let is_std = file.starts_with("std/");
            found = Some((file, last_segment(&name.unwrap_or_default())));
            if !is_std {
                break;
            }
        }
        found.unwrap_or_else(unknown)
    }
}

/// The first address of a program, by /proc/PID/maps.
fn base(object: &Path, maps: &str) -> Option<u64> {
    let path = object.to_str()?;
    let first = maps.lines().find(|line| line.ends_with(path))?;
    let offset = first.split_ascii_whitespace().nth(2)?;
    let start = u64::from_str_radix(first.split_once('-')?.0, 16).ok()?;
    (u64::from_str_radix(offset, 16).ok()? == 0).then_some(start)
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
    // As cargo keeps it: registry/src/INDEX/CRATE-VERSION/src/…
    if let Some((_, within)) = path.split_once("/registry/src/") {
        let (_, file) = within.split_once('/')?;
        let (package, file) = file.split_once('/')?;
        let (name, _) = package.rsplit_once('-')?;
        return Some(format!("{name}/{file}"));
    }
    Some("other/".to_string() + path.rsplit('/').next()?)
}

/// `read` of `pinloop::http::Request::read::<u8>`, `{closure}` of what has no name.
fn last_segment(name: &str) -> String {
    let mut depth = 0;
    let mut start = 0;
    let bytes = name.as_bytes();
    for at in 0..bytes.len() {
        match bytes[at] {
            b'<' => depth += 1,
            b'>' if at > 0 && bytes[at - 1] != b'-' => depth -= 1,
            b':' if depth == 0 && bytes.get(at + 1) == Some(&b':') => {
                if bytes.get(at + 2) != Some(&b'<') && bytes.get(at + 2) != Some(&b'{') {
                    start = at + 2;
                }
            }
            _ => {}
        }
    }
    name[start..].to_string()
}

/// `libc` of `/lib/x86_64-linux-gnu/libc.so.6`.
fn library(object: &Path) -> String {
    let file = object.file_name().map_or("???".into(), |name| name.to_string_lossy());
    file.split(['.', '-']).next().unwrap_or_default().to_string()
}
