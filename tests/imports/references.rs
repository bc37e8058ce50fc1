//! Resolves the paths of modules to the files and modules that they refer to.
//!
//! A name that a module re-exports is resolved to the module that defines it. The
//! exception is a name taken from an ancestor's `mod.rs`: that file re-exports its
//! children, so a child that reads names from it makes a circle.

use std::path::{Path, PathBuf};

use super::modules::{self, Module};

/// The modules of a crate.
pub(super) struct Tree {
    modules: Vec<Module>,
}

/// A path that one file mentions.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) from_file: PathBuf,
    /// The path as it is written.
    pub(super) written: String,
    /// The other file of this crate that the first one needs, if there is one.
    pub(super) to_file: Option<PathBuf>,
    /// The module that defines the name, such as `crate::http::body`. If another crate defines
    /// the name, this is the whole path, such as `std::io::Read`.
    pub(super) origin: String,
}

/// The place where a path ends.
enum Place {
    /// The module itself.
    Module(usize),
    /// A name that this module defines.
    Item(usize),
    /// A name of another crate, or a local name.
    Outside(Vec<String>),
}

/// Maximum number of steps of a resolution, in case re-exports lead to each other.
const STEPS_MAX: usize = 32;

impl Tree {
    pub(super) fn read(root: &str, source: &dyn Fn(&Path) -> Option<String>) -> Tree {
        Tree { modules: modules::read(root, source) }
    }

    pub(super) fn modules(&self) -> &[Module] {
        &self.modules
    }

    pub(super) fn references(&self) -> Vec<Reference> {
        let of_module = |from: usize| {
            let paths = self.modules[from].paths.iter();
            paths.map(move |path| self.reference(from, path))
        };
        (0..self.modules.len()).flat_map(of_module).collect()
    }

    fn reference(&self, from: usize, path: &[String]) -> Reference {
        let needed = match self.resolve(from, path, Some(from), STEPS_MAX) {
            Place::Item(to) => Some(to),
            // `use super::super::http` alone needs nothing from the ancestor `http`.
            Place::Module(to) => Some(to).filter(|&to| !self.is_ancestor(to, from)),
            Place::Outside(_) => None,
        };
        let origin = match self.resolve(from, path, None, STEPS_MAX) {
            Place::Item(to) | Place::Module(to) => self.path_of(to),
            Place::Outside(path) => path.join("::"),
        };
        let from_file = self.modules[from].file.clone();
        let to_file = needed.map(|to| self.modules[to].file.clone());
        Reference {
            to_file: to_file.filter(|file| *file != from_file),
            from_file,
            written: path.join("::"),
            origin,
        }
    }

    /// Resolves `path` as module `from` reads it. Stops at the ancestors of `child`.
    fn resolve(&self, from: usize, path: &[String], child: Option<usize>, steps: usize) -> Place {
        let outside = || Place::Outside(path.to_vec());
        let (Some((first, rest)), Some(steps)) = (path.split_first(), steps.checked_sub(1)) else {
            return outside();
        };
        match first.as_str() {
            "crate" => self.descend(0, rest, child, steps),
            "self" => self.descend(from, rest, child, steps),
            "super" => match self.parent(from) {
                Some(parent) if rest.first().is_some_and(|name| name == "super") => {
                    self.resolve(parent, rest, child, steps)
                }
                Some(parent) => self.descend(parent, rest, child, steps),
                None => outside(),
            },
            _ => match (self.child(from, first), self.modules[from].imports.get(first)) {
                (Some(module), _) => self.descend(module, rest, child, steps),
                // `use log::log` does not import itself.
                (None, Some(import)) if import != path && import.first() != Some(first) => {
                    self.resolve(from, &[import, rest].concat(), child, steps)
                }
                (None, Some(import)) if import != path => Place::Outside([import, rest].concat()),
                _ if self.modules[from].items.contains(first) => Place::Item(from),
                _ => outside(),
            },
        }
    }

    /// Resolves `path` as names inside `module`.
    fn descend(&self, module: usize, path: &[String], child: Option<usize>, steps: usize) -> Place {
        let Some((name, rest)) = path.split_first() else { return Place::Module(module) };
        let Some(steps) = steps.checked_sub(1) else { return Place::Item(module) };
        if let Some(module) = self.child(module, name) {
            return self.descend(module, rest, child, steps);
        }
        let exports = |module: &Module| module.exported_macros.contains(name);
        if module == 0
            && let Some(definition) = self.modules.iter().position(exports)
        {
            return Place::Item(definition);
        }
        if child.is_some_and(|child| self.is_ancestor(module, child)) {
            return Place::Item(module);
        }
        if let Some(import) = self.modules[module].imports.get(name) {
            return self.resolve(module, &[import, rest].concat(), child, steps);
        }
        if self.modules[module].items.contains(name) {
            return Place::Item(module);
        }
        for glob in &self.modules[module].globs {
            if let Place::Module(inner) = self.resolve(module, glob, None, steps)
                && self.has(inner, name)
            {
                return self.descend(inner, path, child, steps);
            }
        }
        Place::Item(module)
    }

    fn has(&self, module: usize, name: &String) -> bool {
        let found = &self.modules[module];
        found.items.contains(name)
            || found.imports.contains_key(name)
            || self.child(module, name).is_some()
    }

    fn child(&self, module: usize, name: &str) -> Option<usize> {
        let parent = &self.modules[module].name;
        self.modules.iter().position(|module| {
            module.name.split_last().is_some_and(|(last, rest)| last == name && rest == parent)
        })
    }

    fn parent(&self, module: usize) -> Option<usize> {
        let (_, parent) = self.modules[module].name.split_last()?;
        self.modules.iter().position(|module| module.name == parent)
    }

    /// Reports whether `module` is `child` or a module around it.
    fn is_ancestor(&self, module: usize, child: usize) -> bool {
        self.modules[child].name.starts_with(&self.modules[module].name)
    }

    fn path_of(&self, module: usize) -> String {
        let names = self.modules[module].name.iter();
        names.fold(String::from("crate"), |path, name| path + "::" + name)
    }
}
