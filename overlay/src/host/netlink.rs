//! The kernel's interfaces, addresses, routes and rules.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::sys::AsyncSocket;
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};
use rustix::io::Errno;
use tokio_util::task::AbortOnDropHandle;

use super::{Error, Result};

/// Interfaces by name.
pub type Links = BTreeMap<String, u32>;

#[derive(Debug)]
pub struct Netlink {
    handle: Handle,
    port: u32,
    _connection: AbortOnDropHandle<()>,
}

/// A policy rule: packets with `mark` are routed by `table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkRule {
    pub mark: u32,
    pub table: u32,
    pub priority: u32,
}

impl Netlink {
    pub fn open() -> Result<Self> {
        let open = || {
            let (mut connection, handle, _) = rtnetlink::new_connection()?;
            let port = connection.socket_mut().socket_mut().bind_auto()?;
            Ok((connection, handle, port.port_number()))
        };
        let (connection, handle, port) = open().map_err(|source| Error::Io {
            what: "opening a netlink socket".to_owned(),
            source,
        })?;
        Ok(Self {
            handle,
            port,
            _connection: AbortOnDropHandle::new(tokio::spawn(connection)),
        })
    }

    /// By which the kernel says who has changed something.
    pub fn port(&self) -> u32 {
        self.port
    }

    pub async fn links(&self) -> Result<Links> {
        let links: Vec<_> = self
            .handle
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(failed("listing interfaces"))?;
        let named = links.into_iter().filter_map(|link| {
            let index = link.header.index;
            link.attributes
                .into_iter()
                .find_map(|attribute| match attribute {
                    LinkAttribute::IfName(name) => Some((name, index)),
                    _ => None,
                })
        });
        Ok(named.collect())
    }

    pub async fn delete_link(&self, index: u32) -> Result<()> {
        let deleted = self.handle.link().del(index).execute().await;
        unless(deleted, GONE).map_err(failed("deleting an interface"))
    }

    /// Whether it was not there.
    pub async fn add_address(&self, link: u32, addr: IpAddr) -> Result<bool> {
        if self.has_address(link, addr).await? {
            return Ok(false);
        }
        let bits = if addr.is_ipv4() { 32 } else { 128 };
        let mut request = self.handle.address().add(link, addr, bits);
        // Nobody else has it on this link: no need to ask around.
        let nodad = rtnetlink::packet_route::address::AddressHeaderFlags::Nodad;
        request.message_mut().header.flags |= nodad;
        let added = request.execute().await;
        let what = format!("adding the address {addr}");
        unless(added, THERE).map_err(failed(what))?;
        Ok(true)
    }

    pub async fn delete_address(&self, link: u32, addr: IpAddr) -> Result<()> {
        let found = self.handle.address().get();
        let found = found.set_link_index_filter(link).set_address_filter(addr);
        let found: Vec<_> = found
            .execute()
            .try_collect()
            .await
            .map_err(failed("listing addresses"))?;
        for address in found {
            let deleted = self.handle.address().del(address).execute().await;
            let what = format!("deleting the address {addr}");
            unless(deleted, GONE).map_err(failed(what))?;
        }
        Ok(())
    }

    pub async fn has_address(&self, link: u32, addr: IpAddr) -> Result<bool> {
        let found = self.handle.address().get();
        let found: Vec<_> = found
            .set_link_index_filter(link)
            .execute()
            .try_collect()
            .await
            .map_err(failed("listing addresses"))?;
        let is = |attribute: &AddressAttribute| *attribute == AddressAttribute::Address(addr);
        Ok(found
            .iter()
            .any(|address| address.attributes.iter().any(is)))
    }

    /// Of both families and all tables.
    pub async fn routes(&self) -> Result<Vec<RouteMessage>> {
        let mut all = Vec::new();
        let families = [
            RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
            RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
        ];
        for family in families {
            let found = self.handle.route().get(family).execute();
            let found: Vec<_> = found
                .try_collect()
                .await
                .map_err(failed("listing routes"))?;
            all.extend(found);
        }
        Ok(all)
    }

    /// Whether there was none with this destination and metric.
    pub async fn add_route(&self, route: RouteMessage, name: &str) -> Result<bool> {
        let added = self.handle.route().add(route).execute().await;
        let is_new = added.is_ok();
        unless(added, THERE).map_err(failed(format!("adding the route {name}")))?;
        Ok(is_new)
    }

    /// `Ok` also where it is gone.
    pub async fn delete_route(&self, route: RouteMessage, name: &str) -> Result<()> {
        let deleted = self.handle.route().del(route).execute().await;
        unless(deleted, GONE).map_err(failed(format!("deleting the route {name}")))
    }

    pub async fn has_rule(&self, family: IpVersion, rule: MarkRule) -> Result<bool> {
        Ok(!self.rules_like(family, rule).await?.is_empty())
    }

    pub async fn add_rule(&self, family: IpVersion, rule: MarkRule) -> Result<()> {
        let request = self.handle.rule().add();
        let request = request
            .table_id(rule.table)
            .fw_mark(rule.mark)
            .priority(rule.priority)
            .action(RuleAction::ToTable);
        let added = match family {
            IpVersion::V4 => request.v4().execute().await,
            IpVersion::V6 => request.v6().execute().await,
        };
        unless(added, THERE).map_err(failed("adding the rule for marked packets"))
    }

    pub async fn delete_rule(&self, family: IpVersion, rule: MarkRule) -> Result<()> {
        for found in self.rules_like(family, rule).await? {
            let deleted = self.handle.rule().del(found).execute().await;
            unless(deleted, GONE).map_err(failed("deleting the rule for marked packets"))?;
        }
        Ok(())
    }

    async fn rules_like(&self, family: IpVersion, rule: MarkRule) -> Result<Vec<RuleMessage>> {
        let rules = self.handle.rule().get(family).execute();
        let rules: Vec<_> = rules
            .try_collect()
            .await
            .map_err(failed("listing policy rules"))?;
        let is = |found: &RuleMessage| {
            let has = |attribute| found.attributes.contains(&attribute);
            has(RuleAttribute::FwMark(rule.mark)) && has(RuleAttribute::Table(rule.table))
        };
        Ok(rules.into_iter().filter(is).collect())
    }
}

/// Or the interface has gone since it was listed, and wants nothing any more.
const THERE: &[Errno] = &[Errno::EXIST, Errno::NODEV];
const GONE: &[Errno] = &[Errno::SRCH, Errno::NOENT, Errno::NODEV, Errno::ADDRNOTAVAIL];

/// The result, but not an error that says that all is as wanted.
fn unless(result: Result<(), rtnetlink::Error>, fine: &[Errno]) -> Result<(), rtnetlink::Error> {
    match &result {
        Err(rtnetlink::Error::NetlinkError(error)) => {
            let errno = Errno::from_raw_os_error(-error.raw_code());
            if fine.contains(&errno) {
                Ok(())
            } else {
                result
            }
        }
        _ => result,
    }
}

fn failed(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Error {
    let what = what.into();
    |source| Error::Netlink { what, source }
}
