//! Imports among a crate's modules run one way: no two files import each other, not even through
//! others.
//!
//! An import is a path to another file's item, in a `use` or in place. `mod` and `pub use` are how
//! a folder presents its files, and count for nothing; a path through them counts as one to the
//! file that defines the item. Code for tests is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

use super::{read, tracked};

/// A module's path in its crate: empty for `lib.rs`.
type Module = Vec<String>;

/// What a file holds that matters here.
#[derive(Default)]
struct File {
    path: PathBuf,
    /// Names that the module has from elsewhere: an alias, and the whole path behind it.
    uses: BTreeMap<String, Module>,
    /// Modules whose every name it presents as its own: `pub use path::*`.
    globs: Vec<Module>,
    /// Every path that the code names, whole.
    paths: BTreeSet<Module>,
    /// The names of the items that it defines itself.
    defines: BTreeSet<String>,
    /// The modules that it declares, those for tests left out.
    children: BTreeSet<String>,
}

struct Collector<'a> {
    module: &'a [String],
    file: File,
}

/// Whether an item is compiled for tests alone.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = attribute.meta.require_list();
        let condition = condition.map_or(String::new(), |list| list.tokens.to_string());
        attribute.path().is_ident("cfg")
            && (condition == "test" || condition.starts_with("all (test"))
    })
}

impl Collector<'_> {
    /// The path from the crate's root, for one that begins with `crate`, `self`, `super` or a name
    /// that a `use` brought in.
    fn whole(&self, path: &[String]) -> Option<Module> {
        let mut at = self.module.to_vec();
        let mut rest = path.iter().peekable();
        match rest.next()?.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop()?;
                while rest.next_if(|part| *part == "super").is_some() {
                    at.pop()?;
                }
            }
            name if self.file.children.contains(name) => at.push(name.to_owned()),
            name => at = self.file.uses.get(name)?.clone(),
        }
        at.extend(rest.cloned());
        Some(at)
    }

    fn take_use(&mut self, tree: &UseTree, before: &mut Vec<String>, presents: bool) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.take_use(&path.tree, before, presents);
                before.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.take_use(tree, before, presents);
                }
            }
            UseTree::Glob(_) => {
                if let Some(target) = self.whole(before) {
                    match presents {
                        true => self.file.globs.push(target),
                        false => drop(self.file.paths.insert(target)),
                    }
                }
            }
            UseTree::Name(_) | UseTree::Rename(_) => {
                let (name, alias) = match tree {
                    UseTree::Rename(tree) => (tree.ident.to_string(), tree.rename.to_string()),
                    UseTree::Name(tree) => (tree.ident.to_string(), tree.ident.to_string()),
                    _ => return,
                };
                let own = name == "self";
                let alias = match (own, before.last()) {
                    (true, Some(last)) if alias == "self" => last.clone(),
                    _ => alias,
                };
                if !own {
                    before.push(name);
                }
                if let Some(target) = self.whole(before) {
                    if !presents {
                        self.file.paths.insert(target.clone());
                    }
                    self.file.uses.insert(alias, target);
                }
                if !own {
                    before.pop();
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            _ => &[],
        };
        if !is_test(attributes) {
            self.file.defines.extend(name(item));
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let presents = !matches!(item.vis, Visibility::Inherited);
        self.take_use(&item.tree, &mut Vec::new(), presents);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if let Some(target) = self.whole(&parts) {
            self.file.paths.insert(target);
        }
        visit::visit_path(self, path);
    }
}

/// The name of an item that other files can import.
fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// The module that a file of a crate is; `None` for programs and for files of tests.
fn module_of(inside: &Path) -> Option<Module> {
    let mut parts: Vec<_> = inside
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let is_tests = |part: &String| part == "tests" || part.ends_with("_tests");
    if parts.iter().any(is_tests) || parts == ["main"] {
        return None;
    }
    if parts
        .last()
        .is_some_and(|last| last == "mod" || parts == ["lib"])
    {
        parts.pop();
    }
    Some(parts)
}

