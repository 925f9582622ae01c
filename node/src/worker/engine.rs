//! Watching the engine: whether it is there, which one it is, and what happens
//! to its containers.
//!
//! Level-triggered: what is sent is "it was found, with these containers",
//! "look at this task", "it is lost". A broken event stream counts as lost at
//! once, even if the engine answers the next call, because what happened in
//! between is only certain after a new listing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use services::Id;
use services::object::NodeDescription;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, interval_at};

use super::devices::Devices;
use crate::backoff::Backoff;
use crate::runtime::{self, Listed, Runtime};

/// How often an engine that says nothing is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How often containers are listed though no event asks for it.
const LIST_EVERY: Duration = Duration::from_secs(30);
/// How often the node's description is read; it hardly ever changes.
const DESCRIBE_EVERY: Duration = Duration::from_secs(300);
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// The engine as the rest of the node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineState {
    /// It was not asked yet, so nothing is to be said of it.
    Unasked,
    /// It does not answer: no task can be changed here.
    Unavailable {
        reason: String,
    },
    Ready(Box<NodeDescription>),
}

#[derive(Debug)]
pub(super) enum Seen {
    Found {
        instance: Option<String>,
        listed: Vec<Listed>,
    },
    Lost,
    Listed(Vec<Listed>),
    Hint(Id),
}

#[derive(Debug)]
pub(super) struct Watcher {
    pub runtime: Arc<dyn Runtime>,
    pub seen: mpsc::Sender<Seen>,
    pub state: watch::Sender<EngineState>,
    /// Somebody's call failed: ask the engine now.
    pub doubt: Arc<Notify>,
    /// How often the devices are looked at.
    pub look_every: Duration,
    /// Whether this node has an overlay.
    pub overlay: bool,
    /// Where its data port is, if not where the node is.
    pub data_addr: Option<IpAddr>,
}

/// The agent is gone: nobody listens.
struct Gone;

impl Watcher {
    /// Runs until the agent is gone.
    pub async fn run(self) {
        let mut devices = Devices::default();
        while self.watch(&mut devices).await.is_ok() {}
    }

    /// From finding the engine to losing it.
    async fn watch(&self, devices: &mut Devices) -> Result<(), Gone> {
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let events = loop {
            // Subscribed before listing, so that nothing falls in between.
            let events = self.runtime.events();
            match self.find(devices).await {
                Ok(found) => {
                    self.tell(found).await?;
                    break events;
                }
                Err(error) => {
                    self.unavailable(&error);
                    self.tell(Seen::Lost).await?;
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        };
        let reason = self.follow(events, devices).await?;
        tracing::info!(%reason, "the engine was lost");
        self.tell(Seen::Lost).await
    }

    async fn find(&self, devices: &mut Devices) -> runtime::Result<Seen> {
        self.runtime.ping().await?;
        let description = self.runtime.describe().await?;
        let instance = self.runtime.instance().await;
        let listed = self.runtime.list().await?;
        devices.saw(self.runtime.devices().await, Instant::now());
        self.ready(description, devices);
        Ok(Seen::Found { instance, listed })
    }

    /// Until the engine is lost; the reason is for people.
    async fn follow(
        &self,
        mut events: BoxStream<'static, runtime::Result<Id>>,
        devices: &mut Devices,
    ) -> Result<String, Gone> {
        let ticks = |every| interval_at(Instant::now() + every, every);
        let (mut ping, mut list) = (ticks(PING_EVERY), ticks(LIST_EVERY));
        let (mut describe, mut look) = (ticks(DESCRIBE_EVERY), ticks(self.look_every));
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(task)) => self.tell(Seen::Hint(task)).await?,
                    Some(Err(error)) => return Ok(error.to_string()),
                    None => return Ok("its event stream ended".to_owned()),
                },
                _ = ping.tick() => if let Err(lost) = self.alive().await { return Ok(lost) },
                () = self.doubt.notified() => {
                    if let Err(lost) = self.alive().await { return Ok(lost) }
                }
                _ = list.tick() => if let Ok(listed) = self.runtime.list().await {
                    self.tell(Seen::Listed(listed)).await?;
                },
                _ = describe.tick() => if let Ok(description) = self.runtime.describe().await {
                    self.ready(description, devices);
                },
                _ = look.tick() => if devices.saw(self.runtime.devices().await, Instant::now()) {
                    self.has(devices);
                },
                () = self.seen.closed() => return Err(Gone),
            }
        }
    }

    /// One lost answer on a busy device is not a lost engine.
    async fn alive(&self) -> Result<(), String> {
        if self.runtime.ping().await.is_ok() {
            return Ok(());
        }
        match self.runtime.ping().await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.unavailable(&error);
                Err(error.to_string())
            }
        }
    }

    fn ready(&self, description: NodeDescription, devices: &Devices) {
        self.set(EngineState::Ready(Box::new(NodeDescription {
            devices: devices.told(),
            no_overlay: !self.overlay,
            data_addr: self.data_addr,
            ..description
        })));
    }

    fn has(&self, devices: &Devices) {
        self.state.send_if_modified(|known| match known {
            EngineState::Ready(description) => {
                description.devices = devices.told();
                true
            }
            EngineState::Unasked | EngineState::Unavailable { .. } => false,
        });
    }

    fn unavailable(&self, error: &runtime::RuntimeError) {
        self.set(EngineState::Unavailable {
            reason: error.to_string(),
        });
    }

    fn set(&self, state: EngineState) {
        self.state.send_if_modified(|known| {
            let news = *known != state;
            *known = state;
            news
        });
    }

    async fn tell(&self, seen: Seen) -> Result<(), Gone> {
        self.seen.send(seen).await.map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::fake::FakeRuntime;

    #[tokio::test]
    async fn a_device_that_is_plugged_in_is_told_of() {
        let runtime = FakeRuntime::default();
        let (seen, mut heard) = mpsc::channel(16);
        let (state, mut engine) = watch::channel(EngineState::Unasked);
        let watcher = Watcher {
            runtime: Arc::new(runtime.clone()),
            seen,
            state,
            doubt: Arc::default(),
            look_every: Duration::from_millis(10),
            overlay: true,
            data_addr: None,
        };
        let watching = tokio::spawn(watcher.run());
        let listening = tokio::spawn(async move { while heard.recv().await.is_some() {} });
        let has = |state: &EngineState, count: usize| match state {
            EngineState::Ready(description) => description.devices.len() == count,
            EngineState::Unasked | EngineState::Unavailable { .. } => false,
        };
        engine.wait_for(|state| has(state, 0)).await.unwrap();
        runtime.set_devices(&["/dev/gps"]);
        engine.wait_for(|state| has(state, 1)).await.unwrap();
        watching.abort();
        listening.abort();
    }
}
