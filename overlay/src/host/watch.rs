//! Tells when another program takes away what we have put into the kernel, or
//! leads it elsewhere: a firewall that is loaded anew flushes every table,
//! network managers remove routes and addresses that they do not know, and an
//! administrator adds some.
//!
//! The kernel multicasts each change, our own among them. Whose it is, the
//! messages say: each has the netlink port of who asked for it. So what others do
//! while we are at work is heard of as well, and is a reason to look once more.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use rustix::io::Errno;
use rustix::net::netdevice::index_to_name;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::docker::{CHAIN, ISOLATION};
use super::message::{find, message, port};
use super::routes::PROTOCOL;
use crate::names::Names;

/// NFNLGRP_NFTABLES.
const NFTABLES_GROUP: u32 = 7;
/// RTNLGRP_{IPV4,IPV6}_{IFADDR,ROUTE,RULE} as a mask.
const ROUTE_GROUPS: u32 = 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18;
/// NFNL_SUBSYS_NFTABLES << 8, with NFT_MSG_*.
const DELTABLE: u16 = 0x0a02;
const NEWCHAIN: u16 = 0x0a03;
const DELCHAIN: u16 = 0x0a05;
const DELRULE: u16 = 0x0a08;
const DELSET: u16 = 0x0a0b;
const DELSETELEM: u16 = 0x0a0e;
/// The end of a transaction.
const NEWGEN: u16 = 0x0a0f;
/// NFTA_{TABLE_NAME,CHAIN_TABLE,RULE_TABLE,SET_TABLE,SET_ELEM_LIST_TABLE}.
const NFTA_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_CHAIN_NAME: u16 = 3;
/// Where `iptables` keeps the chains that forward.
const FILTER: &[u8] = b"filter";
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_DELRULE: u16 = 33;
const IFA_ADDRESS: u16 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const FRA_FWMARK: u16 = 10;
const AF_INET: u8 = 2;
/// RT_TABLE_MAIN.
const MAIN: u8 = 254;
/// A change of all rules of a large swarm is told in some hundred kilobytes.
const UNREAD_BYTES: usize = 8 << 20;

/// What others have changed of what we depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Disturbance {
    /// Routes, addresses or policy rules of ours are gone, or a route of another
    /// leads addresses of the overlay elsewhere, or does so no more.
    pub ways: bool,
    pub rules: bool,
    /// Of the local engine's firewall.
    pub engine: bool,
}

impl Disturbance {
    const ALL: Self = Self {
        ways: true,
        rules: true,
        engine: true,
    };

    fn add(&mut self, other: Self) {
        self.ways |= other.ways;
        self.rules |= other.rules;
        self.engine |= other.engine;
    }
}

pub struct Watch {
    rules: TokioSocket,
    ways: TokioSocket,
    sense: Sense,
    heard: Disturbance,
    /// Processes that may have a transaction to be heard of.
    pending: BTreeSet<u32>,
    /// Whose changes were told cannot be said.
    unsure: bool,
}

/// Which messages matter.
struct Sense {
    names: Names,
    /// Of the overlay.
    subnets: Vec<IpNet>,
    /// Who changes routes for us, as netlink calls it.
    own: u32,
    /// Who changes rules for us.
    processes: BTreeSet<u32>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Who has the netlink port `own` changes routes for us. Must be called
    /// within a tokio runtime.
    pub fn open(names: Names, own: u32) -> io::Result<Self> {
        let socket = |protocol, groups| {
            let mut socket = TokioSocket::new(protocol)?;
            set_socket_recv_buffer_size_force(socket.socket_ref(), UNREAD_BYTES)?;
            socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
            io::Result::Ok(socket)
        };
        Ok(Self {
            rules: socket(NETLINK_NETFILTER, 1 << (NFTABLES_GROUP - 1))?,
            ways: socket(NETLINK_ROUTE, ROUTE_GROUPS)?,
            sense: Sense {
                names,
                subnets: Vec::new(),
                own,
                processes: BTreeSet::new(),
            },
            heard: Disturbance::default(),
            pending: BTreeSet::new(),
            unsure: false,
        })
    }

    /// Waits for the next disturbance. May be dropped at any time and called
    /// again.
    pub async fn disturbance(&mut self) -> io::Result<Disturbance> {
        while self.heard == Disturbance::default() {
            let told = tokio::select! {
                told = self.rules.recv_from_full() => told,
                told = self.ways.recv_from_full() => told,
            };
            self.hear(told)?;
        }
        self.drain()?;
        Ok(std::mem::take(&mut self.heard))
    }

    /// The kernel is about to be made as it is wanted, with these subnets. Says
    /// whether rules of ours are lost by now.
    pub fn begin(&mut self, subnets: impl Iterator<Item = IpNet>) -> io::Result<bool> {
        self.sense.subnets = subnets.collect();
        self.drain()?;
        self.heard.ways = false;
        Ok(std::mem::take(&mut self.heard.rules))
    }

