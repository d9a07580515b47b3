//! No file of a crate imports itself through others. A reader can then understand the files of a crate one after another,
//! from those that import nothing up.
//!
//! The check reads paths that begin with `crate`, `self`, `super` or a submodule, and follows re-exports (`pub use`) to
//! the file that defines the name. Re-exports and test modules are not imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::house::{read, root, rust_files};
use crate::source::{code_of, tokens};

/// A module, by the names that lead to it from the crate's root; empty for the root.
type Module = Vec<String>;

const CRATES: [&str; 5] =
    ["shared/src", "shared/ringcentral/src", "infra/local/src", "infra/simulator/src", "infra/contract/src"];

#[test]
fn no_file_imports_itself_through_others() {
    let mut cycles = Vec::new();
    for folder in CRATES {
        let files = sources(&root().join(folder));
        assert!(files.len() > 3, "{folder} has no sources");
        cycles.extend(cycles_of(&files).into_iter().map(|cycle| format!("{folder}: {cycle}")));
    }
    assert!(cycles.is_empty(), "import cycles:\n{}", cycles.join("\n"));
}

#[test]
fn a_planted_cycle_is_found() {
    let cycles = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(module, text)| (module_of(module), (*text).to_owned())).collect();
        cycles_of(&files)
    };
    let direct = [("", "mod a; mod b;"), ("a", "use crate::b::B;"), ("b", "use super::a::{self, A};")];
    assert_eq!(cycles(&direct), ["a, b"]);
    let through_a_re_export =
        [("", ""), ("a", "pub mod x;\npub use x::X;"), ("a::x", "use crate::b;"), ("b", "use crate::a::X;")];
    assert_eq!(cycles(&through_a_re_export), ["a::x, b"]);
    let parent_and_child = [("", ""), ("a", "mod x; fn f() { x::f() }"), ("a::x", "use super::f;")];
    assert_eq!(cycles(&parent_and_child), ["a, a::x"]);
    let in_an_expression = [("", ""), ("a", "fn f() { crate::b::f() }"), ("b", "fn f() { crate::a::f() }")];
    assert_eq!(cycles(&in_an_expression), ["a, b"]);
}

#[test]
fn re_exports_tests_and_comments_are_no_imports() {
    let cycles = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(module, text)| (module_of(module), (*text).to_owned())).collect();
        cycles_of(&files)
    };
    let none: [String; 0] = [];
    assert_eq!(cycles(&[("", ""), ("a", "pub mod x; pub use x::X;"), ("a::x", "use crate::a::y;")]), none);
    let tests = [("", ""), ("a", "use crate::b::B;"), ("b", "mod tests { use crate::a; }\n// use crate::a;")];
    assert_eq!(cycles(&tests), none);
    assert_eq!(cycles(&[("", ""), ("a", "fn f() { mod_b::g(); } mod m { use super::f; }")]), none);
}

fn module_of(path: &str) -> Module {
    path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The modules of a crate with their texts.
fn sources(folder: &Path) -> BTreeMap<Module, String> {
    let module = |file: &Path| {
        let inside = file.strip_prefix(folder).unwrap().with_extension("");
        let mut names: Module =
            inside.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        if names.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
            names.pop();
        }
        names
    };
    rust_files(folder).into_iter().map(|file| (module(&file), read(&file))).collect()
}

/// What a file names.
#[derive(Default)]
struct Names {
    /// Absolute paths, as far as they are written.
    imports: Vec<Module>,
    re_exports: Vec<Module>,
}

/// The groups of modules that import each other, each in one line.
fn cycles_of(files: &BTreeMap<Module, String>) -> Vec<String> {
    let names: BTreeMap<&Module, Names> =
        files.iter().map(|(module, text)| (module, names_in(module, text, files))).collect();
    let imports: BTreeMap<&Module, BTreeSet<Module>> = names
        .iter()
        .map(|(module, of)| {
            let targets = of.imports.iter().map(|path| defining_module(path, files, &names, 0));
            (*module, targets.filter(|target| target != *module).collect())
        })
        .collect();
    let reachable: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|module| (*module, reachable_from(module, &imports))).collect();
    let mut cycles = BTreeSet::new();
    for (module, targets) in &reachable {
        if targets.contains(module) {
            let group = targets.iter().filter(|other| reachable[**other].contains(module));
            let group: BTreeSet<String> = group.map(|module| module.join("::")).collect();
            cycles.insert(group.into_iter().collect::<Vec<_>>().join(", "));
        }
    }
    cycles.into_iter().collect()
}

fn reachable_from<'a>(
    module: &Module,
    imports: &'a BTreeMap<&Module, BTreeSet<Module>>,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = imports.get(module).into_iter().flatten().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(imports.get(module).into_iter().flatten());
        }
    }
    reached
}

