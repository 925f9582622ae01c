//! Networks, addresses and published ports are given before a task is placed.
//!
//! A task that is on networks is NEW until it has an address on each of them,
//! and its service all that its spec asks for. What cannot be given is said
//! in the task's status, and tried again in every run: as soon as an address
//! or a port is given back, it goes on. What exactly is given is decided here
//! and checked again when it is applied, against the state as it is then.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::draft::Draft;
use super::slot::is_live;
use crate::address::{Holder, in_net};
use crate::apply::WAITS_FOR_ADDRESSES;
use crate::apply::network::{INGRESS, ingress_spec};
use crate::command::Change;
use crate::endpoint::{PICKED_PORTS, WantedVip};
use crate::id::Id;
use crate::object::{Service, Task, TaskAddress, TaskState, TaskStatus, Vip};
use crate::spec::PortSpec;

/// Why something cannot be given, for `service ps`.
type Reason = String;

pub(super) fn give(draft: &mut Draft) {
    make_ingress(draft);
    let mut waiting: BTreeMap<Id, Reason> = BTreeMap::new();
    for service in draft.services() {
        if draft.state().is_whole(&service.spec, &service.endpoint) {
            continue;
        }
        match endpoint(draft, &service) {
            Ok(change) => draft.emit(change),
            Err(reason) => {
                waiting.insert(service.id, reason);
            }
        }
    }
    give_addresses(draft, &waiting);
}

/// Once, and only when a node has said which subnets it is in: they must be
/// others.
fn make_ingress(draft: &mut Draft) {
    let state = draft.state();
    let is_made = state.had_ingress() || state.network_named(INGRESS).is_some();
    let is_described = state.nodes().any(|node| node.description.is_some());
    if is_made || state.cluster().is_none() || !is_described {
        return;
    }
    if let Ok(subnets) = state.choose_subnets(&ingress_spec(), &[]) {
        let id = draft.next_id();
        draft.emit(Change::CreateIngress { id, subnets });
    }
}

fn endpoint(draft: &Draft, service: &Service) -> Result<Change, Reason> {
    let state = draft.state();
    let spec = &service.spec;
    state
        .task_networks(spec)
        .map_err(|refusal| refusal.message)?;
    let published = published(draft, service)?;
    let vips = state.wanted_vips(spec).into_iter();
    let vips = vips.map(|wanted| vip(draft, service, &wanted));
    let vips: Vec<Vip> = vips.collect::<Result<_, _>>()?;
    if state
        .whole_endpoint(service.id, spec, &published, &vips)
        .is_none()
    {
        return Err("what the service asks for contradicts itself".to_owned());
    }
    Ok(Change::AllocateService {
        service: service.id,
        spec_version: service.spec_version,
        published,
        vips,
    })
}

/// The numbers of the ports that name none: those it has, and the lowest free.
fn published(draft: &Draft, service: &Service) -> Result<Vec<u16>, Reason> {
    let state = draft.state();
    let mut settled = service.endpoint.ports.iter().peekable();
    let mut taken: Vec<PortSpec> = Vec::new();
    for port in service.spec.ports() {
        if let Some(refusal) = state.port_conflict(service.id, port) {
            return Err(refusal.message);
        }
        taken.extend((port.published != 0).then(|| port.clone()));
    }
    let mut published = Vec::new();
    for port in service.spec.ports() {
        let with = |published| port.with_published(published);
        let had = settled.next_if(|had| with(had.published) == **had);
        if !port.is_picked() {
            continue;
        }
        let is_free = |port: &PortSpec| {
            !state.is_own_port(port)
                && state.holder_of_port(port, service.id).is_none()
                && !taken.iter().any(|other| other.collides_with(port))
        };
        let picked = match had {
            Some(had) => Some(had.clone()),
            None => PICKED_PORTS.map(with).find(is_free),
        };
        let picked = picked.ok_or_else(|| {
            let (first, last) = (PICKED_PORTS.start(), PICKED_PORTS.end());
            format!("all ports from {first} to {last} are published: name another one")
        })?;
        published.push(picked.published);
        taken.push(picked);
    }
    Ok(published)
}