    /// Waits for a transaction of this process, which is ours.
    pub fn committed(&mut self, process: u32) -> impl Future<Output = ()> {
        self.sense.processes.insert(process);
        self.pending.insert(process);
        async move {
            while self.pending.contains(&process) {
                let told = self.rules.recv_from_full().await;
                if self.hear(told).is_err() {
                    // It may have been told to nobody.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// The kernel has been made as it is wanted. What others did meanwhile is
    /// the next disturbance.
    pub fn settle(&mut self) -> io::Result<()> {
        self.drain()?;
        let unheard = !std::mem::take(&mut self.pending).is_empty();
        if std::mem::take(&mut self.unsure) || unheard {
            // To do for ever again what was our own doing would be worse.
            self.heard.rules = false;
        }
        self.sense.processes.clear();
        Ok(())
    }

    fn drain(&mut self) -> io::Result<()> {
        loop {
            match self.rules.socket_ref().recv_from_full() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                told => self.hear(told)?,
            }
        }
        loop {
            match self.ways.socket_ref().recv_from_full() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                told => self.hear(told)?,
            }
        }
    }

    fn hear(&mut self, told: io::Result<(Vec<u8>, SocketAddr)>) -> io::Result<()> {
        match told {
            Ok((datagram, _)) => self.read(&datagram),
            // Some were told while nobody read, and are lost: it may be anything.
            Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
                self.unsure = !self.sense.processes.is_empty();
                self.heard = Disturbance::ALL;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn read(&mut self, mut datagram: &[u8]) {
        while let Some((kind, body, next)) = message(datagram) {
            let by = port(datagram).unwrap_or_default();
            if kind == NEWGEN {
                self.pending.remove(&by);
            }
            let ways = self.ways.socket_ref();
            let name = |link| index_to_name(ways, link).ok();
            self.heard.add(self.sense.of(kind, body, by, name));
            datagram = next;
        }
    }
}

impl Sense {
    /// `name`: of the interface with that number.
    fn of(
        &self,
        kind: u16,
        body: &[u8],
        by: u32,
        name: impl Fn(u32) -> Option<String>,
    ) -> Disturbance {
        let ways = match kind {
            DELTABLE | NEWCHAIN | DELCHAIN | DELRULE | DELSET | DELSETELEM => {
                return self.of_rules(kind, body, by);
            }
            _ if by == self.own => false,
            RTM_NEWROUTE | RTM_DELROUTE => self.of_route(kind, body, name),
            // The headers are an ifaddrmsg and a fib_rule_hdr.
            RTM_DELADDR => {
                let Names {
                    gateway, gateway6, ..
                } = &self.names;
                let addr = attribute(body, 8, IFA_ADDRESS).unwrap_or_default();
                addr == gateway.octets() || addr == gateway6.octets()
            }
            RTM_DELRULE => attribute(body, 12, FRA_FWMARK) == Some(&self.names.mark.to_ne_bytes()),
            _ => false,
        };
        Disturbance {
            ways,
            ..Disturbance::default()
        }
    }

    fn of_rules(&self, kind: u16, body: &[u8], by: u32) -> Disturbance {
        let text = |kind| {
            let text = attribute(body, 4, kind).unwrap_or_default();
            text.strip_suffix(b"\0").unwrap_or(text)
        };
        let table = text(NFTA_TABLE);
        let is_ours = table == self.names.table.as_bytes() && !self.processes.contains(&by);
        let chains = [CHAIN.as_bytes(), ISOLATION.as_bytes()];
        let is_the_engines = match kind {
            DELTABLE => true,
            NEWCHAIN | DELCHAIN => chains.contains(&text(NFTA_CHAIN_NAME)),
            DELRULE => text(NFTA_RULE_CHAIN) == CHAIN.as_bytes(),
            _ => false,
        };
        Disturbance {
            rules: is_ours && kind != NEWCHAIN,
            engine: is_the_engines && table == FILTER,
            ways: false,
        }
    }

    /// One of ours that is gone, or one of others that leads, or has led, what is
    /// of the overlay elsewhere. The header is an rtmsg.
    fn of_route(&self, kind: u16, body: &[u8], name: impl Fn(u32) -> Option<String>) -> bool {
        let [family, bits, _, _, table, protocol, ..] = *body else {
            return false;
        };
        if protocol == u8::from(PROTOCOL) {
            return kind == RTM_DELROUTE;
        }
        let to = attribute(body, 12, RTA_DST).and_then(|addr| match family {
            AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(addr).ok()?)),
            _ => Some(IpAddr::from(<[u8; 16]>::try_from(addr).ok()?)),
        });
        let Some(to) = to.and_then(|addr| IpNet::new(addr, bits).ok()) else {
            return false;
        };
        let link = attribute(body, 12, RTA_OIF).and_then(|link| <[u8; 4]>::try_from(link).ok());
        let link = link.and_then(|link| name(u32::from_ne_bytes(link)));
        // The driver makes routes of its own.
        let is_own = link.is_some_and(|link| self.names.is_link(&link));
        table == MAIN && !is_own && self.subnets.iter().any(|net| net.contains(&to))
    }
}

/// The first attribute of that kind behind a header of `header` bytes.
fn attribute(body: &[u8], header: usize, kind: u16) -> Option<&[u8]> {
    find(body.get(header..)?, kind)
}
