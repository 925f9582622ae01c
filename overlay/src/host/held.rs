//! The ports of this host that are published, held as a server holds its own:
//! no other program gets one that is published, and none is published that
//! another program has.
//!
//! Rules would lead its clients away in silence otherwise: a service published
//! on port 22 would lock everybody out of every device.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, SocketAddrAny, SocketFlags, SocketType, sockopt};

use super::has_ipv6;
use crate::directory::{Port, Protocol};
use crate::table::{PublishedPort, Table};

/// What waits in a socket that nobody reads: no more than the kernel insists on.
const UNREAD: usize = 1;

#[derive(Debug, Default)]
pub struct HeldPorts {
    held: BTreeMap<PublishedPort, Vec<Socket>>,
    taken: BTreeMap<PublishedPort, IpAddr>,
}

/// Keeps an address and port from others: bound, and never listening.
#[derive(Debug)]
struct Socket {
    addr: IpAddr,
    _socket: OwnedFd,
}

/// A port that another program of this host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenPort {
    pub port: PublishedPort,
    /// Where it has it.
    pub addr: IpAddr,
}

impl fmt::Display for TakenPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PublishedPort {
            protocol, number, ..
        } = self.port;
        let at = SocketAddr::new(self.addr, number);
        write!(
            f,
            "{at}/{protocol} is used by another program of this host, so what is published on \
             port {number} is not reached here: end that program, or publish another port"
        )
    }
}

impl HeldPorts {
    /// Holds what `table` publishes and takes out of it what it cannot. Lets go
    /// of the rest. What was taken before is tried again.
    pub fn hold(&mut self, table: &mut Table) {
        self.held.retain(|port, _| table.ports.contains_key(port));
        self.taken.clear();
        let has_ipv6 = has_ipv6();
        let ingress = table.networks.values().filter(|network| network.ingress);
        let mut subnets = ingress.flat_map(|network| &network.subnets);
        let by_ipv6 = subnets.any(|net| net.addr().is_ipv6());
        for (port, target) in &table.ports {
            let by_ipv6 = has_ipv6 && (by_ipv6 || target.backends.keys().any(IpAddr::is_ipv6));
            let mut addrs = addresses(port, &table.host);
            // Who asks where nobody will answer is refused at once.
            addrs.retain(|addr| by_ipv6 || addr.is_ipv4());
            let held = self.held.entry(*port).or_default();
            held.retain(|socket| addrs.contains(&socket.addr));
            for addr in addrs {
                if held.iter().any(|socket| socket.addr == addr) {
                    continue;
                }
                match bind(port, addr, Sharing::No) {
                    Ok(Some(_socket)) => held.push(Socket { addr, _socket }),
                    Ok(None) => {}
                    // To be held by and by.
                    Err(Errno::ADDRINUSE) if is_left_over(port, addr) => {}
                    Err(Errno::ADDRINUSE) => {
                        self.taken.insert(*port, addr);
                        break;
                    }
                    // Not for want of the port: it is published without.
                    Err(error) => tracing::debug!(%addr, ?port, %error, "cannot hold a port"),
                }
            }
        }
        for port in self.taken.keys() {
            self.held.remove(port);
            table.ports.remove(port);
        }
    }

    /// Those of the last [`Self::hold`] that it could not.
    pub fn taken(&self) -> impl Iterator<Item = TakenPort> {
        let taken = self.taken.iter();
        taken.map(|(port, addr)| TakenPort {
            port: *port,
            addr: *addr,
        })
    }
}

/// The number that this port can have, since no program of the host has it: its
/// own, or any if that is zero.
pub fn free_port(port: &Port) -> Option<u16> {
    let addr = port.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let wanted = PublishedPort {
        protocol: port.protocol,
        number: port.published,
        host_ip: port.host_ip,
    };
    let socket = bind(&wanted, addr, Sharing::No).ok()??;
    let bound = SocketAddr::try_from(net::getsockname(&socket).ok()?).ok()?;
    Some(bound.port())
}

/// Not the unspecified one: a resolver on `127.0.0.53` keeps nobody from
/// publishing port 53.
fn addresses(port: &PublishedPort, host: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    if let Some(addr) = port.host_ip {
        return [addr].into();
    }
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    host.iter().copied().chain(loopback).collect()
}

/// Whether nobody listens, and only connections that a program closed a moment ago
/// are in the way.
fn is_left_over(port: &PublishedPort, addr: IpAddr) -> bool {
    port.protocol == Protocol::Tcp && bind(port, addr, Sharing::WithClosed).is_ok()
}

/// With whom a socket shares its address and port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    No,
    /// Which is not enough to keep it from others.
    WithClosed,
}

