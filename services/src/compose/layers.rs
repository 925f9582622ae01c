//! From files to one tree: each is read, its variables put in, what it includes
//! and extends brought in, and then it is laid over those before it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::budget::Budget;
use super::context::{Context, Environment, Source};
use super::extends::resolve_extends;
use super::files::FileError;
use super::include::resolve_include;
use super::interpolate::interpolate;
use super::item::is_extension;
use super::merge::{merge, settle};
use super::node::{Mark, Node, Value};
use super::yaml;

/// Files that make one project, or one that is included.
pub(super) struct Layers<'a> {
    pub paths: &'a [PathBuf],
    /// As the user would name them.
    pub names: &'a [String],
    /// What relative paths are relative to.
    pub base: &'a Path,
    pub environment: Rc<Environment>,
}

/// Who asked for a file that cannot be read.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub mark: Mark,
    pub path: &'a str,
}

/// The tree of all files, nothing in it to be reset any more. `within` are the
/// files that include these.
pub(super) fn read_project(
    layers: &Layers<'_>,
    asker: Option<Asker<'_>>,
    context: &Context<'_>,
    within: &mut Vec<PathBuf>,
) -> Option<Node> {
    let mut merged: Option<Node> = None;
    for (path, name) in layers.paths.iter().zip(layers.names) {
        let source = Source {
            name: name.clone(),
            base: layers.base.to_owned(),
            environment: Rc::clone(&layers.environment),
        };
        within.push(path.clone());
        for mut document in read_documents(path, source, asker, context)? {
            resolve_include(&mut document, context, within)?;
            resolve_extends(&mut document, context)?;
            merged = Some(match merged {
                None => document,
                Some(base) => merge(base, &document, &mut Vec::new(), context),
            });
        }
        within.pop();
    }
    let mut merged = merged?;
    settle(&mut merged);
    Some(merged)
}

/// The documents of a file with their variables put in. `None` where something
/// is wrong, which has been noted.
pub(super) fn read_documents(
    path: &Path,
    source: Source,
    asker: Option<Asker<'_>>,
    context: &Context<'_>,
) -> Option<Vec<Node>> {
    let name = source.name.clone();
    let environment = Rc::clone(&source.environment);
    let source = context.add_source(source);
    let whole = Mark {
        source,
        ..Mark::default()
    };
    let text = match context.read(path) {
        Ok(text) => text,
        Err(why) => {
            refuse_file(&name, &why, whole, asker, context);
            return None;
        }
    };
    let mut documents = match yaml::parse(&text, source, &context.budget) {
        Ok(documents) => documents,
        Err(why) => {
            context.error(why.mark, "", why.text);
            return None;
        }
    };
    documents.retain(|document| !document.is_null());
    if documents.is_empty() {
        context.error(
            whole,
            "",
            "the file is empty: a project has at least `services`",
        );
        return None;
    }
    for document in &mut documents {
        if document.as_map().is_none() {
            let text = format!("a project is a mapping, not {}", document.kind());
            context.error(document.mark, "", text);
            return None;
        }
        match context.interpolates {
            true => put_in(document, &mut String::new(), &environment, context),
            false => put_into_references(document, &environment, context),
        }
    }
    Some(documents)
}

/// Says it to who asked for the file.
pub(super) fn refuse_file(
    name: &str,
    why: &FileError,
    whole: Mark,
    asker: Option<Asker<'_>>,
    context: &Context<'_>,
) {
    match asker {
        Some(asker) => {
            let text = format!("{name} cannot be read: {why}");
            context.error(asker.mark, asker.path, text);
        }
        None => context.error(whole, "", why.to_string()),
    }
}

/// Puts the variables into what names other files: these are brought in, and the
/// names are not part of what comes out.
fn put_into_references(document: &mut Node, environment: &Environment, context: &Context<'_>) {
    let Value::Map(map) = &mut document.value else {
        return;
    };
    if let Some(include) = map.get_mut("include") {
        put_in(
            &mut include.node,
            &mut "include".to_owned(),
            environment,
            context,
        );
    }
    let services = map.get_mut("services").map(|it| &mut it.node.value);
    let Some(Value::Map(services)) = services else {
        return;
    };
    for (name, service) in services {
        if let Value::Map(service) = &mut service.node.value
            && let Some(extends) = service.get_mut("extends")
        {
            let path = &mut format!("services.{name}.extends");
            put_in(&mut extends.node, path, environment, context);
        }
    }
}

/// Puts the variables into the values of a tree.
fn put_in(node: &mut Node, path: &mut String, environment: &Environment, context: &Context<'_>) {
    let length = path.len();
    match &mut node.value {
        Value::Scalar(scalar) => {
            if !scalar.text.contains('$') {
                return;
            }
            let done = match interpolate(&scalar.text, |name| {
                environment.get(name).map(String::as_str)
            }) {
                Ok(done) => done,
                Err(why) => {
                    let text = format!("invalid interpolation format in {:?}: {why}", scalar.text);
                    return context.error(node.mark, path, text);
                }
            };
            for name in done.unset {
                let text = format!("the variable {name} is not set: it is taken as blank");
                context.warn(node.mark, path, text);
            }
            if !context.budget.spend(done.text.len()) {
                return context.error(node.mark, path, Budget::SPENT);
            }
            scalar.text = done.text;
            scalar.is_plain = false;
        }
        Value::List(list) => {
            for (at, node) in list.iter_mut().enumerate() {
                path.push_str(&format!("[{at}]"));
                put_in(node, path, environment, context);
                path.truncate(length);
            }
        }
        Value::Map(map) => {
            let at_top = path.is_empty();
            for (name, entry) in map {
                // Extensions at the top are there to be used by aliases, whose
                // copies are looked at.
                if at_top && is_extension(name) {
                    continue;
                }
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                put_in(&mut entry.node, path, environment, context);
                path.truncate(length);
            }
        }
    }
}
