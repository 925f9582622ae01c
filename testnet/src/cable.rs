//! The switch and the cables between it and the hosts.
//!
//! The switch is a bridge in a network namespace of its own (in the machine's
//! a Docker firewall would filter it). A cable is a veth pair: the port in
//! the switch has the host's name, the other end is the host's `eth0`. Cutting
//! takes the port down, so the host sees the loss of carrier as on real wire.
//! There is no router: whatever is not on this LAN is unreachable at once.
//! The switch can also lose what one port sends to another, and only that way.

use std::net::Ipv4Addr;

use crate::command::succeed;
use crate::error::Result;
use crate::netns::Netns;
use crate::plan::HostPlan;

const BRIDGE: &str = "br0";
/// The switch's table of packets that do not pass.
const FAULTS: &str = "faults";
const LOST: &str = "lost";
/// There is no default route that would do for it.
const MULTICAST_ROUTE: &str = "route replace 224.0.0.0/4 dev eth0\n";

/// Makes the bridge in the namespace held by process `switch`.
pub(crate) fn lay_bridge(switch: i32) -> Result<()> {
    // Without snooping, multicast (mDNS) floods, as it does on a plain switch.
    let script = format!(
        "link set lo up\n\
         link add {BRIDGE} type bridge mcast_snooping 0 forward_delay 0\n\
         link set {BRIDGE} up\n"
    );
    ip("the switch", switch, &script)?;
    // Not ARP: without it nothing would pass the other way either.
    let filter = format!(
        "table bridge {FAULTS} {{\n\
           set {LOST} {{ type ifname . ifname; }}\n\
           chain forward {{\n\
             type filter hook forward priority 0;\n\
             iifname . oifname @{LOST} ether type != arp drop;\n\
           }}\n\
         }}\n"
    );
    nft(switch, &filter)
}

/// From now on the switch loses exactly what goes from the first to the second
/// port of each of `pairs`.
pub(crate) fn lose(switch: i32, pairs: &[(&str, &str)]) -> Result<()> {
    let mut script = format!("flush set bridge {FAULTS} {LOST}\n");
    for (from, to) in pairs {
        script += &format!("add element bridge {FAULTS} {LOST} {{ \"{from}\" . \"{to}\" }}\n");
    }
    nft(switch, &script)
}

/// Runs a cable from the switch to the host whose init is `init`, with
/// `address` at its end.
pub(crate) fn plug(
    switch: i32,
    init: i32,
    host: &HostPlan,
    address: Ipv4Addr,
    connected: bool,
) -> Result<()> {
    let (port, mac, mtu) = (&host.name, host.mac(), host.mtu);
    unplug(switch, host)?;
    ip(
        "the switch",
        switch,
        &format!(
            "link add {port} mtu {mtu} type veth peer name eth0 mtu {mtu} address {mac} netns {init}\n\
             link set {port} master {BRIDGE}\n"
        ),
    )?;
    connect(switch, host, connected)?;
    ip(
        port,
        init,
        &format!(
            "link set lo up\n\
             addr add {address}/24 dev eth0\n\
             link set eth0 up\n\
             {MULTICAST_ROUTE}"
        ),
    )
}

/// Gives the host whose init is `init` another address, as a DHCP client does
/// when its lease has ended: the old one goes first, and takes all routes along.
pub(crate) fn readdress(init: i32, host: &HostPlan, address: Ipv4Addr) -> Result<()> {
    ip(
        &host.name,
        init,
        &format!(
            "addr flush dev eth0 scope global\n\
             addr add {address}/24 dev eth0\n\
             {MULTICAST_ROUTE}"
        ),
    )
}

/// Removes what is left of a host's cable. The kernel takes a dead host's
/// interfaces away too, at a moment of its own, so only what counts is asked:
/// whether the port is gone afterwards.
pub(crate) fn unplug(switch: i32, host: &HostPlan) -> Result<()> {
    let deleted = ip("the switch", switch, &format!("link del {}\n", host.name));
    let ports = ["ip", "-o", "link", "show", "type", "veth"];
    let listing = succeed(
        "the switch",
        &mut Netns::of_process(switch).command(&ports),
        "",
    )?;
    if has_port(&listing, &host.name) {
        return deleted;
    }
    Ok(())
}

/// Connects or cuts a cable that is in its place.
pub(crate) fn connect(switch: i32, host: &HostPlan, connected: bool) -> Result<()> {
    let to = if connected { "up" } else { "down" };
    ip(
        "the switch",
        switch,
        &format!("link set {} {to}\n", host.name),
    )
}

fn ip(place: &str, netns_of: i32, script: &str) -> Result<()> {
    let mut batch = Netns::of_process(netns_of).command(&["ip", "-batch", "-"]);
    succeed(place, &mut batch, script).map(drop)
}

fn nft(switch: i32, script: &str) -> Result<()> {
    let mut load = Netns::of_process(switch).command(&["nft", "-f", "-"]);
    succeed("the switch", &mut load, script).map(drop)
}

/// Does a listing of `ip -o link` name the interface `port`?
fn has_port(listing: &str, port: &str) -> bool {
    listing
        .lines()
        .filter_map(|line| line.split(": ").nth(1))
        .any(|name| name.split('@').next() == Some(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_by_its_whole_name() {
        let listing = "3: h1@if2: <BROADCAST> mtu 1500\n4: h12@if2: <BROADCAST> mtu 1500\n";
        assert!(has_port(listing, "h1"));
        assert!(has_port(listing, "h12"));
        assert!(!has_port(listing, "h2"));
        assert!(!has_port("", "h1"));
    }
}
