//! One file over another, as the Compose specification says: mappings are
//! merged key by key, single values replaced, lists added to. What a list holds
//! one of (a port, a mount at a path, a variable) is found by its key.

use std::collections::BTreeMap;

use super::context::Context;
use super::item::truth;
use super::node::{Entry, Map, Mark, Node, Tag, Value};
use super::read::short_target;

/// How two values of one key become one.
enum Rule {
    /// By the kinds of the values.
    Kind,
    /// The later alone.
    Replace,
    /// `NAME=value` in a list, or a mapping.
    Pairs,
    /// Names in a list, or a mapping.
    Names,
    /// A list whose entries have keys, or the one thing that would be in it.
    Keyed(fn(&Node) -> String),
    /// Options of one driver mean nothing to another.
    Logging,
    /// A check and its being disabled replace each other.
    Health,
    /// `name=address` in a list, or a mapping, whose names each have what was
    /// said last of them.
    Hosts,
}

fn rule(path: &[&str]) -> Rule {
    match path {
        ["services", _, "command" | "entrypoint"] | ["services", _, "healthcheck", "test"] => {
            Rule::Replace
        }
        [
            "services",
            _,
            "environment" | "labels" | "sysctls" | "annotations",
        ]
        | ["services", _, "deploy", "labels"]
        | ["networks" | "volumes" | "secrets" | "configs", _, "labels"] => Rule::Pairs,
        ["services", _, "networks" | "depends_on"] => Rule::Names,
        ["services", _, "ports"] => Rule::Keyed(port_key),
        ["services", _, "volumes"] => Rule::Keyed(mount_key),
        ["services", _, "devices"] => Rule::Keyed(device_key),
        ["services", _, "secrets" | "configs"] => Rule::Keyed(file_key),
        ["services", _, "env_file" | "label_file"] => Rule::Keyed(path_key),
        [
            "services",
            _,
            "cap_add" | "cap_drop" | "dns" | "dns_search" | "dns_opt" | "expose" | "external_links"
            | "group_add" | "links" | "profiles" | "security_opt" | "tmpfs",
        ]
        | ["services", _, "networks", _, "aliases"]
        | ["services", _, "deploy", "placement", "constraints"] => Rule::Keyed(text_key),
        ["services", _, "ulimits", _] => Rule::Replace,
        ["services", _, "logging"] => Rule::Logging,
        ["services", _, "healthcheck"] => Rule::Health,
        ["services", _, "extra_hosts"] => Rule::Hosts,
        ["networks", _, "ipam", "config"] => Rule::Keyed(subnet_key),
        _ => Rule::Kind,
    }
}

/// What `over` says, over what `base` says. `path` is where both are.
pub(super) fn merge<'a>(
    base: Node,
    over: &'a Node,
    path: &mut Vec<&'a str>,
    context: &Context<'_>,
) -> Node {
    if over.tag.is_some() || base.tag == Some(Tag::Reset) {
        return over.clone();
    }
    if over.is_null() {
        return base;
    }
    if base.is_null() {
        return over.clone();
    }
    let tag = base.tag;
    let mark = over.mark;
    let value = match rule(path) {
        Rule::Replace => over.value.clone(),
        Rule::Kind => by_kind(base, over, path, context),
        Rule::Logging if other_driver(&base, over) => over.value.clone(),
        Rule::Logging => by_kind(base, over, path, context),
        Rule::Health => by_kind(without_replaced(base, over), over, path, context),
        Rule::Hosts => match (base.value, &over.value) {
            (Value::Map(base), Value::Map(over)) => Value::Map(lay(base, over.clone())),
            (base, _) => {
                let base = hosts(Node::new(base, mark));
                Value::List(keyed(base, &hosts(over.clone()), text_key))
            }
        },
        Rule::Pairs => match (pairs(base), pairs(over.clone())) {
            (Ok(base), Ok(over)) => Value::Map(lay(base, over)),
            // What it is instead is said by who reads it.
            (_, Err(wrong)) | (Err(wrong), _) => wrong.value,
        },
        Rule::Names => match (names(base), names(over.clone())) {
            (Ok(base), Ok(over)) => Value::Map(merge_owned(base, over, path, context)),
            (_, Err(wrong)) | (Err(wrong), _) => wrong.value,
        },
        Rule::Keyed(key) => Value::List(keyed(base, over, key)),
    };
    Node { value, mark, tag }
}

