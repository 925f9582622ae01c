//! A swarm made on the spot: a CA, and devices with a control port each.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::{CertificateAuthority, ClusterId, Credentials, Identity, NodeId, NodeKey, Role};
use futures::future::BoxFuture;
use gossip::{ALPN, Config, Dial, Facts, Gossip, Liveness, Load, Member, Platform, Resources};
use quinn::{Connection, Endpoint, TransportConfig};
use tokio::runtime::Runtime;

pub const HOUR: Duration = Duration::from_secs(3600);
/// For whatever should happen.
pub const SOON: Duration = Duration::from_secs(30);

pub struct Cluster {
    ca: CertificateAuthority,
    id: ClusterId,
}

impl Cluster {
    pub fn new() -> Self {
        Self {
            ca: CertificateAuthority::create(SystemTime::now()).unwrap(),
            id: ClusterId::generate().unwrap(),
        }
    }

    /// With a certificate of one hour that was issued so long ago.
    pub fn credentials(&self, age: Duration) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let at = SystemTime::now() - age;
        let csr = key.csr().unwrap();
        let certificate = self.ca.issue(&csr, Role::Worker, &self.id, HOUR, at);
        let root = self.ca.root().clone();
        let identity = Identity::new(key, certificate.unwrap(), root).unwrap();
        Credentials::new(identity).unwrap()
    }
}

/// A control port that does nothing but gossip.
#[derive(Clone)]
pub struct Port {
    endpoint: Endpoint,
    pub credentials: Credentials,
}

impl Port {
    pub fn open(credentials: &Credentials) -> Self {
        let mut server = credentials.server_config(&[ALPN]).unwrap();
        server.transport_config(transport());
        let endpoint = Endpoint::server(server, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self {
            endpoint,
            credentials: credentials.clone(),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    pub async fn connect(&self, id: NodeId, addr: SocketAddr) -> io::Result<Connection> {
        let mut client = self.credentials.client_config(id, &[ALPN]).unwrap();
        client.transport_config(transport());
        let connecting = self.endpoint.connect_with(client, addr, certs::SERVER_NAME);
        let connecting = connecting.map_err(io::Error::other)?;
        match tokio::time::timeout(Duration::from_secs(2), connecting).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Dial for Port {
    fn dial(&self, id: NodeId, addr: SocketAddr) -> BoxFuture<'static, io::Result<Connection>> {
        let port = self.clone();
        Box::pin(async move { port.connect(id, addr).await })
    }
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let idle = quinn::IdleTimeout::from(quinn::VarInt::from_u32(4_000));
    transport
        .keep_alive_interval(Some(Duration::from_secs(1)))
        .max_idle_timeout(Some(idle));
    Arc::new(transport)
}

pub struct Device {
    pub id: NodeId,
    pub port: Port,
    pub gossip: Gossip,
    /// Its own, to be cut off in the middle of everything.
    runtime: Option<Runtime>,
}

impl Device {
    /// One that knows where those are.
    pub fn start(cluster: &Cluster, others: &[&Device]) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let within = runtime.enter();
        let credentials = cluster.credentials(Duration::ZERO);
        let port = Port::open(&credentials);
        let hints = others.iter().map(|other| (other.id, other.port.addr()));
        let config = Config {
            facts: facts(port.addr()),
            hints: hints.collect(),
            credentials,
        };
        let id = port.credentials.node_id();
        let gossip = Gossip::start(config, Arc::new(port.clone())).unwrap();
        tokio::spawn(serve(port.endpoint.clone(), gossip.clone()));
        drop(within);
        Self {
            id,
            port,
            gossip,
            runtime: Some(runtime),
        }
    }

    /// Without a word to anyone, as by a power cut.
    pub fn power_off(self) {}

    pub fn sees(&self, other: NodeId) -> Option<Liveness> {
        Some(self.gossip.member(other)?.liveness)
    }

    /// Waits until this is so, and returns what is seen then.
    pub async fn until(&self, what: &str, so: impl Fn(&[Member]) -> bool) -> Vec<Member> {
        let mut changes = self.gossip.changes();
        let seen = async {
            loop {
                changes.borrow_and_update();
                let members = self.gossip.members();
                if so(&members) {
                    return members;
                }
                changes.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(SOON, seen).await {
            Ok(members) => members,
            Err(_) => panic!("never {what}: {:#?}", self.gossip.members()),
        }
    }

    pub async fn until_all_live(&self, count: usize) {
        let all_live = |members: &[Member]| {
            let live = members
                .iter()
                .filter(|member| member.liveness == Liveness::Alive && member.facts.is_some());
            live.count() == count
        };
        self.until("all alive", all_live).await;
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// As the control port does it.
async fn serve(endpoint: Endpoint, gossip: Gossip) {
    while let Some(incoming) = endpoint.accept().await {
        let gossip = gossip.clone();
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else {
                return;
            };
            match certs::peer_of(&connection) {
                Some(peer) => gossip.serve(peer, connection).await,
                None => connection.close(1u32.into(), b"a certificate is needed"),
            }
        });
    }
}

pub fn facts(addr: SocketAddr) -> Facts {
    Facts {
        addrs: vec![addr],
        hostname: format!("device-{}", addr.port()),
        role: Role::Worker,
        version: "0.1.0".into(),
        platform: Platform::default(),
        resources: Resources::default(),
        load: Load::default(),
        endpoints: BTreeMap::new(),
    }
}