/// Reads the code of one file.
fn parse(path: &Path, module: &Module, text: &str) -> File {
    let parsed = syn::parse_file(text);
    let parsed = parsed.unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    let file = File {
        path: path.to_owned(),
        ..File::default()
    };
    let mut collector = Collector { module, file };
    // Names first: what declares them may stand below the code that needs them.
    for item in &parsed.items {
        if let Item::Mod(item) = item
            && !is_test(&item.attrs)
        {
            collector.file.children.insert(item.ident.to_string());
        }
    }
    for item in &parsed.items {
        if let Item::Use(item) = item
            && !is_test(&item.attrs)
        {
            collector.visit_item_use(item);
        }
    }
    collector.visit_file(&parsed);
    collector.file
}

/// The modules of the crate whose sources are in the folder `source`.
fn modules(source: &str) -> BTreeMap<Module, File> {
    let files = tracked(&["rs"]);
    let modules: BTreeMap<_, _> = files
        .iter()
        .filter_map(|path| {
            let module = module_of(path.strip_prefix(source).ok()?)?;
            Some((module.clone(), parse(path, &module, &read(path))))
        })
        .collect();
    assert!(!modules.is_empty(), "git lists no module in {source}");
    without_tests(modules)
}

/// Takes out the modules that are declared for tests alone.
fn without_tests(mut modules: BTreeMap<Module, File>) -> BTreeMap<Module, File> {
    let is_declared = |modules: &BTreeMap<Module, File>, module: &Module| {
        (1..=module.len()).all(|length| {
            let parent = modules.get(&module[..length - 1]);
            parent.is_none_or(|parent| parent.children.contains(&module[length - 1]))
        })
    };
    let names: Vec<Module> = modules.keys().cloned().collect();
    let for_tests = names
        .into_iter()
        .filter(|name| !is_declared(&modules, name));
    for name in for_tests.collect::<Vec<_>>() {
        modules.remove(&name);
    }
    modules
}

/// The module that defines what a path names; `None` if it names nothing in the crate's files.
///
/// `depth` bounds how many presentations (`pub use`) are followed.
fn definer(modules: &BTreeMap<Module, File>, path: &[String], depth: usize) -> Option<Module> {
    // The longest part of the path that is a file.
    let longest = (0..=path.len())
        .rev()
        .find(|&n| modules.contains_key(&path[..n]))?;
    let module = path[..longest].to_vec();
    let Some(name) = path.get(longest) else {
        // The path names a module: whoever names it as such takes nothing from it yet.
        return None;
    };
    if depth == 0 {
        return Some(module);
    }
    let file = &modules[&module];
    if path.len() > longest + 1 && !file.uses.contains_key(name) && !file.defines.contains(name) {
        // Below a module that is no file here: one for tests, or one that a macro makes.
        return None;
    }
    if let Some(target) = file.uses.get(name) {
        let mut target = target.clone();
        target.extend_from_slice(&path[longest + 1..]);
        return definer(modules, &target, depth - 1);
    }
    for glob in &file.globs {
        let mut target = glob.clone();
        target.extend_from_slice(&path[longest..]);
        let found = definer(modules, &target, depth - 1);
        if found
            .as_ref()
            .is_some_and(|module| modules[module].defines.contains(name))
        {
            return found;
        }
    }
    Some(module)
}

/// What each module imports.
fn imports(modules: &BTreeMap<Module, File>) -> BTreeMap<&Module, BTreeSet<Module>> {
    let of = |(module, file): (&Module, &File)| -> BTreeSet<Module> {
        let targets = file.paths.iter();
        targets
            .filter_map(|path| definer(modules, path, 8))
            .filter(|target| target != module)
            .collect()
    };
    modules.iter().map(|entry| (entry.0, of(entry))).collect()
}

/// Every module that can be reached from one, along imports.
fn reached<'a>(
    imports: &'a BTreeMap<&Module, BTreeSet<Module>>,
    from: &Module,
) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&Module> = imports.get(from).into_iter().flatten().collect();
    while let Some(module) = open.pop() {
        if found.insert(module) {
            open.extend(imports.get(module).into_iter().flatten());
        }
    }
    found
}

