//! What the nodes have said, put together: every pair of devices once, with what
//! each of the two sees of the other, and what is wrong in words.

use std::collections::{BTreeMap, BTreeSet};

use certs::NodeId;
use overlay::tunnel::{Drops, Echoes, PeerReport};

use super::Diagnosis;

/// One in so many probes may be lost before it is called a problem.
const TOLERATED_LOSS: u32 = 20;

/// A device that was asked.
#[derive(Debug)]
pub struct Asked {
    pub id: NodeId,
    /// Or why there is none.
    pub answer: Result<Diagnosis, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub devices: Vec<Device>,
    pub pairs: Vec<Pair>,
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub id: NodeId,
    pub name: String,
    pub answered: bool,
    /// Names of those that its containers are on.
    pub networks: BTreeSet<String>,
    pub drops: Drops,
}

/// Two devices that reach each other, or should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub devices: [Named; 2],
    /// Names of those that both are on.
    pub networks: BTreeSet<String>,
    /// What the first sees of the second, and the second of the first.
    pub seen: [Option<PeerReport>; 2],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub id: NodeId,
    pub name: String,
}

/// `names`: of all devices, also of those that were not asked. `network`: only what is between devices on the network of this name or id.
pub fn report(asked: &[Asked], names: &BTreeMap<NodeId, String>, network: Option<&str>) -> Report {
    let mut problems = Vec::new();
    let mut devices = Vec::new();
    for device in asked {
        let name = name_of(device.id, names);
        let diagnosis = match &device.answer {
            Ok(diagnosis) => diagnosis,
            Err(reason) => {
                problems.push(format!("{name} does not answer: {reason}"));
                devices.push(Device::silent(device.id, name));
                continue;
            }
        };
        if !is_on(diagnosis, network) {
            continue;
        }
        let fault = diagnosis.fault.iter();
        problems.extend(fault.map(|fault| format!("{name}: {fault}")));
        let findings = diagnosis.findings.iter();
        problems.extend(findings.map(|finding| format!("{name}: {finding}")));
        devices.push(Device::of(device.id, name, diagnosis));
    }
    let mut pairs = pairs(asked, names, network);
    pairs.retain(|pair| pair.matters(network));
    let mtus: BTreeMap<NodeId, u16> = asked
        .iter()
        .filter_map(|device| Some((device.id, device.answer.as_ref().ok()?.mtu)))
        .collect();
    for pair in &pairs {
        let mtu = pair.devices.iter().filter_map(|it| mtus.get(&it.id));
        problems.extend(pair.problems(mtu.copied().min().unwrap_or(0)));
    }
    Report {
        devices,
        pairs,
        problems,
    }
}

fn is_on(diagnosis: &Diagnosis, network: Option<&str>) -> bool {
    let Some(network) = network else {
        return true;
    };
    let mut networks = diagnosis.networks.iter();
    networks.any(|shared| shared.name == network || shared.id.to_string() == network)
}

fn name_of(id: NodeId, names: &BTreeMap<NodeId, String>) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

fn pairs(asked: &[Asked], names: &BTreeMap<NodeId, String>, network: Option<&str>) -> Vec<Pair> {
    let mut pairs: BTreeMap<[NodeId; 2], Pair> = BTreeMap::new();
    for device in asked {
        let Ok(diagnosis) = &device.answer else {
            continue;
        };
        for peer in &diagnosis.tunnel.peers {
            let mut key = [device.id, peer.node];
            key.sort_unstable();
            let pair = pairs.entry(key).or_insert_with(|| Pair {
                devices: key.map(|id| Named {
                    id,
                    name: name_of(id, names),
                }),
                networks: BTreeSet::new(),
                seen: [None, None],
            });
            let shared = diagnosis.networks.iter();
            let shared = shared.filter(|shared| shared.nodes.contains(&peer.node));
            let wanted = |name: &str, id: String| network.is_none_or(|it| it == name || it == id);
            pair.networks.extend(
                shared
                    .filter(|shared| wanted(&shared.name, shared.id.to_string()))
                    .map(|shared| shared.name.clone()),
            );
            pair.seen[usize::from(key[0] != device.id)] = Some(peer.clone());
        }
    }
    let mut pairs: Vec<Pair> = pairs.into_values().collect();
    for pair in &mut pairs {
        if pair.devices[0].name > pair.devices[1].name {
            pair.devices.reverse();
            pair.seen.reverse();
        }
    }
    pairs.sort_by(|a, b| {
        let names = |pair: &Pair| pair.devices.clone().map(|device| device.name);
        names(a).cmp(&names(b))
    });
    pairs
}

