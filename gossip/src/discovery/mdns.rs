//! libp2p's mDNS, without a libp2p swarm around it: the behaviour is told by
//! hand on which addresses "we listen" and asked by hand what it has found. So
//! there is no transport here, and nothing that could dial a stranger.
//!
//! Every query is answered to the whole LAN, also by whoever asked. So a device
//! makes itself known by asking; that happens on every new announcement and on
//! every new address.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::StreamExt;
use if_watch::IfEvent;
use if_watch::tokio::IfWatcher;
use libp2p::core::transport::ListenerId;
use libp2p::mdns::{self, IPV4_MDNS_MULTICAST_ADDRESS};
use libp2p::swarm::behaviour::{ExpiredListenAddr, FromSwarm, NewListenAddr};
use libp2p::swarm::{NetworkBehaviour, ToSwarm};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::watch;

use super::{Announcement, Found, Shared, addr};

/// How long others keep what a member says, and how often it asks.
const MEMBER: (Duration, Duration) = (Duration::from_secs(360), Duration::from_secs(120));
/// The same of a device that is in no swarm: what it says will change soon.
const WAITING: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));
/// libp2p keeps all that it hears; past this it is made to forget it.
const MAX_HEARD: usize = 1_024;
/// How long a LAN with that much to say is not listened to.
const DEAFNESS: Duration = Duration::from_secs(10);
/// For everyone to answer to a new behaviour, which asks twice within it.
const ROUND: Duration = Duration::from_secs(5);
/// The keys of one device since its daemon started that are not found anew.
const MAX_OWN: usize = 16;
/// Interfaces on which there is nobody but this host's containers.
const VIRTUAL: [&str; 6] = ["docker", "br-", "veth", "virbr", "swl", "cni"];

/// A query for `_p2p._udp.local` (RFC 6762), as libp2p asks it.
const QUERY: &[u8] = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x04_p2p\x04_udp\x05local\0\0\x0c\0\x01";

pub struct Listener {
    shared: Weak<Shared>,
    announced: watch::Receiver<Option<Announcement>>,
    refresh: watch::Receiver<u64>,
    interfaces: IfWatcher,
    ips: BTreeMap<IpAddr, Multiaddr>,
    listener: ListenerId,
    /// `None` while it is not listened to.
    mdns: Option<mdns::tokio::Behaviour>,
    /// When those that have not answered to a new behaviour are forgotten.
    round_ends: Option<tokio::time::Instant>,
    /// This device's own names, the last one in use.
    own: Vec<PeerId>,
}

impl Listener {
    pub fn new(shared: &Arc<Shared>) -> io::Result<Self> {
        let own = PeerId::random();
        Ok(Self {
            announced: shared.announced.subscribe(),
            refresh: shared.refresh.subscribe(),
            shared: Arc::downgrade(shared),
            interfaces: IfWatcher::new()?,
            ips: BTreeMap::new(),
            listener: ListenerId::next(),
            mdns: Some(mdns::tokio::Behaviour::new(config(None), own)?),
            round_ends: None,
            own: vec![own],
        })
    }

    /// Runs until the last handle is dropped.
    pub async fn run(mut self) {
        loop {
            let deaf = self.mdns.is_none();
            tokio::select! {
                biased;
                changed = self.announced.changed() => match changed {
                    Ok(()) => self.announce_anew(),
                    Err(_) => return,
                },
                // Before mDNS sees the same: what it asks first it answers with
                // the addresses that it knows by then.
                Some(Ok(event)) = self.interfaces.next() => self.interface_changed(event),
                changed = self.refresh.changed() => match changed {
                    Ok(()) => self.ask(),
                    Err(_) => return,
                },
                event = heard(&mut self.mdns) => self.take(event),
                () = sleep_until(self.round_ends) => {
                    self.round_ends = None;
                    self.change(super::table::Table::end_round);
                }
                () = tokio::time::sleep(DEAFNESS), if deaf => self.announce_anew(),
            }
        }
    }

    /// Begins anew under the name of the current announcement.
    fn announce_anew(&mut self) {
        self.be_silent();
        let said = *self.announced.borrow_and_update();
        let peer = said.and_then(|said| addr::peer_of(&said.key));
        let peer = peer.unwrap_or_else(PeerId::random);
        match mdns::tokio::Behaviour::new(config(said.as_ref()), peer) {
            Ok(mdns) => self.mdns = Some(mdns),
            Err(error) => tracing::warn!(%error, "no mDNS for now"),
        }
        self.own.retain(|own| *own != peer);
        if self.own.len() == MAX_OWN {
            self.own.remove(0);
        }
        self.own.push(peer);
        let ids: Vec<_> = self.own.iter().filter_map(addr::node_of).collect();
        self.change(|table| {
            table.forget(&ids);
            table.begin_round();
            true
        });
        self.round_ends = Some(tokio::time::Instant::now() + ROUND);
        let ips: Vec<IpAddr> = self.ips.keys().copied().collect();
        for ip in ips {
            self.listen(ip);
        }
    }

