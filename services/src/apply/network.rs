//! Networks and what is given on them. Here is where nothing is given twice:
//! whatever a plan says, and however old it is, a subnet, an address or a port
//! that another has is not handed out.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::change::WAITS_FOR_NODE;
use super::{Outcome, Write, not_found};
use crate::address::{Holder, Pool, SubnetPool, in_net};
use crate::command::{Answer, Refusal, RefusalKind};
use crate::id::Id;
use crate::object::{Network, Subnet, TaskAddress, TaskState, TaskStatus, Vip};
use crate::spec::NetworkSpec;
use crate::subnets::{overlap, overlaps};

/// As Docker names it.
pub(crate) const INGRESS: &str = "ingress";

impl Write<'_> {
    pub(super) fn create_network(
        &mut self,
        id: Id,
        spec: &Arc<NetworkSpec>,
        subnets: &[Subnet],
    ) -> Outcome {
        let state = &self.state;
        if state.network_named(&spec.name).is_some() {
            let text = format!("network with name {} already exists", spec.name);
            return Err(RefusalKind::AlreadyExists.because(text));
        }
        if state.network(id).is_some() {
            return Err(RefusalKind::AlreadyExists.because(format!("network {id} already exists")));
        }
        if let Some(ingress) = state.ingress_network().filter(|_| spec.ingress) {
            let text = format!("ingress network ({}) is already present", ingress.id);
            return Err(RefusalKind::AlreadyExists.because(text));
        }
        self.check_subnets(subnets)?;
        self.state.put_network(Network {
            id,
            meta: self.created(),
            spec: Arc::clone(spec),
            subnets: subnets.to_vec(),
        });
        self.versioned()
    }

    fn check_subnets(&self, subnets: &[Subnet]) -> Result<(), Refusal> {
        let whole = |subnet: &Subnet| {
            let inside = |range: ipnet::IpNet| subnet.net.contains(&range);
            subnet.net == subnet.net.trunc()
                && subnet.net.contains(&subnet.gateway)
                && subnet.range.is_none_or(inside)
        };
        if subnets.is_empty() || !subnets.iter().all(whole) {
            return Err(RefusalKind::InvalidArgument.because("ipam configuration: no valid subnet"));
        }
        for (at, subnet) in subnets.iter().enumerate() {
            if let Some((other, owner)) = self.state.network_over(subnet.net) {
                return Err(overlap(subnet.net, other, &owner));
            }
            if let Some(other) = subnets[..at].iter().find(|it| overlaps(it.net, subnet.net)) {
                return Err(overlap(subnet.net, other.net, "the same network"));
            }
        }
        Ok(())
    }

    pub(super) fn remove_network(&mut self, id: Id) -> Outcome {
        let network = self
            .state
            .network(id)
            .ok_or_else(|| not_found("network", id))?;
        let ingress = network.spec.ingress;
        if let Some(service) = self.state.service_on(network).map(|service| service.id) {
            let text = match ingress {
                true => format!(
                    "ingress network cannot be removed because service {service} depends on it"
                ),
                false => format!("network {id} is in use by service {service}"),
            };
            return Err(RefusalKind::FailedPrecondition.because(text));
        }
        let user = self.state.pool(id).and_then(|pool| pool.users().next());
        if let Some(Holder::Task(task) | Holder::Service(task) | Holder::Attachment(task)) = user {
            let text = format!("network {id} is in use by task {task}");
            return Err(RefusalKind::FailedPrecondition.because(text));
        }
        self.state.drop_network(id);
        Ok(Answer::Done)
    }
}

/// The plan's part.
impl Write<'_> {
    pub(super) fn create_ingress(&mut self, id: Id, subnets: &[Subnet]) {
        if self.state.had_ingress() {
            return;
        }
        let spec = Arc::new(ingress_spec());
        // Refused is skipped: the next plan sees why.
        let _ = self.create_network(id, &spec, subnets);
    }

    pub(super) fn allocate_service(
        &mut self,
        id: Id,
        spec_version: u64,
        published: &[u16],
        vips: &[Vip],
    ) {
        let Some(spec) = self.spec_of(id, spec_version) else {
            return;
        };
        let endpoint = self.state.whole_endpoint(id, &spec, published, vips);
        let before = self.state.service(id).map(|it| it.endpoint.clone());
        let (Some(endpoint), Some(before)) = (endpoint, before) else {
            return;
        };
        if endpoint == before {
            return;
        }
        let is_said = |vip: &Vip| spec.static_vips(vip.network).contains(&vip.addr.addr());
        for vip in vips.iter().filter(|vip| !before.vips.contains(vip)) {
            if !is_said(vip) {
                self.state.picked(vip.network, vip.addr.addr());
            }
        }
        self.state.set_endpoint(id, endpoint);
        let (index, at) = (self.index, self.at);
        if let Some(service) = self.state.edit_service(id) {
            service.meta.version = index;
            service.meta.updated = at;
        }
    }

    pub(super) fn allocate_task(&mut self, id: Id, addresses: &[TaskAddress]) {
        let Some(task) = self.state.task(id) else {
            return;
        };
        let spec = Arc::clone(&task.spec);
        let waits = task.status.state == TaskState::New && task.desired <= TaskState::Running;
        let networks = self.state.task_networks(&task.spec);
        let fits = networks.is_ok_and(|networks| {
            networks.len() == addresses.len()
                && networks.iter().zip(addresses).all(|(network, address)| {
                    let is_open = |pool: &Pool, addr| pool.is_open_to_task(addr, id, task.service);
                    address.network == *network && self.are_open(*network, &address.addrs, is_open)
                })
        });
        if !waits || !fits {
            return;
        }
        self.state.set_addresses(id, addresses.to_vec());
        for address in addresses {
            let said = spec.static_addresses(address.network);
            let addrs = address.addrs.iter().map(IpNet::addr);
            for addr in addrs.filter(|addr| !said.contains(addr)) {
                self.state.picked(address.network, addr);
            }
        }
        let status = TaskStatus::at(TaskState::Pending, self.at, WAITS_FOR_NODE);
        self.edit_task(id, |task| task.status = status);
    }

    /// Whether these, one of each of the network's subnets, may be given.
    pub(super) fn are_open(
        &self,
        network: Id,
        addrs: &[IpNet],
        is_open: impl Fn(&Pool, IpAddr) -> bool,
    ) -> bool {
        let Some(pool) = self.state.pool(network) else {
            return false;
        };
        let fits = |(subnet, addr): (&SubnetPool, &IpNet)| {
            subnet.net.contains(&addr.addr())
                && in_net(addr.addr(), subnet.net) == *addr
                && is_open(pool, addr.addr())
        };
        addrs.len() == pool.subnets.len() && pool.subnets.iter().zip(addrs).all(fits)
    }
}

pub(crate) fn ingress_spec() -> NetworkSpec {
    NetworkSpec {
        name: INGRESS.to_owned(),
        ingress: true,
        ..NetworkSpec::default()
    }
}
