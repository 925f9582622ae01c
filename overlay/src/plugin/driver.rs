//! Does what the registry has decided: one question of the engine after another,
//! links first, then the disk, then those who want to know of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::{Mutex, watch};

use super::attach::{Attach, Attached, AttachmentId, Wanted};
use super::attachments::Lease;
use super::ipam::{Pool, RequestAddress};
use super::registry::{Expected, Registry};
use super::state::Store;
use super::veth::Links;
use super::{Config, Refusal, ipam, protocol};
use crate::directory::NetworkId;
use crate::host::free_port;
use crate::view::Local;
use protocol::Call;

pub type Locals = Arc<BTreeMap<IpAddr, Local>>;

#[derive(Debug)]
pub struct Driver {
    prefix: String,
    links: Links,
    inner: Mutex<Inner>,
    expected: StdMutex<Expected>,
    locals: watch::Sender<Locals>,
    attached: watch::Sender<Arc<BTreeMap<AttachmentId, Attached>>>,
    attach: Option<Arc<dyn Attach>>,
    /// What this node has of managers.
    asking: StdMutex<Asking>,
}

#[derive(Debug, Default)]
struct Asking {
    held: BTreeSet<AttachmentId>,
    /// Questions that are open.
    now: BTreeSet<AttachmentId>,
    /// What was said last of both.
    told: Option<BTreeSet<AttachmentId>>,
}

/// An open question: the engine may hang up at any moment.
struct Asked<'a> {
    driver: &'a Driver,
    id: AttachmentId,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut asking = self.driver.asking();
        asking.now.remove(&self.id);
        self.driver.hold(&mut asking);
    }
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    store: Store,
}

impl Driver {
    /// Takes up what was left: links that live are adopted and mended, those
    /// that belong to nobody are deleted.
    pub async fn open(config: &Config) -> io::Result<Self> {
        let store = Store::open(&config.state_dir)?;
        let links = Links::open(config.mtu)?;
        let prefix = config.names.veth.clone();

        let mut registry = store.saved().clone();
        let (kept, strays) = registry.reconcile(&links.names().await?, &prefix);
        for name in strays {
            tracing::info!(link = name, "deletes a link that belongs to no container");
            links.delete(&name).await?;
        }
        for link in kept {
            if let Err(error) = links.configure(&link).await {
                tracing::warn!(link = link.host, %error, "cannot mend a container's link");
            }
        }
        let mut inner = Inner { registry, store };
        inner.save()?;
        let driver = Self {
            prefix,
            links,
            locals: watch::Sender::default(),
            attached: watch::Sender::default(),
            attach: config.attach.clone(),
            asking: StdMutex::default(),
            expected: StdMutex::default(),
            inner: Mutex::new(inner),
        };
        driver.tell(&driver.inner.lock().await.registry);
        Ok(driver)
    }

    pub fn expect(&self, expected: Expected) {
        *self.expected() = expected;
    }

    pub fn locals(&self) -> watch::Receiver<Locals> {
        self.locals.subscribe()
    }

    pub fn attached(&self) -> watch::Receiver<Arc<BTreeMap<AttachmentId, Attached>>> {
        self.attached.subscribe()
    }

    pub async fn networks(&self) -> BTreeMap<String, NetworkId> {
        self.inner.lock().await.registry.networks()
    }

    /// # Errors
    /// What is to be said to the engine; what it asked for is not done.
    pub async fn answer(&self, call: Call) -> Result<Value, Refusal> {
        match call {
            Call::Activate => Ok(protocol::activated()),
            Call::Capabilities => Ok(protocol::capabilities()),
            Call::EndpointInfo => Ok(protocol::endpoint_info()),
            Call::Discovery | Call::ReleasePool => Ok(protocol::done()),
            Call::AddressCapabilities => Ok(ipam::capabilities()),
            Call::AddressSpaces => Ok(ipam::address_spaces()),
            Call::RequestPool(call) => Ok(ipam::pool_given(&call.pool()?)),
            Call::RequestAddress(call) => self.give_address(&call).await,
            Call::ReleaseAddress(call) => {
                let (pool, addr) = (call.pool()?, call.address()?);
                self.end(|registry| {
                    registry.release_address(&pool, addr);
                    None
                })
                .await
            }
            Call::CreateNetwork(call) => {
                self.begin(|registry| registry.create_network(&call))
                    .await?;
                Ok(protocol::done())
            }
            Call::DeleteNetwork(call) => {
                self.end(|registry| registry.delete_network(&call.network))
                    .await
            }
            Call::CreateEndpoint(call) => {
                let expected = self.expected().clone();
                let create = |registry: &mut Registry| registry.create_endpoint(&call, &expected);
                let (mac, dead) = self.begin(create).await?;
                self.delete(dead).await;
                Ok(protocol::endpoint_created(mac))
            }
            Call::DeleteEndpoint(call) => {
                self.end(|registry| registry.delete_endpoint(&call.endpoint))
                    .await
            }
            Call::Join(call) => self.join(&call).await,
            Call::Leave(call) => self.end(|registry| registry.leave(&call.endpoint)).await,
            Call::Publish(call) => {
                let ports = call.ports()?;
                self.begin(|registry| registry.publish(&call.endpoint, ports, free_port))
                    .await?;
                Ok(protocol::done())
            }
            Call::Unpublish(call) => {
                self.end(|registry| {
                    registry.unpublish(&call.endpoint);
                    None
                })
                .await
            }
        }
    }

