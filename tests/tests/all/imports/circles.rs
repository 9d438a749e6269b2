//! Files of a crate that name each other in a circle: none of them can be read, tested or moved
//! without the others. Two that belong together may; a path through a file that merely passes a
//! name on leads to the file that has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use wasmgrid_tests::repository;

use super::{
    children, code, files, module_of, name_of,
    paths::{Named, named},
};

/// The most files of a circle.
const MOST: usize = 2;

/// Crates with larger circles, and the most files of one. None of them may grow.
const LARGER: &[(&str, usize)] = &[("cli", 24), ("client", 5), ("proto", 9), ("server", 20)];

/// Where a file stands in its crate, from the root down.
type Module = Vec<String>;

#[test]
fn no_more_than_two_files_of_a_crate_name_each_other_in_a_circle() {
    let mut found = Vec::new();
    for krate in children(&repository().join("host")) {
        let name = name_of(&krate);
        let larger = LARGER.iter().find(|(crates, _)| *crates == name);
        let most = larger.map_or(MOST, |(_, most)| *most);
        for circle in circles(&Files::of(&krate.join("src")).arrows()) {
            if circle.len() > most {
                let files: Vec<_> = circle.iter().map(|file| file.join("/")).collect();
                found.push(format!("{name}: {}", files.join(" ")));
            }
        }
    }
    assert!(
        found.is_empty(),
        "these files name each other in a circle: {found:#?}; move what they share into a file that \
         names none of them"
    );
}

/// The files of a crate.
struct Files {
    /// The paths in each.
    named: BTreeMap<Module, Vec<Reference>>,
    /// What each calls which path of its crate.
    aliases: BTreeMap<Module, BTreeMap<String, Module>>,
}

/// A path from the crate's root.
struct Reference {
    to: Module,
    is_passed_on: bool,
}

impl Files {
    fn of(source: &Path) -> Self {
        let texts: BTreeMap<Module, String> = files(source)
            .into_iter()
            .map(|file| {
                let mut module = module_of(file.strip_prefix(source).expect("it is below"));
                module.retain(|part| part != "lib" && part != "main");
                (module, code(&fs::read_to_string(&file).expect("readable")))
            })
            .collect();
        let mut all = Self { named: BTreeMap::new(), aliases: BTreeMap::new() };
        for (module, text) in &texts {
            let all_named = named(text);
            let mut aliases = BTreeMap::new();
            for Named { path, alias, .. } in &all_named {
                if let (Some(alias), Some(to)) = (alias, absolute(&texts, module, path)) {
                    aliases.insert((*alias).to_owned(), to);
                }
            }
            let in_code = |path: &[&str]| {
                let known = aliases.get(path[0]).filter(|to| texts.contains_key(*to))?;
                let rest = path[1..].iter().map(|part| (*part).to_owned());
                Some(known.iter().cloned().chain(rest).collect())
            };
            let paths = all_named.iter().filter_map(|Named { path, alias, is_passed_on }| {
                let to = absolute(&texts, module, path);
                let to = if alias.is_none() { to.or_else(|| in_code(path)) } else { to }?;
                Some(Reference { to, is_passed_on: *is_passed_on })
            });
            all.named.insert(module.clone(), paths.collect());
            all.aliases.insert(module.clone(), aliases);
        }
        all
    }

    /// From each file to those that it names. A file that passes on what is in a folder of its own
    /// does not name that.
    fn arrows(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let arrows = self.named.iter().map(|(from, paths)| {
            let named = paths.iter().filter_map(|path| {
                let to = self.home(&path.to, 0)?;
                let is_own = to.len() > from.len() && to.starts_with(from);
                (to != *from && !(path.is_passed_on && is_own)).then_some(to)
            });
            (from.clone(), named.collect())
        });
        arrows.collect()
    }

    /// The file that has what a path leads to, through those that pass it on.
    fn home(&self, path: &[String], through: usize) -> Option<Module> {
        let length = (0..=path.len()).rev().find(|end| self.named.contains_key(&path[..*end]))?;
        let (module, rest) = path.split_at(length);
        let passed = rest.first().and_then(|name| self.aliases[module].get(name));
        match passed {
            // As many as no crate passes anything through.
            Some(to) if through < 16 && *to != path => {
                let to: Module = to.iter().chain(&rest[1..]).cloned().collect();
                self.home(&to, through + 1)
            }
            _ => Some(module.to_vec()),
        }
    }
}

/// A path as it is from the crate's root; `None` if it is another crate's, or a name of the file's
/// own.
fn absolute(texts: &BTreeMap<Module, String>, module: &[String], path: &[&str]) -> Option<Module> {
    let (mut base, mut rest) = (module.to_vec(), path);
    match path[0] {
        "crate" => (base, rest) = (Vec::new(), &path[1..]),
        "self" => rest = &path[1..],
        "super" => {
            while rest.first() == Some(&"super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        child => {
            let mut to = module.to_vec();
            to.push(child.to_owned());
            texts.get(&to)?;
        }
    }
    base.extend(rest.iter().map(|part| (*part).to_owned()));
    Some(base)
}

/// The circles: sets of files of which each leads to each other.
fn circles(arrows: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<Module>> {
    let reached = |from: &Module| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            let named = arrows[file].iter();
            next.extend(named.filter(|file| reached.insert((*file).clone())));
        }
        reached
    };
    let reach: BTreeMap<&Module, BTreeSet<Module>> =
        arrows.keys().map(|file| (file, reached(file))).collect();
    let mut circles: Vec<BTreeSet<Module>> = Vec::new();
    for (file, to) in &reach {
        let back = to.iter().filter(|other| reach[other].contains(*file));
        let circle: BTreeSet<Module> = back.cloned().collect();
        if !circle.is_empty() && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

#[test]
fn files_that_lead_to_each_other_are_a_circle() {
    let module = |name: &str| vec![name.to_owned()];
    let arrows: BTreeMap<Module, BTreeSet<Module>> =
        [("a", "b"), ("b", "c"), ("c", "b"), ("d", "a"), ("e", "d")]
            .into_iter()
            .map(|(from, to)| (module(from), BTreeSet::from([module(to)])))
            .collect();
    assert_eq!(circles(&arrows), [BTreeSet::from([module("b"), module("c")])]);
}
