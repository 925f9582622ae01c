//! The names that the containers of this node can know, by network.
//!
//! A zone is the [`Table`]'s names with those of single tasks added, for the
//! networks that a container here is on. It is made anew whenever the table is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use certs::NodeId;
use hickory_proto::rr::Name;

use super::resolv::Upstream;
use crate::directory::{NO_SERVICE, Network, NetworkId, ServiceId, TaskId};
use crate::table::{Named, Table};
use crate::view::{Endpoint, View};

/// Who may ask, and what each of them may know.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    askers: BTreeMap<IpAddr, Arc<Asker>>,
}

/// A container.
#[derive(Debug)]
pub(super) struct Asker {
    /// By name, so that a name which several of them have means the same in every replica.
    networks: Vec<Arc<Names>>,
    pub upstream: Upstream,
}

/// Of one network.
#[derive(Debug)]
struct Names {
    network: NetworkId,
    name: String,
    table: Arc<Table>,
    tasks: BTreeMap<TaskId, TaskName>,
    owners: BTreeMap<IpAddr, Owner>,
}

/// Whose an address is.
#[derive(Debug)]
struct Owner {
    service: Arc<str>,
    /// `None`: the address is the service's VIP, or of a container that is
    /// called so itself.
    task: Option<TaskId>,
}

#[derive(Debug)]
struct TaskName {
    service: Arc<str>,
    node: NodeId,
    addrs: BTreeSet<IpAddr>,
}

#[derive(Debug)]
pub(super) enum Found<'a> {
    Services(&'a Named),
    Tasks(&'a BTreeSet<IpAddr>),
    /// The name of a task that is no more.
    Gone,
}

#[derive(Debug)]
pub(super) enum Reverse {
    Named(Name),
    /// It is of the asker's networks, and nobody has it.
    Free,
    Foreign,
}

impl Zone {
    /// `table` is what was derived from `view`. `upstreams` has an address of each
    /// container whose unknown names do not go to the host's servers.
    pub fn of(table: Arc<Table>, view: &View, upstreams: &BTreeMap<IpAddr, Upstream>) -> Self {
        let mut sandboxes: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
        for (addr, local) in &table.locals {
            sandboxes.entry(&local.sandbox).or_default().push(*addr);
        }
        let open = table.open_sandboxes();
        let mut networks: BTreeMap<NetworkId, Arc<Names>> = BTreeMap::new();
        let mut askers = BTreeMap::new();
        for (sandbox, addrs) in &sandboxes {
            let on = addrs.iter().filter_map(|addr| table.locals.get(addr));
            let on: BTreeSet<_> = on.map(|local| local.network).collect();
            let on = on
                .iter()
                .filter_map(|id| Some((*id, table.networks.get(id)?)));
            let isolated = open.get(sandbox) == Some(&false);
            let on = on.filter(|(_, network)| !network.ingress);
            let mut on: Vec<_> = on
                .map(|(id, network)| {
                    let names = networks.entry(id);
                    let names =
                        names.or_insert_with(|| Names::of(id, network, &table, view).into());
                    Arc::clone(names)
                })
                .collect();
            on.sort_by(|a, b| a.name.cmp(&b.name));
            let chosen = addrs.iter().find_map(|addr| upstreams.get(addr));
            let asker = Arc::new(Asker {
                networks: on,
                upstream: match isolated {
                    true => Upstream::Nobody,
                    false => chosen.cloned().unwrap_or_default(),
                },
            });
            askers.extend(addrs.iter().map(|addr| (*addr, Arc::clone(&asker))));
        }
        Self { askers }
    }

    /// Whether a container of this node has the address.
    pub fn knows(&self, addr: IpAddr) -> bool {
        self.askers.contains_key(&addr)
    }

    pub(super) fn asker(&self, addr: IpAddr) -> Option<&Asker> {
        self.askers.get(&addr).map(Arc::as_ref)
    }
}

impl Asker {
    /// What a name in lower case means as it stands, or else without the name of
    /// a network at its end: `web`, `tasks.web`, `web.frontend`. Whatever a
    /// service is called, no container takes its place by its own name.
    pub fn find(&self, name: &str) -> Option<Found<'_>> {
        let of_service = self.find_by(name, Names::find);
        of_service.or_else(|| self.find_by(name, Names::find_container))
    }

    fn find_by<'a>(
        &'a self,
        name: &str,
        find: impl Fn(&'a Names, &str) -> Option<Found<'a>>,
    ) -> Option<Found<'a>> {
        let plain = self.networks.iter().find_map(|names| find(names, name));
        plain.or_else(|| {
            self.networks.iter().find_map(|names| {
                let rest = name.strip_suffix(names.name.as_str())?;
                find(names, rest.strip_suffix('.')?)
            })
        })
    }

    pub fn reverse(&self, addr: IpAddr) -> Reverse {
        let mut own = self.networks.iter().filter(|names| names.contains(addr));
        match own.next() {
            Some(names) => names.name_of(addr).map_or(Reverse::Free, Reverse::Named),
            None => Reverse::Foreign,
        }
    }
}

