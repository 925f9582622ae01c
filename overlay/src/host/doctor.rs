//! What of the wanted is not there.
//!
//! Rules are compared as the kernel itself lists them: the wanted ones are
//! loaded into a network namespace made for it, and both lists compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::netlink::Netlink;
use super::routes::Rival;
use super::{Result, docker, nft, routes, sysctl};
use crate::names::Names;
use crate::rules::{self, Ruleset};
use crate::table::Table;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A chain, map or set of the nftables table, or an element.
    Rule(String),
    Route(String),
    /// Another program's route takes a network's packets.
    Rival(Rival),
    Link(String),
    Sysctl(String),
    Engine(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(what) => write!(f, "nftables: {what}"),
            Self::Route(what) => write!(f, "{what} is missing"),
            Self::Rival(rival) => rival.fmt(f),
            Self::Link(what) => write!(f, "interface {what} is missing"),
            Self::Sysctl(what) => f.write_str(what),
            Self::Engine(what) => write!(f, "{what} is missing"),
        }
    }
}

pub async fn diagnose(netlink: &Netlink, names: &Names, table: &Table) -> Result<Vec<Finding>> {
    let links = netlink.links().await?;
    let veths = table.locals.values().map(|local| &local.veth);
    let wanted: BTreeSet<_> = veths.chain([&names.tun]).collect();
    let absent = wanted.into_iter().filter(|name| !links.contains_key(*name));
    let mut found: Vec<_> = absent.map(|name| Finding::Link(name.clone())).collect();
    let there = netlink.routes().await?;
    let missing = routes::missing(netlink, names, table, &links, &there).await?;
    found.extend(missing.into_iter().map(Finding::Route));
    let rivals = routes::rivals(&there, names, table, &links);
    found.extend(rivals.into_iter().map(Finding::Rival));
    let switches = sysctl::missing(names, table, &links);
    found.extend(switches.into_iter().map(Finding::Sysctl));
    let engine = docker::missing(names).await?;
    found.extend(engine.into_iter().map(Finding::Engine));
    let rules = rules(names, table).await?;
    found.extend(rules.into_iter().map(Finding::Rule));
    Ok(found)
}

async fn rules(names: &Names, table: &Table) -> Result<Vec<String>> {
    let Ok(live) = nft::list(&names.table).await else {
        return Ok(vec![format!("table inet {} is missing", names.table)]);
    };
    let wanted = elsewhere(&rules::ruleset(names, table)).await?;
    Ok(compare(&listing(&wanted), &listing(&live)))
}

/// What `nft` lists of the rules in a network namespace of their own.
async fn elsewhere(rules: &Ruleset) -> Result<String> {
    let load_and_list = format!("nft -f - && nft -j list table inet {}", rules.table());
    let args = ["--net", "sh", "-c", &load_and_list];
    nft::said("nft", nft::call("unshare", &args, &rules.whole()).await?)
}

/// Chains with their rules in order; maps and sets with their elements.
pub type Listing = BTreeMap<String, Vec<String>>;

/// Of what `nft -j list table` prints.
pub fn listing(json: &str) -> Listing {
    let mut listing = Listing::new();
    let parsed: Value = serde_json::from_str(json).unwrap_or_default();
    let items = parsed["nftables"].as_array();
    for item in items.into_iter().flatten() {
        let Some((kind, item)) = item.as_object().and_then(|item| item.iter().next()) else {
            continue;
        };
        match kind.as_str() {
            "chain" => {
                let chain = listing.entry(format!("chain {}", text(&item["name"])));
                let hook = item["hook"].as_str();
                let hook = hook.map(|hook| format!("hook {hook} {}", item["prio"]));
                chain.or_default().extend(hook);
            }
            "rule" => {
                let chain = listing.entry(format!("chain {}", text(&item["chain"])));
                chain.or_default().push(item["expr"].to_string());
            }
            "set" | "map" => {
                // What packets put into a set is not ours to want. nft 1.0 does not
                // say that it is dynamic, but when its elements go.
                let filled_by_packets = !item["timeout"].is_null();
                let elements = item["elem"].as_array().filter(|_| !filled_by_packets);
                let mut elements: Vec<_> = elements.into_iter().flatten().map(text).collect();
                elements.sort_unstable();
                listing.insert(format!("{kind} {}", text(&item["name"])), elements);
            }
            _ => {}
        }
    }
    listing
}

/// An element as `nft` writes it, or nearly.
fn text(value: &Value) -> String {
    let joined = |values: &[Value], by| values.iter().map(text).collect::<Vec<_>>().join(by);
    match value {
        Value::String(text) => text.clone(),
        Value::Array(pair) => joined(pair, " : "),
        Value::Object(object) => match object.iter().next() {
            Some((key, Value::Array(parts))) if key == "concat" => joined(parts, " . "),
            Some((key, prefix)) if key == "prefix" => {
                format!("{}/{}", text(&prefix["addr"]), prefix["len"])
            }
            Some((verdict, to)) => format!("{verdict} {}", text(&to["target"])),
            None => String::new(),
        },
        other => other.to_string(),
    }
}

/// How `live` differs from `wanted`, a line for each chain and element.
pub fn compare(wanted: &Listing, live: &Listing) -> Vec<String> {
    let mut found = Vec::new();
    for (name, wanted) in wanted {
        let Some(live) = live.get(name) else {
            found.push(format!("{name} is missing"));
            continue;
        };
        if name.starts_with("chain") {
            if wanted != live {
                let (is, wants) = (live.len(), wanted.len());
                found.push(format!(
                    "{name} differs: {is} rules, not the {wants} wanted"
                ));
            }
            continue;
        }
        let lacking = wanted.iter().filter(|element| !live.contains(element));
        found.extend(lacking.map(|element| format!("{name} lacks {element}")));
        let excess = live.iter().filter(|element| !wanted.contains(element));
        found.extend(excess.map(|element| format!("{name} has {element} too much")));
    }
    let strange = live.keys().filter(|name| !wanted.contains_key(*name));
    found.extend(strange.map(|name| format!("{name} is not wanted")));
    found
}
