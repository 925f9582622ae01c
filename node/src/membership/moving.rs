//! A device whose address changes is still the same node.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Membership;
use crate::address;

const ADDRESS_CHECK: Duration = Duration::from_secs(1);

impl Membership {
    /// A device may get another address at any time, say with its next DHCP
    /// lease. It tells everyone, and stays the node that it is.
    pub(super) async fn follow_address(&self) {
        let mut pause = tokio::time::interval(ADDRESS_CHECK);
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pause.tick().await;
            let before = self.addr();
            let managers = self.news.borrow().managers.clone();
            let others = managers.iter().filter(|(id, _)| *id != self.me);
            let others = others.map(|(_, addr)| *addr);
            let Some(ip) = address::successor(before.ip(), others) else {
                continue;
            };
            self.move_to(SocketAddr::new(ip, before.port()));
        }
    }

    /// Tells everyone that this node answers at `addr` now.
    pub fn move_to(&self, addr: SocketAddr) {
        let before = self.addr.send_replace(addr);
        tracing::info!(%before, %addr, "this node has another address");
        self.gossip.publish(|facts| {
            facts
                .addrs
                .retain(|known| *known != before && *known != addr);
            facts.addrs.insert(0, addr);
        });
        self.gossip.addresses_changed();
    }
}
