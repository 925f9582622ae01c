//! An engine in memory, for tests and simulations of whole nodes.
//!
//! It does what an engine does and nothing by itself: containers exit, fall ill
//! or vanish when they are told to, calls can be refused or held back, and the
//! engine can be taken down with everything that runs on it. Every call is
//! recorded, so that a test can say what must *not* have happened.

mod calls;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use services::Id;
use services::registry::RegistryAuth;
use tokio::sync::{mpsc, watch};

use super::{Called, Container, FileMount, Health, Phase, Result, RuntimeError};

/// A listener that is so far behind loses its stream, as with a real engine.
const EVENT_BACKLOG: usize = 1024;

/// What was asked of the engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Create(Id),
    Pull(String),
    Start(Id),
    Stop(Id, Option<Duration>),
    Remove(Id),
    Inspect(Id),
}

/// The kinds of calls that can be held back or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Create,
    Pull,
    Start,
    Stop,
    Remove,
}

/// A handle on the engine; its clones are the same engine.
#[derive(Debug, Clone)]
pub struct FakeRuntime {
    state: Arc<Mutex<State>>,
    /// Counts changes, so that a held call and a waiting test wake up.
    version: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct State {
    down: bool,
    generation: u64,
    clock: u64,
    images: BTreeSet<String>,
    /// Each with whom it is for, where it is not for all.
    registry: BTreeMap<String, Option<RegistryAuth>>,
    checked: bool,
    containers: BTreeMap<String, Held>,
    networks: BTreeSet<Id>,
    devices: BTreeSet<String>,
    /// Of containers that are no task's, by their place on a network.
    called: BTreeMap<String, Called>,
    calls: Vec<Call>,
    refused: BTreeMap<Kind, RuntimeError>,
    held: BTreeSet<Kind>,
    listeners: Vec<mpsc::Sender<Id>>,
    name_listeners: Vec<mpsc::Sender<String>>,
    under_way: BTreeMap<Id, usize>,
    most_at_once: usize,
}

#[derive(Debug, Clone)]
struct Held {
    task: Id,
    container: Container,
    networks: BTreeSet<Id>,
    files: Vec<FileMount>,
}

impl Default for FakeRuntime {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            version: Arc::new(watch::Sender::new(0)),
        }
    }
}

/// What users do to an engine and its world, and what they see of it.
impl FakeRuntime {
    /// Puts an image on the disk.
    pub fn add_image(&self, image: &str) {
        self.change(|state| state.images.insert(image.to_owned()));
    }

    /// Makes an image available to pulls.
    pub fn publish_image(&self, image: &str) {
        self.change(|state| state.registry.insert(image.to_owned(), None));
    }

    /// Makes an image available to whoever shows these credentials.
    pub fn publish_image_for(&self, image: &str, auth: &RegistryAuth) {
        let auth = Some(auth.clone());
        self.change(|state| state.registry.insert(image.to_owned(), auth));
    }

    /// Containers started from now on have a health check.
    pub fn check_health(&self) {
        self.change(|state| state.checked = true);
    }

    /// A container of a user with this place on a network is called so.
    pub fn set_called(&self, endpoint: &str, called: Called) {
        self.change(|state| state.called.insert(endpoint.to_owned(), called));
    }

    /// A user renames that container.
    pub fn rename(&self, endpoint: &str, called: Called) {
        let container = called.container.clone();
        self.set_called(endpoint, called);
        self.lock()
            .name_listeners
            .retain(|listener| listener.try_send(container.clone()).is_ok());
    }

    /// The host has these devices from now on.
    pub fn set_devices(&self, devices: &[&str]) {
        let devices = devices.iter().map(|&path| path.to_owned());
        self.change(|state| state.devices = devices.collect());
    }

    /// Refuses calls of this kind until [`allow`](Self::allow).
    pub fn refuse(&self, kind: Kind, error: RuntimeError) {
        self.change(|state| state.refused.insert(kind, error));
    }

    pub fn allow(&self, kind: Kind) {
        self.change(|state| state.refused.remove(&kind));
    }

    /// Lets calls of this kind wait until [`release`](Self::release).
    pub fn hold(&self, kind: Kind) {
        self.change(|state| state.held.insert(kind));
    }

