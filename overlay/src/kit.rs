//! Small swarms, said in a few words, for tests.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use certs::NodeId;

use crate::directory::{
    Attachment, Directory, Network, NetworkId, Port, Protocol, Service, ServiceId,
};
use crate::names::{Names, RUN_DIR};
use crate::rules::{self, Ruleset};
use crate::table::Table;
use crate::view::{Endpoint, Local, View};

pub const ME: u128 = 1;

/// What node [`ME`] knows of a swarm.
#[derive(Debug, Clone)]
pub struct Site {
    pub view: View,
    pub directory: Directory,
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn node(number: u128) -> NodeId {
    NodeId::from(number)
}

pub fn names() -> Names {
    Names::of(Path::new(RUN_DIR))
}

pub fn tcp(published: u16, target: u16) -> Port {
    Port {
        protocol: Protocol::Tcp,
        published,
        target,
        host_ip: None,
    }
}

impl Site {
    pub fn new() -> Self {
        let view = View {
            me: node(ME),
            host: BTreeSet::new(),
            directory: Arc::default(),
            endpoints: BTreeSet::new(),
            locals: Default::default(),
            peers: Default::default(),
        };
        let directory = Directory::default();
        Self { view, directory }
    }

    pub fn host(&mut self, addr: &str) {
        self.view.host.insert(ip(addr));
    }

    pub fn peer(&mut self, number: u128, addr: &str) {
        let at = SocketAddr::new(ip(addr), crate::DATA_PORT);
        self.view.peers.insert(node(number), vec![at]);
    }

    pub fn network(&mut self, id: NetworkId, subnets: &[&str]) -> &mut Network {
        let network = Network {
            name: format!("net{id}"),
            subnets: subnets.iter().map(|net| net.parse().unwrap()).collect(),
            internal: false,
            ingress: false,
        };
        self.directory.networks.entry(id).or_insert(network)
    }

    /// A service called `s<id>`, on a network at some VIPs.
    pub fn service(&mut self, id: ServiceId, network: NetworkId, vips: &[&str]) -> &mut Service {
        let service = self.directory.services.entry(id).or_default();
        service.name = format!("s{id}");
        let attachment = Attachment {
            vips: vips.iter().map(|vip| ip(vip)).collect(),
            aliases: BTreeSet::new(),
        };
        service.networks.insert(network, attachment);
        service
    }

    /// A ready task of a service, on node `at`.
    pub fn task(&mut self, service: ServiceId, network: NetworkId, addr: &str, at: u128) {
        self.endpoint(service, network, addr, at, true);
    }

    /// A task that has been ready, or will be.
    pub fn draining(&mut self, service: ServiceId, network: NetworkId, addr: &str, at: u128) {
        self.endpoint(service, network, addr, at, false);
    }

    pub fn endpoint(
        &mut self,
        service: ServiceId,
        network: NetworkId,
        addr: &str,
        at: u128,
        ready: bool,
    ) {
        self.gone(addr);
        let addr = ip(addr);
        let (task, node) = (u128::from(hash(addr)), node(at));
        self.view.endpoints.insert(Endpoint {
            network,
            service,
            task,
            addr,
            node,
            ready,
        });
    }

    pub fn gone(&mut self, addr: &str) {
        let addr = ip(addr);
        self.view.endpoints.retain(|endpoint| endpoint.addr != addr);
    }

    /// A container that is connected here. Its sandbox is called as its veth.
    pub fn local(&mut self, network: NetworkId, addr: &str, veth: &str) -> &mut Local {
        let local = Local {
            network,
            veth: veth.to_owned(),
            sandbox: veth.to_owned(),
            ports: BTreeSet::new(),
        };
        self.view.locals.entry(ip(addr)).or_insert(local)
    }

    pub fn table(&self) -> Table {
        let directory = Arc::new(self.directory.clone());
        let view = self.view.clone();
        Table::derive(&View { directory, ..view })
    }

    pub fn rules(&self) -> Ruleset {
        rules::ruleset(&names(), &self.table())
    }
}

fn hash(addr: IpAddr) -> u32 {
    addr.to_string().bytes().fold(7, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