/// `None`: there is nothing to hold.
fn bind(port: &PublishedPort, addr: IpAddr, sharing: Sharing) -> Result<Option<OwnedFd>, Errno> {
    let kind = match port.protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
        Protocol::Sctp => return Ok(None),
    };
    let addr = SocketAddr::new(addr, port.number);
    let family = SocketAddrAny::from(addr).address_family();
    let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_recv_buffer_size(&socket, UNREAD)?;
    sockopt::set_socket_reuseaddr(&socket, sharing == Sharing::WithClosed)?;
    match net::bind(&socket, &addr) {
        Ok(()) => Ok(Some(socket)),
        // No address of this host, as long as its cable is out.
        Err(Errno::ADDRNOTAVAIL) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;
    use crate::kit::{Site, tcp};

    const SERVICE: u128 = 50;

    fn publishing(ports: &[Port]) -> Table {
        let mut site = Site::new();
        site.network(1, &["10.0.0.0/24"]).ingress = true;
        site.service(SERVICE, 1, &[]).ports = ports.iter().cloned().collect();
        site.table()
    }

    fn held(held: &mut HeldPorts, ports: &[Port]) -> (Vec<u16>, Vec<String>) {
        let mut table = publishing(ports);
        held.hold(&mut table);
        let published = table.ports.keys().map(|port| port.number).collect();
        (published, held.taken().map(|it| it.to_string()).collect())
    }

    #[test]
    fn what_another_program_has_is_not_published() {
        let program = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = program.local_addr().unwrap().port();
        let mut ports = HeldPorts::default();
        let (published, said) = held(&mut ports, &[tcp(taken, 80)]);
        assert!(published.is_empty());
        let begin = format!("127.0.0.1:{taken}/tcp is used by another program");
        assert!(said[0].starts_with(&begin), "{}", said[0]);
        drop(program);
        let (published, said) = held(&mut ports, &[tcp(taken, 80)]);
        assert_eq!((published, said), (vec![taken], vec![]));
    }

    #[test]
    fn what_is_published_no_other_program_gets() {
        let program = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = program.local_addr().unwrap().port();
        drop(program);
        let mut ports = HeldPorts::default();
        for _ in 0..2 {
            held(&mut ports, &[tcp(free, 80)]);
            // The other protocol is another door.
            UdpSocket::bind(("127.0.0.1", free)).unwrap();
            let refused = TcpListener::bind(("0.0.0.0", free)).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
        }
        held(&mut ports, &[]);
        TcpListener::bind(("0.0.0.0", free)).unwrap();
    }

    #[test]
    fn a_free_port_is_one_that_no_program_has() {
        let program = TcpListener::bind("0.0.0.0:0").unwrap();
        let taken = program.local_addr().unwrap().port();
        assert_eq!(free_port(&tcp(taken, 80)), None);
        let any = free_port(&tcp(0, 80)).unwrap();
        assert!(any != 0 && any != taken);
        assert_eq!(free_port(&tcp(any, 80)), Some(any));
        let mut ports = HeldPorts::default();
        held(&mut ports, &[tcp(any, 80)]);
        assert_eq!(free_port(&tcp(any, 80)), None, "one that is published");
        let udp = Port {
            protocol: Protocol::Udp,
            ..tcp(taken, 53)
        };
        assert_eq!(free_port(&udp), Some(taken));
    }

    #[test]
    fn connections_that_were_closed_are_in_nobodys_way() {
        let program = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = program.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        // Who closes first remembers the connection for a minute.
        drop(program.accept().unwrap());
        drop((client, program));
        let (published, said) = held(&mut HeldPorts::default(), &[tcp(at.port(), 80)]);
        assert_eq!((published, said), (vec![at.port()], vec![]));
    }

    #[test]
    fn where_a_port_answers_by_ipv4_alone_localhost_refuses_ipv6_at_once() {
        if !has_ipv6() {
            return;
        }
        let at = SocketAddr::from((Ipv6Addr::LOCALHOST, free_port(&tcp(0, 80)).unwrap()));
        let udp = Port {
            protocol: Protocol::Udp,
            ..tcp(at.port(), 53)
        };
        let both = [tcp(at.port(), 80), udp];
        let mut ports = HeldPorts::default();
        assert_eq!(held(&mut ports, &both), (vec![at.port(); 2], vec![]));
        let refused = std::io::ErrorKind::ConnectionRefused;
        assert_eq!(TcpStream::connect(at).unwrap_err().kind(), refused);
        let client = UdpSocket::bind("[::1]:0").unwrap();
        client.connect(at).unwrap();
        client.send(b"?").unwrap();
        assert_eq!(client.recv(&mut [0]).unwrap_err().kind(), refused);

        let mut site = Site::new();
        site.network(1, &["10.0.0.0/24", "fd00::/64"]).ingress = true;
        site.service(SERVICE, 1, &[]).ports = both.into();
        ports.hold(&mut site.table());
        let refused = TcpListener::bind(at).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_program_elsewhere_on_the_host_is_in_nobodys_way() {
        let resolver = UdpSocket::bind("127.0.0.53:0").unwrap();
        let number = resolver.local_addr().unwrap().port();
        let udp = Port {
            protocol: Protocol::Udp,
            ..tcp(number, 53)
        };
        let away = Port {
            host_ip: Some("192.0.2.1".parse().unwrap()),
            ..tcp(number, 80)
        };
        let (published, said) = held(&mut HeldPorts::default(), &[udp, away]);
        assert_eq!((published.len(), said), (2, vec![]));
    }
}
