//! What the overlay is to do, from what managers, gossip and the engine say.
//!
//! The domain's types become the overlay's here and nowhere else. Of a swarm of
//! a thousand nodes little changes at a time: what has not is not made again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use certs::NodeId;
use gossip::endpoints::Table as Answering;
use gossip::{Liveness, Member};
use overlay::directory as plain;
use overlay::plugin::Locals;
use overlay::view::{Endpoint, View};
use services::directory::{
    Directory, DirectoryAttachment, DirectoryNetwork, DirectoryPort, DirectoryService,
    OutdatedPorts,
};
use services::object::PublishedPort;
use services::spec::Protocol;

use crate::manager::node_key;

/// All that a view is made of.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What managers said last.
    pub directory: Arc<Directory>,
    /// Endpoints of live nodes, with tickets.
    pub answering: Arc<Answering>,
    /// Of this node.
    pub locals: Locals,
    pub peers: BTreeMap<NodeId, Vec<SocketAddr>>,
    pub host: BTreeSet<IpAddr>,
    /// See [`View::own_ports`].
    pub own_ports: BTreeSet<u16>,
}

impl Sources {
    /// What is shared is compared by its address: most news of a swarm are about
    /// none of these, and a thousand endpoints take a while to look at.
    fn are_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.directory, &other.directory)
            && Arc::ptr_eq(&self.answering, &other.answering)
            && Arc::ptr_eq(&self.locals, &other.locals)
            && (&self.peers, &self.host, &self.own_ports)
                == (&other.peers, &other.host, &other.own_ports)
    }
}

/// Makes views, and remembers what they were made of.
#[derive(Debug)]
pub struct Viewer {
    me: NodeId,
    last: Option<(Sources, Arc<View>)>,
}

impl Viewer {
    pub fn new(me: NodeId) -> Self {
        Self { me, last: None }
    }

    /// What is to be done now; `None`: what was to be done before.
    pub fn look(&mut self, sources: Sources) -> Option<Arc<View>> {
        let is_known = |(last, _): &(Sources, _)| sources.are_the_same(last);
        if self.last.as_ref().is_some_and(is_known) {
            return None;
        }
        let before = self.last.take();
        let (directory, endpoints) = match &before {
            Some((old, view)) => (
                Arc::ptr_eq(&old.directory, &sources.directory)
                    .then(|| Arc::clone(&view.directory)),
                Arc::ptr_eq(&old.answering, &sources.answering).then(|| view.endpoints.clone()),
            ),
            None => (None, None),
        };
        let view = View {
            me: self.me,
            host: sources.host.clone(),
            own_ports: sources.own_ports.clone(),
            directory: directory.unwrap_or_else(|| Arc::new(plainly(&sources.directory))),
            endpoints: endpoints.unwrap_or_else(|| flat(&sources.answering)),
            locals: (*sources.locals).clone(),
            peers: sources.peers.clone(),
        };
        let news = before.is_none_or(|(_, before)| *before != view);
        let (_, view) = self.last.insert((sources, Arc::new(view)));
        news.then(|| Arc::clone(view))
    }
}

