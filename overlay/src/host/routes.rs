//! The ways of packets: to containers here by their veths, to all other
//! addresses of the overlay by the TUN device, and back to an outside client
//! by the TUN device too if that is where it came from.
//!
//! Below each route into the TUN lies one that discards. So while the device is
//! away nothing of the overlay leaves the host by another.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{IpVersion, RouteMessageBuilder};

use super::Result;
use super::netlink::{Links, MarkRule, Netlink};
use super::sysctl::wants_ipv6;
use crate::directory::NetworkId;
use crate::names::Names;
use crate::table::Table;

/// Who made a route (`ip route` shows it as `proto 83`).
pub const PROTOCOL: RouteProtocol = RouteProtocol::Other(83);
const MAIN: u32 = 254;
const FAMILIES: [IpVersion; 2] = [IpVersion::V4, IpVersion::V6];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The routing table's number.
    table: u32,
    to: IpNet,
    /// The interface's number; `None` discards.
    link: Option<u32>,
}

/// Who has packets of a network on this host by a route that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rival {
    pub network: NetworkId,
    /// Of the network.
    pub subnet: IpNet,
    /// What of it goes elsewhere; all of it, or some addresses.
    pub taken: IpNet,
    /// Where that goes instead.
    pub interface: String,
}

pub type Rivals = BTreeSet<Rival>;

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subnet,
            taken,
            interface,
            ..
        } = self;
        if taken == subnet {
            return write!(
                f,
                "the subnet {subnet} is that of {interface} on this device too: make the \
                 network anew with another --subnet, or this device's network with another"
            );
        }
        write!(
            f,
            "{taken} of the subnet {subnet} is led to {interface} on this device: no container \
             has such an address here or is reached at one from here; remove that route, or \
             make the network anew with another --subnet"
        )
    }
}

/// What [`apply`] has found and done.
#[derive(Debug, Default)]
pub struct Routed {
    /// Routes added and removed.
    pub changed: usize,
    pub rivals: Rivals,
}

/// Makes routes, addresses and the policy rule as `table` asks, and removes
/// routes of ours that it does not ask for.
pub async fn apply(
    netlink: &Netlink,
    names: &Names,
    table: &Table,
    links: &Links,
) -> Result<Routed> {
    let wanted = wanted(names, table, links);
    let there = netlink.routes().await?;
    let mut changed = 0;
    for message in there.iter().filter(|message| is_ours(message, names)) {
        let keep = route_of(message).is_some_and(|route| wanted.contains(&route));
        if !keep {
            let name = name_of(message);
            netlink.delete_route(message.clone(), &name).await?;
            changed += 1;
        }
    }
    changed += complete(netlink, names, table, links, &there).await?;
    let rivals = rivals(&there, names, table, links);
    Ok(Routed { changed, rivals })
}

/// Adds what `table` asks for and is not there, and removes nothing. Says how
/// many routes that were.
pub async fn add(netlink: &Netlink, names: &Names, table: &Table, links: &Links) -> Result<usize> {
    let there = netlink.routes().await?;
    complete(netlink, names, table, links, &there).await
}

async fn complete(
    netlink: &Netlink,
    names: &Names,
    table: &Table,
    links: &Links,
    there: &[RouteMessage],
) -> Result<usize> {
    for (link, addr) in addresses(names, table, links) {
        netlink.add_address(link, addr).await?;
    }
    let there: BTreeSet<_> = there.iter().filter_map(route_of).collect();
    let mut added = 0;
    for route in wanted(names, table, links).difference(&there) {
        let name = route.to.to_string();
        added += usize::from(netlink.add_route(message(route, names), &name).await?);
    }
    for family in families(table) {
        if !netlink.has_rule(family.clone(), rule(names)).await? {
            netlink.add_rule(family, rule(names)).await?;
        }
    }
    Ok(added)
}