/// The file that defines what a path names: the longest prefix that is a module, or where that module re-exports from.
fn defining_module(
    path: &[String],
    files: &BTreeMap<Module, String>,
    names: &BTreeMap<&Module, Names>,
    depth: usize,
) -> Module {
    let length = (0..=path.len()).rev().find(|length| files.contains_key(&path[..*length])).unwrap_or(0);
    let module = path[..length].to_vec();
    let Some(name) = path.get(length).filter(|_| depth < 8) else { return module };
    for re_export in &names[&module].re_exports {
        let Some((last, from)) = re_export.split_last() else { continue };
        if last == name && from != module {
            return defining_module(re_export, files, names, depth + 1);
        }
        let defines = |text: &String| {
            ["struct", "enum", "trait", "fn", "type", "const", "static"]
                .iter()
                .any(|kind| text.contains(&format!("pub {kind} {name}")))
        };
        if last == "*" && files.get(from).is_some_and(defines) {
            return from.to_vec();
        }
    }
    module
}

fn names_in(module: &Module, text: &str, files: &BTreeMap<Module, String>) -> Names {
    let tokens = tokens(&code_of(text));
    let words: Vec<&str> = tokens.iter().map(|(_, word)| word.as_str()).collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let is_submodule = |name: &str| files.contains_key(&[module.as_slice(), &[name.to_owned()]].concat());
    let mut names = Names::default();
    // Inline modules that surround a place, with the depth of their braces.
    let (mut inline, mut braces, mut at): (Vec<(usize, &str)>, usize, usize) = (Vec::new(), 0, 0);
    while at < words.len() {
        match word(at) {
            "{" => {
                braces += 1;
                if at >= 2 && word(at - 2) == "mod" {
                    inline.push((braces, word(at - 1)));
                }
            }
            "}" => {
                inline.pop_if(|(depth, _)| *depth == braces);
                braces = braces.saturating_sub(1);
            }
            first
                if word(at + 1) == "::"
                    && (at == 0 || word(at - 1) != "::")
                    && (["crate", "self", "super"].contains(&first) || is_submodule(first)) =>
            {
                let is_use = at >= 1 && word(at - 1) == "use";
                let is_re_export = is_use && at >= 2 && ["pub", ")"].contains(&word(at - 2));
                let (paths, end) = paths_at(&words, at);
                let in_tests = inline.iter().any(|(_, name)| *name == "tests");
                let paths = paths.iter().filter(|_| !in_tests);
                let absolute = paths.filter_map(|path| absolute(module, inline.len(), path));
                let into = if is_re_export { &mut names.re_exports } else { &mut names.imports };
                into.extend(absolute);
                at = end.max(at + 1) - 1;
            }
            _ => {}
        }
        at += 1;
    }
    names
}

/// The paths that begin at a word, one for each name of a group, and the place after them.
fn paths_at(words: &[&str], at: usize) -> (Vec<Module>, usize) {
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    if word(at) == "{" {
        let (mut paths, mut at) = (Vec::new(), at + 1);
        while at < words.len() && word(at) != "}" {
            let (some, end) = paths_at(words, at);
            paths.extend(some);
            at = end.max(at + usize::from(end == at));
            if word(at) == "," {
                at += 1;
            }
        }
        return (paths, at + 1);
    }
    let is_name = word(at) == "*" || word(at).starts_with(|c: char| c.is_alphabetic() || c == '_');
    if !is_name {
        return (Vec::new(), at);
    }
    let name = word(at).to_owned();
    if word(at + 1) == "::" && word(at + 2) != "<" {
        let (rest, end) = paths_at(words, at + 2);
        let whole = rest.into_iter().map(|path| [vec![name.clone()], path].concat());
        return (whole.collect(), end);
    }
    (vec![vec![name]], if word(at + 1) == "as" { at + 3 } else { at + 1 })
}

/// A path from the crate's root. `None` for one that begins in an inline module and does not leave it.
fn absolute(module: &Module, inline: usize, path: &[String]) -> Option<Module> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    match path.first().map(String::as_str) {
        Some("crate") => Some(path[1..].to_vec()),
        Some("super") if supers < inline => None,
        Some("super") => {
            let up = module.len().checked_sub(supers - inline)?;
            Some([&module[..up], &path[supers..]].concat())
        }
        _ if inline > 0 => None,
        Some("self") => Some([module.as_slice(), &path[1..]].concat()),
        _ => Some([module.as_slice(), path].concat()),
    }
    // `self` at the end of a group names the module itself.
    .map(|path: Module| path.into_iter().filter(|name| name != "self").collect())
}
