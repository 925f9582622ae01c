//! Managers in one process, on real QUIC with real certificates, whose
//! connections a test can cut.

mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use certs::{
    CertificateAuthority, ClusterId, Credentials, Expect, Identity, NodeId, NodeKey, Role,
    seal::DataKey,
};
use futures::{FutureExt, future::BoxFuture};
use raft::{ALPN, Config, Dial, Freeze, Member, OpenError, Raft, StateMachine, Status};
use tempfile::TempDir;
use wire::Plug;

/// Every command so far; the answer is how many there were before.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Journal {
    pub commands: Vec<Vec<u8>>,
}

impl StateMachine for Journal {
    fn apply(&mut self, _index: u64, command: &[u8]) -> Vec<u8> {
        let before = self.commands.len() as u64;
        self.commands.push(command.to_vec());
        before.to_le_bytes().to_vec()
    }

    fn freeze(&self) -> Freeze {
        let commands = self.commands.clone();
        Box::new(move |out| {
            for command in commands {
                out.write_all(&(command.len() as u32).to_le_bytes())?;
                out.write_all(&command)?;
            }
            Ok(())
        })
    }

    fn restore(&mut self, snapshot: &mut dyn io::Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        snapshot.read_to_end(&mut bytes)?;
        let mut commands = Vec::new();
        let mut rest = &bytes[..];
        while let Some((len, after)) = rest.split_first_chunk() {
            let (command, after) = after.split_at(u32::from_le_bytes(*len) as usize);
            commands.push(command.to_vec());
            rest = after;
        }
        self.commands = commands;
        Ok(())
    }
}

/// Pairs of nodes that cannot speak, and the connections there are.
#[derive(Debug, Default)]
struct Wires {
    cut: BTreeSet<(NodeId, NodeId)>,
    connections: Vec<(NodeId, NodeId, quinn::Connection)>,
}

type Net = Arc<Mutex<Wires>>;

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

/// What makes the connections of one node.
struct Dialer {
    me: NodeId,
    endpoint: quinn::Endpoint,
    credentials: Credentials,
    net: Net,
}

impl Dial for Dialer {
    fn dial(
        &self,
        id: NodeId,
        addr: SocketAddr,
    ) -> BoxFuture<'static, io::Result<quinn::Connection>> {
        let (me, net) = (self.me, self.net.clone());
        let config = self
            .credentials
            .client_config(Expect::manager_node(id), &[ALPN])
            .unwrap();
        let connecting = self
            .endpoint
            .connect_with(config, addr, certs::SERVER_NAME)
            .unwrap();
        async move {
            if net.lock().unwrap().cut.contains(&pair(me, id)) {
                return Err(io::ErrorKind::HostUnreachable.into());
            }
            let connection = connecting.await?;
            let mut net = net.lock().unwrap();
            if net.cut.contains(&pair(me, id)) {
                connection.close(0_u32.into(), b"cut");
            }
            net.connections.push((me, id, connection.clone()));
            Ok(connection)
        }
        .boxed()
    }
}

/// One manager, running or not.
pub struct Host {
    pub me: Member,
    pub dir: PathBuf,
    pub raft: Option<Raft<Journal>>,
    key: DataKey,
    credentials: Credentials,
    endpoint: quinn::Endpoint,
    /// Pulled, the host is alone and nobody is told.
    pub plug: Plug,
}

impl Host {
    pub fn id(&self) -> NodeId {
        self.me.id
    }

    pub fn raft(&self) -> &Raft<Journal> {
        self.raft.as_ref().expect("the manager is running")
    }

    pub fn status(&self) -> Status {
        self.raft().watch().borrow().clone()
    }

    pub fn journal(&self) -> Journal {
        self.raft().read(Journal::clone)
    }

    /// Waits until this manager's status is as wanted.
    pub async fn until(&self, what: &str, mut wanted: impl FnMut(&Status) -> bool) -> Status {
        let mut watch = self.raft().watch();
        let waited = tokio::time::timeout(WAIT, watch.wait_for(|status| wanted(status))).await;
        match waited {
            Ok(Ok(status)) => status.clone(),
            _ => panic!("{} never had {what}: {:?}", self.id(), self.status()),
        }
    }

