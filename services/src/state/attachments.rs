//! Who was put on attachable networks, and what address comes next.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{State, unindex};
use crate::address::{Holder, in_net};
use crate::command::{Refusal, RefusalKind};
use crate::id::Id;
use crate::object::{Attachment, Network};

impl State {
    pub fn attachment(&self, id: Id) -> Option<&Arc<Attachment>> {
        self.networks.attachments.get(&id)
    }

    /// In the order of their ids.
    pub fn attachments(&self) -> impl ExactSizeIterator<Item = &Arc<Attachment>> {
        self.networks.attachments.values()
    }

    pub fn attachments_of_node(&self, node: Id) -> impl Iterator<Item = &Arc<Attachment>> {
        let ids = self.networks.attachments_by_node.get(&node);
        let ids = ids.into_iter().flatten();
        ids.filter_map(|id| self.attachment(*id))
    }

    /// The addresses for an attachment, one of each subnet: those of `wanted`,
    /// else those that it has, else the next that are free.
    ///
    /// # Errors
    /// There is no such network, it is not attachable, an address of `wanted`
    /// is in none of its subnets or is taken, or a subnet is used up.
    pub fn choose_addresses(
        &self,
        id: Id,
        network: Id,
        wanted: &[IpAddr],
    ) -> Result<Vec<IpNet>, Refusal> {
        self.attachable(network)?;
        let pool = self.pool(network);
        let subnets = pool.map_or(&[][..], |pool| &pool.subnets);
        let inside = |addr: &&IpAddr| subnets.iter().any(|subnet| subnet.net.contains(*addr));
        if let Some(stray) = wanted.iter().find(|addr| !inside(addr)) {
            return Err(RefusalKind::InvalidArgument.because(format!(
                "address {stray} is in no subnet of network {}",
                self.network_name(network)
            )));
        }
        let known = self.attachment(id).filter(|it| it.network == network);
        let holder = Holder::Attachment(id);
        let mut addrs = Vec::new();
        for (place, subnet) in subnets.iter().enumerate() {
            let said = wanted.iter().copied().find(|it| subnet.net.contains(it));
            if let Some(refusal) =
                said.and_then(|said| self.address_conflict(holder, network, said))
            {
                return Err(refusal);
            }
            let had = known.and_then(|it| it.addrs.get(place));
            let addr = said.or_else(|| had.map(IpNet::addr));
            let next = || pool.and_then(|pool| pool.next(place));
            let addr = addr.or_else(next).ok_or_else(|| {
                RefusalKind::FailedPrecondition.because(self.exhausted(network, place))
            })?;
            addrs.push(in_net(addr, subnet.net));
        }
        Ok(addrs)
    }

    /// The network, if containers can be attached to it.
    ///
    /// # Errors
    /// In Docker's words.
    pub(crate) fn attachable(&self, network: Id) -> Result<&Arc<Network>, Refusal> {
        let Some(found) = self.network(network) else {
            return Err(RefusalKind::NotFound.because(format!("network {network} not found")));
        };
        if !found.spec.attachable {
            let text = format!("network {} not manually attachable", found.spec.name);
            return Err(RefusalKind::FailedPrecondition.because(text));
        }
        Ok(found)
    }
}

/// Writes, which keep the indexes true.
impl State {
    pub(crate) fn put_attachment(&mut self, attachment: Attachment) {
        for addr in &attachment.addrs {
            if let Some(pool) = self.pool_mut(attachment.network) {
                pool.hold(addr.addr(), Holder::Attachment(attachment.id));
            }
        }
        let networks = &mut self.networks;
        let of_node = networks.attachments_by_node.entry(attachment.node);
        of_node.or_default().insert(attachment.id);
        networks
            .attachments
            .insert(attachment.id, Arc::new(attachment));
    }

    pub(crate) fn drop_attachment(&mut self, id: Id) {
        let Some(attachment) = self.networks.attachments.remove(&id) else {
            return;
        };
        unindex(&mut self.networks.attachments_by_node, attachment.node, id);
        for addr in &attachment.addrs {
            if let Some(pool) = self.pool_mut(attachment.network) {
                pool.release(addr.addr(), Holder::Attachment(id));
            }
        }
    }
}