/// A route of another that is as narrow as ours was there first, and a narrower
/// one is preferred.
pub fn rivals(there: &[RouteMessage], names: &Names, table: &Table, links: &Links) -> Rivals {
    let rival = |message: &RouteMessage| {
        let route = route_of(message).filter(|route| route.table == MAIN)?;
        let (name, _) = links.iter().find(|(_, link)| Some(**link) == route.link)?;
        let mut subnets = table.subnets.iter();
        let (subnet, network) = subnets.find(|(net, _)| net.contains(&route.to))?;
        (!names.is_link(name)).then(|| Rival {
            network,
            subnet,
            taken: route.to,
            interface: name.clone(),
        })
    };
    let foreign = there.iter().filter(|message| !is_ours(message, names));
    foreign.filter_map(rival).collect()
}

/// Leaves no route, rule or address of ours, and no interface.
pub async fn remove(netlink: &Netlink, names: &Names) -> Result<()> {
    for family in FAMILIES {
        netlink.delete_rule(family, rule(names)).await?;
    }
    for message in netlink.routes().await? {
        if is_ours(&message, names) {
            let name = name_of(&message);
            netlink.delete_route(message, &name).await?;
        }
    }
    let links = netlink.links().await?;
    if let Some(lo) = links.get("lo") {
        for addr in [names.gateway.into(), names.gateway6.into()] {
            netlink.delete_address(*lo, addr).await?;
        }
    }
    for (_, link) in links.iter().filter(|(name, _)| names.is_link(name)) {
        netlink.delete_link(*link).await?;
    }
    Ok(())
}

/// What [`apply`] would add to the routes that are `there`, in the words of `ip`.
pub async fn missing(
    netlink: &Netlink,
    names: &Names,
    table: &Table,
    links: &Links,
    there: &[RouteMessage],
) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    let name = |index| links.iter().find(|(_, link)| **link == index);
    for (link, addr) in addresses(names, table, links) {
        if !netlink.has_address(link, addr).await? {
            let on = name(link).map_or("?", |(name, _)| name);
            missing.push(format!("address {addr} dev {on}"));
        }
    }
    let there: BTreeSet<_> = there.iter().filter_map(route_of).collect();
    for Route { table, to, link } in wanted(names, table, links).difference(&there) {
        let table = match *table {
            MAIN => String::new(),
            table => format!(" table {table}"),
        };
        let way = link.and_then(name).map(|(name, _)| name.as_str());
        missing.push(match way {
            Some(way) => format!("route {to} dev {way}{table}"),
            None => format!("route blackhole {to}{table}"),
        });
    }
    for family in families(table) {
        let rule = rule(names);
        if !netlink.has_rule(family.clone(), rule).await? {
            let MarkRule { mark, table, .. } = rule;
            missing.push(format!("rule fwmark {mark:#x} lookup {table} ({family:?})"));
        }
    }
    Ok(missing)
}

fn families(table: &Table) -> impl Iterator<Item = IpVersion> {
    let v6 = wants_ipv6(table).then_some(IpVersion::V6);
    [IpVersion::V4].into_iter().chain(v6)
}

/// The gateway is on `lo`, where it outlives the TUN device, and on that too:
/// what comes in by an interface without an address is dropped by `rp_filter`.
fn addresses(names: &Names, table: &Table, links: &Links) -> Vec<(u32, IpAddr)> {
    let (lo, tun) = (links.get("lo").copied(), links.get(&names.tun).copied());
    let both = lo.into_iter().chain(tun);
    let mut addresses: Vec<_> = both.map(|link| (link, names.gateway.into())).collect();
    if wants_ipv6(table) {
        addresses.extend(lo.map(|lo| (lo, names.gateway6.into())));
    }
    addresses
}

fn rule(names: &Names) -> MarkRule {
    MarkRule {
        mark: names.mark,
        table: names.route_table,
        // Before the main table, which is asked at 32766.
        priority: 21_367,
    }
}

