//! Flows that lead to what is gone: the kernel goes on translating them as it
//! did at first, so they are deleted (ctnetlink, `linux/netfilter/nfnetlink_conntrack.h`).
//!
//! A UDP client would talk to a vanished backend for as long as it talks. A TCP
//! client notices by itself, and its connection may live through a backend that
//! was only believed dead; so TCP flows go only with containers of this node, or
//! where nobody has answered yet: the client's next SYN is led to another backend.
//! Those that have ended stay. A client may use their port again, which takes the
//! old flow's place, and the kernel could not tell the two apart when one is deleted:
//! what it calls an id is made of the tuple and of the place in memory.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr};

use super::message::{NLA_F_NESTED, attribute, find, message};
use super::{Error, Result};
use crate::directory::Protocol;
use crate::table::{PublishedPort, Subnets, Table};

/// What no flow may go on with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stale {
    /// Containers that left this node: whatever the protocol.
    containers: BTreeSet<IpAddr>,
    /// Backends that are nowhere: UDP, and what they have not answered yet.
    backends: BTreeSet<IpAddr>,
    /// Ports that nobody answered before: UDP flows to the host itself.
    ports: BTreeSet<u16>,
    /// Subnets, and the backends in them that are somewhere.
    all_but: Option<(Subnets, BTreeSet<IpAddr>)>,
}

impl Stale {
    pub fn between(before: &Table, now: &Table) -> Self {
        let live = |addr: &IpAddr| now.locals.contains_key(addr) || now.remotes.contains_key(addr);
        let containers = before
            .locals
            .keys()
            .filter(|addr| !now.locals.contains_key(*addr));
        let backends = before.remotes.keys().filter(|addr| !live(addr));
        let unanswered = |port: &PublishedPort| {
            let was = before.ports.get(port);
            was.is_none_or(|target| target.backends.is_empty())
        };
        let ports = now.ports.iter().filter(|(port, target)| {
            port.protocol == Protocol::Udp && !target.backends.is_empty() && unanswered(port)
        });
        Self {
            containers: containers.copied().collect(),
            backends: backends.copied().collect(),
            ports: ports.map(|(port, _)| port.number).collect(),
            all_but: None,
        }
    }

    /// What may have gone while nobody looked.
    pub fn of_an_earlier_run(now: &Table) -> Self {
        let live = now.locals.keys().chain(now.remotes.keys());
        Self {
            all_but: Some((now.subnets.clone(), live.copied().collect())),
            ..Self::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Deletes those flows; says how many there were.
    pub async fn forget(self) -> Result<usize> {
        if self.is_empty() {
            return Ok(0);
        }
        let failed = |source| Error::Io {
            what: "deleting flows to what is gone".to_owned(),
            source,
        };
        let work = tokio::task::spawn_blocking(move || delete(&self.flows()?));
        let result = work.await.map_err(std::io::Error::other);
        result.and_then(|result| result).map_err(failed)
    }

    /// Those that the kernel has.
    pub(super) fn flows(&self) -> std::io::Result<Vec<Flow>> {
        let socket = open()?;
        let mut flows = Vec::new();
        for family in [
            rustix::net::AddressFamily::INET,
            rustix::net::AddressFamily::INET6,
        ] {
            let family = family.as_raw() as u8;
            request(&socket, CT_GET, NLM_F_DUMP, family, &[])?;
            read(&socket, |kind, body| {
                let flow = (kind == CT_GET & 0xff00)
                    .then(|| flow(family, body))
                    .flatten();
                flows.extend(flow.filter(|flow| self.has(flow)));
            })?;
        }
        Ok(flows)
    }

    fn is_gone(&self, backend: IpAddr) -> bool {
        let is_nowhere = |(subnets, live): &(Subnets, BTreeSet<_>)| {
            subnets.network_of(backend).is_some() && !live.contains(&backend)
        };
        self.backends.contains(&backend) || self.all_but.as_ref().is_some_and(is_nowhere)
    }

    fn has(&self, flow: &Flow) -> bool {
        if flow.ended {
            return false;
        }
        let ends = [flow.client, flow.backend];
        let udp = flow.protocol == IPPROTO_UDP;
        let unanswered = || self.ports.contains(&flow.port) && flow.asked == flow.backend;
        ends.iter().any(|end| self.containers.contains(end))
            || (udp || !flow.answered) && self.is_gone(flow.backend)
            || udp && unanswered()
    }
}

/// A tracked connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flow {
    protocol: u8,
    client: IpAddr,
    /// Address and port that the client sent to.
    asked: IpAddr,
    port: u16,
    /// Who answers.
    backend: IpAddr,
    answered: bool,
    /// TCP: both ends know that it is over.
    ended: bool,
    /// The attributes by which the kernel finds it again.
    key: Vec<u8>,
    family: u8,
}

const IPPROTO_UDP: u8 = 17;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
/// NFNL_SUBSYS_CTNETLINK << 8, with IPCTNL_MSG_CT_GET and IPCTNL_MSG_CT_DELETE.
const CT_GET: u16 = 0x0101;
const CT_DELETE: u16 = 0x0102;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_PROTOINFO: u16 = 4;
const CTA_ID: u16 = 12;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
const IPS_SEEN_REPLY: u32 = 0x2;
/// Of `enum tcp_conntrack`.
const TIME_WAIT: u8 = 7;
const CLOSE: u8 = 8;

fn open() -> std::io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// Says how many there still were.
pub(super) fn delete(flows: &[Flow]) -> std::io::Result<usize> {
    let socket = open()?;
    let mut deleted = 0;
    for flow in flows {
        request(&socket, CT_DELETE, NLM_F_ACK, flow.family, &flow.key)?;
        match read(&socket, |_, _| ()) {
            // It has ended meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => {
                other?;
                deleted += 1;
            }
        }
    }
    Ok(deleted)
}

