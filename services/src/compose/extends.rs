//! `extends`: a service that says what it has over another one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::budget::{Budget, weight};
use super::context::{Context, Source};
use super::item::Item;
use super::layers::{Asker, read_documents};
use super::merge::{merge, settle};
use super::node::{Map, Node, Value};

/// How many services may extend each other in a row.
const MAX_CHAIN: usize = 16;

/// Lays every service of a file over the one that it extends. `None` where
/// something is wrong, which has been noted.
pub(super) fn resolve_extends(document: &mut Node, context: &Context<'_>) -> Option<()> {
    let Some(services) = document.get("services").and_then(Node::as_map) else {
        return Some(());
    };
    if services.values().all(|it| it.node.get("extends").is_none()) {
        return Some(());
    }
    let services = services.clone();
    let mut extender = Extender {
        context,
        files: BTreeMap::new(),
    };
    let Value::Map(map) = &mut document.value else {
        return Some(());
    };
    let resolved = map.get_mut("services").map(|it| &mut it.node.value);
    let Some(Value::Map(resolved)) = resolved else {
        return Some(());
    };
    let mut are_all_whole = true;
    for (name, entry) in resolved {
        if entry.node.get("extends").is_none() {
            continue;
        }
        let chain = &mut vec![(None, name.clone())];
        match extender.extended(name, &entry.node, None, &services, chain) {
            Some(node) => entry.node = node,
            None => are_all_whole = false,
        }
    }
    are_all_whole.then_some(())
}

struct Extender<'a> {
    context: &'a Context<'a>,
    /// The services of the files that others extend.
    files: BTreeMap<PathBuf, Option<Rc<Map>>>,
}

/// The services on the way to a base, each with its file; `None` is the one
/// that is being read.
type Chain = Vec<(Option<PathBuf>, String)>;

impl Extender<'_> {
    /// The service with its base beneath it. `None` where something is wrong,
    /// which has been noted.
    fn extended(
        &mut self,
        name: &str,
        node: &Node,
        file: Option<&PathBuf>,
        services: &Map,
        chain: &mut Chain,
    ) -> Option<Node> {
        let context = self.context;
        let extends = node.get("extends")?;
        let item = Item::new(extends, &format!("services.{name}.extends"), context);
        let (base_name, base_file) = read_extends(&item)?;
        let base_file = base_file.map(|path| context.source(extends.mark).resolve(&path));
        let base_file = base_file.as_ref().or(file);
        let link = (base_file.cloned(), base_name.clone());
        if chain.len() >= MAX_CHAIN {
            item.error(format!(
                "more than {MAX_CHAIN} services extend each other in a row"
            ));
            return None;
        }
        if chain.contains(&link) {
            let names: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).collect();
            let names = names.join(" → ");
            item.error(format!(
                "services extend each other in a circle: {names} → {base_name}"
            ));
            return None;
        }
        let others = match base_file {
            Some(path) if base_file != file => Some(self.services_of(path, &item)?),
            _ => None,
        };
        let services = others.as_deref().unwrap_or(services);
        let Some(base) = services.get(&base_name) else {
            item.error(format!("there is no service {base_name:?} to extend"));
            return None;
        };
        let mut base = match base.node.get("extends") {
            None => base.node.clone(),
            Some(_) => {
                chain.push(link);
                let base = self.extended(&base_name, &base.node, base_file, services, chain);
                chain.pop();
                base?
            }
        };
        if !context.budget.spend(weight(&base)) {
            item.error(Budget::SPENT);
            return None;
        }
        settle(&mut base);
        let mut path = vec!["services", name];
        let mut whole = merge(base, node, &mut path, context);
        without_extends(&mut whole);
        Some(whole)
    }

    fn services_of(&mut self, path: &PathBuf, item: &Item<'_>) -> Option<Rc<Map>> {
        if let Some(services) = self.files.get(path) {
            return services.clone();
        }
        let services = read_services(path, item).map(Rc::new);
        self.files.insert(path.clone(), services.clone());
        services
    }
}

fn read_services(path: &Path, item: &Item<'_>) -> Option<Map> {
    let context = item.context;
    let source = Source {
        name: context.name(path),
        base: path.parent().map(PathBuf::from).unwrap_or_default(),
        environment: Rc::clone(&context.source(item.node.mark).environment),
    };
    let asker = Asker {
        mark: item.node.mark,
        path: &item.path(),
    };
    let documents = read_documents(path, source, Some(asker), context)?;
    let merged = documents
        .into_iter()
        .reduce(|base, over| merge(base, &over, &mut Vec::new(), context))?;
    let services = merged.get("services").and_then(Node::as_map).cloned();
    if services.is_none() {
        item.error(format!("{} has no services", context.name(path)));
    }
    services
}

/// The service and the file that it is in, where that is another.
fn read_extends(item: &Item<'_>) -> Option<(String, Option<String>)> {
    if item.node.as_map().is_none() {
        return Some((item.word()?, None));
    }
    let mut fields = item.fields()?;
    let service = fields.get("service", Item::word);
    let file = fields.get("file", Item::word);
    if service.is_none() {
        fields.error_at("service", "this must name the service to extend");
    }
    fields.finish();
    Some((service?, file))
}

fn without_extends(node: &mut Node) {
    if let Value::Map(map) = &mut node.value {
        map.remove("extends");
    }
}
