//! Who gets through the control port, with real sockets on loopback.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use certs::{CertificateAuthority, ClusterId, Identity, NodeKey};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

struct Cluster {
    ca: CertificateAuthority,
    id: ClusterId,
}

impl Cluster {
    fn new() -> Self {
        Self {
            ca: CertificateAuthority::create(SystemTime::now()).unwrap(),
            id: ClusterId::generate().unwrap(),
        }
    }

    /// With a certificate for an hour, issued so long ago.
    fn member(&self, age: Duration) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let (csr, at) = (key.csr().unwrap(), SystemTime::now() - age);
        let certificate = self.ca.issue(&csr, Role::Worker, &self.id, HOUR, at);
        let root = self.ca.root().clone();
        let identity = Identity::new(key, certificate.unwrap(), root).unwrap();
        Credentials::new(identity).unwrap()
    }

    async fn control(&self, age: Duration) -> Arc<Control> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Control::bind(any, self.member(age)).await.unwrap()
    }
}

/// What came through, by protocol.
#[derive(Debug, Default)]
struct Door {
    joining: AtomicUsize,
    gossip: AtomicUsize,
    other: AtomicUsize,
}

impl Door {
    fn through(&self) -> [usize; 3] {
        [&self.joining, &self.gossip, &self.other].map(|count| count.load(Ordering::SeqCst))
    }
}

fn count(counter: &AtomicUsize, connection: Connection) -> BoxFuture<'static, ()> {
    counter.fetch_add(1, Ordering::SeqCst);
    Box::pin(async move {
        connection.closed().await;
    })
}

impl Protocols for Door {
    fn joining(self: Arc<Self>, connection: Connection) -> BoxFuture<'static, ()> {
        count(&self.joining, connection)
    }

    fn raft(self: Arc<Self>, _: Peer, connection: Connection) -> BoxFuture<'static, ()> {
        count(&self.other, connection)
    }

    fn gossip(self: Arc<Self>, _: Peer, connection: Connection) -> BoxFuture<'static, ()> {
        count(&self.gossip, connection)
    }

    fn node(self: Arc<Self>, _: Peer, connection: Connection) -> BoxFuture<'static, ()> {
        count(&self.other, connection)
    }
}

async fn open(control: &Arc<Control>) -> (Arc<Door>, SocketAddr) {
    let door = Arc::<Door>::default();
    let (serving, protocols) = (Arc::clone(control), Arc::clone(&door));
    tokio::spawn(async move { serving.serve(protocols).await });
    let port = control.port().unwrap();
    (door, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// With TLS 1.3 a client learns only after its handshake that it is not wanted.
async fn assert_ends(called: io::Result<Connection>) {
    if let Ok(connection) = called {
        let ended = tokio::time::timeout(Duration::from_secs(5), connection.closed());
        ended.await.expect("the connection ends");
    }
}

async fn without_certificate(digest: [u8; 32], addr: SocketAddr) -> io::Result<Connection> {
    let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let client = certs::pinned_client_config(digest, &[ALPN_GOSSIP]).map_err(io::Error::other)?;
    let connecting = endpoint.connect_with(client, addr, certs::SERVER_NAME);
    Ok(connecting.map_err(io::Error::other)?.await?)
}

#[tokio::test]
async fn only_a_current_member_gets_through_to_gossip() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let control = ours.control(Duration::ZERO).await;
    let (door, addr) = open(&control).await;
    let digest = control.credentials.identity().root().digest();

    assert_ends(without_certificate(digest, addr).await).await;
    let removed = ours.control(Duration::ZERO).await;
    control.credentials.set_revoked([removed.me].into());
    let expired = ours.control(2 * HOUR).await;
    let foreign = theirs.control(Duration::ZERO).await;
    for caller in [&removed, &expired, &foreign] {
        assert_ends(caller.dial_at(control.me, addr, ALPN_GOSSIP).await).await;
    }
    assert_eq!(door.through(), [0, 0, 0]);

    let member = ours.control(Duration::ZERO).await;
    let connection = member.dial_at(control.me, addr, ALPN_GOSSIP).await.unwrap();
    // It is through once the other side has counted it, which it does not say.
    let through = async {
        while door.through() != [0, 1, 0] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), through)
        .await
        .unwrap();
    assert_eq!(connection.close_reason(), None);
}