fn request(socket: &Socket, kind: u16, flags: u16, family: u8, body: &[u8]) -> std::io::Result<()> {
    let len = 16 + 4 + body.len();
    let mut message = Vec::with_capacity(len);
    message.extend((len as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    message.extend([0; 8]);
    // nfgenmsg: family, version 0, resource 0.
    message.extend([family, 0, 0, 0]);
    message.extend(body);
    socket.send(&message, 0).map(drop)
}

/// Hands out the answer's messages until its end.
fn read(socket: &Socket, mut each: impl FnMut(u16, &[u8])) -> std::io::Result<()> {
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Some((kind, body, next)) = message(rest) {
            rest = next;
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let code = body
                        .first_chunk()
                        .map_or(0, |code| i32::from_ne_bytes(*code));
                    return match code {
                        0 => Ok(()),
                        code => Err(std::io::Error::from_raw_os_error(-code)),
                    };
                }
                kind => each(kind, body),
            }
        }
    }
}

fn flow(family: u8, body: &[u8]) -> Option<Flow> {
    let attributes = body.get(4..)?;
    let original = find(attributes, CTA_TUPLE_ORIG)?;
    let reply = find(attributes, CTA_TUPLE_REPLY)?;
    let (client, asked) = ends(original)?;
    let (backend, _) = ends(reply)?;
    let proto = find(original, CTA_TUPLE_PROTO)?;
    let port = find(proto, CTA_PROTO_DST_PORT).and_then(<[u8]>::first_chunk);
    let status = find(attributes, CTA_STATUS).and_then(<[u8]>::first_chunk);
    let status = status.map_or(0, |status| u32::from_be_bytes(*status));
    let tcp = find(attributes, CTA_PROTOINFO).and_then(|info| find(info, CTA_PROTOINFO_TCP));
    let state = tcp.and_then(|tcp| find(tcp, CTA_PROTOINFO_TCP_STATE)?.first());
    let mut key = attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, original);
    if let Some(id) = find(attributes, CTA_ID) {
        key.extend(attribute(CTA_ID, id));
    }
    Some(Flow {
        protocol: *find(proto, CTA_PROTO_NUM)?.first()?,
        client,
        asked,
        port: port.map_or(0, |port| u16::from_be_bytes(*port)),
        backend,
        answered: status & IPS_SEEN_REPLY != 0,
        ended: state.is_some_and(|state| [TIME_WAIT, CLOSE].contains(state)),
        key,
        family,
    })
}

/// Source and destination of a tuple, of either family.
fn ends(tuple: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let ip = find(tuple, CTA_TUPLE_IP)?;
    let four = |kind| Some(IpAddr::from(*find(ip, kind)?.first_chunk::<4>()?));
    let six = |kind| Some(IpAddr::from(*find(ip, kind)?.first_chunk::<16>()?));
    Some((four(1).or_else(|| six(3))?, four(2).or_else(|| six(4))?))
}