/// The circles among modules, each with the imports that tie it.
fn circles(
    modules: &BTreeMap<Module, File>,
    may_be_circular: impl Fn(&BTreeSet<&Module>) -> bool,
) -> Vec<String> {
    let imports = imports(modules);
    let mut told: BTreeSet<&Module> = BTreeSet::new();
    let mut circles = Vec::new();
    for &module in imports.keys() {
        let on_the_way = reached(&imports, module);
        if told.contains(module) || !on_the_way.contains(module) {
            continue;
        }
        let circle: BTreeSet<&Module> = imports
            .keys()
            .copied()
            .filter(|other| {
                on_the_way.contains(*other) && reached(&imports, other).contains(module)
            })
            .collect();
        told.extend(&circle);
        if may_be_circular(&circle) {
            continue;
        }
        let name = |module: &Module| modules[module].path.display().to_string();
        let ties = circle.iter().flat_map(|from| {
            let targets = imports[*from].iter().filter(|to| circle.contains(to));
            targets.map(|to| format!("  {} imports {}", name(from), name(to)))
        });
        let ties: Vec<_> = ties.collect();
        circles.push(format!(
            "a circle of {} files:\n{}",
            circle.len(),
            ties.join("\n")
        ));
    }
    circles
}

#[test]
fn the_trainer_has_no_circle_of_imports() {
    let found = circles(&modules("trainer/src"), |_| false);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_runtime_has_no_circle_of_imports_outside_one_engine() {
    let in_one_engine = |circle: &BTreeSet<&Module>| {
        let folders: BTreeSet<_> = circle.iter().map(|module| module.get(..2)).collect();
        let folder = folders.first().copied().flatten();
        folders.len() == 1 && folder.is_some_and(|folder| folder[0] == "engine")
    };
    let found = circles(&modules("runtime/src"), in_one_engine);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// A small crate: each module's path with its code.
fn small(files: &[(&str, &str)]) -> BTreeMap<Module, File> {
    let modules = files
        .iter()
        .map(|(name, code)| {
            let module: Module = name.split_terminator('/').map(str::to_owned).collect();
            (module.clone(), parse(Path::new(name), &module, code))
        })
        .collect();
    without_tests(modules)
}

#[test]
fn circles_are_found_through_folders_and_aliases() {
    let found = |files: &[(&str, &str)]| circles(&small(files), |_| false);
    let root = (
        "",
        "mod a; mod b; #[cfg(test)] mod fake; pub use a::A; pub use self::b::*;",
    );
    let a = ("a", "use crate::b; pub struct A; fn f() { b::g() }");
    // Through what the root presents, by name and by glob, and in place.
    for b in [
        "use crate::A; pub fn g() {}",
        "pub fn g() -> crate::a::A { loop {} }",
        "use super::a as other; pub fn g(_: other::A) {}",
    ] {
        let told = found(&[root, a, ("b", b)]);
        assert_eq!(told.len(), 1, "{b}");
        assert!(
            told[0].contains("a imports b") && told[0].contains("b imports a"),
            "{told:?}"
        );
    }
    // What tests import ties nothing, nor does presenting, nor naming a module.
    for b in [
        "pub fn g() {} #[cfg(test)] mod tests { use crate::a::A; }",
        "pub fn g() {} pub use crate::a::A;",
        "pub fn g() {} use std::fmt;",
    ] {
        assert_eq!(found(&[root, a, ("b", b)]), Vec::<String>::new(), "{b}");
    }
    let fake = ("fake", "use crate::b::g; pub struct F;");
    let b = (
        "b",
        "pub fn g() {} const ALL: &[F] = &[#[cfg(test)] crate::fake::F];",
    );
    assert_eq!(found(&[root, a, b, fake]), Vec::<String>::new());
    let three = [
        ("", "mod w; mod x;"),
        ("x", "mod y; mod z;"),
        ("x/y", "use super::z::Z; pub struct Y;"),
        ("x/z", "use crate::w::W; pub struct Z;"),
        ("w", "use crate::x::y::Y; pub struct W;"),
    ];
    assert!(found(&three)[0].starts_with("a circle of 3 files"));
}
