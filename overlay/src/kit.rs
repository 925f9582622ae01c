//! Small swarms, said in a few words, for tests.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
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
            own_ports: BTreeSet::new(),
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
            names: Vec::new(),
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

    /// One of many small changes, as they happen in a swarm of three networks
    /// (one of them ingress), four services and three nodes.
    pub fn shake(&mut self, dice: u32) {
        let pick = |shift: u32, of: u32| (dice >> shift) % of;
        let network = 1 + u128::from(pick(0, 3));
        let service = 10 + u128::from(pick(4, 4));
        let addr = format!("10.0.{network}.{}", 10 + pick(8, 6));
        let at = 1 + u128::from(pick(12, 3));
        match pick(16, 10) {
            0 => self.draining(service, network, &addr, at),
            1 => self.gone(&addr),
            2 => drop(self.view.locals.remove(&ip(&addr))),
            3 | 4 => {
                let veth = format!("swv0000{}", pick(20, 4));
                self.local(network, &addr, &veth);
            }
            5 => drop(self.directory.networks.remove(&network)),
            6 | 7 => {
                let network = self.network(network, &[&format!("10.0.{network}.0/24")]);
                (network.ingress, network.internal) = (at == 1, at == 2);
            }
            8 => {
                let vip = format!("10.0.{network}.{service}");
                let ports = [tcp(8000 + pick(20, 3) as u16, 80)].into();
                self.service(service, network, &[&vip]).ports = ports;
                self.view.host = [ip(&format!("192.0.2.{at}"))].into();
                self.peer(at, &format!("192.0.2.{at}"));
            }
            _ => self.task(service, network, &addr, at),
        }
    }

    /// 200 services of 5 tasks each on 20 networks and 10 nodes, of which one
    /// task in 10 is here.
    pub fn large() -> Self {
        let mut site = Self::new();
        for net in 0..20 {
            site.network(net, &[&format!("10.0.{net}.0/24")]);
        }
        for service in 0..200 {
            let (net, slot) = (service % 20, service / 20);
            site.service(service, net, &[&format!("10.0.{net}.{}", 2 + slot)]);
            for task in 0..5 {
                let number = 20 + slot * 5 + task;
                let addr = format!("10.0.{net}.{number}");
                let at = 1 + (service + task) % 10;
                site.task(service, net, &addr, at);
                if at == ME {
                    site.local(net, &addr, &format!("swv0000{net}x{number}"));
                }
            }
        }
        site
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

/// The next datagram. Programs that other threads have begun end meanwhile, and
/// their end interrupts whoever waits with a limit.
pub fn hear(socket: &UdpSocket, buffer: &mut [u8]) -> Result<(usize, SocketAddr), ErrorKind> {
    loop {
        match socket.recv_from(buffer).map_err(|error| error.kind()) {
            Err(ErrorKind::Interrupted) => {}
            heard => return heard,
        }
    }
}
