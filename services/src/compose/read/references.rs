//! What services name of each other and of the project is there.

use std::collections::{BTreeMap, BTreeSet};

use super::super::item::{Fields, Item};
use super::super::model::{Project, Service};
use super::super::nearest::nearest;
use super::super::node::{Node, Value};
use crate::spec::MountKind;

const DEFAULT: &str = "default";
/// Turns all profiles on.
const ALL: &str = "*";

/// Whether one of the service's profiles is on, or it has none. Of those that are
/// off nothing else is read: what they lack, nobody needs.
pub(super) fn is_on(service: &Node, profiles: &BTreeSet<String>) -> bool {
    let Some(Value::List(own)) = service.get("profiles").map(|node| &node.value) else {
        return true;
    };
    let mut own = own.iter().filter_map(Node::as_text).peekable();
    own.peek().is_none() || profiles.contains(ALL) || own.any(|name| profiles.contains(name))
}

/// Makes the default network and notes what is named and not there. `services` is
/// where they were read.
pub(super) fn resolve(project: &mut Project, services: &Item<'_>) {
    let all: BTreeSet<String> = match services.node.as_map() {
        Some(map) => map.keys().cloned().collect(),
        None => return,
    };
    if project.used_networks().contains(DEFAULT) {
        project.networks.entry(DEFAULT.to_owned()).or_default();
    }
    let on: BTreeSet<String> = project.services.keys().cloned().collect();
    let mut checked = std::mem::take(&mut project.services);
    for (name, item) in services.entries().unwrap_or_default() {
        let (Some(service), Some(fields)) = (checked.get_mut(name), item.fields()) else {
            continue;
        };
        check_names(service, project, &fields);
        check_dependencies(service, name, &on, &all, &fields);
    }
    project.services = checked;
    check_circles(project, services);
}

fn check_names(service: &Service, project: &Project, fields: &Fields<'_>) {
    let networks = service.networks.keys().map(String::as_str);
    expect(fields, "networks", networks, &project.networks);
    let volumes = service.mounts.iter();
    let volumes = volumes.filter(|it| it.kind == MountKind::Volume && !it.source.is_empty());
    let volumes = volumes.map(|mount| mount.source.as_str());
    expect(fields, "volumes", volumes, &project.volumes);
    let secrets = service.secrets.iter().map(|it| it.source.as_str());
    expect(fields, "secrets", secrets, &project.secrets);
    let configs = service.configs.iter().map(|it| it.source.as_str());
    expect(fields, "configs", configs, &project.configs);
}

fn expect<'b, T>(
    fields: &Fields<'_>,
    key: &str,
    named: impl Iterator<Item = &'b str>,
    known: &BTreeMap<String, T>,
) {
    for name in named.filter(|name| !known.contains_key(*name)) {
        let has_room = fields.item.context.has_room();
        let names = known.keys().map(String::as_str).filter(|_| has_room);
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("name it under the top-level `{key}`"),
        };
        fields.error_at(key, format!("{name:?} is not there: {hint}"));
    }
}

fn check_dependencies(
    service: &mut Service,
    name: &str,
    on: &BTreeSet<String>,
    all: &BTreeSet<String>,
    fields: &Fields<'_>,
) {
    let error = |text: String| fields.error_at("depends_on", text);
    service.depends_on.retain(|other, dependency| {
        let is_there = on.contains(other);
        match is_there {
            true if other == name => error("a service does not depend on itself".to_owned()),
            true => {}
            false if !dependency.required => {}
            false if all.contains(other) => error(format!(
                "{other:?} is left out by its profiles: turn one of them on with --profile, or \
                 say `required: false`"
            )),
            false => error(format!("there is no service {other:?}")),
        }
        is_there
    });
}

/// Takes away what waits for nothing that is left, until nothing changes; what
/// is left then waits for itself.
fn check_circles(project: &Project, services: &Item<'_>) {
    let mut dependents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut waits_for: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ready = Vec::new();
    for (name, service) in &project.services {
        let depends_on = service.depends_on.keys();
        let others = depends_on.filter(|other| project.services.contains_key(*other));
        let mut count = 0;
        for other in others {
            dependents.entry(other).or_default().push(name);
            count += 1;
        }
        match count {
            0 => ready.push(name.as_str()),
            _ => _ = waits_for.insert(name, count),
        }
    }
    while let Some(name) = ready.pop() {
        for dependent in dependents.remove(name).unwrap_or_default() {
            let Some(count) = waits_for.get_mut(dependent) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                waits_for.remove(dependent);
                ready.push(dependent);
            }
        }
    }
    if !waits_for.is_empty() {
        let names: Vec<&str> = waits_for.into_keys().collect();
        let names = names.join(", ");
        services.error(format!(
            "these depend on each other in a circle, or on such: {names}"
        ));
    }
}