fn by_kind<'a>(
    base: Node,
    over: &'a Node,
    path: &mut Vec<&'a str>,
    context: &Context<'_>,
) -> Value {
    match (base.value, &over.value) {
        (Value::Map(base), Value::Map(over)) => Value::Map(maps(base, over, path, context)),
        (Value::List(mut base), Value::List(over)) => {
            base.extend(over.iter().cloned());
            Value::List(base)
        }
        (Value::Scalar(_), value @ Value::Scalar(_)) => value.clone(),
        (base, _) => {
            let was = Node::new(base, Mark::default());
            let text = format!(
                "{} cannot be laid over {}; `!override` before it replaces what was said",
                over.kind(),
                was.kind()
            );
            context.error(over.mark, &path.join("."), text);
            was.value
        }
    }
}

fn maps<'a>(mut base: Map, over: &'a Map, path: &mut Vec<&'a str>, context: &Context<'_>) -> Map {
    for (name, entry) in over {
        let node = match base.remove(name) {
            None => entry.node.clone(),
            Some(under) => {
                path.push(name);
                let merged = merge(under.node, &entry.node, path, context);
                path.pop();
                merged
            }
        };
        let key = entry.key;
        base.insert(name.clone(), Entry { key, node });
    }
    base
}

/// The same, with a mapping that was made for it.
fn merge_owned(base: Map, over: Map, path: &[&str], context: &Context<'_>) -> Map {
    let mut path = path.to_vec();
    maps(base, &over, &mut path, context)
}

fn lay(mut base: Map, over: Map) -> Map {
    base.extend(over);
    base
}

/// `[A=1, B]` as `{A: "1", B: null}`. What cannot be one is given back.
fn pairs(node: Node) -> Result<Map, Node> {
    match node.value {
        Value::Map(map) => Ok(map),
        Value::List(list) if list.iter().all(|entry| entry.as_text().is_some()) => {
            Ok(list.iter().filter_map(pair).collect())
        }
        _ => Err(node),
    }
}

fn pair(node: &Node) -> Option<(String, Entry)> {
    let key = node.mark;
    let (name, node) = match node.as_text()?.split_once('=') {
        Some((name, value)) => (name, Node::text(value, key)),
        None => (node.as_text()?, Node::null(key)),
    };
    Some((name.to_owned(), Entry { key, node }))
}

/// `[front, back]` as `{front: null, back: null}`. What cannot be one is given
/// back.
fn names(node: Node) -> Result<Map, Node> {
    match node.value {
        Value::Map(map) => Ok(map),
        Value::List(list) if list.iter().all(|entry| entry.as_text().is_some()) => {
            let entry = |node: &Node| {
                let key = node.mark;
                let name = node.as_text()?.to_owned();
                let node = Node::null(key);
                Some((name, Entry { key, node }))
            };
            Ok(list.iter().filter_map(entry).collect())
        }
        _ => Err(node),
    }
}

/// A mapping of hosts as a list of them. What cannot be one stays as it is, and
/// is said by who reads it.
fn hosts(node: Node) -> Node {
    let Value::Map(map) = &node.value else {
        return node;
    };
    let mut list = Vec::new();
    for (name, entry) in map {
        let addresses = match &entry.node.value {
            Value::List(addresses) => addresses.as_slice(),
            _ => std::slice::from_ref(&entry.node),
        };
        for address in addresses {
            let Some(text) = address.as_text() else {
                return node;
            };
            list.push(Node::text(format!("{name}={text}"), address.mark));
        }
    }
    Node::new(Value::List(list), node.mark)
}