    /// Waits until this manager knows a leader other than `old`.
    pub async fn until_another_leads(&self, old: NodeId) -> Status {
        let another = |status: &Status| status.leader.is_some_and(|id| id != old);
        self.until("another leader", another).await
    }
}

/// What a test waits for at most.
pub const WAIT: Duration = Duration::from_secs(10);

pub struct Group {
    pub hosts: Vec<Host>,
    pub cluster: ClusterId,
    /// What a test changes in every manager's settings.
    pub tune: fn(&mut Config),
    net: Net,
    _dir: TempDir,
}

impl Group {
    /// `count` hosts, none of which runs yet.
    pub fn new(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::create(SystemTime::now()).unwrap();
        let cluster = ClusterId::generate().unwrap();
        let host = |number| new_host(&authority, cluster, &dir.path().join(format!("h{number}")));
        Self {
            hosts: (1..=count).map(host).collect(),
            cluster,
            tune: |_| {},
            net: Net::default(),
            _dir: dir,
        }
    }

    /// The first host begins the group, the others are added and promoted.
    pub async fn start(&mut self) {
        self.create(0).await;
        for number in 1..self.hosts.len() {
            self.open(number).await;
            let me = self.hosts[number].me;
            self.hosts[0].raft().add_learner(me).await.unwrap();
            self.hosts[0].raft().promote(me.id).await.unwrap();
        }
    }

    pub async fn create(&mut self, number: usize) {
        let (config, dialer) = (self.config(number), self.dialer(number));
        let raft = Raft::create(config, dialer, Journal::default()).await;
        self.accept(number, raft.unwrap());
        self.hosts[number]
            .until("itself as leader", |status| status.leader.is_some())
            .await;
    }

    pub async fn open(&mut self, number: usize) {
        let raft = self.try_open(number).await.unwrap();
        self.accept(number, raft);
    }

    pub async fn try_open(&self, number: usize) -> Result<Raft<Journal>, OpenError> {
        let (config, dialer) = (self.config(number), self.dialer(number));
        Raft::open(config, dialer, Journal::default()).await
    }

    pub async fn take_over(&mut self, number: usize) -> Result<(), OpenError> {
        let (config, dialer) = (self.config(number), self.dialer(number));
        let raft = Raft::take_over(config, dialer, Journal::default()).await?;
        self.accept(number, raft);
        Ok(())
    }

    pub fn config(&self, number: usize) -> Config {
        let host = &self.hosts[number];
        let mut config = Config::new(host.dir.clone(), host.me, self.cluster, host.key.clone());
        (self.tune)(&mut config);
        config
    }

    pub fn dialer(&self, number: usize) -> Arc<dyn Dial> {
        let host = &self.hosts[number];
        Arc::new(Dialer {
            me: host.me.id,
            endpoint: host.endpoint.clone(),
            credentials: host.credentials.clone(),
            net: self.net.clone(),
        })
    }

    fn accept(&mut self, number: usize, raft: Raft<Journal>) {
        let host = &mut self.hosts[number];
        host.raft = Some(raft.clone());
        let (endpoint, me, net) = (host.endpoint.clone(), host.me.id, self.net.clone());
        let mut status = raft.watch();
        tokio::spawn(async move {
            loop {
                let incoming = tokio::select! {
                    incoming = endpoint.accept() => incoming,
                    gone = status.changed() => match gone {
                        Ok(()) => continue,
                        Err(_) => return,
                    },
                };
                let Some(incoming) = incoming else { return };
                let (raft, net) = (raft.clone(), net.clone());
                tokio::spawn(async move {
                    let Ok(connection) = incoming.await else {
                        return;
                    };
                    let Some(peer) = certs::peer_of(&connection) else {
                        return;
                    };
                    if !net.lock().unwrap().cut.contains(&pair(me, peer.id)) {
                        raft.serve(peer.id, connection).await;
                    }
                });
            }
        });
    }