/// Where the data ports of the other live nodes may answer, likeliest first:
/// where they were seen, then where they say that they are; or at the one
/// address that a node has for them.
pub fn peers(
    me: NodeId,
    members: &[Member],
    directory: &Directory,
) -> BTreeMap<NodeId, Vec<SocketAddr>> {
    let data_port = directory.data_port;
    let live = |member: &&Member| {
        member.id != me && matches!(member.liveness, Liveness::Alive | Liveness::Suspect)
    };
    let addrs = |member: &Member| {
        if let Some(node) = directory.nodes.get(&node_key(member.id)) {
            let addr = SocketAddr::new(node.data_addr, data_port);
            return (member.id, vec![addr]);
        }
        let said = member.facts.iter().flat_map(|facts| facts.addrs.iter());
        let mut addrs: Vec<SocketAddr> = Vec::new();
        for known in member.addr.iter().chain(said) {
            let addr = SocketAddr::new(known.ip().to_canonical(), data_port);
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        (member.id, addrs)
    };
    members.iter().filter(live).map(addrs).collect()
}

/// Where other hosts reach this one: the address that it tells them, and one of
/// its own of the other family, the first that the world could send to.
pub fn host_addresses(told: IpAddr, own: impl IntoIterator<Item = IpAddr>) -> BTreeSet<IpAddr> {
    let other = own
        .into_iter()
        .find(|addr| addr.is_ipv4() != told.is_ipv4() && is_routable(*addr));
    [told].into_iter().chain(other).collect()
}

fn is_routable(addr: IpAddr) -> bool {
    let is_local = match addr {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    };
    !(is_local || addr.is_loopback() || addr.is_unspecified() || addr.is_multicast())
}

fn flat(answering: &Answering) -> BTreeSet<Endpoint> {
    let services = answering
        .iter()
        .flat_map(|(network, services)| services.iter().map(|it| (*network, it)));
    let backends = services.flat_map(|(network, (service, backends))| {
        backends.iter().map(move |it| (network, *service, it))
    });
    let endpoints = backends.flat_map(|(network, service, backend)| {
        backend.addrs.iter().map(move |addr| Endpoint {
            network,
            service,
            task: backend.task,
            addr: *addr,
            node: backend.node,
            ready: backend.ready,
            names: backend.names.clone(),
        })
    });
    endpoints.collect()
}

fn plainly(directory: &Directory) -> plain::Directory {
    let networks = directory.networks.iter();
    let services = directory.services.iter();
    plain::Directory {
        networks: networks
            .map(|(id, it)| (id.as_u128(), network(it)))
            .collect(),
        services: services
            .map(|(id, it)| (id.as_u128(), service(it)))
            .collect(),
    }
}

fn network(network: &DirectoryNetwork) -> plain::Network {
    plain::Network {
        name: network.name.clone(),
        subnets: network.subnets.iter().map(|subnet| subnet.net).collect(),
        internal: network.internal,
        ingress: network.ingress,
    }
}

fn service(service: &DirectoryService) -> plain::Service {
    let networks = service.networks.iter();
    plain::Service {
        name: service.name.clone(),
        networks: networks
            .map(|(id, it)| (id.as_u128(), attachment(it)))
            .collect(),
        ports: service.ports.iter().map(port).collect(),
        outdated: service.outdated.iter().map(outdated).collect(),
    }
}

fn outdated(outdated: &OutdatedPorts) -> plain::OutdatedPorts {
    plain::OutdatedPorts {
        tasks: outdated.tasks.iter().map(|task| task.as_u128()).collect(),
        ports: outdated.ports.iter().map(port).collect(),
    }
}

fn attachment(attachment: &DirectoryAttachment) -> plain::Attachment {
    plain::Attachment {
        vips: attachment.vips.clone(),
        aliases: attachment.aliases.clone(),
    }
}

fn port(port: &DirectoryPort) -> plain::Port {
    plain::Port {
        protocol: match port.protocol {
            Protocol::Tcp => plain::Protocol::Tcp,
            Protocol::Udp => plain::Protocol::Udp,
            Protocol::Sctp => plain::Protocol::Sctp,
        },
        published: port.published,
        target: port.target,
        host_ip: port.host_ip,
    }
}

/// The other way.
pub fn published_port(port: &plain::Port) -> PublishedPort {
    PublishedPort {
        protocol: match port.protocol {
            plain::Protocol::Tcp => Protocol::Tcp,
            plain::Protocol::Udp => Protocol::Udp,
            plain::Protocol::Sctp => Protocol::Sctp,
        },
        target: port.target,
        published: port.published,
        host_ip: port.host_ip,
    }
}

#[cfg(test)]
mod tests;