impl Names {
    fn of(id: NetworkId, network: &Network, table: &Arc<Table>, view: &View) -> Self {
        let mut names = Self {
            network: id,
            name: network.name.to_lowercase(),
            table: Arc::clone(table),
            tasks: BTreeMap::new(),
            owners: BTreeMap::new(),
        };
        let services = view.directory.services.iter();
        let services =
            services.filter_map(|(of, service)| Some((of, service, service.networks.get(&id)?)));
        for (service_id, service, attachment) in services {
            let service: Arc<str> = service.name.to_lowercase().into();
            for vip in &attachment.vips {
                names.own(*vip, &service, None);
            }
            let first = first_endpoint(id, *service_id);
            let endpoints = view.endpoints.range(first..);
            let of_service = |e: &&Endpoint| (e.network, e.service) == (id, *service_id);
            for endpoint in endpoints.take_while(of_service) {
                names.add_task(&service, endpoint);
            }
        }
        let containers = view.endpoints.range(first_endpoint(id, NO_SERVICE)..);
        for endpoint in containers.take_while(|e| (e.network, e.service) == (id, NO_SERVICE)) {
            if let Some(name) = endpoint.names.first() {
                names.own(endpoint.addr, &name.to_lowercase().into(), None);
            }
        }
        names
    }

    /// A task has its name before it is ready: those of a database that is
    /// forming its own cluster must find each other.
    fn add_task(&mut self, service: &Arc<str>, endpoint: &Endpoint) {
        let addr = endpoint.addr;
        if !(self.table.locals.contains_key(&addr) || self.table.remotes.contains_key(&addr)) {
            return;
        }
        let task = self.tasks.entry(endpoint.task);
        let task = task.or_insert_with(|| TaskName {
            service: Arc::clone(service),
            node: endpoint.node,
            addrs: BTreeSet::new(),
        });
        task.addrs.insert(addr);
        self.own(addr, service, Some(endpoint.task));
    }

    fn own(&mut self, addr: IpAddr, service: &Arc<str>, task: Option<TaskId>) {
        let service = Arc::clone(service);
        self.owners.insert(addr, Owner { service, task });
    }

    /// One that [`Names::find`] finds; `None` also where no DNS message can carry it.
    fn name_of(&self, addr: IpAddr) -> Option<Name> {
        let Owner { service, task } = self.owners.get(&addr)?;
        let network = &self.name;
        let name = match task {
            Some(task) => format!("{service}.{}.{network}.", task_text(*task)),
            None => format!("{service}.{network}."),
        };
        Name::from_ascii(name).ok()
    }

    fn contains(&self, addr: IpAddr) -> bool {
        self.table.subnets.network_of(addr) == Some(self.network)
    }

    fn find(&self, name: &str) -> Option<Found<'_>> {
        if let Some(named) = self.services(name) {
            return Some(Found::Services(named));
        }
        let of_service = name.strip_prefix("tasks.").and_then(|of| self.services(of));
        of_service
            .map(|named| Found::Tasks(&named.tasks))
            .or_else(|| self.find_task(name))
    }

    fn find_container(&self, name: &str) -> Option<Found<'_>> {
        let containers = self.table.containers.get(&self.network)?;
        containers.get(name).map(Found::Tasks)
    }

    /// Those of a name or alias; and for the `web` of stack `shop`, which is called
    /// `shop_web` and has the alias `web`, also those of `web.shop`.
    fn services(&self, name: &str) -> Option<&Named> {
        let names = self.table.names.get(&self.network)?;
        names.get(name).or_else(|| {
            let (alias, stack) = name.split_once('.')?;
            names.get(alias)?;
            names.get(&format!("{stack}_{alias}"))
        })
    }

    /// `<service>.<slot>.<task id>`, where the slot of a global service is the
    /// node id, and may be left out.
    fn find_task(&self, name: &str) -> Option<Found<'_>> {
        let (front, id) = name.rsplit_once('.')?;
        let id: NodeId = id.parse().ok()?;
        let Some(task) = self.tasks.get(&id.as_u128()) else {
            let service = front.split('.').next()?;
            return self.services(service).map(|_| Found::Gone);
        };
        let slot = front.strip_prefix(&*task.service)?;
        let fits = match slot.strip_prefix('.') {
            Some(slot) => is_slot(slot) || slot == task.node.to_string(),
            None => slot.is_empty(),
        };
        Some(match fits {
            true => Found::Tasks(&task.addrs),
            false => Found::Gone,
        })
    }
}

fn is_slot(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where those of a service on a network begin in the order of all.
fn first_endpoint(network: NetworkId, service: ServiceId) -> Endpoint {
    Endpoint {
        network,
        service,
        task: 0,
        addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        node: NodeId::default(),
        ready: false,
        names: Vec::new(),
    }
}

/// Tasks and nodes have ids of the same form: 25 base36 digits.
pub(super) fn task_text(task: TaskId) -> String {
    NodeId::from(task).to_string()
}
