//! `discover`: every device on this LAN that is in a swarm or waits for one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use certs::{ClusterId, NodeId};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use super::announce::announcement;
use super::lan::Found;
use crate::join::{self, About};
use crate::swarm::{Phase, Swarm};

/// For mDNS to answer, once asked.
const HEAR: Duration = Duration::from_millis(700);
const ASK_WITHIN: Duration = Duration::from_millis(1200);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub node: NodeId,
    pub addr: SocketAddr,
    /// The digest of the root, as announced; `None`: it waits.
    pub swarm: Option<[u8; 32]>,
    pub site: Option<[u8; 32]>,
    /// What it answered; `None`: nothing.
    pub about: Option<About>,
    pub is_self: bool,
    /// Of the swarm that this device is in.
    pub own: bool,
}

impl Device {
    pub fn cluster(&self) -> Option<ClusterId> {
        self.about.as_ref()?.cluster
    }
}

/// The devices in reach, this one first, one line for each id.
pub async fn discover(swarm: &Swarm) -> Vec<Device> {
    let lan = swarm.lan();
    lan.refresh();
    sleep(HEAR).await;
    let me = myself(swarm);
    let own = me.as_ref().and_then(|me| me.swarm);
    let mut ids: BTreeSet<NodeId> = me.iter().map(|me| me.node).collect();
    let mut found = lan.found();
    // One that took another id there is still remembered by the old one.
    found.sort_by_key(|found| std::cmp::Reverse(found.first_seen));
    let mut addrs = BTreeSet::new();
    found.retain(|found| ids.insert(found.id) && addrs.insert(found.addr));
    let asked = found.into_iter().map(|found| ask(found, own));
    me.into_iter().chain(join_all(asked).await).collect()
}

async fn ask(found: Found, own: Option<[u8; 32]>) -> Device {
    let about = timeout(ASK_WITHIN, join::about(found.addr)).await;
    Device {
        node: found.id,
        addr: found.addr,
        swarm: found.swarm,
        site: found.site,
        about: about.ok().and_then(Result::ok),
        is_self: false,
        own: own.is_some() && found.swarm == own,
    }
}

fn myself(swarm: &Swarm) -> Option<Device> {
    let phase = swarm.phase();
    let said = announcement(&phase)?;
    let (addr, cluster) = match &phase {
        Phase::Active(membership) => (membership.addr(), Some(membership.credentials.cluster_id())),
        Phase::Waiting(forming) => {
            let unknown = SocketAddr::from(([0, 0, 0, 0], said.port));
            (forming.advertised().unwrap_or(unknown), None)
        }
        _ => return None,
    };
    Some(Device {
        node: NodeId::of_public_key(&said.key),
        addr,
        swarm: said.swarm,
        site: said.site,
        about: Some(About::me(cluster)),
        is_self: true,
        own: cluster.is_some(),
    })
}