impl Device {
    fn silent(id: NodeId, name: String) -> Self {
        Self {
            id,
            name,
            answered: false,
            networks: BTreeSet::new(),
            drops: Drops::default(),
        }
    }

    fn of(id: NodeId, name: String, diagnosis: &Diagnosis) -> Self {
        let networks = diagnosis.networks.iter();
        Self {
            id,
            name,
            answered: true,
            networks: networks.map(|shared| shared.name.clone()).collect(),
            drops: diagnosis.tunnel.drops,
        }
    }
}

impl Pair {
    pub fn is_connected(&self) -> bool {
        self.views().any(|peer| peer.path.is_some())
    }

    /// Whether the two should be connected, be there packets or not.
    pub fn is_wanted(&self) -> bool {
        self.views().any(|peer| peer.is_wanted)
    }

    fn views(&self) -> impl Iterator<Item = &PeerReport> {
        self.seen.iter().flatten()
    }

    /// Nobody asks about two devices that have nothing to say to each other.
    fn matters(&self, network: Option<&str>) -> bool {
        match network {
            Some(_) => !self.networks.is_empty(),
            None => self.is_connected() || self.is_wanted(),
        }
    }

    /// `mtu`: bytes of the packets that containers on both send.
    fn problems(&self, mtu: u16) -> Vec<String> {
        let [a, b] = &self.devices;
        let names = format!("{} - {}", a.name, b.name);
        if !self.is_connected() {
            return vec![format!("{names}: no connection{}", self.attempts())];
        }
        let mut problems = Vec::new();
        for (device, seen) in self.devices.iter().zip(&self.seen) {
            if seen.as_ref().is_some_and(|peer| peer.path.is_none()) {
                problems.push(format!("{names}: {} knows of no connection", device.name));
            }
        }
        let probed = || self.views().filter_map(|peer| peer.probed);
        let sum = |echoes: Vec<Echoes>| {
            let (sent, answered) = (echoes.iter()).fold((0, 0), |(sent, answered), it| {
                (sent + it.sent, answered + it.answered)
            });
            (sent, sent.saturating_sub(answered))
        };
        let (small, small_lost) = sum(probed().map(|probed| probed.small).collect());
        let (large, large_lost) = sum(probed().map(|probed| probed.large).collect());
        if large > 0 && large_lost == large && small_lost < small {
            problems.push(format!(
                "{names}: large packets are lost, small ones arrive"
            ));
        } else if (small_lost + large_lost) * TOLERATED_LOSS > small + large {
            problems.push(format!(
                "{names}: {} of {} probes were lost",
                small_lost + large_lost,
                small + large
            ));
        }
        let path = self.views().filter_map(|peer| peer.path.as_ref());
        if let Some(carries) = path.map(|path| path.mtu).min()
            && carries < usize::from(mtu)
        {
            problems.push(format!(
                "{names}: the path carries packets of {carries} bytes, containers send {mtu}"
            ));
        }
        problems
    }

    /// Where each has looked for the other, and how that ended.
    fn attempts(&self) -> String {
        let mut text = String::new();
        for (device, peer) in self.devices.iter().zip(&self.seen) {
            let Some(peer) = peer else {
                continue;
            };
            let addrs: Vec<String> = peer.addrs.iter().map(ToString::to_string).collect();
            let tried = match addrs.as_slice() {
                [] => "knows no address".to_owned(),
                addrs => format!("tries {}", addrs.join(", ")),
            };
            let failure = peer.failure.iter();
            let failure: String = failure.map(|why| format!(" ({why})")).collect();
            text.push_str(&format!("; {} {tried}{failure}", device.name));
        }
        text
    }
}

#[cfg(test)]
mod tests;
