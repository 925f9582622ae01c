//! Does what the registry has decided: one question of the engine after another,
//! links first, then the disk, then those who want to know of it.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::{Mutex, watch};

use super::registry::{Expected, Registry};
use super::state::Store;
use super::veth::Links;
use super::{Config, Refusal, protocol};
use crate::directory::NetworkId;
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
        let locals = watch::Sender::new(Arc::new(inner.registry.locals()));
        Ok(Self {
            prefix,
            links,
            inner: Mutex::new(inner),
            expected: StdMutex::default(),
            locals,
        })
    }

    pub fn expect(&self, expected: Expected) {
        *self.expected() = expected;
    }

    pub fn locals(&self) -> watch::Receiver<Locals> {
        self.locals.subscribe()
    }

    pub async fn networks(&self) -> BTreeMap<String, NetworkId> {
        self.inner.lock().await.registry.networks()
    }

    /// # Errors
    /// What is to be said to the engine; what it asked for is not done.
    pub async fn answer(&self, call: Call) -> Result<Value, Refusal> {
        let mut inner = self.inner.lock().await;
        let answer = match call {
            Call::Activate => return Ok(protocol::activated()),
            Call::Capabilities => return Ok(protocol::capabilities()),
            Call::EndpointInfo => return Ok(protocol::endpoint_info()),
            Call::Discovery => return Ok(protocol::done()),
            Call::Join(call) => self.join(&mut inner, &call).await,
            Call::CreateNetwork(call) => {
                inner.change(|registry| registry.create_network(&call))?;
                Ok(protocol::done())
            }
            Call::CreateEndpoint(call) => {
                let (mac, dead) = {
                    let expected = self.expected();
                    inner.change(|registry| registry.create_endpoint(&call, &expected))?
                };
                self.delete(dead).await;
                Ok(protocol::endpoint_created(mac))
            }
            Call::Publish(call) => {
                let ports = call.ports()?;
                inner.change(|registry| registry.publish(&call.endpoint, ports))?;
                Ok(protocol::done())
            }
            Call::DeleteNetwork(call) => {
                self.end(&mut inner, |registry| {
                    registry.delete_network(&call.network)
                })
                .await
            }
            Call::DeleteEndpoint(call) => {
                let delete = |registry: &mut Registry| registry.delete_endpoint(&call.endpoint);
                self.end(&mut inner, delete).await
            }
            Call::Leave(call) => {
                self.end(&mut inner, |registry| registry.leave(&call.endpoint))
                    .await
            }
            Call::Unpublish(call) => {
                let unpublish = |registry: &mut Registry| {
                    registry.unpublish(&call.endpoint);
                    None
                };
                self.end(&mut inner, unpublish).await
            }
        };
        self.tell(&inner.registry);
        answer
    }

    async fn join(&self, inner: &mut Inner, call: &protocol::Join) -> Result<Value, Refusal> {
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
        serde_json::to_value(answer).map_err(|error| Refusal::Failed(error.into()))
    }

    /// Something ends, which nobody can refuse: what cannot be written now is
    /// put right by the next start.
    async fn end<L: IntoIterator<Item = String>>(
        &self,
        inner: &mut Inner,
        end: impl FnOnce(&mut Registry) -> L,
    ) -> Result<Value, Refusal> {
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