fn vip(draft: &Draft, service: &Service, wanted: &WantedVip) -> Result<Vip, Reason> {
    let network = wanted.network;
    let state = draft.state();
    if let Some(vip) = state.settled_vip(service.id, wanted, &service.endpoint) {
        return Ok(vip);
    }
    let conflict = |said| state.address_conflict(Holder::Service(service.id), network, said);
    if let Some(refusal) = wanted.said.and_then(conflict) {
        return Err(refusal.message);
    }
    let pool = state.pool(network);
    let addr = pool.and_then(|pool| pool.next(wanted.subnet));
    let addr = addr.ok_or_else(|| state.exhausted(network, wanted.subnet))?;
    let addr = in_net(addr, wanted.net);
    Ok(Vip { network, addr })
}

/// Those that wait longest first.
fn give_addresses(draft: &mut Draft, waiting: &BTreeMap<Id, Reason>) {
    let is_new = |task: &&Arc<Task>| task.status.state == TaskState::New && is_live(task);
    let mut new: Vec<Arc<Task>> = draft.state().tasks().filter(is_new).cloned().collect();
    new.sort_by_key(|task| (task.meta.created, task.service, task.slot, task.id));
    // Nothing is given back in between, so a network that is full stays so.
    let mut full: BTreeMap<(Id, usize), Reason> = BTreeMap::new();
    for task in new {
        let found = match waiting.get(&task.service) {
            Some(reason) => Err(reason.clone()),
            None => addresses(draft, &task, &mut full),
        };
        match found {
            Ok(addresses) => draft.emit(Change::AllocateTask {
                id: task.id,
                addresses,
            }),
            Err(reason) => keep_waiting(draft, &task, reason),
        }
    }
}

fn addresses(
    draft: &Draft,
    task: &Task,
    full: &mut BTreeMap<(Id, usize), Reason>,
) -> Result<Vec<TaskAddress>, Reason> {
    let state = draft.state();
    let networks = state.task_networks(&task.spec);
    let mut addresses = Vec::new();
    for network in networks.map_err(|refusal| refusal.message)? {
        let Some(pool) = state.pool(network) else {
            continue;
        };
        let mut addrs = Vec::new();
        for (place, subnet) in pool.subnets.iter().enumerate() {
            if let Some(reason) = full.get(&(network, place)) {
                return Err(reason.clone());
            }
            let said = task.spec.static_addresses(network).iter();
            if let Some(said) = said.copied().find(|it| subnet.net.contains(it)) {
                addrs.push(in_net(named(draft, task, network, said)?, subnet.net));
                continue;
            }
            let Some(addr) = pool.next(place) else {
                let reason = state.exhausted(network, place);
                full.insert((network, place), reason.clone());
                return Err(reason);
            };
            addrs.push(in_net(addr, subnet.net));
        }
        addresses.push(TaskAddress { network, addrs });
    }
    Ok(addresses)
}

/// The address that the user named, once no other task has it any more.
fn named(draft: &Draft, task: &Task, network: Id, addr: IpAddr) -> Result<IpAddr, Reason> {
    let state = draft.state();
    let pool = state.pool(network);
    let is_open = pool.is_some_and(|pool| pool.is_open_to_task(addr, task.id, task.service));
    match is_open {
        true => Ok(addr),
        false => Err(state.still_held(network, addr)),
    }
}

fn keep_waiting(draft: &mut Draft, task: &Task, error: Reason) {
    if task.status.error.as_ref() == Some(&error) {
        return;
    }
    let status = TaskStatus {
        error: Some(error),
        ..TaskStatus::at(TaskState::New, draft.now(), WAITS_FOR_ADDRESSES)
    };
    draft.set_status(task, status);
}