    async fn give_address(&self, call: &RequestAddress) -> Result<Value, Refusal> {
        let (pool, wanted) = (call.pool()?, call.wanted()?);
        if call.is_gateway() {
            let gateway = wanted.ok_or(Refusal::NoGateway(pool.net))?;
            return Ok(ipam::address_given(gateway, &pool));
        }
        let expected = self.expected().clone();
        let request = |registry: &mut Registry| {
            Ok(registry.request_address(&pool, wanted, &expected, rand::random()))
        };
        let addr = match self.begin(request).await? {
            Lease::Given(addr) => addr,
            Lease::Ask(wanted) => self.ask(wanted, &pool).await?,
        };
        Ok(ipam::address_given(addr, &pool))
    }

    async fn ask(&self, wanted: Wanted, pool: &Pool) -> Result<IpAddr, Refusal> {
        let _asked = self.asked(wanted.id);
        let attach = self.attach.as_ref().ok_or(Refusal::NoAttachments)?;
        let grant = attach.attach(wanted.clone()).await;
        let grant = grant.map_err(Refusal::NotAttached)?;
        self.begin(|registry| registry.granted(&wanted, grant, pool))
            .await
    }

    fn asked(&self, id: AttachmentId) -> Asked<'_> {
        let mut asking = self.asking();
        asking.now.insert(id);
        self.hold(&mut asking);
        drop(asking);
        Asked { driver: self, id }
    }

    async fn join(&self, call: &protocol::Join) -> Result<Value, Refusal> {
        let mut inner = self.inner.lock().await;
        let (link, answer) = inner.registry.plan_join(&call.endpoint, &self.prefix)?;
        self.links.create(&link).await?;
        let joined = inner.change(|registry| {
            registry.joined(&call.endpoint, &call.sandbox, &link.host);
            Ok(())
        });
        if let Err(refusal) = joined {
            self.delete([link.host]).await;
            return Err(refusal);
        }
        self.tell(&inner.registry);
        serde_json::to_value(answer).map_err(|error| Refusal::Failed(error.into()))
    }

    /// Something begins, on the disk too, or nothing has changed.
    async fn begin<T>(
        &self,
        begin: impl FnOnce(&mut Registry) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut inner = self.inner.lock().await;
        let begun = inner.change(begin)?;
        self.tell(&inner.registry);
        Ok(begun)
    }

    /// Something ends, which nobody can refuse: what cannot be written now is
    /// put right by the next start.
    async fn end<L: IntoIterator<Item = String>>(
        &self,
        end: impl FnOnce(&mut Registry) -> L,
    ) -> Result<Value, Refusal> {
        let mut inner = self.inner.lock().await;
        let links = end(&mut inner.registry);
        if let Err(error) = inner.save() {
            tracing::warn!(%error, "cannot write down that a container has left");
        }
        // Nobody may be sent to a link that is about to go.
        self.tell(&inner.registry);
        self.delete(links).await;
        Ok(protocol::done())
    }

    async fn delete(&self, links: impl IntoIterator<Item = String>) {
        for link in links {
            if let Err(error) = self.links.delete(&link).await {
                tracing::warn!(link, %error, "cannot delete a link");
            }
        }
    }

    fn tell(&self, registry: &Registry) {
        let now = registry.locals();
        self.locals.send_if_modified(|told| {
            let changed = **told != now;
            if changed {
                *told = Arc::new(now);
            }
            changed
        });
        let attached = registry.attached();
        self.attached.send_if_modified(|told| {
            let changed = **told != attached;
            if changed {
                *told = Arc::new(attached);
            }
            changed
        });
        let mut asking = self.asking();
        asking.held = registry.held();
        self.hold(&mut asking);
    }

    /// Tells managers what this node holds, if that is news.
    fn hold(&self, asking: &mut Asking) {
        let held: BTreeSet<_> = asking.held.union(&asking.now).copied().collect();
        if asking.told.as_ref() != Some(&held) {
            asking.told = Some(held.clone());
            if let Some(attach) = &self.attach {
                attach.hold(held);
            }
        }
    }

    fn asking(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expected(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes all links of ours and all files.
    pub async fn purge(&self) -> io::Result<()> {
        let mut inner = self.inner.lock().await;
        inner.registry = Registry::default();
        self.tell(&inner.registry);
        let (_, links) = inner
            .registry
            .reconcile(&self.links.names().await?, &self.prefix);
        for link in links {
            self.links.delete(&link).await?;
        }
        inner.store.purge()
    }
}

impl Inner {
    /// Changes the registry and the disk, or neither.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Registry) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let before = self.registry.clone();
        let changed = change(&mut self.registry).and_then(|value| {
            self.save()?;
            Ok(value)
        });
        if changed.is_err() {
            self.registry = before;
        }
        changed
    }

    fn save(&mut self) -> io::Result<()> {
        self.store.save(&self.registry)
    }
}
