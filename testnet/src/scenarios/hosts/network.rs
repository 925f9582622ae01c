//! The hosts' network: multicast, one-way links, splits, changed addresses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};
use swarmlet_testnet::{Host, Testnet};

use super::await_ping;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 20_053;
const PATIENCE: Duration = Duration::from_secs(5);

/// All of it on two hosts, which are as before afterwards.
pub fn is_as_in_the_field(net: &Testnet, h1: &Host, h2: &Host) -> Result<()> {
    multicast(h1, h2)?;
    one_way(net, h1, h2)?;
    address(h1, h2)
}

/// What mDNS needs: joined by nobody but the listener, routed by nobody.
fn multicast(h1: &Host, h2: &Host) -> Result<()> {
    let listener = h2.on_network(|| {
        let socket = UdpSocket::bind((GROUP, PORT))?;
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    })?;
    h1.on_network(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"here", (GROUP, PORT)))?;
    let from = receive(&listener)?;
    ensure!(from.ip() == h1.ip(), "{GROUP} came from {from}");
    Ok(())
}

/// Datagrams, because a ping needs both ways.
fn one_way(net: &Testnet, h1: &Host, h2: &Host) -> Result<()> {
    let listen = |host: &Host| {
        host.on_network(|| {
            let socket = UdpSocket::bind(("0.0.0.0", PORT))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        })
    };
    let (first, second) = (listen(h1)?, listen(h2)?);
    net.lose(&[(h1, h2)])?;
    first.send_to(b"lost", (h2.ip(), PORT))?;
    second.send_to(b"heard", (h1.ip(), PORT))?;
    receive(&first)?;
    net.mend()?;
    first.send_to(b"heard", (h2.ip(), PORT))?;
    let mut told = [0; 8];
    let length = second.recv(&mut told)?;
    ensure!(&told[..length] == b"heard", "a lost datagram arrived");

    net.split(&[h1])?;
    await_ping(h1, h2, false)?;
    await_ping(h2, h1, false)?;
    net.mend()?;
    await_ping(h1, h2, true)
}

fn address(h1: &Host, h2: &Host) -> Result<()> {
    let old = h1.ip();
    let new = h1.change_address()?;
    ensure!(new != old && h1.ip() == new, "{old} became {new}");
    // By its name it is not found: that is its first address.
    await_ping(h2, h1, false)?;
    await_ping(h1, h2, true)?;
    multicast(h1, h2)?;
    ensure!(h1.change_address()? == old);
    await_ping(h2, h1, true)
}

fn receive(socket: &UdpSocket) -> io::Result<SocketAddr> {
    Ok(socket.recv_from(&mut [0; 64])?.1)
}