    /// Ends a manager; its host can be opened again.
    pub async fn stop(&mut self, number: usize) {
        let raft = self.hosts[number].raft.take().expect("it was running");
        raft.shutdown().await;
    }

    pub async fn stop_all(&mut self) {
        for number in 0..self.hosts.len() {
            if self.hosts[number].raft.is_some() {
                self.stop(number).await;
            }
        }
    }

    /// Gives a host that does not run another address.
    pub fn rebind(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        host.endpoint = endpoint(&host.credentials, &host.plug);
        host.me.addr = host.endpoint.local_addr().unwrap();
    }

    /// Cuts a host off from all others.
    pub fn cut(&self, number: usize) {
        let me = self.hosts[number].id();
        let mut net = self.net.lock().unwrap();
        let others = self.hosts.iter().map(Host::id).filter(|id| *id != me);
        net.cut.extend(others.map(|id| pair(me, id)));
        net.connections.retain(|(a, b, connection)| {
            let cut = *a == me || *b == me;
            if cut {
                connection.close(0_u32.into(), b"cut");
            }
            !cut
        });
    }

    pub fn heal(&self) {
        self.net.lock().unwrap().cut.clear();
    }

    /// The number of the host that leads, once all running hosts agree on it.
    pub async fn leader(&self) -> usize {
        let running: Vec<&Host> = self.hosts.iter().filter(|h| h.raft.is_some()).collect();
        self.leader_among(&running).await
    }

    pub async fn leader_among(&self, hosts: &[&Host]) -> usize {
        let agreed = async {
            loop {
                let leaders: BTreeSet<_> = hosts.iter().map(|h| h.status().leader).collect();
                if let [Some(leader)] = leaders.into_iter().collect::<Vec<_>>()[..]
                    && let Some(number) = self.hosts.iter().position(|h| h.id() == leader)
                    && hosts.iter().any(|h| h.id() == leader)
                {
                    return number;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(WAIT, agreed).await;
        found.expect("the hosts agree on a leader")
    }

    /// Waits until all running hosts have the same journal of this length.
    pub async fn converge(&self, len: usize) {
        let same = async {
            loop {
                let running = self.hosts.iter().filter(|h| h.raft.is_some());
                let journals: Vec<_> = running.map(Host::journal).collect();
                if journals
                    .iter()
                    .all(|j| j.commands.len() == len && *j == journals[0])
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(WAIT, same).await;
        found.expect("all hosts have the same journal");
    }
}

fn new_host(authority: &CertificateAuthority, cluster: ClusterId, dir: &Path) -> Host {
    let key = NodeKey::generate().unwrap();
    let lifetime = Duration::from_secs(3600);
    let certificate = authority
        .issue(
            &key.csr().unwrap(),
            Role::Manager,
            &cluster,
            lifetime,
            SystemTime::now(),
        )
        .unwrap();
    let identity = Identity::new(key, certificate, authority.root().clone()).unwrap();
    let id = identity.node_id();
    let credentials = Credentials::new(identity).unwrap();
    let plug = Plug::default();
    let endpoint = endpoint(&credentials, &plug);
    Host {
        me: Member {
            id,
            addr: endpoint.local_addr().unwrap(),
        },
        dir: dir.to_owned(),
        raft: None,
        key: DataKey::generate().unwrap(),
        credentials,
        endpoint,
        plug,
    }
}

fn endpoint(credentials: &Credentials, plug: &Plug) -> quinn::Endpoint {
    let server = credentials.server_config(&[ALPN]).unwrap();
    wire::endpoint(server, plug.clone()).unwrap()
}

/// Every file below a directory with its length and time of change.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            found.extend(files(&entry.path()));
        } else {
            let facts = (metadata.len(), metadata.modified().unwrap());
            found.insert(entry.path(), facts);
        }
    }
    found
}
