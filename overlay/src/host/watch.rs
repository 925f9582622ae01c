//! Tells when another program takes away what we have put into the kernel: a
//! firewall that is loaded anew flushes every table, and network managers
//! remove routes and addresses that they do not know.
//!
//! The kernel multicasts each removal, also our own; those are thrown away
//! after each change that we make ([`Watch::drain`]).

use std::io;
use std::net::IpAddr;

use rtnetlink::sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use rustix::io::Errno;

use super::message::{find, message, port};
use super::routes::PROTOCOL;
use crate::names::Names;

/// NFNLGRP_NFTABLES.
const NFTABLES_GROUP: u32 = 7;
/// RTNLGRP_{IPV4,IPV6}_{IFADDR,ROUTE,RULE} as a mask.
const ROUTE_GROUPS: u32 = 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18;
/// NFNL_SUBSYS_NFTABLES << 8, with NFT_MSG_DEL{TABLE,CHAIN,RULE,SET,SETELEM}.
const DEL_OF_NFTABLES: [u16; 5] = [0x0a02, 0x0a05, 0x0a08, 0x0a0b, 0x0a0e];
/// The same, with NFT_MSG_NEWGEN: the end of a transaction.
const NEWGEN: u16 = 0x0a0f;
/// NFTA_{TABLE_NAME,CHAIN_TABLE,RULE_TABLE,SET_TABLE,SET_ELEM_LIST_TABLE}.
const NFTA_TABLE: u16 = 1;
const RTM_DELADDR: u16 = 21;
const RTM_DELROUTE: u16 = 25;
const RTM_DELRULE: u16 = 33;
const IFA_ADDRESS: u16 = 1;
const FRA_FWMARK: u16 = 10;

/// What is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Of routes, addresses and policy rules.
    Way,
    Rules,
}

pub struct Watch {
    names: Names,
    rules: TokioSocket,
    ways: TokioSocket,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// Must be called within a tokio runtime.
    pub fn open(names: Names) -> io::Result<Self> {
        let socket = |protocol, groups| {
            let mut socket = TokioSocket::new(protocol)?;
            socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
            io::Result::Ok(socket)
        };
        Ok(Self {
            names,
            rules: socket(NETLINK_NETFILTER, 1 << (NFTABLES_GROUP - 1))?,
            ways: socket(NETLINK_ROUTE, ROUTE_GROUPS)?,
        })
    }

    /// Waits for the next loss. May be dropped at any time and called again.
    pub async fn loss(&mut self) -> io::Result<Loss> {
        loop {
            let told = tokio::select! {
                told = self.rules.recv_from_full() => told,
                told = self.ways.recv_from_full() => told,
            };
            if let Some(loss) = loss_in(told, &self.names)? {
                return Ok(loss);
            }
        }
    }

    /// Waits for a transaction of this process. What is told before is thrown
    /// away.
    pub async fn committed(&mut self, process: u32) {
        loop {
            match self.rules.recv_from_full().await {
                Ok((datagram, _)) if commits(&datagram, process) => return,
                Ok(_) => {}
                // It may have been told to nobody.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// The greatest loss that has been told and not been waited for.
    pub fn drain(&self) -> io::Result<Option<Loss>> {
        let mut greatest = None;
        for socket in [&self.rules, &self.ways] {
            loop {
                match loss_in(socket.socket_ref().recv_from_full(), &self.names) {
                    Ok(loss) => greatest = greatest.max(loss),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(greatest)
    }
}

fn loss_in(told: io::Result<(Vec<u8>, SocketAddr)>, names: &Names) -> io::Result<Option<Loss>> {
    match told {
        Ok((datagram, _)) => Ok(loss(&datagram, names)),
        // Some were told while nobody read, and are lost: it may be anything.
        Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
            Ok(Some(Loss::Rules))
        }
        Err(error) => Err(error),
    }
}

fn commits(mut datagram: &[u8], process: u32) -> bool {
    while let Some((kind, _, next)) = message(datagram) {
        if kind == NEWGEN && port(datagram) == Some(process) {
            return true;
        }
        datagram = next;
    }
    false
}

/// The greatest loss that a datagram of the kernel tells of.
fn loss(mut datagram: &[u8], names: &Names) -> Option<Loss> {
    let mut greatest = None;
    while let Some((kind, body, next)) = message(datagram) {
        datagram = next;
        greatest = greatest.max(loss_of(kind, body, names));
    }
    greatest
}

fn loss_of(kind: u16, body: &[u8], names: &Names) -> Option<Loss> {
    // The lengths are those of nfgenmsg, ifaddrmsg and fib_rule_hdr.
    let has = |header: usize, attribute, value: &[u8]| {
        let found = body.get(header..).and_then(|rest| find(rest, attribute));
        found.is_some_and(|found| found == value)
    };
    let addr = |addr: IpAddr| match addr {
        IpAddr::V4(addr) => has(8, IFA_ADDRESS, &addr.octets()),
        IpAddr::V6(addr) => has(8, IFA_ADDRESS, &addr.octets()),
    };
    let table = || [names.table.as_bytes(), b"\0"].concat();
    match kind {
        kind if DEL_OF_NFTABLES.contains(&kind) => {
            has(4, NFTA_TABLE, &table()).then_some(Loss::Rules)
        }
        RTM_DELADDR => {
            let ours = addr(names.gateway.into()) || addr(names.gateway6.into());
            ours.then_some(Loss::Way)
        }
        // Of rtmsg, who has made the route.
        RTM_DELROUTE => (body.get(5) == Some(&PROTOCOL.into())).then_some(Loss::Way),
        RTM_DELRULE => has(12, FRA_FWMARK, &names.mark.to_ne_bytes()).then_some(Loss::Way),
        _ => None,
    }
}
