//! Networks of the project, and which of them a service is on.

use std::collections::BTreeMap;

use super::super::item::{Fields, Item};
use super::super::model::{Attachment, Network, NetworkMode};
use super::{External, ignore_beside_external, pairs, read_external};
use crate::spec::{IpamConfig, IpamSpec};

pub(super) fn read_network(name: &str, item: &Item<'_>) -> Option<Network> {
    if item.node.is_null() {
        return Some(Network::default());
    }
    let mut fields = item.fields()?;
    let External { is_external, name } = read_external(&mut fields, name);
    if is_external {
        let meant = ["driver", "driver_opts", "ipam", "internal", "attachable"];
        ignore_beside_external(&mut fields, &meant);
        ignore_beside_external(&mut fields, &["enable_ipv4", "enable_ipv6", "labels"]);
        fields.finish();
        return Some(Network {
            name,
            external: true,
            ..Network::default()
        });
    }
    let driver = fields.get("driver", Item::word);
    let options = fields.get("driver_opts", pairs::options);
    let network = Network {
        name,
        external: false,
        driver: pairs::driver(driver, options),
        internal: fields.or_default("internal", Item::boolean),
        attachable: fields.or_default("attachable", Item::boolean),
        ipv6: fields.or_default("enable_ipv6", Item::boolean),
        ipam: fields.or_default("ipam", read_ipam),
        labels: fields.or_default("labels", pairs::texts),
    };
    if fields.get("enable_ipv4", Item::boolean) == Some(false) {
        fields.error_at("enable_ipv4", "every network of a swarm has IPv4");
    }
    fields.finish();
    Some(network)
}

fn read_ipam(item: &Item<'_>) -> Option<IpamSpec> {
    let mut fields = item.fields()?;
    let driver = fields.get("driver", Item::word);
    let options = fields.get("options", pairs::options);
    let ipam = IpamSpec {
        driver: pairs::driver(driver, options),
        configs: fields.or_default("config", |item| item.list_of(read_ipam_config)),
    };
    fields.finish();
    Some(ipam)
}

fn read_ipam_config(item: &Item<'_>) -> Option<IpamConfig> {
    let mut fields = item.fields()?;
    let net = |item: &Item<'_>| {
        item.parsed(|text| {
            text.parse()
                .map_err(|_| format!("{text:?} is no network, as 10.1.0.0/24 is one"))
        })
    };
    let config = IpamConfig {
        subnet: fields.get("subnet", net),
        ip_range: fields.get("ip_range", net),
        gateway: fields.get("gateway", address),
        aux: fields.or_default("aux_addresses", |item| {
            let addresses = item.entries()?.into_iter();
            let read =
                addresses.filter_map(|(name, item)| Some((name.to_owned(), address(&item)?)));
            Some(read.collect())
        }),
    };
    fields.finish();
    Some(config)
}

fn address<T: std::str::FromStr>(item: &Item<'_>) -> Option<T> {
    item.parsed(|text| {
        text.parse()
            .map_err(|_| format!("{text:?} is no such address"))
    })
}

/// `networks` of a service: names in a list, or a mapping of them.
pub(super) fn read_attachments(item: &Item<'_>) -> Option<BTreeMap<String, Attachment>> {
    if item.node.as_map().is_none() {
        let names = item.list_of(Item::word)?.into_iter();
        return Some(names.map(|name| (name, Attachment::default())).collect());
    }
    let entries = item.entries()?.into_iter();
    let read = entries.filter_map(|(name, item)| Some((name.to_owned(), read_attachment(&item)?)));
    Some(read.collect())
}

fn read_attachment(item: &Item<'_>) -> Option<Attachment> {
    if item.node.is_null() {
        return Some(Attachment::default());
    }
    let mut fields = item.fields()?;
    let attachment = Attachment {
        aliases: fields.or_default("aliases", |item| item.list_of(Item::word)),
        ipv4_address: fields.get("ipv4_address", address),
        ipv6_address: fields.get("ipv6_address", address),
        driver_opts: fields.or_default("driver_opts", pairs::options),
    };
    for (name, why) in [
        (
            "priority",
            "networks are joined in the order of their names",
        ),
        ("gw_priority", "the gateway is chosen by the engine"),
        (
            "mac_address",
            "addresses of the link layer are given by the network",
        ),
    ] {
        if fields.item(name).is_some() {
            fields.warn_at(name, format!("this is ignored: {why}"));
        }
    }
    for name in ["link_local_ips", "interface_name"] {
        if fields.item(name).is_some() {
            fields.error_at(name, "networks of a swarm do not have this: take it out");
        }
    }
    fields.finish();
    Some(attachment)
}

/// `network_mode`; `None` for what says no more than `networks` would.
pub(super) fn read_network_mode(fields: &mut Fields<'_>) -> Option<NetworkMode> {
    let text = fields.get("network_mode", Item::text)?;
    match text.as_str() {
        "host" => Some(NetworkMode::Host),
        "none" => Some(NetworkMode::None),
        "default" => None,
        "bridge" => {
            let text = "this is ignored: a service is on networks of the swarm";
            fields.warn_at("network_mode", text);
            None
        }
        _ => {
            let text = format!(
                "{text:?} is not possible in a swarm: host, none, or `networks` that both are on"
            );
            fields.error_at("network_mode", text);
            None
        }
    }
}
