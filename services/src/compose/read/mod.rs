//! From the tree of a project to its model: every key is taken, or said to be
//! wrong.

mod deploy;
mod devices;
mod file_object;
mod gpus;
mod health;
mod mount;
mod network;
mod pairs;
mod port;
mod references;
mod resources;
mod service;
mod unused;
mod variables;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::context::Context;
use super::item::{Fields, Item};
use super::model::Project;
use super::node::Node;
use crate::file::FileKind;
use crate::text;

pub(super) use mount::short_target;

/// The project of a tree, with the services whose profiles are on.
pub(super) fn read_model(
    tree: &Node,
    profiles: &BTreeSet<String>,
    context: &Context<'_>,
) -> Option<Project> {
    let item = Item::new(tree, "", context);
    let mut fields = item.fields()?;
    fields.item("version");
    let mut project = Project {
        name: fields.get("name", project_name),
        services: fields.or_default("services", |item| {
            named(item, |name, item| {
                let is_on = references::is_on(item.node, profiles);
                is_on.then(|| service::read_service(name, item)).flatten()
            })
        }),
        networks: fields.or_default("networks", |item| named(item, network::read_network)),
        volumes: fields.or_default("volumes", |item| named(item, volume::read_volume)),
        secrets: fields.or_default("secrets", |item| {
            named(item, |name, item| {
                file_object::read_object(FileKind::Secret, name, item)
            })
        }),
        configs: fields.or_default("configs", |item| {
            named(item, |name, item| {
                file_object::read_object(FileKind::Config, name, item)
            })
        }),
    };
    if let Some(item) = fields.item("models") {
        item.error("models are not run by a swarm: run the model as a service, or outside of it");
    }
    let services = fields.item("services");
    if services.is_none() {
        fields.error_at("services", "a project has at least one service");
    }
    fields.finish();
    references::resolve(&mut project, services.as_ref()?);
    Some(project)
}

/// Docker's rule for the names of stacks, which are put before all others.
fn project_name(item: &Item<'_>) -> Option<String> {
    item.parsed(|text| {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        match starts && text.chars().all(inside) {
            true => Ok(text.to_owned()),
            false => Err(format!(
                "{text:?} is no name of a project: lower case letters, digits, - and _"
            )),
        }
    })
}

/// What `read` makes of each thing that has a name.
fn named<T>(
    item: &Item<'_>,
    read: impl Fn(&str, &Item<'_>) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let mut all = BTreeMap::new();
    for (name, item) in item.entries()? {
        let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(inside) {
            item.error(format!(
                "{name:?} is no name here: letters, digits, -, _ and ."
            ));
            continue;
        }
        if let Some(thing) = read(name, &item) {
            all.insert(name.to_owned(), thing);
        }
    }
    Some(all)
}

/// `external`, with the name that is meant: `true`, or the older mapping with a
/// `name` in it.
struct External {
    is_external: bool,
    name: Option<String>,
}

/// Reads `name` and `external`.
fn read_external(fields: &mut Fields<'_>, key: &str) -> External {
    let mut name = fields.get("name", Item::word);
    let is_external = match fields.item("external") {
        None => false,
        Some(item) if item.node.as_map().is_some() => {
            if let Some(mut older) = item.fields() {
                name = older.get("name", Item::word).or(name);
                older.finish();
            }
            true
        }
        Some(item) => item.boolean().unwrap_or_default(),
    };
    if is_external {
        name.get_or_insert_with(|| key.to_owned());
    }
    External { is_external, name }
}

/// Says of keys that they mean nothing of what is there already.
fn ignore_beside_external(fields: &mut Fields<'_>, names: &[&'static str]) {
    for name in names {
        if fields.item(name).is_some() {
            fields.warn_at(name, "this is ignored: `external` is there already");
        }
    }
}

/// A length of time in Go's notation.
fn duration(item: &Item<'_>) -> Option<Duration> {
    let nanos = item.parsed(text::duration)?;
    Some(Duration::from_nanos(nanos.0.unsigned_abs()))
}