/// The check below without what the one above it says instead.
fn without_replaced(mut base: Node, over: &Node) -> Node {
    let is_disabled = over.get("disable").and_then(Node::as_text);
    let is_disabled = is_disabled.is_some_and(|text| truth(text) == Ok(true));
    if let Value::Map(map) = &mut base.value {
        if is_disabled {
            map.remove("test");
        } else if over.get("test").is_some() {
            map.remove("disable");
        }
    }
    base
}

fn other_driver(base: &Node, over: &Node) -> bool {
    match (base.get("driver"), over.get("driver")) {
        (Some(base), Some(over)) => !base.says_the_same(over),
        _ => false,
    }
}

/// In the order of `base`, with the entries of `over` in the places of those
/// with their keys, or behind.
fn keyed(base: Node, over: &Node, key: fn(&Node) -> String) -> Vec<Node> {
    let many = |node: Node| match node.value {
        Value::List(list) => list,
        _ => vec![node],
    };
    let mut merged: Vec<Node> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for node in many(base).into_iter().chain(many(over.clone())) {
        match places
            .get(&key(&node))
            .and_then(|place| merged.get_mut(*place))
        {
            Some(place) => *place = node,
            None => {
                places.insert(key(&node), merged.len());
                merged.push(node);
            }
        }
    }
    merged
}

fn text_key(node: &Node) -> String {
    node.as_text().unwrap_or_default().to_owned()
}

/// The text under `name`, or `default`.
fn field(node: &Node, name: &str, default: &str) -> String {
    let text = node.get(name).and_then(Node::as_text);
    text.unwrap_or(default).to_owned()
}

/// Ports are the same that are published and aimed at the same.
fn port_key(node: &Node) -> String {
    if let Some(text) = node.as_text() {
        // The address may be a variable that is blank.
        return text.trim_start_matches(':').to_owned();
    }
    let (ip, published) = (field(node, "host_ip", ""), field(node, "published", ""));
    let (target, protocol) = (field(node, "target", ""), field(node, "protocol", "tcp"));
    let front = match (ip.as_str(), published.as_str()) {
        ("", "") => String::new(),
        ("", published) => format!("{published}:"),
        (ip, published) => format!("{ip}:{published}:"),
    };
    let back = match protocol.as_str() {
        "tcp" => String::new(),
        other => format!("/{other}"),
    };
    format!("{front}{target}{back}")
}

fn mount_key(node: &Node) -> String {
    match node.as_text() {
        Some(text) => short_target(text).to_owned(),
        None => field(node, "target", ""),
    }
}

/// Where it is in the container: where it is on the node, if nothing is said.
fn device_key(node: &Node) -> String {
    let Some(text) = node.as_text() else {
        return field(node, "target", &field(node, "source", ""));
    };
    let (host, rest) = text.split_once(':').unwrap_or((text, ""));
    let container = rest
        .split_once(':')
        .map_or(rest, |(container, _)| container);
    match container.starts_with('/') {
        true => container.to_owned(),
        false => host.to_owned(),
    }
}

fn file_key(node: &Node) -> String {
    let text = match node.as_text() {
        Some(text) => text.to_owned(),
        None => field(node, "target", &field(node, "source", "")),
    };
    text.trim_start_matches("/run/secrets/").to_owned()
}

fn path_key(node: &Node) -> String {
    match node.as_text() {
        Some(text) => text.to_owned(),
        None => field(node, "path", ""),
    }
}

fn subnet_key(node: &Node) -> String {
    field(node, "subnet", "")
}

/// The tree without what was reset, all files merged.
pub(super) fn settle(node: &mut Node) {
    node.tag = None;
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::List(list) => {
            list.retain(|node| node.tag != Some(Tag::Reset));
            list.iter_mut().for_each(settle);
        }
        Value::Map(map) => {
            map.retain(|_, entry| entry.node.tag != Some(Tag::Reset));
            map.values_mut().for_each(|entry| settle(&mut entry.node));
        }
    }
}
