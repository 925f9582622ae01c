//! `include`: other projects whose services, networks and so on are taken in.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::budget::Budget;
use super::context::{Context, Environment, Source, normal};
use super::dotenv;
use super::files::FileError;
use super::item::{Item, is_extension};
use super::layers::{Asker, Layers, read_project, refuse_file};
use super::node::{Map, Mark, Node, Value};

/// How many files may include each other in a row.
const MAX_CHAIN: usize = 16;
/// What a project says of itself alone.
const OWN: [&str; 2] = ["name", "version"];
const SECTIONS: [&str; 5] = ["services", "networks", "volumes", "secrets", "configs"];

/// Takes what a file includes into it. `within` are the files that include each
/// other up to this one. `None` where something is wrong, which has been noted.
pub(super) fn resolve_include(
    document: &mut Node,
    context: &Context<'_>,
    within: &mut Vec<PathBuf>,
) -> Option<()> {
    let Value::Map(map) = &mut document.value else {
        return Some(());
    };
    let Some(include) = map.remove("include") else {
        return Some(());
    };
    if include.node.is_null() {
        return Some(());
    }
    let item = Item::new(&include.node, "include", context);
    for entry in item.list()? {
        let included = read_included(&entry, within)?;
        take_in(map, included, &entry);
    }
    Some(())
}

/// One entry: files that make a project of their own.
fn read_included(entry: &Item<'_>, within: &mut Vec<PathBuf>) -> Option<Node> {
    let context = entry.context;
    let here = context.source(entry.node.mark);
    let mut env_files = None;
    let mut directory = None;
    let paths = if entry.node.as_map().is_some() {
        let mut fields = entry.fields()?;
        let paths = fields.get("path", |item| item.many_of(Item::word));
        directory = fields.get("project_directory", Item::word);
        env_files = fields.get("env_file", |item| item.many_of(Item::word));
        let paths = paths.filter(|paths| !paths.is_empty());
        if paths.is_none() {
            fields.error_at("path", "this must name the file to include");
        }
        fields.finish();
        paths?
    } else {
        vec![entry.word()?]
    };
    for path in &paths {
        if is_remote(path) {
            entry.error(format!(
                "{path:?} is not on this machine: fetch it and include the file"
            ));
            return None;
        }
    }
    let paths: Vec<PathBuf> = paths.iter().map(|path| here.resolve(path)).collect();
    for path in &paths {
        let known = within.iter().any(|other| here.base.join(other) == *path);
        if known {
            let name = context.name(path);
            entry.error(format!(
                "files include each other in a circle, through {name}"
            ));
            return None;
        }
        if within.len() >= MAX_CHAIN {
            entry.error(format!(
                "more than {MAX_CHAIN} files include each other in a row"
            ));
            return None;
        }
    }
    let base = match directory {
        Some(directory) => here.resolve(&directory),
        None => paths
            .first()?
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default(),
    };
    let env_files = env_files.map(|files| files.iter().map(|it| here.resolve(it)).collect());
    let asker = Asker {
        mark: entry.node.mark,
        path: &entry.path(),
    };
    let environment = with_env_files(&here.environment, env_files, &base, Some(asker), context)?;
    let names: Vec<String> = paths.iter().map(|path| context.name(path)).collect();
    let layers = Layers {
        paths: &paths,
        names: &names,
        base: &base,
        environment: Rc::new(environment),
    };
    read_project(&layers, Some(asker), context, within)
}

fn is_remote(path: &str) -> bool {
    path.contains("://") || path.starts_with("git@") || path.starts_with("oci:")
}

/// The variables of files beneath those that are set; of `.env` in `base`, if
/// it is there, where no files are named.
pub(super) fn with_env_files(
    environment: &Environment,
    files: Option<Vec<PathBuf>>,
    base: &Path,
    asker: Option<Asker<'_>>,
    context: &Context<'_>,
) -> Option<Environment> {
    let may_miss = files.is_none();
    let files = files.unwrap_or_else(|| vec![normal(&base.join(".env"))]);
    let mut all = environment.clone();
    for path in files.iter().filter(|path| *path != Path::new("/dev/null")) {
        let source = context.add_source(Source {
            name: context.name(path),
            base: base.to_owned(),
            environment: Rc::default(),
        });
        let at = |line| Mark {
            source,
            line,
            column: line.min(1),
        };
        let text = match context.read(path) {
            Ok(text) => text,
            Err(FileError::Missing) if may_miss => continue,
            Err(why) => {
                refuse_file(&context.name(path), &why, at(0), asker, context);
                return None;
            }
        };
        let known = |name: &str| all.get(name).map(String::as_str);
        let parsed = if context.budget.spend(text.len()) {
            dotenv::parse(&text, known)
        } else {
            Err((0, Budget::SPENT.to_owned()))
        };
        match parsed {
            Ok(parsed) => {
                for (line, name) in parsed.unset {
                    context.warn(at(line), "", unset(&name));
                }
                let said = parsed
                    .variables
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)));
                let own = said.filter(|(name, _)| !environment.contains_key(name));
                for (name, value) in own {
                    if !context.budget.spend(name.len() + value.len()) {
                        context.error(at(0), "", Budget::SPENT);
                        return None;
                    }
                    all.insert(name, value);
                }
            }
            Err((line, why)) => {
                context.error(at(line), "", why);
                return None;
            }
        }
    }
    Some(all)
}

/// Of a variable that a file of variables uses.
pub(super) fn unset(name: &str) -> String {
    format!(
        "the variable {name} is not set: it is taken as blank; a \"$\" that is text is \"$$\", or \
         stands between '…'"
    )
}

/// What both have must be the same: that one file changes another by including
/// it would be seen by nobody.
fn take_in(map: &mut Map, included: Node, entry: &Item<'_>) {
    let Value::Map(included) = included.value else {
        return;
    };
    for (section, theirs) in included {
        if !SECTIONS.contains(&section.as_str()) {
            // What is no key at all is named by who reads the whole.
            if !is_extension(&section) && !OWN.contains(&section.as_str()) {
                map.entry(section).or_insert(theirs);
            }
            continue;
        }
        let Some(ours) = map.get_mut(&section).filter(|it| !it.node.is_null()) else {
            map.insert(section, theirs);
            continue;
        };
        let (Value::Map(ours), Value::Map(theirs)) = (&mut ours.node.value, theirs.node.value)
        else {
            continue;
        };
        for (name, theirs) in theirs {
            match ours.get(&name) {
                None => {
                    ours.insert(name, theirs);
                }
                Some(ours) if is_same(&ours.node, &theirs.node, entry.context) => {}
                Some(ours) => {
                    let source = entry.context.source(ours.key);
                    entry.error(format!(
                        "{section}.{name} is in {}:{} already and says something else: rename \
                         one, or change it in a file of its own after -c",
                        source.name, ours.key.line
                    ));
                }
            }
        }
    }
}

fn is_same(one: &Node, other: &Node, context: &Context<'_>) -> bool {
    let base = |node: &Node| context.source(node.mark).base.clone();
    one.says_the_same(other) && base(one) == base(other)
}