    /// What is left of the old behaviour in tasks of its own ends with the next
    /// answer that one of them hears; until then it has nothing to say.
    fn be_silent(&mut self) {
        let ips: Vec<IpAddr> = self.ips.keys().copied().collect();
        for ip in ips {
            self.unlisten(ip);
        }
        self.mdns = None;
    }

    fn interface_changed(&mut self, event: IfEvent) {
        match event {
            IfEvent::Up(net) if is_of_lan(net.addr()) => {
                self.ips.insert(net.addr(), Multiaddr::empty());
                self.listen(net.addr());
            }
            IfEvent::Up(_) => {}
            IfEvent::Down(net) => {
                self.unlisten(net.addr());
                self.ips.remove(&net.addr());
            }
        }
    }

    fn listen(&mut self, ip: IpAddr) {
        let said = *self.announced.borrow();
        let (Some(said), Some(mdns)) = (said, &mut self.mdns) else {
            return;
        };
        let addr = addr::multiaddr(&said, ip);
        mdns.on_swarm_event(FromSwarm::NewListenAddr(NewListenAddr {
            listener_id: self.listener,
            addr: &addr,
        }));
        self.ips.insert(ip, addr);
    }

    fn unlisten(&mut self, ip: IpAddr) {
        if let (Some(addr), Some(mdns)) = (self.ips.get(&ip), &mut self.mdns) {
            mdns.on_swarm_event(FromSwarm::ExpiredListenAddr(ExpiredListenAddr {
                listener_id: self.listener,
                addr,
            }));
        }
    }

    fn ask(&self) {
        for ip in self.ips.keys() {
            if let Err(error) = ask_from(*ip) {
                tracing::debug!(%ip, %error, "cannot ask who is there");
            }
        }
    }

    fn take(&mut self, event: mdns::Event) {
        let now = Instant::now();
        let (addrs, gone) = match event {
            mdns::Event::Discovered(addrs) => (addrs, false),
            mdns::Event::Expired(addrs) => (addrs, true),
        };
        let found: Vec<Found> = addrs
            .iter()
            .filter(|(peer, _)| !self.own.contains(peer))
            .filter_map(|(_, addr)| addr::found(addr, now))
            .collect();
        self.change(|table| {
            found.into_iter().fold(false, |changed, found| {
                let differs = match gone {
                    true => table.remove(&found),
                    false => table.insert(found),
                };
                changed | differs
            })
        });
        let heard = self.mdns.as_ref().map(|mdns| mdns.discovered_nodes().len());
        if heard.is_some_and(|heard| heard > MAX_HEARD) {
            tracing::warn!(
                "too many devices announce themselves by mDNS; not listening for a while"
            );
            self.be_silent();
        }
    }

    fn change(&self, change: impl FnOnce(&mut super::table::Table) -> bool) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let mut table = shared.found.write().unwrap_or_else(PoisonError::into_inner);
        if change(&mut table) {
            drop(table);
            shared.changes.send_modify(|changes| *changes += 1);
        }
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn config(said: Option<&Announcement>) -> mdns::Config {
    let (ttl, query_interval) = match said {
        Some(Announcement { swarm: None, .. }) => WAITING,
        _ => MEMBER,
    };
    mdns::Config {
        ttl,
        query_interval,
        enable_ipv6: false,
    }
}

async fn heard(mdns: &mut Option<mdns::tokio::Behaviour>) -> mdns::Event {
    let Some(mdns) = mdns else {
        return std::future::pending().await;
    };
    loop {
        if let ToSwarm::GenerateEvent(event) = poll_fn(|cx| mdns.poll(cx)).await {
            return event;
        }
    }
}

/// Whether others than this host's containers can be behind the address.
fn is_of_lan(ip: IpAddr) -> bool {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let name = interfaces.iter().find(|interface| interface.ip() == ip);
    let virt = name.is_some_and(|interface| {
        let name = &interface.name;
        VIRTUAL.iter().any(|start| name.starts_with(start))
    });
    ip.is_ipv4() && !ip.is_loopback() && !virt
}

fn ask_from(ip: IpAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((ip, 0))?;
    socket.set_nonblocking(true)?;
    socket.set_multicast_ttl_v4(255)?;
    socket.send_to(QUERY, (IPV4_MDNS_MULTICAST_ADDRESS, 5353))?;
    Ok(())
}
