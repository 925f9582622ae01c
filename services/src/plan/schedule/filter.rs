//! Whether a node can take a task, and the text that says why none can:
//! swarmkit's phrases, each followed by what would have to change.

use std::collections::{BTreeMap, BTreeSet};

use super::nodes::{NodeLoad, ServiceOnNodes};
use crate::generic::{self, Wanted};
use crate::plan::criteria::{Criteria, Unmet};
use crate::spec::{Platform, PortSpec, Protocol, ServiceSpec};

/// What every task of a group asks of its node.
pub(super) struct Needs {
    pub(super) cpus: i64,
    pub(super) memory: i64,
    pub(super) generic: Wanted,
    criteria: Criteria,
    pub(super) host_ports: Vec<PortSpec>,
    max_per_node: Option<u64>,
    pub(super) spread: Vec<String>,
}

/// Why a node cannot take one task more; the first filter that fails.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Misfit {
    Closed(&'static str),
    Resources(String),
    Constraint(String),
    Platform,
    OwnPlatform(String),
    Device(String),
    Overlay,
    HostPort(Protocol, u16),
    MaxPerNode,
}

impl Needs {
    pub(super) fn of(spec: &ServiceSpec) -> Self {
        let reservations = spec.task.reservations();
        let placement = spec.task.placement.clone().unwrap_or_default();
        Self {
            cpus: reservations.nano_cpus,
            memory: reservations.memory_bytes,
            generic: spec.task.generic.clone(),
            criteria: Criteria::of(spec),
            host_ports: spec.host_ports().cloned().collect(),
            max_per_node: placement.max_per_node.filter(|&max| max > 0),
            spread: placement.preferences,
        }
    }

    /// Whether tasks of this kind can run on the node at all.
    pub(super) fn suits(&self, load: &NodeLoad) -> bool {
        self.unsuited(load).is_none()
    }

    fn unsuited(&self, load: &NodeLoad) -> Option<Misfit> {
        if let Some(why) = load.closed {
            return Some(Misfit::Closed(why));
        }
        self.criteria.unmet(&load.node).map(|unmet| match unmet {
            Unmet::Constraint(text) => Misfit::Constraint(text),
            Unmet::Platform => Misfit::Platform,
            Unmet::OwnPlatform(wanted) => Misfit::OwnPlatform(wanted),
            Unmet::Device(path) => Misfit::Device(path),
            Unmet::Overlay => Misfit::Overlay,
        })
    }

    /// Whether there is room for one task more, `of_service` being there.
    pub(super) fn fits(&self, load: &NodeLoad, of_service: u32) -> bool {
        self.no_room(load, of_service).is_none()
    }

    fn no_room(&self, load: &NodeLoad, of_service: u32) -> Option<Misfit> {
        // A node that lost resources is overdrawn; who needs none still fits.
        if self.cpus > load.free_cpus.max(0) {
            return Some(Misfit::Resources("not enough CPU".to_owned()));
        }
        if self.memory > load.free_memory.max(0) {
            return Some(Misfit::Resources("not enough memory".to_owned()));
        }
        if let Some(kind) = generic::lacking(&load.free_generic, &self.generic) {
            return Some(Misfit::Resources(format!("not enough {kind}")));
        }
        let taken = |port: &&PortSpec| load.has_host_port(port);
        if let Some(port) = self.host_ports.iter().find(taken) {
            return Some(Misfit::HostPort(port.protocol, port.published));
        }
        let full = self
            .max_per_node
            .is_some_and(|max| u64::from(of_service) >= max);
        full.then_some(Misfit::MaxPerNode)
    }

    /// Why the node cannot take it, if so.
    pub(super) fn misfit(&self, load: &NodeLoad, of_service: u32) -> Option<Misfit> {
        self.unsuited(load)
            .or_else(|| self.no_room(load, of_service))
    }
}

/// `no suitable node (insufficient resources on 2 nodes: not enough memory;
/// scheduling constraints not satisfied on 1 node: node.labels.gpu==true)`.
pub(super) fn explain(nodes: &[NodeLoad], service: &ServiceOnNodes, needs: &Needs) -> String {
    // By kind, in the order of the filters: how many, and the distinct details.
    let mut kinds: BTreeMap<usize, (usize, &str, BTreeSet<String>)> = BTreeMap::new();
    for (load, &of_service) in nodes.iter().zip(&service.tasks) {
        let Some(misfit) = needs.misfit(load, of_service) else {
            continue;
        };
        let (rank, phrase) = misfit.phrase();
        let entry = kinds.entry(rank).or_insert((0, phrase, BTreeSet::new()));
        entry.0 += 1;
        entry.2.insert(misfit.detail(needs));
    }
    if kinds.is_empty() {
        return "no suitable node".to_owned();
    }
    let text = |(count, phrase, details): (usize, &str, BTreeSet<String>)| {
        let details: Vec<String> = details.into_iter().collect();
        let nodes = if count == 1 { "node" } else { "nodes" };
        let counted = if phrase.starts_with("not available") {
            format!("{count} {nodes} {phrase}")
        } else {
            format!("{phrase} on {count} {nodes}")
        };
        format!("{counted}: {}", details.join(", "))
    };
    let texts: Vec<String> = kinds.into_values().map(text).collect();
    format!("no suitable node ({})", texts.join("; "))
}

impl Misfit {
    fn phrase(&self) -> (usize, &'static str) {
        match self {
            Self::Closed(_) => (0, "not available for new tasks"),
            Self::Resources(_) => (1, "insufficient resources"),
            Self::Constraint(_) => (2, "scheduling constraints not satisfied"),
            Self::Platform | Self::OwnPlatform(_) => (3, "unsupported platform"),
            Self::Device(_) => (4, "missing device"),
            Self::Overlay => (5, "no overlay network"),
            Self::HostPort(..) => (6, "host-mode port already in use"),
            Self::MaxPerNode => (7, "max replicas per node limit exceed"),
        }
    }

    fn detail(&self, needs: &Needs) -> String {
        match self {
            Self::Closed(why) => (*why).to_owned(),
            Self::Resources(text) | Self::Constraint(text) | Self::Device(text) => text.clone(),
            Self::Platform => {
                let names: Vec<String> =
                    needs.criteria.platforms.iter().map(platform_name).collect();
                format!("the image is for {}", names.join(", "))
            }
            Self::Overlay => "the daemon runs with --no-overlay".to_owned(),
            Self::OwnPlatform(wanted) => format!("the service is for {wanted}"),
            Self::HostPort(protocol, port) => format!("{port}/{}", protocol.as_str()),
            Self::MaxPerNode => format!("at most {}", needs.max_per_node.unwrap_or_default()),
        }
    }
}

fn platform_name(platform: &Platform) -> String {
    let any = |text: &str| if text.is_empty() { "any" } else { text }.to_owned();
    format!("{}/{}", any(&platform.os), any(&platform.architecture))
}
