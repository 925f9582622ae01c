//! Containers that users put on attachable networks by themselves. They get
//! their addresses from where tasks get theirs, under the same guarantee.

use ipnet::IpNet;

use super::{Outcome, Write, not_found};
use crate::address::{Holder, Pool};
use crate::command::{Refusal, RefusalKind};
use crate::id::Id;
use crate::object::Attachment;

/// On one node: what one that went wrong can take from the others.
const MAX_PER_NODE: usize = 1_000;
/// And of one network's addresses one part in so many.
const SHARE: usize = 2;

impl Write<'_> {
    pub(super) fn create_attachment(
        &mut self,
        id: Id,
        network: Id,
        node: Id,
        addrs: &[IpNet],
    ) -> Outcome {
        self.check_attachment(id, network, node)?;
        let is_open = |pool: &Pool, addr| pool.is_open_to(addr, Holder::Attachment(id));
        if !self.are_open(network, addrs, is_open) {
            let name = self.state.network_name(network);
            return Err(RefusalKind::FailedPrecondition
                .because(format!("an address on network {name} was taken meanwhile")));
        }
        let known = self.state.attachment(id).cloned();
        let meta = match &known {
            Some(known) => self.touch(known.meta),
            None => self.created(),
        };
        self.state.drop_attachment(id);
        self.state.put_attachment(Attachment {
            id,
            meta,
            network,
            node,
            addrs: addrs.to_vec(),
        });
        let had = known.map_or_else(Vec::new, |known| known.addrs.clone());
        for addr in addrs.iter().filter(|addr| !had.contains(addr)) {
            self.state.picked(network, addr.addr());
        }
        self.versioned()
    }

    fn check_attachment(&self, id: Id, network: Id, node: Id) -> Result<(), Refusal> {
        let state = &self.state;
        state.attachable(network)?;
        if state.node(node).is_none() {
            return Err(not_found("node", node));
        }
        let known = state.attachment(id);
        let moved = known.is_some_and(|it| (it.network, it.node) != (network, node));
        if moved || state.task(id).is_some() || state.service(id).is_some() {
            let text = format!("attachment {id} already exists");
            return Err(RefusalKind::AlreadyExists.because(text));
        }
        if known.is_some() {
            return Ok(());
        }
        if state.attachments_of_node(node).count() >= MAX_PER_NODE {
            return Err(RefusalKind::FailedPrecondition.because(format!(
                "{MAX_PER_NODE} containers of node {node} are attached to networks: no more are \
                 allowed"
            )));
        }
        let size = state.pool(network).map_or(0, Pool::size);
        let there = state.attachments_of_node(node);
        let there = there.filter(|it| it.network == network).count();
        if there >= size.div_ceil(SHARE) {
            return Err(RefusalKind::FailedPrecondition.because(format!(
                "{there} containers of node {node} are attached to network {}, which has {size} \
                 addresses: the rest is for other nodes and for services",
                state.network_name(network)
            )));
        }
        Ok(())
    }

    pub(super) fn remove_attachments(&mut self, ids: &[Id]) {
        for id in ids {
            self.state.drop_attachment(*id);
        }
    }
}
