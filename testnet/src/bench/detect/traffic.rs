//! Bytes that a host sends and receives for each protocol, counted by its own
//! kernel on its cable: whole IP packets, headers included.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use swarmlet_testnet::Host;

const TABLE: &str = "bench";
/// The counters' names, and what they count.
const COUNTED: [(&str, &str); 3] = [
    ("swarmlet", "udp sport 2377 or udp dport 2377"),
    ("mdns", "udp dport 5353"),
    (
        "serf",
        "meta l4proto { tcp, udp } th sport 7946 or th dport 7946",
    ),
];

/// Bytes of one host since its counters began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    pub swarmlet_in: u64,
    pub swarmlet_out: u64,
    pub mdns_in: u64,
    pub mdns_out: u64,
    pub serf_in: u64,
    pub serf_out: u64,
}

/// Begins to count, from nothing.
pub fn count(host: &Host) -> Result<()> {
    let mut rules = String::new();
    for (direction, hook, interface) in [("in", "input", "iifname"), ("out", "output", "oifname")] {
        let mut chain = format!("type filter hook {hook} priority -300\n");
        for (name, what) in COUNTED {
            rules += &format!("counter {name}_{direction} {{ packets 0 bytes 0 }}\n");
            for what in what.split(" or ") {
                chain +=
                    &format!("{interface} eth0 {what} counter name {name}_{direction} accept\n");
            }
        }
        rules += &format!("chain {direction} {{\n{chain}}}\n");
    }
    let again = format!("add table inet {TABLE}\ndelete table inet {TABLE}\n");
    let script = format!("{again}table inet {TABLE} {{\n{rules}}}");
    host.ok(&["nft", &script])?;
    Ok(())
}

/// What was counted so far.
pub fn read(host: &Host) -> Result<Traffic> {
    let listed = host.ok(&["nft", "--json", "list", "counters", "table", "inet", TABLE])?;
    parse(&serde_json::from_str(&listed)?).context("counters of nft")
}

fn parse(listed: &Value) -> Option<Traffic> {
    let entries = listed["nftables"].as_array()?;
    let bytes = |name: &str| {
        let counters = entries.iter().map(|entry| &entry["counter"]);
        let mut own = counters.filter(|counter| counter["name"] == name);
        own.next()?["bytes"].as_u64()
    };
    Some(Traffic {
        swarmlet_in: bytes("swarmlet_in")?,
        swarmlet_out: bytes("swarmlet_out")?,
        mdns_in: bytes("mdns_in")?,
        mdns_out: bytes("mdns_out")?,
        serf_in: bytes("serf_in")?,
        serf_out: bytes("serf_out")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_names() {
        let counter = |name: &str, bytes: u64| serde_json::json!({ "counter": { "name": name, "packets": 1, "bytes": bytes } });
        let mut all = vec![serde_json::json!({ "metainfo": {} })];
        for (bytes, name) in [
            "swarmlet_in",
            "swarmlet_out",
            "mdns_in",
            "mdns_out",
            "serf_in",
        ]
        .iter()
        .enumerate()
        {
            all.push(counter(name, bytes as u64));
        }
        assert_eq!(parse(&serde_json::json!({ "nftables": all })), None);
        all.push(counter("serf_out", 9));
        let traffic = parse(&serde_json::json!({ "nftables": all })).unwrap();
        assert_eq!((traffic.swarmlet_out, traffic.serf_out), (1, 9));
    }
}
