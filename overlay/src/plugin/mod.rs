//! The engine's network driver: how containers get on the overlay.
//!
//! The engine asks ([`protocol`]), the [`registry`] decides, and the driver makes
//! links ([`veth`]) and remembers them on disk ([`state`]). Only addresses that
//! the plan has given to this node are let in, or that a manager gave to a
//! container of a user ([`attach`]), for which the engine asks by [`ipam`]. Who routes and who filters hears
//! from here which addresses live behind which link.
//!
//! The daemon may come and go while containers run: links, addresses and routes
//! stay, and the next one adopts them.

pub mod attach;
mod attachments;
mod driver;
pub mod ipam;
pub mod protocol;
pub mod registry;
#[expect(clippy::disallowed_methods, reason = "it acts; see clippy.toml")]
mod server;
#[expect(clippy::disallowed_methods, reason = "it acts; see clippy.toml")]
mod state;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "they look at what was done")]
mod tests;
#[expect(clippy::disallowed_methods, reason = "it acts; see clippy.toml")]
mod veth;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::directory::NetworkId;
use crate::names::Names;
pub use attach::{Attach, Attached, AttachmentId};
pub use driver::Locals;
pub use registry::Expected;

/// Where engines look for the sockets of their plugins.
pub const PLUGIN_DIR: &str = "/run/docker/plugins";

#[derive(Debug, Clone)]
pub struct Config {
    pub names: Names,
    /// [`PLUGIN_DIR`], unless the engine runs elsewhere.
    pub plugin_dir: PathBuf,
    /// Survives a boot, and is nobody else's. Made if it is missing.
    pub state_dir: PathBuf,
    /// Of the containers' interfaces, in bytes: what the tunnel carries in one
    /// piece.
    pub mtu: u32,
    /// Gives addresses to containers that no task stands for; `None`: they get
    /// none.
    pub attach: Option<Arc<dyn Attach>>,
}

/// The running driver. Dropped, it stops as with [`Plugin::close`], without
/// waiting.
#[derive(Debug)]
pub struct Plugin {
    driver: Arc<driver::Driver>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Plugin {
    /// Adopts the links that live, deletes those that are nobody's, and listens.
    ///
    /// # Errors
    /// The state cannot be read, the kernel refuses, or another process serves
    /// the socket. Containers that run keep their links.
    pub async fn open(config: Config) -> io::Result<Self> {
        // First, so that of two daemons only one touches the links.
        let socket = server::Socket::bind(&config.plugin_dir, &config.names.plugin).await?;
        let driver = Arc::new(driver::Driver::open(&config).await?);
        let stop = CancellationToken::new();
        let server = server::start(socket, driver.clone(), stop.clone());
        Ok(Self {
            driver,
            stop,
            server,
        })
    }

    /// From now on these addresses, and no others, are let in when the engine
    /// brings a container. What is in already stays.
    pub fn expect(&self, expected: Expected) {
        self.driver.expect(expected);
    }

    /// The addresses that have a link here, now and whenever they change.
    pub fn locals(&self) -> watch::Receiver<Locals> {
        self.driver.locals()
    }

    /// Containers that users put on networks by themselves, now and whenever
    /// they change.
    pub fn attached(&self) -> watch::Receiver<Arc<BTreeMap<AttachmentId, Attached>>> {
        self.driver.attached()
    }

    /// The engine's networks of this driver by the engine's id, and the swarm's
    /// networks that they stand for.
    pub async fn networks(&self) -> BTreeMap<String, NetworkId> {
        self.driver.networks().await
    }

    /// Stops answering and removes the socket; links stay.
    pub async fn close(mut self) {
        self.stop.cancel();
        // It ends by itself; a panic in it has been logged.
        let _ = (&mut self.server).await;
    }

    /// Stops, and leaves nothing: no link, file or socket. The engine's networks
    /// are to be removed before, while there is somebody to ask.
    ///
    /// # Errors
    /// Something could not be removed; the rest may still be there.
    pub async fn purge(self) -> io::Result<()> {
        let driver = self.driver.clone();
        self.close().await;
        driver.purge().await
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Why the engine does not get what it asks for. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the engine's question cannot be read: {0}")]
    Malformed(String),
    #[error("networks of this driver belong to a swarm: make one with `swarmlet network create`")]
    NotOfASwarm,
    #[error("{0:?} is not the id of a network (25 characters of 0-9 and a-z)")]
    BadId(String),
    #[error("the subnet {0} has no gateway")]
    NoGateway(IpNet),
    #[error("network {0} is not known here: remove it, it will be made again")]
    UnknownNetwork(String),
    #[error("address pool {0:?} is not of this driver")]
    UnknownPool(String),
    #[error("{0}")]
    NotAttached(String),
    #[error("containers cannot be attached to networks of the swarm by this node")]
    NoAttachments,
    #[error("endpoint {0} is not known here")]
    UnknownEndpoint(String),
    #[error("the endpoint has no address")]
    NoAddress,
    #[error("address {0} is not assigned to a container of this node on this network")]
    Unexpected(IpAddr),
    #[error("the link {0} belongs to another container: try again")]
    NameTaken(String),
    #[error("port {0} of this host already leads to the container at {1}")]
    PortTaken(u16, IpAddr),
    #[error("no port of this host is free for container port {0}: name another")]
    NoHostPort(u16),
    #[error("{0}")]
    Failed(#[from] io::Error),
}