fn wanted(names: &Names, table: &Table, links: &Links) -> BTreeSet<Route> {
    let mut routes = BTreeSet::new();
    for (addr, local) in &table.locals {
        let to = IpNet::from(*addr);
        let link = links.get(&local.veth).copied();
        routes.extend(link.map(|link| Route {
            table: MAIN,
            to,
            link: Some(link),
        }));
    }
    let tun = links.get(&names.tun).copied();
    let mut through_tun = |table, to| {
        routes.insert(Route {
            table,
            to,
            link: None,
        });
        routes.extend(tun.map(|tun| Route {
            table,
            to,
            link: Some(tun),
        }));
    };
    let v6 = wants_ipv6(table);
    for (net, _) in table.subnets.iter() {
        if v6 || net.addr().is_ipv4() {
            through_tun(MAIN, net);
        }
    }
    through_tun(names.route_table, Ipv4Net::default().into());
    if v6 {
        through_tun(names.route_table, Ipv6Net::default().into());
    }
    routes
}

fn message(route: &Route, names: &Names) -> RouteMessage {
    match route.to {
        IpNet::V4(to) => {
            let base = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(to.network(), to.prefix_len())
                .pref_source(names.gateway);
            finish(base, route, names)
        }
        IpNet::V6(to) => {
            let base = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(to.network(), to.prefix_len())
                .pref_source(names.gateway6);
            finish(base, route, names)
        }
    }
}

fn finish<T>(base: RouteMessageBuilder<T>, route: &Route, names: &Names) -> RouteMessage {
    let base = base.protocol(PROTOCOL).table_id(route.table);
    match route.link {
        Some(link) => base.scope(RouteScope::Link).output_interface(link).build(),
        None => {
            let kind = base.kind(RouteType::BlackHole);
            let mut message = kind.priority(discarding(names)).build();
            let source =
                |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::PrefSource(_));
            message.attributes.retain(|attribute| !source(attribute));
            message
        }
    }
}

/// The metric of routes that discard: behind all others, and only this node's.
fn discarding(names: &Names) -> u32 {
    names.route_table
}

fn is_ours(message: &RouteMessage, names: &Names) -> bool {
    let of_table = table_of(message) == names.route_table;
    let has = |attribute| message.attributes.contains(&attribute);
    let discards = has(RouteAttribute::Priority(discarding(names)));
    let source = |addr| has(RouteAttribute::PrefSource(addr));
    let from_us =
        source(RouteAddress::Inet(names.gateway)) || source(RouteAddress::Inet6(names.gateway6));
    message.header.protocol == PROTOCOL && (of_table || discards || from_us)
}

fn route_of(message: &RouteMessage) -> Option<Route> {
    let table = table_of(message);
    let to = destination(message)?;
    let link = match message.header.kind {
        RouteType::BlackHole => None,
        RouteType::Unicast => Some(message.attributes.iter().find_map(|is| match is {
            RouteAttribute::Oif(link) => Some(*link),
            _ => None,
        })?),
        _ => return None,
    };
    Some(Route { table, to, link })
}

fn table_of(message: &RouteMessage) -> u32 {
    let long = message.attributes.iter().find_map(|is| match is {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    long.unwrap_or(message.header.table.into())
}

/// The default route has no destination.
fn destination(message: &RouteMessage) -> Option<IpNet> {
    let bits = message.header.destination_prefix_length;
    let addr = message.attributes.iter().find_map(|is| match is {
        RouteAttribute::Destination(RouteAddress::Inet(addr)) => Some(IpAddr::V4(*addr)),
        RouteAttribute::Destination(RouteAddress::Inet6(addr)) => Some(IpAddr::V6(*addr)),
        _ => None,
    });
    let any = match message.header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    IpNet::new(addr.unwrap_or(any), bits).ok()
}

fn name_of(message: &RouteMessage) -> String {
    destination(message).map_or_else(|| "?".to_owned(), |to| to.to_string())
}
