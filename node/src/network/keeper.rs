//! The task that runs the parts of the overlay and keeps them in agreement with
//! the view.
//!
//! It takes whatever has changed for a reason to look at everything again. What
//! is already so costs nothing; what fails is tried again by itself.

use std::collections::BTreeSet;
use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use overlay::dns::{self, NameServer, Zone};
use overlay::host::{self, Host};
use overlay::plugin::{Attach, Locals, Plugin};
use overlay::table::Table;
use overlay::tunnel::{self, Routing, Tunnel};
use overlay::view::View;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::diagnose::Seen;
use super::part::Part;
use super::view::{Sources, Viewer, host_addresses, peers};
use super::{Config, Faults, Inputs, Shared, Told, Upstreams, lock};
use crate::address;
use crate::worker::EngineState;

/// Changes come in bursts: a task that starts is three of them.
const COALESCE: Duration = Duration::from_millis(10);
/// How long a program that takes away rules of ours has to finish.
const SETTLE: Duration = Duration::from_millis(100);
/// How long rules of an earlier run stay as they are, until it is known again
/// what runs here and elsewhere: containers use them meanwhile.
const REMEMBER_WITHIN: Duration = Duration::from_secs(5);
/// Of that, for the other nodes to be heard.
const MEET_WITHIN: Duration = Duration::from_secs(1);
/// Other programs that keep a firewall load the engine's anew, without a word.
const PASS_EVERY: Duration = Duration::from_secs(15);
/// How old the list of this device's addresses may be.
const LOOK_EVERY: Duration = Duration::from_secs(10);

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
    /// When the engine's firewall was looked at.
    passed: Instant,
    tunnel: Part<Arc<Tunnel>>,
    names: Part<NameServer>,
    viewer: Viewer,
    view: Option<(Arc<View>, Arc<Table>)>,
    upstreams: Upstreams,
    untold: Untold,
    host_addresses: Option<(Instant, BTreeSet<IpAddr>)>,
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
            passed: Instant::now(),
            tunnel: Part::new("the tunnel to other nodes"),
            names: Part::new("the name server"),
            viewer: Viewer::new(me),
            view: None,
            upstreams: Upstreams::default(),
            untold: Untold::ALL,
            host_addresses: None,
        }
    }

    pub async fn run(mut self, stop: CancellationToken) {
        let kept = async {
            loop {
                self.open().await;
                self.agree().await;
                self.say_faults();
                self.say_seen();
                self.change().await;
                sleep(COALESCE).await;
            }
        };
        let stopped = stop.run_until_cancelled(kept).await;
        debug_assert!(stopped.is_none());
        self.close().await;
    }

    /// Begins what does not run and is due.
    async fn open(&mut self) {
        let now = Instant::now();
        if self.host.running().is_none() && self.host.is_due(now) {
            match Host::open(self.config.names.clone()) {
                Ok(host) => {
                    self.inherited &= host.has_rules().await;
                    self.host.runs(host);
                    self.pass_engine().await;
                }
                Err(error) => self.host.failed(now, &error),
            }
        }
        if self.plugin.running().is_none() && self.plugin.is_due(now) {
            self.open_plugin(now).await;
        }
        if self
            .tunnel
            .running()
            .is_some_and(|tunnel| tunnel.ended().is_cancelled())
        {
            self.tunnel.take();
            tracing::warn!("the tunnel's device is gone; making another");
        }
        let port = self.inputs.directory.borrow().data_port;
        if port != 0 && self.tunnel.running().is_none() && self.tunnel.is_due(now) {
            match self.open_tunnel(port) {
                Ok(tunnel) => {
                    self.tunnel.runs(Arc::new(tunnel));
                    self.untold.tunnel = true;
                    // The routes went with the device before this one.
                    self.untold.routes = true;
                    self.untold.host = true;
                }
                Err(error) => self.tunnel.failed(now, &error),
            }
        }
        if self.names.running().is_none() && self.names.is_due(now) {
            let names = &self.config.names;
            let v6 = host::has_ipv6().then_some(IpAddr::V6(names.gateway6));
            let gateways = [IpAddr::V4(names.gateway)].into_iter().chain(v6);
            match NameServer::start(dns::Config::on(gateways)) {
                Ok(server) => {
                    self.names.runs(server);
                    self.untold.names = true;
                }
                Err(error) => self.names.failed(now, &error),
            }
        }
    }

    async fn open_plugin(&mut self, now: Instant) {
        if lock(&self.shared.gate).expected.is_none() {
            return;
        }
        let attach = Arc::clone(&self.inputs.attach) as Arc<dyn Attach>;
        match Plugin::open(self.config.plugin(Some(attach))).await {
            Ok(plugin) => {
                self.plugin.runs(plugin.locals());
                let links = Some(plugin.locals());
                self.shared.announce(|announced| announced.links = links);
                self.shared.attached.send_replace(Some(plugin.attached()));
                let mut gate = lock(&self.shared.gate);
                plugin.expect(gate.expected.clone().unwrap_or_default());
                gate.plugin = Some(plugin);
            }
            Err(error) => self.plugin.failed(now, &error),
        }
    }

    fn open_tunnel(&self, port: u16) -> io::Result<Tunnel> {
        let open = |ip| {
            Tunnel::open(tunnel::Config {
                device: self.config.names.tun.clone(),
                mtu: self.config.mtu,
                listen: SocketAddr::new(ip, port),
                credentials: self.inputs.credentials.clone(),
            })
        };
        let ip = self.inputs.listen.ip();
        let opened = match ip.is_unspecified() {
            false => open(ip),
            // Both families, where the kernel has both.
            true => open(Ipv6Addr::UNSPECIFIED.into()).or_else(|error| match error.kind() {
                io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
                _ => open(ip),
            }),
        };
        opened.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                let text = format!(
                    "udp port {port} is used by another program (a VXLAN, say that of Docker's \
                     own swarm): end that, or choose another --data-path-port for the swarm"
                );
                io::Error::new(error.kind(), text)
            }
            _ => error,
        })
    }

    async fn pass_engine(&mut self) {
        self.passed = Instant::now();
        let Some(host) = self.host.running_mut() else {
            self.engine.succeeded();
            return;
        };
        // Nobody tells of the end of another's route.
        self.untold.host |= !host.rivals().is_empty();
        match host.pass_engine().await {
            Ok(()) => self.engine.succeeded(),
            Err(error) => self.engine.failed(Instant::now(), &error),
        }
    }

    /// Tells every part what it is to do, where that is not what it was told.
    async fn agree(&mut self) {
        let now = Instant::now();
        let sources = self.sources(now);
        let told = self.told.borrow().clone();
        if let Some(view) = self.viewer.look(sources) {
            let table = Arc::new(Table::derive(&view));
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
        if self.untold.host && self.host.is_due(now) {
            self.tell_host(&table).await;
        }
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
            peers: peers(me, &self.shared.gossip.members(), directory.data_port),
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
        let rivals = self.host.running().into_iter().flat_map(Host::rivals);
        let networks = rivals.map(|(network, rival)| (*network, rival.to_string()));
        *lock(&self.shared.faults) = Faults {
            all,
            networks: networks.collect(),
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
        ];
        *lock(&self.shared.seen) = Seen {
            table: self.view.as_ref().map(|(_, table)| Arc::clone(table)),
            tunnel: self.tunnel.running().cloned(),
            whys: whys.into_iter().flatten().collect(),
        };
    }

    /// Waits until there is a reason to look again.
    async fn change(&mut self) {
        let parts = [
            self.plugin.again(),
            self.host.again(),
            self.tunnel.again(),
            self.names.again(),
            self.engine.again(),
        ];
        let remembered = [MEET_WITHIN, REMEMBER_WITHIN]
            .map(|within| self.begun + within)
            .into_iter()
            .find(|at| self.inherited && self.untold.host && *at > Instant::now());
        let pass = self.engine.again().unwrap_or(self.passed + PASS_EVERY);
        let times = parts.into_iter().flatten().chain(remembered);
        let again = times.chain([pass]).min();
        let ended = self.tunnel.running().map(|tunnel| tunnel.ended());
        let engine_is_due = tokio::select! {
            () = changed(&mut self.inputs.directory) => false,
            () = changed(&mut self.inputs.addr) => false,
            () = changed(&mut self.gossip) => false,
            () = changed(&mut self.told) => false,
            () = changed(&mut self.inputs.engine) => true,
            () = changed_or_never(self.plugin.running_mut()) => {
                self.shared.announce(|_| {});
                false
            }
            () = ended_or_never(ended) => false,
            disturbed = disturbed_or_never(self.host.running_mut()) => {
                self.disturbed(disturbed).await;
                false
            }
            () = until_or_never(again) => pass <= Instant::now(),
        };
        let ready = matches!(*self.inputs.engine.borrow(), EngineState::Ready(_));
        match engine_is_due {
            true if ready => self.pass_engine().await,
            // Its return is a reason of its own.
            true => {
                self.passed = Instant::now();
                self.engine.succeeded();
            }
            false => {}
        }
    }

    /// Another program has taken away what the kernel had of ours.
    async fn disturbed(&mut self, told: host::Result<()>) {
        self.untold.host = true;
        if let Err(error) = told {
            self.host.failed(Instant::now(), &error);
            self.host.take();
        }
        sleep(SETTLE).await;
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

/// Who has gone says nothing any more.
async fn changed<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        pending().await
    }
}

async fn changed_or_never<T>(watched: Option<&mut watch::Receiver<T>>) {
    match watched {
        Some(watched) => changed(watched).await,
        None => pending().await,
    }
}

async fn disturbed_or_never(host: Option<&mut Host>) -> host::Result<()> {
    match host {
        Some(host) => host.disturbed().await,
        None => pending().await,
    }
}

async fn ended_or_never(ended: Option<CancellationToken>) {
    match ended {
        Some(ended) => ended.cancelled().await,
        None => pending().await,
    }
}

async fn until_or_never(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
