//! Who holds which address of a network, and which is picked next.
//!
//! An address has at most one holder. Those that are picked go round: the
//! next one is the first free one after the last that was picked, so that an
//! address that was given back rests as long as its subnet allows, and what
//! is still on its way to the one before does not reach the one after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::id::Id;
use crate::object::{Network, Subnet};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The gateway, what the user set apart, and the ends of the subnet.
    Nobody,
    /// As one of its VIPs.
    Service(Id),
    Task(Id),
    Attachment(Id),
}

/// The addresses of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) subnets: Vec<SubnetPool>,
    held: BTreeMap<IpAddr, Holder>,
    /// Addresses that users named for tasks, and the services of these: held
    /// or not, they are picked for nobody else.
    named: BTreeMap<IpAddr, BTreeSet<Id>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubnetPool {
    pub(crate) net: IpNet,
    /// Between which addresses are picked, both included.
    first: IpAddr,
    last: IpAddr,
    /// The last one that was picked.
    pub(crate) cursor: Option<IpAddr>,
}

impl Pool {
    pub(crate) fn of(network: &Network) -> Self {
        let mut pool = Self {
            subnets: network.subnets.iter().map(SubnetPool::of).collect(),
            held: BTreeMap::new(),
            named: BTreeMap::new(),
        };
        for subnet in &network.subnets {
            let ends = [subnet.net.network(), subnet.net.broadcast()];
            let set_apart = network.spec.ipam.configs.iter();
            let set_apart = set_apart.flat_map(|config| config.aux.values().copied());
            for addr in ends.into_iter().chain([subnet.gateway]).chain(set_apart) {
                pool.held.insert(addr, Holder::Nobody);
            }
        }
        pool
    }

    /// How many it has to give, of the family that has fewer.
    pub(crate) fn size(&self) -> usize {
        let sizes = self.subnets.iter().map(|subnet| {
            let inside = self.held.range(subnet.first..=subnet.last);
            let own = inside.filter(|(_, holder)| **holder == Holder::Nobody);
            subnet.size().saturating_sub(own.count())
        });
        sizes.min().unwrap_or(0)
    }

    pub(crate) fn subnet_of(&self, addr: IpAddr) -> Option<IpNet> {
        let nets = self.subnets.iter().map(|subnet| subnet.net);
        nets.into_iter().find(|net| net.contains(&addr))
    }

    pub(crate) fn holder(&self, addr: IpAddr) -> Option<Holder> {
        self.held.get(&addr).copied()
    }

    /// Who is not the network itself: the services, tasks and attachments on it.
    pub(crate) fn users(&self) -> impl Iterator<Item = Holder> {
        let holders = self.held.values().copied();
        holders.filter(|holder| *holder != Holder::Nobody)
    }

    /// Whether `holder` has the address or may have it.
    pub(crate) fn is_open_to(&self, addr: IpAddr, holder: Holder) -> bool {
        let is_open = match self.holder(addr) {
            Some(it) => it == holder,
            None => !self.named.contains_key(&addr),
        };
        is_open && self.subnet_of(addr).is_some()
    }

    /// The same for a task of the service.
    pub(crate) fn is_open_to_task(&self, addr: IpAddr, task: Id, service: Id) -> bool {
        let named = self.named.get(&addr);
        let is_open = match self.holder(addr) {
            Some(it) => it == Holder::Task(task),
            None => named.is_none_or(|services| services.contains(&service)),
        };
        is_open && self.subnet_of(addr).is_some()
    }

    /// The services that name the address for their task.
    pub(crate) fn named_by(&self, addr: IpAddr) -> impl Iterator<Item = Id> {
        self.named.get(&addr).into_iter().flatten().copied()
    }

    pub(crate) fn name(&mut self, addr: IpAddr, service: Id) {
        self.named.entry(addr).or_default().insert(service);
    }

    pub(crate) fn unname(&mut self, addr: IpAddr, service: Id) {
        if let Some(services) = self.named.get_mut(&addr) {
            services.remove(&service);
            if services.is_empty() {
                self.named.remove(&addr);
            }
        }
    }

    pub(crate) fn hold(&mut self, addr: IpAddr, holder: Holder) {
        self.held.insert(addr, holder);
    }

    /// Nothing where another holds it.
    pub(crate) fn release(&mut self, addr: IpAddr, holder: Holder) {
        if self.holder(addr) == Some(holder) {
            self.held.remove(&addr);
        }
    }

    /// One free address of the subnet at this place; `None` where all are held.
    pub(crate) fn next(&self, subnet: usize) -> Option<IpAddr> {
        let subnet = self.subnets.get(subnet)?;
        let after = subnet.cursor.and_then(successor);
        let after = after.filter(|addr| (subnet.first..=subnet.last).contains(addr));
        let rest = after.and_then(|from| self.first_free(from, subnet.last));
        rest.or_else(|| self.first_free(subnet.first, subnet.last))
    }

    fn first_free(&self, from: IpAddr, to: IpAddr) -> Option<IpAddr> {
        let mut candidate = from;
        while self.held.contains_key(&candidate) || self.named.contains_key(&candidate) {
            candidate = successor(candidate).filter(|next| *next <= to)?;
        }
        (candidate <= to).then_some(candidate)
    }

    /// The address was picked: the next one follows it.
    pub(crate) fn picked(&mut self, addr: IpAddr) {
        let mut subnets = self.subnets.iter_mut();
        let subnet = subnets.find(|subnet| (subnet.first..=subnet.last).contains(&addr));
        if let Some(subnet) = subnet {
            subnet.cursor = Some(addr);
        }
    }
}

impl SubnetPool {
    fn of(subnet: &Subnet) -> Self {
        let range = subnet.range.unwrap_or(subnet.net);
        Self {
            net: subnet.net,
            first: range.network(),
            last: range.broadcast(),
            cursor: None,
        }
    }

    /// Both ends included, and at most what a number holds.
    fn size(&self) -> usize {
        let number = |addr| match addr {
            IpAddr::V4(addr) => u128::from(u32::from(addr)),
            IpAddr::V6(addr) => u128::from(addr),
        };
        let size = number(self.last).saturating_sub(number(self.first));
        usize::try_from(size).map_or(usize::MAX, |size| size.saturating_add(1))
    }
}

/// Where its addresses are picked, for people.
impl fmt::Display for SubnetPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first, self.last);
        if (first, last) == (self.net.network(), self.net.broadcast()) {
            write!(f, "{}", self.net)
        } else {
            write!(f, "{first} to {last} of {}", self.net)
        }
    }
}

/// With the prefix length of its subnet, as Docker shows addresses.
pub(crate) fn in_net(addr: IpAddr, net: IpNet) -> IpNet {
    // The prefix length is that of a subnet of the same family.
    IpNet::new(addr, net.prefix_len()).unwrap_or_else(|_| IpNet::from(addr))
}

pub(crate) fn successor(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(addr) => addr
            .to_bits()
            .checked_add(1)
            .map(|it| IpAddr::V4(Ipv4Addr::from_bits(it))),
        IpAddr::V6(addr) => addr
            .to_bits()
            .checked_add(1)
            .map(|it| IpAddr::V6(Ipv6Addr::from_bits(it))),
    }
}
