//! Reads the module tree of a crate, and the paths that each module mentions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree};

/// One module. An inline module has the file of the module around it.
pub(super) struct Module {
    /// Names from the crate's root on, such as `["http", "body"]`. The root has no name.
    pub(super) name: Vec<String>,
    pub(super) file: PathBuf,
    /// Paths as they are written, such as `["super", "body", "Piece"]`.
    pub(super) paths: BTreeSet<Vec<String>>,
    /// Names that `use` declarations bring in, each with the path it stands for.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    /// Paths before the star of glob imports.
    pub(super) globs: Vec<Vec<String>>,
    /// Names of the items that the module defines itself.
    pub(super) items: BTreeSet<String>,
    /// Names of macros that `#[macro_export]` puts at the crate's root.
    pub(super) exported_macros: BTreeSet<String>,
    /// Lints that the file forbids with `#![forbid(...)]`.
    pub(super) forbids: Vec<String>,
}

/// Reads a crate from its root file. `source` returns the text of a file, or `None` if the file
/// does not exist.
pub(super) fn read(root: &str, source: &dyn Fn(&Path) -> Option<String>) -> Vec<Module> {
    let mut reader = Reader { source, modules: Vec::new() };
    reader.read_file(&[], Path::new(root));
    reader.modules
}

struct Reader<'a> {
    source: &'a dyn Fn(&Path) -> Option<String>,
    modules: Vec<Module>,
}

impl Reader<'_> {
    fn read_file(&mut self, name: &[String], file: &Path) {
        let text = (self.source)(file).unwrap_or_else(|| panic!("cannot read {}", file.display()));
        let parsed = syn::parse_file(&text)
            .unwrap_or_else(|error| panic!("cannot parse {}: {error}", file.display()));
        let folder = file.parent().unwrap_or(Path::new(""));
        let has_folder_of_parent =
            name.is_empty() || file.file_name().is_some_and(|name| name == "mod.rs");
        let children = match has_folder_of_parent {
            true => folder.to_path_buf(),
            false => folder.join(file.file_stem().expect("a file name")),
        };
        let forbids = parsed.attrs.iter().filter(|attribute| attribute.path().is_ident("forbid"));
        let forbids = forbids.map(arguments).collect();
        self.read_items(name, file, &children, &parsed.items, forbids);
    }

    fn read_items(
        &mut self,
        name: &[String],
        file: &Path,
        children: &Path,
        items: &[Item],
        forbids: Vec<String>,
    ) {
        let mut module = Module {
            name: name.to_vec(),
            file: file.to_path_buf(),
            paths: BTreeSet::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            items: BTreeSet::new(),
            exported_macros: BTreeSet::new(),
            forbids,
        };
        for item in items {
            Collector(&mut module).visit_item(item);
            module.items.extend(name_of(item));
        }
        self.modules.push(module);
        for item in items {
            if let Item::Mod(child) = item
                && !is_test(&child.attrs)
            {
                let name = [name, &[child.ident.to_string()]].concat();
                self.read_child(&name, file, children, child);
            }
        }
    }

    fn read_child(&mut self, name: &[String], file: &Path, folder: &Path, child: &ItemMod) {
        let ident = child.ident.to_string();
        if let Some((_, items)) = &child.content {
            return self.read_items(name, file, &folder.join(ident), items, Vec::new());
        }
        let candidates = [folder.join(format!("{ident}.rs")), folder.join(&ident).join("mod.rs")];
        let found = candidates.iter().find(|path| (self.source)(path).is_some());
        let found = found.unwrap_or_else(|| panic!("{} has no module {ident}", file.display()));
        self.read_file(name, found);
    }
}

/// Adds the names and paths of an item to its module.
struct Collector<'a>(&'a mut Module);

impl Collector<'_> {
    fn add_use(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        let (path, name) = match tree {
            UseTree::Path(inner) => return self.add_use(&with(&inner.ident), &inner.tree),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.add_use(before, tree));
            }
            UseTree::Glob(_) => {
                self.0.paths.insert(before.to_vec());
                return self.0.globs.push(before.to_vec());
            }
            UseTree::Rename(renamed) => (with(&renamed.ident), renamed.rename.to_string()),
            UseTree::Name(name) if name.ident == "self" => {
                (before.to_vec(), before.last().cloned().unwrap_or_default())
            }
            UseTree::Name(name) => (with(&name.ident), name.ident.to_string()),
        };
        self.0.paths.insert(path.clone());
        self.0.imports.insert(name, path);
    }

    /// Adds the paths in the arguments of a macro, which are plain tokens.
    fn add_tokens(&mut self, mut cursor: Cursor<'_>) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        while !cursor.eof() {
            let (ident, colon) = (cursor.ident(), cursor.punct());
            if let Some((ident, next)) = ident {
                if colons != 2 {
                    self.add_path(std::mem::take(&mut path));
                }
                path.push(ident.to_string());
                (cursor, colons) = (next, 0);
            } else if let Some((_, next)) = colon.filter(|(punct, _)| punct.as_char() == ':') {
                (cursor, colons) = (next, colons + 1);
            } else {
                self.add_path(std::mem::take(&mut path));
                if let Some((inner, _, _, next)) = cursor.any_group() {
                    self.add_tokens(inner);
                    cursor = next;
                } else {
                    cursor = cursor.token_tree().expect("a token").1;
                }
                colons = 0;
            }
        }
        self.add_path(path);
    }

    fn add_path(&mut self, path: Vec<String>) {
        if !path.is_empty() {
            self.0.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    /// Ignores nested modules, because each is read as a module of its own.
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

    /// Ignores attributes, because the links of doc comments are attributes too.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    /// Ignores `pub(in crate::http)`, because its path is not a reference.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(&[], &item.tree);
    }

    /// Ignores the paths of a `macro_rules!`, because they belong to its callers.
    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        match &item.ident {
            Some(name) if item.attrs.iter().any(|attr| attr.path().is_ident("macro_export")) => {
                self.0.exported_macros.insert(name.to_string());
            }
            Some(_) => {}
            None => visit::visit_item_macro(self, item),
        }
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.add_tokens(TokenBuffer::new2(call.tokens.clone()).begin());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

/// Reports whether an item is compiled for unit tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && arguments(attribute).split(' ').next() == Some("test")
    })
}

fn arguments(attribute: &Attribute) -> String {
    let list = attribute.meta.require_list();
    list.map(|list| list.tokens.to_string()).unwrap_or_default()
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}
