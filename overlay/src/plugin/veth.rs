//! Veth pairs, made over rtnetlink: one end is for a container, the other stays
//! with the host and routes.
//!
//! The host's end answers for the network's gateway, by a hardware address that
//! is the same everywhere and by carrying the gateway's address itself. So a
//! container finds its gateway while everything else of ours is restarted, and
//! no proxying of ARP or neighbour discovery is needed. Linux does not mind one
//! address on many devices.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressScope};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::task::JoinHandle;

use super::registry::Link;

/// Of every host's end.
const MAC: [u8; 6] = [0xee; 6];
/// What IPv6 makes of it: the host's end speaks for itself from here.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee);
const SYSCTLS: &str = "/proc/sys/net";

/// A conversation with the kernel about the links of this network namespace.
#[derive(Debug)]
pub struct Links {
    handle: Handle,
    conversation: JoinHandle<()>,
    /// The most that packets through both ends may have, in bytes.
    mtu: u32,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.conversation.abort();
    }
}

impl Links {
    /// # Errors
    /// The kernel gives no netlink socket.
    pub fn open(mtu: u32) -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let conversation = tokio::spawn(connection);
        Ok(Self {
            handle,
            conversation,
            mtu,
        })
    }

    /// Makes the pair, up and routed on the host's side. One of that name that
    /// exists is replaced.
    ///
    /// # Errors
    /// As the kernel says; nothing is left then.
    pub async fn create(&self, link: &Link) -> io::Result<()> {
        self.delete(&link.host).await?;
        let made = async {
            self.add_pair(link).await?;
            self.configure(link).await
        };
        let made = made.await;
        if made.is_err()
            && let Err(error) = self.delete(&link.host).await
        {
            tracing::warn!(link = link.host, %error, "half of a link is left");
        }
        made
    }

    /// Makes the host's end of a pair that exists what it is to be.
    ///
    /// # Errors
    /// As the kernel says; some of it may be done.
    pub async fn configure(&self, link: &Link) -> io::Result<()> {
        let index = self.index(&link.host).await?;
        let index = index.ok_or_else(|| about(&link.host, io::ErrorKind::NotFound.into()))?;
        set_sysctls(&link.host)?;
        for gateway in &link.gateways {
            self.add_address(index, *gateway).await?;
        }
        // Neighbour discovery asks from an address of the link.
        if link.gateways.iter().any(IpAddr::is_ipv6) {
            self.add_address(index, LINK_LOCAL.into()).await?;
        }
        let up = LinkUnspec::new_with_index(index).up().build();
        said(self.handle.link().change(up).execute().await)
            .map_err(|error| about(&link.host, error))?;
        for address in &link.addresses {
            self.add_route(index, *address).await?;
        }
        Ok(())
    }

    /// Deletes the pair that has this end; one that is missing is fine.
    ///
    /// # Errors
    /// As the kernel says.
    pub async fn delete(&self, name: &str) -> io::Result<()> {
        let Some(index) = self.index(name).await? else {
            return Ok(());
        };
        match said(self.handle.link().del(index).execute().await) {
            Err(error) if is_missing(&error) => Ok(()),
            deleted => deleted.map_err(|error| about(name, error)),
        }
    }

    /// The names of all links of the host.
    ///
    /// # Errors
    /// As the kernel says.
    pub async fn names(&self) -> io::Result<BTreeSet<String>> {
        let links: Vec<_> = said(self.handle.link().get().execute().try_collect().await)?;
        let attributes = links.into_iter().flat_map(|link| link.attributes);
        let name = |attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        };
        Ok(attributes.filter_map(name).collect())
    }

    async fn index(&self, name: &str) -> io::Result<Option<u32>> {
        let mut found = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        match said(found.try_next().await) {
            Ok(link) => Ok(link.map(|link| link.header.index)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(about(name, error)),
        }
    }

    async fn add_pair(&self, link: &Link) -> io::Result<()> {
        let mtu = link.mtu.map_or(self.mtu, |mtu| self.mtu.min(mtu.into()));
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(link.container.clone())
            .mtu(mtu)
            .build();
        let pair = LinkVeth::new(&link.host, &link.container)
            .mtu(mtu)
            .address(MAC.to_vec())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        said(self.handle.link().add(pair).execute().await).map_err(|error| about(&link.host, error))
    }

    async fn add_address(&self, index: u32, address: IpAddr) -> io::Result<()> {
        let own = address == IpAddr::V6(LINK_LOCAL);
        let prefix = if own { 64 } else { host_prefix(address) };
        let mut add = self.handle.address().add(index, address, prefix).replace();
        let message = add.message_mut();
        // A broadcast route of a single address would be in the way of it.
        message
            .attributes
            .retain(|of| !matches!(of, AddressAttribute::Broadcast(_)));
        let mut flags = AddressFlags::Permanent | AddressFlags::Nodad;
        if !own {
            flags |= AddressFlags::Noprefixroute;
            // Not for connections of the host to anywhere else.
            message.header.scope = AddressScope::Link;
        }
        message.attributes.push(AddressAttribute::Flags(flags));
        said(add.execute().await).map_err(|error| about(&address.to_string(), error))
    }

    async fn add_route(&self, index: u32, address: IpAddr) -> io::Result<()> {
        let route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(address, host_prefix(address))
            .map_err(io::Error::other)?
            .output_interface(index)
            .scope(RouteScope::Link)
            .build();
        let add = self.handle.route().add(route).replace();
        said(add.execute().await).map_err(|error| about(&address.to_string(), error))
    }
}

/// What a container sends need not come by the way that leads to its source: it
/// may be on several networks. And it is no router to be believed.
fn set_sysctls(device: &str) -> io::Result<()> {
    set_sysctl(&format!("ipv4/conf/{device}/rp_filter"), "2")?;
    if !Path::new(SYSCTLS).join("ipv6/conf").join(device).exists() {
        return Ok(());
    }
    set_sysctl(&format!("ipv6/conf/{device}/accept_ra"), "0")?;
    // None but those given here.
    set_sysctl(&format!("ipv6/conf/{device}/addr_gen_mode"), "1")
}

fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    std::fs::write(Path::new(SYSCTLS).join(name), value).map_err(|error| about(name, error))
}

fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The kernel's own words, where it said any.
fn said<T>(answer: Result<T, rtnetlink::Error>) -> io::Result<T> {
    answer.map_err(|error| match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    })
}

fn about(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn is_missing(error: &io::Error) -> bool {
    let number = error
        .raw_os_error()
        .map(rustix::io::Errno::from_raw_os_error);
    number == Some(rustix::io::Errno::NODEV)
}
