//! Numbers for ports of the host that users leave to the node. The engine finds
//! them for networks of its own only, so on ours they are found here.

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;

use services::spec::{PortSpec, Protocol};

use crate::runtime::{Result, RuntimeError};

/// As Linux gives them to clients, and engines to containers.
const RANGE: RangeInclusive<u16> = 32_768..=60_999;
const TRIES: usize = 100;

/// Gives a number to each port without one.
pub(super) fn number(ports: &mut [PortSpec]) -> Result<()> {
    number_with(ports, || rand::random_range(RANGE), is_free)
}

fn number_with(
    ports: &mut [PortSpec],
    dice: impl Fn() -> u16,
    is_free: impl Fn(&PortSpec) -> bool,
) -> Result<()> {
    for at in 0..ports.len() {
        if ports[at].published != 0 {
            continue;
        }
        let candidates = std::iter::repeat_with(&dice).take(TRIES);
        let mut candidates = candidates.map(|published| PortSpec {
            published,
            ..ports[at].clone()
        });
        let found = candidates.find(|port| {
            let same =
                |it: &PortSpec| it.published == port.published && it.protocol == port.protocol;
            !ports.iter().any(same) && is_free(port)
        });
        ports[at] = found.ok_or_else(|| {
            let target = ports[at].target;
            RuntimeError::Refused(format!("no free port of this host for port {target}"))
        })?;
    }
    Ok(())
}

/// No program of the host has it. Of containers the network driver knows.
fn is_free(port: &PortSpec) -> bool {
    let addr = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let at = (addr, port.published);
    match port.protocol {
        Protocol::Tcp => TcpListener::bind(at).is_ok(),
        Protocol::Udp => UdpSocket::bind(at).is_ok(),
        Protocol::Sctp => true,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use services::spec::PublishMode;

    use super::*;

    fn port(target: u16, published: u16, protocol: Protocol) -> PortSpec {
        PortSpec {
            name: None,
            protocol,
            target,
            published,
            mode: PublishMode::Host,
            host_ip: None,
        }
    }

    /// Dice that count up from 40,000.
    fn numbers(mut ports: Vec<PortSpec>, taken: &[u16]) -> Result<Vec<u16>> {
        let next = Cell::new(40_000);
        let dice = || next.replace(next.get() + 1);
        number_with(&mut ports, dice, |port| !taken.contains(&port.published))?;
        Ok(ports.iter().map(|port| port.published).collect())
    }

    #[test]
    fn a_port_that_was_named_keeps_its_number() {
        let ports = vec![port(80, 8080, Protocol::Tcp), port(81, 0, Protocol::Tcp)];
        assert_eq!(numbers(ports, &[]).unwrap(), [8080, 40_000]);
    }

    #[test]
    fn no_number_is_given_that_is_in_use() {
        let ports = vec![
            port(80, 40_001, Protocol::Tcp),
            port(81, 0, Protocol::Tcp),
            port(82, 0, Protocol::Tcp),
        ];
        let given = numbers(ports, &[40_000, 40_003]).unwrap();
        assert_eq!(given, [40_001, 40_002, 40_004]);
    }

    #[test]
    fn who_finds_none_says_for_which_port() {
        let all: Vec<u16> = (40_000..41_000).collect();
        let refused = numbers(vec![port(80, 0, Protocol::Tcp)], &all).unwrap_err();
        assert_eq!(refused.to_string(), "no free port of this host for port 80");
    }

    #[test]
    fn a_port_with_a_listener_is_not_free() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().port();
        assert!(!is_free(&port(80, taken, Protocol::Tcp)));
        assert!(is_free(&port(80, taken, Protocol::Sctp)));
    }
}
