//! The overlay at work on this node: the engine's network driver, the kernel's
//! rules and routes, the tunnel to the other nodes, and the name server.
//!
//! [`view`] says, purely, what all of them are to do; one task ([`keeper`]) runs
//! them and tells them, again and again until they do. The agent speaks to it
//! through [`Links`]. Nothing here decides what runs where, and nothing that
//! breaks here keeps the rest of the node from working.
//!
//! When the daemon stops, all that is in the kernel stays, so containers go on
//! reaching each other on this host. Leaving the swarm removes it.

mod announced;
mod diagnose;
mod keeper;
mod part;
pub mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use certs::{Credentials, RootCertificate};
use gossip::endpoints::Grant;
use gossip::{Endpoint, Gossip};
use ipnet::IpNet;
use overlay::directory::Port;
use overlay::dns::Upstream;
use overlay::dns::resolv::Resolv;
use overlay::host::{Host, Rivals};
use overlay::names::Names;
use overlay::plugin::{self, Attach, Plugin};
use services::Id;
use services::assignment::AssignedNetwork;
use services::directory::Directory;
use services::object::PublishedPort;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attach;
use crate::attach::announce::Attachments;
use crate::control::lock;
use crate::runtime::Runtime;
use crate::worker::{Endpoints, EngineState, Expected, Links, Resolvers};
use announced::Announced;
pub use announced::Tickets;
use diagnose::Seen;
use keeper::Keeper;

/// Of containers' interfaces, in bytes: what fits the links of most networks
/// (1500) with room for the tunnel's own headers.
pub const MTU: u16 = 1400;

#[derive(Debug, Clone)]
pub struct Config {
    pub names: Names,
    /// Where the engine looks for drivers.
    pub plugin_dir: PathBuf,
    /// What the driver has promised the engine.
    pub state_dir: PathBuf,
    pub mtu: u16,
}

/// What of this node the overlay follows.
#[derive(Debug)]
pub struct Inputs {
    pub credentials: Credentials,
    /// The control port is here; the data port is on the same address, where
    /// none is said for it.
    pub listen: SocketAddr,
    pub data_addr: Option<IpAddr>,
    /// Where this node answers, as it tells the others.
    pub addr: watch::Receiver<SocketAddr>,
    pub directory: watch::Receiver<Arc<Directory>>,
    pub engine: watch::Receiver<EngineState>,
    /// Whom containers of users get their addresses from.
    pub attach: Arc<attach::Client>,
    /// Knows how they are called.
    pub runtime: Arc<dyn Runtime>,
}