#[tokio::test]
async fn strangers_cannot_cut_off_the_members_that_are_there() {
    let ours = Cluster::new();
    let control = ours.control(Duration::ZERO).await;
    let (door, addr) = open(&control).await;
    let member = ours.control(Duration::ZERO).await;
    let connection = member.dial_at(control.me, addr, ALPN_GOSSIP).await.unwrap();

    let digest = control.credentials.identity().root().digest();
    let strangers = (0..200).map(|_| async move {
        assert_ends(without_certificate(digest, addr).await).await;
    });
    let all = futures::future::join_all(strangers);
    tokio::time::timeout(Duration::from_secs(30), all)
        .await
        .unwrap();

    assert_eq!(connection.close_reason(), None);
    assert_eq!(door.through(), [0, 1, 0]);
    let again = member.dial_at(control.me, addr, ALPN_GOSSIP).await;
    again.expect("a member gets in after them");
}

#[tokio::test]
async fn a_node_is_found_where_its_own_port_is_though_the_known_address_is_stale() {
    let ours = Cluster::new();
    let (control, caller) = (
        ours.control(Duration::ZERO).await,
        ours.control(Duration::ZERO).await,
    );
    let (_door, addr) = open(&control).await;
    let config = gossip::Config {
        credentials: caller.credentials.clone(),
        facts: crate::presence::facts(
            &crate::disk::NodeFile {
                listen: None,
                addr,
                follows: false,
                data_addr: None,
                managers: Vec::new(),
            },
            Role::Worker,
        ),
        hints: vec![(control.me, addr)],
    };
    let dial = Arc::new(crate::presence::GossipDial(Arc::clone(&caller)));
    let gossip = gossip::Gossip::start(config, dial).unwrap();
    caller.book.consult_gossip(gossip.clone());
    // Nobody answers there.
    let stale = SocketAddr::from(([127, 0, 0, 1], 9));
    let connection = caller.dial(control.me, stale, ALPN_NODE).await.unwrap();
    assert_eq!(connection.remote_address(), addr);
    gossip.shutdown().await;
}

/// A device may leave its swarm after the last of its peers did, and go on to
/// another: the call that nobody answers must not cost it the port.
#[tokio::test]
async fn a_port_is_had_again_though_a_call_from_it_is_never_answered() {
    let cluster = Cluster::new();
    let control = cluster.control(Duration::ZERO).await;
    let addr = SocketAddr::from(([127, 0, 0, 1], control.port().unwrap()));
    let gone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = gone.local_addr().unwrap();
    let caller = Arc::clone(&control);
    let call = tokio::spawn(async move { caller.dial_at(caller.me, to, ALPN_GOSSIP).await });
    gone.recv(&mut [0; 2048]).await.unwrap();

    control.close().await;
    assert!(call.await.unwrap().is_err());
    drop(control);
    Control::bind(addr, cluster.member(Duration::ZERO))
        .await
        .unwrap();
}

/// Else requests over such a connection would wait until it is given up for silent.
#[tokio::test]
async fn a_node_that_is_back_ends_what_its_former_life_had_open() {
    let cluster = Cluster::new();
    let caller = cluster.control(Duration::ZERO).await;
    let credentials = cluster.member(Duration::ZERO);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let killed = Control::bind(any, credentials.clone()).await.unwrap();
    let (_door, at) = open(&killed).await;
    let id = credentials.node_id();
    let connection = caller.dial(id, at, ALPN_NODE).await.unwrap();

    // From elsewhere it is not heard any more, as if it had been killed.
    port::move_away(&killed.endpoint).unwrap();
    let _back = Control::bind(at, credentials).await.unwrap();
    let (mut out, _) = connection.open_bi().await.unwrap();
    out.write_all(b"still there?").await.unwrap();
    assert_eq!(connection.closed().await, ConnectionError::Reset);
}
