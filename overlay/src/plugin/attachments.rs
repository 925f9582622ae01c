//! The addresses that managers gave to containers which no task stands for.
//!
//! An attachment is one container's on one network. The engine takes its
//! addresses one by one, makes an endpoint of them, and gives them back; an
//! attachment of which nothing is taken and that no endpoint uses is over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::attach::{Attached, AttachmentId, Grant, Wanted};
use super::ipam::Pool;
use super::registry::{Endpoint, Expected, Registry, id_as_text};
use crate::directory::NetworkId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attachment {
    #[serde(with = "id_as_text")]
    network: NetworkId,
    #[serde(flatten)]
    grant: Grant,
    /// By the engine.
    taken: BTreeSet<IpAddr>,
}

/// Where an address comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lease {
    Given(IpAddr),
    /// A manager must be asked first; [`Registry::granted`] is what follows.
    Ask(Wanted),
}

impl Registry {
    /// An address of the pool: the one that is wanted, if the plan or a manager
    /// has given it to this node, or what is left of an attachment that is
    /// just being made. `fresh` is for a new one.
    pub fn request_address(
        &mut self,
        pool: &Pool,
        wanted: Option<IpAddr>,
        expected: &Expected,
        fresh: AttachmentId,
    ) -> Lease {
        if let Some(addr) = wanted.filter(|addr| expected.contains(&(pool.network, *addr))) {
            return Lease::Given(addr);
        }
        let Some(id) = self.unfinished(pool) else {
            return Lease::Ask(Wanted {
                id: fresh,
                network: pool.network,
                addrs: wanted.into_iter().collect(),
            });
        };
        let attachment = self.attachments.get_mut(&id);
        let left = attachment.as_ref().and_then(|it| it.left(pool.net));
        match (attachment, left) {
            (Some(attachment), Some(left)) if wanted.is_none_or(|it| it == left) => {
                attachment.taken.insert(left);
                Lease::Given(left)
            }
            (attachment, _) => {
                let taken = attachment.into_iter().flat_map(|it| &it.taken).copied();
                Lease::Ask(Wanted {
                    id,
                    network: pool.network,
                    addrs: taken.chain(wanted).collect(),
                })
            }
        }
    }

    /// A manager has given what was asked for; the address of the pool in it.
    pub fn granted(
        &mut self,
        wanted: &Wanted,
        grant: Grant,
        pool: &Pool,
    ) -> Result<IpAddr, Refusal> {
        let all = grant.addrs.iter().map(IpNet::addr);
        let has = |addr: &IpAddr| all.clone().any(|it| it == *addr);
        let found = all.clone().find(|addr| pool.net.contains(addr));
        let found = found.filter(|_| wanted.addrs.iter().all(has));
        let addr = found.ok_or_else(|| {
            Refusal::NotAttached("the manager gave other addresses than were asked for".into())
        })?;
        let known = self.attachments.remove(&wanted.id);
        let mut taken = known.map_or_else(BTreeSet::new, |known| known.taken);
        taken.insert(addr);
        let attachment = Attachment {
            network: wanted.network,
            grant,
            taken,
        };
        self.attachments.insert(wanted.id, attachment);
        Ok(addr)
    }

    /// The engine gives an address back.
    pub fn release_address(&mut self, pool: &Pool, addr: IpAddr) {
        for attachment in self.attachments.values_mut() {
            if attachment.network == pool.network {
                attachment.taken.remove(&addr);
            }
        }
        self.end_attachments();
    }

    /// Those of this node.
    pub fn held(&self) -> BTreeSet<AttachmentId> {
        self.attachments.keys().copied().collect()
    }

    /// Those with a link.
    pub fn attached(&self) -> BTreeMap<AttachmentId, Attached> {
        let joined = self.endpoints.iter().filter(|(_, it)| it.is_joined());
        let attached = |(endpoint, found): (&String, &Endpoint)| {
            let (id, attachment) = self
                .attachments
                .iter()
                .find(|(_, it)| self.is_of(it, found))?;
            let addrs = attachment.grant.addrs.iter().map(IpNet::addr);
            let attached = Attached {
                network: attachment.network,
                addrs: addrs.collect(),
                ticket: attachment.grant.ticket.clone(),
                endpoint: endpoint.clone(),
                engine_network: found.network().to_owned(),
            };
            Some((*id, attached))
        };
        joined.filter_map(attached).collect()
    }

    /// Whether an endpoint may have the address because a manager gave it.
    pub(super) fn is_attached(&self, network: NetworkId, addr: IpAddr) -> bool {
        let mut attachments = self.attachments.values();
        attachments.any(|it| it.network == network && it.taken.contains(&addr))
    }

    /// Forgets the attachments that are over.
    pub(super) fn end_attachments(&mut self) {
        let mut attachments = std::mem::take(&mut self.attachments);
        attachments.retain(|_, it| !it.taken.is_empty() || self.is_used(it));
        self.attachments = attachments;
    }

    /// Forgets the attachments without a link, with their endpoints: their
    /// containers ended while nobody listened.
    pub(super) fn end_unlinked(&mut self) {
        let linked = self.attached();
        let mut ended = self.attachments.clone();
        ended.retain(|id, _| !linked.contains_key(id));
        self.forget(|_, endpoint| {
            let mut addrs = ended.values().flat_map(|it| &it.grant.addrs);
            addrs.any(|addr| endpoint.has(addr.addr()))
        });
        self.attachments.retain(|id, _| linked.contains_key(id));
    }

    /// The attachment on the pool's network whose endpoint is still to be made.
    fn unfinished(&self, pool: &Pool) -> Option<AttachmentId> {
        let mut attachments = self.attachments.iter();
        let found = attachments.find(|(_, it)| {
            it.network == pool.network && it.left(pool.net).is_some() && !self.is_used(it)
        });
        found.map(|(id, _)| *id)
    }

    fn is_used(&self, attachment: &Attachment) -> bool {
        let mut endpoints = self.endpoints.values();
        endpoints.any(|endpoint| self.is_of(attachment, endpoint))
    }

    fn is_of(&self, attachment: &Attachment, endpoint: &Endpoint) -> bool {
        let network = self.networks.get(endpoint.network());
        let addrs = &attachment.grant.addrs;
        network.is_some_and(|network| network.id() == attachment.network)
            && addrs.iter().any(|addr| endpoint.has(addr.addr()))
    }
}

impl Attachment {
    /// Its address in the subnet, if the engine has not taken it.
    fn left(&self, net: IpNet) -> Option<IpAddr> {
        let mut addrs = self.grant.addrs.iter().map(IpNet::addr);
        addrs.find(|addr| net.contains(addr) && !self.taken.contains(addr))
    }
}