/// The running overlay.
#[derive(Debug)]
pub struct Network {
    config: Config,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Between the task and those who speak to it.
struct Shared {
    gossip: Gossip,
    credentials: Credentials,
    /// Where containers ask for names.
    gateway: Ipv4Addr,
    gate: Mutex<Gate>,
    announced: Mutex<Announced>,
    told: watch::Sender<Told>,
    /// Of the plugin, once it runs.
    attached: watch::Sender<Option<watch::Receiver<Attachments>>>,
    /// For whoever looks into it.
    seen: Mutex<Seen>,
    faults: Mutex<Faults>,
}

/// Why containers cannot be connected.
#[derive(Debug, Default)]
struct Faults {
    /// To whatever network.
    all: Option<String>,
    /// At some addresses.
    rivals: Rivals,
}

/// Who is let in. There is a plugin only while it is running.
#[derive(Debug, Default)]
struct Gate {
    /// `None`: the agent has not said yet.
    expected: Option<plugin::Expected>,
    plugin: Option<Plugin>,
}

/// By one address of each container that does not ask whom the host asks.
type Upstreams = BTreeMap<IpAddr, Upstream>;

/// What the agent has said that the task has to act on.
#[derive(Debug, Clone, Default)]
struct Told {
    /// It knows what runs, and has said where that answers.
    announced: bool,
    /// Of tasks.
    upstreams: Upstreams,
    /// Of containers of users.
    guests: Upstreams,
}

impl Network {
    /// Takes what is told to [`Links`] from now on; does nothing with it before
    /// [`Self::start`].
    pub fn new(config: Config, gossip: Gossip, credentials: Credentials) -> Arc<Self> {
        let gateway = config.names.gateway;
        Arc::new(Self {
            config,
            shared: Arc::new(Shared {
                gossip,
                credentials,
                gateway,
                gate: Mutex::default(),
                announced: Mutex::default(),
                told: watch::Sender::default(),
                attached: watch::Sender::default(),
                seen: Mutex::default(),
                faults: Mutex::new(Faults {
                    all: Some("the overlay is about to start".to_owned()),
                    rivals: Rivals::new(),
                }),
            }),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Begins to keep the overlay running. Must be called within a tokio runtime.
    pub fn start(&self, inputs: Inputs) {
        let attached = announce_attached(Arc::clone(&self.shared), Arc::clone(&inputs.runtime));
        let keeper = Keeper::new(self.config.clone(), inputs, Arc::clone(&self.shared));
        self.tasks.spawn(keeper.run(self.stop.clone()));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(attached).await;
        });
        self.tasks.close();
    }

    /// Tickets for containers of users, which managers give again when the swarm
    /// has another CA.
    pub fn renew(&self, tickets: Tickets) {
        self.shared.announce(|announced| {
            announced.tickets = tickets;
            self.shared.renew(announced);
        });
    }

    /// Whether this CA has signed all that is said of containers of users.
    pub fn is_vouched_for(&self, ca: &RootCertificate) -> bool {
        let announced = lock(&self.shared.announced);
        announced.attached.iter().all(|(key, endpoint)| {
            let granted = self.shared.granted(*key, endpoint);
            ca.verifies(&granted, &endpoint.ticket.signature)
        })
    }

    /// The ports of this host that lead to containers here, by their addresses.
    pub fn published(&self) -> BTreeMap<IpAddr, BTreeSet<Port>> {
        let gate = lock(&self.shared.gate);
        let Some(plugin) = &gate.plugin else {
            return BTreeMap::new();
        };
        let locals = plugin.locals().borrow().clone();
        let published = locals.iter().filter(|(_, local)| !local.ports.is_empty());
        published
            .map(|(addr, local)| (*addr, local.ports.clone()))
            .collect()
    }

    /// Ends all that runs, and leaves the kernel as it is.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Runs until it is dropped.
async fn announce_attached(shared: Arc<Shared>, runtime: Arc<dyn Runtime>) {
    let mut attached = shared.attached.subscribe();
    let Ok(attached) = attached
        .wait_for(Option::is_some)
        .await
        .map(|it| it.clone())
    else {
        return;
    };
    if let Some(attached) = attached {
        attach::announce::run(attached, runtime, |endpoints, resolvers| {
            shared.announce(|announced| {
                announced.attached = endpoints;
                shared.renew(announced);
            });
            shared.resolve(|told| &mut told.guests, resolvers);
        })
        .await;
    }
}

impl Config {
    /// Leaves nothing of the overlay on this host: no interface, route, rule,
    /// socket or file. The engine's networks are to be gone before.
    ///
    /// # Errors
    /// What could not be removed first; the rest has been tried all the same.
    pub async fn clean_up(&self) -> anyhow::Result<()> {
        let links = match Plugin::open(self.plugin(None)).await {
            Ok(plugin) => plugin.purge().await,
            Err(error) => Err(error),
        };
        // After the links, which it would take for strangers' and remove too.
        Host::open(self.names.clone())?.clean_up().await?;
        links.map_err(Into::into)
    }

    fn plugin(&self, attach: Option<Arc<dyn Attach>>) -> plugin::Config {
        plugin::Config {
            names: self.names.clone(),
            plugin_dir: self.plugin_dir.clone(),
            state_dir: self.state_dir.clone(),
            mtu: u32::from(self.mtu),
            attach,
        }
    }
}

impl Links for Network {
    fn expect(&self, expected: Expected) {
        let expected: plugin::Expected = expected
            .into_iter()
            .map(|(network, addr)| (network.as_u128(), addr))
            .collect();
        let mut gate = lock(&self.shared.gate);
        if let Some(plugin) = &gate.plugin {
            plugin.expect(expected.clone());
        }
        let first = gate.expected.replace(expected).is_none();
        drop(gate);
        if first {
            // The gate can open.
            self.shared.told.send_modify(|_| {});
        }
    }

    fn announce(&self, endpoints: Endpoints) {
        let plain = |(task, network): (Id, Id)| (task.as_u128(), network.as_u128());
        let tasks = endpoints.into_iter().map(|(key, it)| (plain(key), it));
        self.shared
            .announce(|announced| announced.tasks = tasks.collect());
        self.shared
            .told
            .send_if_modified(|told| !std::mem::replace(&mut told.announced, true));
    }

    fn resolvers(&self, resolvers: Resolvers) {
        self.shared.resolve(|told| &mut told.upstreams, resolvers);
    }

    fn fault(&self, network: &AssignedNetwork) -> Option<String> {
        lock(&self.shared.faults).of(network)
    }

    fn ports_at(&self, addr: IpAddr) -> Vec<PublishedPort> {
        let ports = self.published().remove(&addr).unwrap_or_default();
        ports.iter().map(view::published_port).collect()
    }

    fn has_driver(&self) -> bool {
        lock(&self.shared.gate).plugin.is_some()
    }
}

impl Faults {
    fn of(&self, network: &AssignedNetwork) -> Option<String> {
        let has = |taken: &IpNet| network.addrs.iter().any(|it| taken.contains(&it.addr()));
        let rival = || self.rivals.iter().find(|rival| has(&rival.taken));
        let all = self.all.clone();
        all.or_else(|| rival().map(ToString::to_string))
    }
}

impl Shared {
    fn renew(&self, announced: &mut Announced) {
        announced.renew(|key, endpoint, ticket| {
            let granted = self.granted(key, endpoint);
            self.credentials.roots_verifying(&granted, ticket)
        });
    }

    fn granted(&self, (task, network): (u128, u128), endpoint: &Endpoint) -> Vec<u8> {
        let grant = Grant {
            task,
            service: endpoint.service,
            network,
            addrs: &endpoint.addrs,
            node: self.credentials.node_id(),
        };
        grant.signed_bytes()
    }

    fn announce(&self, change: impl FnOnce(&mut Announced)) {
        let mut announced = lock(&self.announced);
        change(&mut announced);
        let endpoints = announced.endpoints();
        // Under the lock, so that what was said last is what is told last.
        self.gossip.publish(|facts| facts.endpoints = endpoints);
    }

    fn resolve(&self, of: impl FnOnce(&mut Told) -> &mut Upstreams, resolvers: Resolvers) {
        let upstream = |wanted| Resolv::of(&wanted, Some(self.gateway)).upstream;
        let resolvers = resolvers.into_iter();
        let upstreams: Upstreams = resolvers.map(|(addr, it)| (addr, upstream(it))).collect();
        self.told.send_if_modified(|told| {
            let told = of(told);
            let news = *told != upstreams;
            *told = upstreams;
            news
        });
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use overlay::host::Rival;

    use super::*;
    use crate::worker::testing;

    #[test]
    fn a_route_of_the_host_is_in_the_way_of_its_addresses_alone() {
        let mut faults = Faults::default();
        let fault = |faults: &Faults, addr| faults.of(&testing::network(Id::from_u128(5), &[addr]));
        let narrow = Rival {
            network: 5,
            subnet: "10.0.5.0/24".parse().unwrap(),
            taken: "10.0.5.4/31".parse().unwrap(),
            interface: "eth0".into(),
        };
        faults.rivals.insert(narrow.clone());
        assert_eq!(fault(&faults, "10.0.5.3/24"), None);
        let text = "10.0.5.4/31 of the subnet 10.0.5.0/24 is led to eth0 on this device";
        let said = fault(&faults, "10.0.5.5/24").unwrap();
        assert!(said.starts_with(text), "{said}");
        faults.rivals.insert(Rival {
            taken: narrow.subnet,
            ..narrow
        });
        let said = fault(&faults, "10.0.5.3/24").unwrap();
        assert!(said.contains("--subnet"), "{said}");
        assert_eq!(fault(&faults, "10.0.6.3/24"), None);
        faults.all = Some("the driver does not run".into());
        assert_eq!(fault(&faults, "10.0.6.3/24"), faults.all);
    }
}