    pub fn release(&self, kind: Kind) {
        self.change(|state| state.held.remove(&kind));
    }

    /// The task's process ends.
    pub fn exit(&self, task: Id, code: i64) {
        self.change(|state| {
            let at = state.tick();
            if let Some(container) = state.container_of(task) {
                container.end(code, at);
            }
            state.tell(task);
        });
    }

    pub fn set_health(&self, task: Id, health: Health) {
        self.change(|state| {
            if let Some(container) = state.container_of(task) {
                container.phase = Phase::Running(health);
            }
            state.tell(task);
        });
    }

    /// `docker rm -f`.
    pub fn remove_by_hand(&self, task: Id) {
        self.change(|state| {
            state.containers.retain(|_, held| held.task != task);
            state.tell(task);
        });
    }

    /// The engine goes, and what runs with it, with this exit code: 255 after a
    /// power cut, 143 or 137 when it was stopped.
    pub fn go_down(&self, code: i64) {
        self.change(|state| {
            let at = state.tick();
            for held in state.containers.values_mut() {
                held.container.end(code, at);
            }
            state.down = true;
            state.listeners.clear();
            state.name_listeners.clear();
        });
    }

    /// The connection breaks; containers and engine live on.
    pub fn disconnect(&self) {
        self.change(|state| {
            state.listeners.clear();
            state.name_listeners.clear();
        });
    }

    pub fn come_up(&self) {
        self.change(|state| {
            state.down = false;
            state.generation += 1;
        });
    }

    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// The most calls for one task that were ever under way at once.
    pub fn most_at_once(&self) -> usize {
        self.lock().most_at_once
    }

    pub fn container(&self, task: Id) -> Option<Container> {
        let mut state = self.lock();
        state.container_of(task).cloned()
    }

    /// What the task's container was given.
    pub fn files(&self, task: Id) -> Vec<FileMount> {
        let state = self.lock();
        let held = state.containers.values().find(|held| held.task == task);
        held.map(|held| held.files.clone()).unwrap_or_default()
    }

    /// The swarm's networks that it has.
    pub fn networks(&self) -> BTreeSet<Id> {
        self.lock().networks.clone()
    }

    /// `docker network rm`.
    pub fn remove_network_by_hand(&self, network: Id) {
        self.change(|state| state.networks.remove(&network));
    }

    /// Waits until the engine has been asked this.
    pub async fn called(&self, call: &Call) {
        let mut version = self.version.subscribe();
        while !self.lock().calls.contains(call) {
            // The sender lives in `self`.
            let _ = version.changed().await;
        }
    }
}

impl FakeRuntime {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.version.send_modify(|version| *version += 1);
        result
    }

    /// Performs one call: recorded, held back, refused, done.
    fn call<'a, T: Send + 'a>(
        &'a self,
        kind: Option<Kind>,
        call: Call,
        task: Id,
        act: impl FnOnce(&mut State) -> Result<T> + Send + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        async move {
            let _under_way = UnderWay::begin(self, task, call);
            let mut version = self.version.subscribe();
            while kind.is_some_and(|kind| self.lock().held.contains(&kind)) {
                if self.lock().down {
                    break;
                }
                let _ = version.changed().await;
            }
            self.change(|state| {
                state.check_up()?;
                match kind.and_then(|kind| state.refused.get(&kind)) {
                    Some(error) => Err(error.clone()),
                    None => act(state),
                }
            })
        }
        .boxed()
    }

    fn task_of(&self, container: &str) -> Id {
        let state = self.lock();
        let held = state.containers.get(container);
        held.map_or(Id::default(), |held| held.task)
    }
}

/// Counts the calls for a task while they last.
struct UnderWay<'a>(&'a FakeRuntime, Id);

impl<'a> UnderWay<'a> {
    fn begin(runtime: &'a FakeRuntime, task: Id, call: Call) -> Self {
        runtime.change(|state| {
            state.calls.push(call);
            let count = state.under_way.entry(task).or_default();
            *count += 1;
            state.most_at_once = state.most_at_once.max(*count);
        });
        Self(runtime, task)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.change(|state| {
            if let Some(count) = state.under_way.get_mut(&self.1) {
                *count -= 1;
            }
        });
    }
}
