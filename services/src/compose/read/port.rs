//! Published ports: in short, and key by key.

use std::collections::BTreeMap;

use super::super::budget::Budget;
use super::super::item::Item;
use crate::spec::{PortSpec, Protocol};
use crate::text;

/// Of one service.
const MAX_PORTS: usize = 10_000;

/// Each published port once.
pub(super) fn read_ports(item: &Item<'_>) -> Option<Vec<PortSpec>> {
    let mut all: Vec<PortSpec> = Vec::new();
    // Where those are that a port could be the same as.
    let mut places: BTreeMap<(u16, u16, Protocol), Vec<usize>> = BTreeMap::new();
    for item in item.list()? {
        let ports = match item.node.as_map() {
            Some(_) => read_long(&item),
            None => item.parsed(text::ports),
        };
        let ports = ports.unwrap_or_default();
        if !item
            .context
            .budget
            .spend(ports.len() * size_of::<PortSpec>())
        {
            item.error(Budget::SPENT);
            return None;
        }
        for port in ports {
            if all.len() >= MAX_PORTS {
                item.error(format!("a service has at most {MAX_PORTS} ports"));
                return None;
            }
            let target = if port.published == 0 { port.target } else { 0 };
            let near = places.entry((port.published, target, port.protocol));
            let near = near.or_default();
            let mut others = near.iter().filter_map(|at| all.get(*at));
            if others.clone().any(|other| *other == port) {
                continue;
            }
            if let Some(other) = others.find(|other| other.collides_with(&port)) {
                item.error(format!(
                    "port {} is published already, for {} of the container",
                    port.published, other.target
                ));
                continue;
            }
            near.push(all.len());
            all.push(port);
        }
    }
    Some(all)
}

/// A port for each number of the range that `published` may be: Docker's stacks
/// do so with the short form.
fn read_long(item: &Item<'_>) -> Option<Vec<PortSpec>> {
    let mut fields = item.fields()?;
    let target = fields.get("target", |item| item.number(1, u16::MAX));
    if fields.item("target").is_none() {
        item.error("`target` must say which port of the container is published");
    }
    let published = fields.get("published", |item| match item.str()? {
        "" => None,
        _ => item.parsed(text::port_range),
    });
    let port = PortSpec {
        name: fields.get("name", Item::word),
        protocol: fields.or_default("protocol", Item::value),
        target: target.unwrap_or_default(),
        published: 0,
        mode: fields.or_default("mode", Item::value),
        host_ip: fields
            .get("host_ip", |item| item.parsed(text::host_ip))
            .flatten(),
    };
    if fields.item("app_protocol").is_some() {
        fields.warn_at("app_protocol", "this is a hint that nothing reads");
    }
    let published = published.unwrap_or(0..=0);
    if port.host_ip.is_some() && *published.start() == 0 {
        fields.error_at(
            "host_ip",
            "`published` must say on which port of that address",
        );
    }
    fields.finish();
    target?;
    let ports = published.map(|published| PortSpec {
        published,
        ..port.clone()
    });
    Some(ports.collect())
}
