//! The task that runs the parts of the overlay and keeps them in agreement with
//! the view.
//!
//! It takes whatever has changed for a reason to look at everything again. What
//! is already so costs nothing; what fails is tried again by itself.

mod opening;
mod reasons;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use overlay::dns::{NameServer, Zone};
use overlay::host::{HeldPorts, Host};
use overlay::plugin::Locals;
use overlay::table::Table;
use overlay::tunnel::{Routing, Tunnel};
use overlay::view::View;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::diagnose::Seen;
use super::part::Part;
use super::view::{Sources, Viewer, host_addresses, peers};
use super::{Config, Faults, Inputs, Shared, Told, Upstreams};
use crate::address;
use crate::control::lock;
use crate::worker::EngineState;
use reasons::PASS_EVERY;

/// Changes come in bursts: a task that starts is three of them.
const COALESCE: Duration = Duration::from_millis(10);
/// How long rules of an earlier run stay as they are, until it is known again
/// what runs here and elsewhere: containers use them meanwhile.
const REMEMBER_WITHIN: Duration = Duration::from_secs(5);
/// Of that, for the other nodes to be heard.
const MEET_WITHIN: Duration = Duration::from_secs(1);
/// How old the list of this device's addresses may be.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Routes end without a word when their interface does.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

pub struct Keeper {
    config: Config,
    inputs: Inputs,
    gossip: watch::Receiver<u64>,
    told: watch::Receiver<Told>,
    shared: Arc<Shared>,
    begun: Instant,
    /// Rules of an earlier run may be in use.
    inherited: bool,
    plugin: Part<watch::Receiver<Locals>>,
    host: Part<Host>,
    engine: Part<()>,
    /// When the engine's firewall is to be looked at.
    pass: Instant,
    tunnel: Part<Arc<Tunnel>>,
    names: Part<NameServer>,
    ports: Part<HeldPorts>,
    viewer: Viewer,
    view: Option<(Arc<View>, Arc<Table>)>,
    upstreams: Upstreams,
    untold: Untold,
    host_addresses: Option<(Instant, BTreeSet<IpAddr>)>,
    /// What `view` leaves out, as routes of others lead it elsewhere.
    avoided: BTreeSet<IpNet>,
    /// When to look whether they still do.
    astray: Option<Instant>,
}

/// Who has not been told of the table as it is.
#[derive(Debug, Clone, Copy)]
struct Untold {
    tunnel: bool,
    names: bool,
    /// Of routes alone, which need no memory of what runs.
    routes: bool,
    host: bool,
}

impl Untold {
    const ALL: Self = Self {
        tunnel: true,
        names: true,
        routes: true,
        host: true,
    };
}

impl Keeper {
    pub fn new(config: Config, inputs: Inputs, shared: Arc<Shared>) -> Self {
        let me = inputs.credentials.node_id();
        let mut engine = Part::new("the engine's firewall");
        engine.runs(());
        let mut ports = Part::new("the published ports");
        ports.runs(HeldPorts::default());
        Self {
            config,
            gossip: shared.gossip.changes(),
            told: shared.told.subscribe(),
            inputs,
            shared,
            begun: Instant::now(),
            inherited: true,
            plugin: Part::new("the network driver"),
            host: Part::new("the rules of the kernel"),
            engine,
            pass: Instant::now() + PASS_EVERY,
            tunnel: Part::new("the tunnel to other nodes"),
            names: Part::new("the name server"),
            ports,
            viewer: Viewer::new(me),
            view: None,
            upstreams: Upstreams::default(),
            untold: Untold::ALL,
            host_addresses: None,
            avoided: BTreeSet::new(),
            astray: None,
        }
    }

    pub async fn run(mut self, stop: CancellationToken) {
        let kept = async {
            loop {
                self.open().await;
                self.agree().await;
                self.say_faults();
                self.say_seen();
                if self.taken() == self.avoided {
                    self.change().await;
                }
                sleep(COALESCE).await;
            }
        };
        let stopped = stop.run_until_cancelled(kept).await;
        debug_assert!(stopped.is_none());
        self.close().await;
    }

    /// Tells every part what it is to do, where that is not what it was told.
    async fn agree(&mut self) {
        let now = Instant::now();
        let sources = self.sources(now);
        let told = self.told.borrow().clone();
        let news = self.viewer.look(sources);
        if let Some(view) = news.or_else(|| self.view_to_judge_anew(now)) {
            let table = self.table(&view, now);
            if self
                .view
                .as_ref()
                .is_none_or(|(_, before)| *before != table)
            {
                self.untold = Untold::ALL;
            }
            self.view = Some((view, table));
        }
        let mut upstreams = told.upstreams;
        upstreams.extend(told.guests);
        if self.upstreams != upstreams {
            self.upstreams = upstreams;
            self.untold.names = true;
        }
        let Some((view, table)) = self.view.clone() else {
            return;
        };
        if let Some(tunnel) = self.tunnel.running().filter(|_| self.untold.tunnel) {
            tunnel.update(Arc::new(Routing::of(&table)));
            self.untold.tunnel = false;
        }
        if !self.remembers(now, told.announced) {
            if self.untold.routes && self.host.is_due(now) {
                self.add_routes(&table).await;
            }
            return;
        }
        if let Some(names) = self.names.running().filter(|_| self.untold.names) {
            names.publish(Zone::of(Arc::clone(&table), &view, &self.upstreams));
            self.untold.names = false;
        }
        self.untold.host |= self.astray.take_if(|at| *at <= now).is_some();
        if self.untold.host && self.host.is_due(now) {
            self.tell_host(&table).await;
        }
    }

    /// What is to be done with what others have on this host: ports that may be
    /// free by now, and addresses that are led elsewhere.
    fn view_to_judge_anew(&self, now: Instant) -> Option<Arc<View>> {
        let again = self.ports.again().is_some_and(|again| again <= now);
        let again = again || self.taken() != self.avoided;
        let (view, _) = self.view.as_ref().filter(|_| again)?;
        Some(Arc::clone(view))
    }

    /// What the routes of others lead elsewhere.
    fn taken(&self) -> BTreeSet<IpNet> {
        let rivals = self.host.running().into_iter().flat_map(Host::rivals);
        rivals.map(|rival| rival.taken).collect()
    }

    fn table(&mut self, view: &View, now: Instant) -> Arc<Table> {
        let mut table = Table::derive(view);
        if let Some(ports) = self.ports.running_mut() {
            ports.hold(&mut table);
            let taken: Vec<_> = ports.taken().map(|port| port.to_string()).collect();
            match taken.is_empty() {
                true => self.ports.succeeded(),
                false => self.ports.failed(now, &taken.join("; ")),
            }
        }
        self.avoided = self.taken();
        table.avoid(&self.avoided);
        Arc::new(table)
    }

    async fn add_routes(&mut self, table: &Table) {
        let Some(host) = self.host.running_mut() else {
            return;
        };
        match host.add_routes(table).await {
            Ok(()) => self.untold.routes = false,
            Err(error) => self.host.failed(Instant::now(), &error),
        }
    }

    async fn tell_host(&mut self, table: &Table) {
        let Some(host) = self.host.running_mut() else {
            return;
        };
        match host.apply(table).await {
            Ok(applied) => {
                tracing::debug!(?applied, "the kernel agrees");
                let astray = !host.rivals().is_empty();
                self.astray = astray.then(|| Instant::now() + LOOK_AGAIN);
                self.host.succeeded();
                self.untold.routes = false;
                self.untold.host = false;
            }
            Err(error) => self.host.failed(Instant::now(), &error),
        }
    }

    fn sources(&mut self, now: Instant) -> Sources {
        let directory = Arc::clone(&self.inputs.directory.borrow());
        let me = self.inputs.credentials.node_id();
        let locals = self.plugin.running();
        Sources {
            answering: self.shared.gossip.endpoints(),
            locals: locals
                .map(|locals| locals.borrow().clone())
                .unwrap_or_default(),
            peers: peers(me, &self.shared.gossip.members(), &directory),
            host: self.host_addresses(now),
            own_ports: [self.inputs.listen.port(), directory.data_port].into(),
            directory,
        }
    }

    fn host_addresses(&mut self, now: Instant) -> BTreeSet<IpAddr> {
        let told = self.inputs.addr.borrow().ip();
        let known = self.host_addresses.take();
        let known = known.filter(|(at, addrs)| now - *at < LOOK_EVERY && addrs.contains(&told));
        let known = known.unwrap_or_else(|| (now, host_addresses(told, address::outward())));
        self.host_addresses.insert(known).1.clone()
    }

    /// Whether enough is known again to replace what an earlier run has left.
    fn remembers(&self, now: Instant, announced: bool) -> bool {
        let age = now - self.begun;
        let engine = &*self.inputs.engine.borrow();
        let itself = self.plugin.running().is_some()
            && (announced || matches!(engine, EngineState::Unavailable { .. }));
        !self.inherited || (itself && age >= MEET_WITHIN) || age >= REMEMBER_WITHIN
    }

    fn say_faults(&self) {
        let starting = || "the network driver is about to start".to_owned();
        let plugin = self.plugin.why().or_else(|| match self.plugin.running() {
            Some(_) => None,
            None => Some(starting()),
        });
        let all = plugin
            .or_else(|| self.host.why())
            .or_else(|| self.tunnel.why().filter(|_| self.has_peers()));
        let rivals = self.host.running().map(Host::rivals);
        *lock(&self.shared.faults) = Faults {
            all,
            rivals: rivals.cloned().unwrap_or_default(),
        };
    }

    fn has_peers(&self) -> bool {
        let view = self.view.as_ref();
        view.is_some_and(|(view, _)| !view.peers.is_empty())
    }

    fn say_seen(&self) {
        let whys = [
            self.plugin.why(),
            self.host.why(),
            self.engine.why(),
            self.tunnel.why(),
            self.names.why(),
            self.ports.why(),
        ];
        *lock(&self.shared.seen) = Seen {
            table: self.view.as_ref().map(|(_, table)| Arc::clone(table)),
            tunnel: self.tunnel.running().cloned(),
            whys: whys.into_iter().flatten().collect(),
        };
    }

    async fn close(mut self) {
        let plugin = lock(&self.shared.gate).plugin.take();
        if let Some(plugin) = plugin {
            plugin.close().await;
        }
        if let Some(names) = self.names.take() {
            names.shutdown().await;
        }
        // A diagnosis may hold it a moment longer.
        *lock(&self.shared.seen) = Seen::default();
        drop(self.tunnel.take());
    }
}
