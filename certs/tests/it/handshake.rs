//! Real QUIC handshakes on the loopback: who gets in, who does not, and what each side is told.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

use crate::common::{Cluster, bare, provider};
use certs::{
    Credentials, Expect, JoinToken, NodeKey, Refusal, Role, SERVER_NAME, peer_of,
    pinned_client_config, pinned_root_of,
};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, ServerConfig};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose};

const ALPN: &[&[u8]] = &[b"swarmlet-test"];

/// Both ends of one attempt. A side that was accepted and then thrown out counts as refused.
pub struct Meeting {
    pub client: Result<Connection, ConnectionError>,
    pub server: Result<Connection, ConnectionError>,
    _endpoints: [Endpoint; 2],
}

impl Meeting {
    fn up(&self) -> (&Connection, &Connection) {
        (
            self.client.as_ref().expect("the client is connected"),
            self.server.as_ref().expect("the server is connected"),
        )
    }

    /// What each side says of the refusal: the client first.
    fn refusals(&self) -> (Option<Refusal>, Option<Refusal>) {
        let of = |side: &Result<Connection, ConnectionError>| {
            Refusal::of(side.as_ref().expect_err("the connection is refused"))
        };
        (of(&self.client), of(&self.server))
    }

    #[track_caller]
    pub fn assert_refused(&self, reason: Refusal) {
        assert_eq!(self.refusals(), (Some(reason), Some(reason)));
    }
}

async fn meet_as(server: ServerConfig, client: ClientConfig, server_name: &str) -> Meeting {
    let loopback = (Ipv4Addr::LOCALHOST, 0).into();
    let listener = Endpoint::server(server, loopback).unwrap();
    let caller = Endpoint::client(loopback).unwrap();
    let address = listener.local_addr().unwrap();
    let connecting = caller.connect_with(client, address, server_name).unwrap();
    let accepting = async { listener.accept().await.unwrap().await };
    let (mut client, server) = tokio::join!(connecting, accepting);
    if let (Ok(connection), Err(_)) = (&client, &server) {
        client = Err(connection.closed().await);
    }
    Meeting {
        client,
        server,
        _endpoints: [listener, caller],
    }
}

pub async fn meet(server: &Credentials, client: ClientConfig) -> Meeting {
    meet_as(server.server_config(ALPN).unwrap(), client, SERVER_NAME).await
}

pub async fn call(client: &Credentials, server: &Credentials, expect: Expect) -> Meeting {
    meet(server, client.client_config(expect, ALPN).unwrap()).await
}

/// Sends a word over the connection and waits for it at the other end.
async fn say(from: &Connection, to: &Connection) {
    let mut sending = from.open_uni().await.unwrap();
    sending.write_all(b"still here").await.unwrap();
    sending.finish().unwrap();
    let mut receiving = to.accept_uni().await.unwrap();
    assert_eq!(receiving.read_to_end(100).await.unwrap(), b"still here");
}

/// A server that presents this chain whatever it says.
fn bare_server(leaf: &[u8], cluster: &Cluster, key: &NodeKey) -> ServerConfig {
    let (chain, key) = bare(leaf, cluster, key);
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    config.alpn_protocols = vec![ALPN[0].to_vec()];
    let config = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    ServerConfig::with_crypto(Arc::new(config))
}

/// A client that presents this leaf and trusts `server`'s cluster by the ordinary rules of TLS.
fn bare_client(leaf: &[u8], server: &Cluster, key: &NodeKey) -> ClientConfig {
    let (chain, key) = bare(leaf, server, key);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.ca.root().der().to_vec().into()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key.into())
        .unwrap();
    config.alpn_protocols = vec![ALPN[0].to_vec()];
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    ClientConfig::new(Arc::new(config))
}

/// A client that presents this leaf, against a well-behaved server. Its name is the node id, which
/// the certificate carries as a DNS name for such ordinary clients.
async fn call_with_leaf(leaf: &[u8], key: &NodeKey, cluster: &Cluster) -> Meeting {
    let server = cluster.member(Role::Manager);
    let name = server.node_id().to_string();
    let config = server.server_config(ALPN).unwrap();
    meet_as(config, bare_client(leaf, cluster, key), &name).await
}

#[tokio::test]
async fn members_of_one_cluster_meet_and_know_each_other() {
    let cluster = Cluster::new();
    let (manager, worker) = (cluster.member(Role::Manager), cluster.member(Role::Worker));
    let meeting = call(&worker, &manager, Expect::manager_node(manager.node_id())).await;
    let (client, server) = meeting.up();

    let seen = peer_of(client).unwrap();
    assert_eq!((seen.id, seen.role), (manager.node_id(), Role::Manager));
    let seen = peer_of(server).unwrap();
    assert_eq!((seen.id, seen.role), (worker.node_id(), Role::Worker));
    assert_eq!(seen.cluster, cluster.id);
    assert_eq!(seen.not_after, worker.identity().certificate().not_after());
}

#[tokio::test]
async fn a_server_of_another_cluster_is_refused() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let (client, server) = (ours.member(Role::Worker), theirs.member(Role::Manager));
    call(&client, &server, Expect::member())
        .await
        .assert_refused(Refusal::Untrusted);
}

#[tokio::test]
async fn a_client_of_another_cluster_is_refused() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let key = NodeKey::generate().unwrap();
    let leaf = theirs.certificate(&key, Role::Manager);
    call_with_leaf(leaf.der(), &key, &ours)
        .await
        .assert_refused(Refusal::Untrusted);
}

#[tokio::test]
async fn a_certificate_of_our_ca_for_another_cluster_is_refused() {
    let ours = Cluster::new();
    let theirs = Cluster {
        ca: certs::CertificateAuthority::from_pem(&ours.ca.cert_pem(), &ours.ca.key_pem()).unwrap(),
        id: certs::ClusterId::from(7),
    };
    let (client, server) = (ours.member(Role::Worker), theirs.member(Role::Manager));
    call(&client, &server, Expect::member())
        .await
        .assert_refused(Refusal::Untrusted);
}

#[tokio::test]
async fn an_expired_server_is_refused() {
    let cluster = Cluster::new();
    let server = cluster.expired_member(Role::Manager);
    call(&cluster.member(Role::Worker), &server, Expect::member())
        .await
        .assert_refused(Refusal::OutsideValidity);
}

#[tokio::test]
async fn an_expired_client_is_refused_but_may_come_without_its_certificate() {
    let cluster = Cluster::new();
    let (expired, server) = (
        cluster.expired_member(Role::Worker),
        cluster.member(Role::Manager),
    );
    call(&expired, &server, Expect::member())
        .await
        .assert_refused(Refusal::OutsideValidity);

    let digest = expired.identity().root().digest();
    let meeting = meet(&server, pinned_client_config(digest, ALPN).unwrap()).await;
    assert_eq!(peer_of(meeting.up().1), None);
}

#[tokio::test]
async fn a_removed_client_is_refused_even_if_it_tries_to_resume_a_session() {
    let cluster = Cluster::new();
    let server = cluster.member(Role::Manager);
    let key = NodeKey::generate().unwrap();
    let leaf = cluster.certificate(&key, Role::Worker);
    // Unlike ours, an ordinary client keeps any session ticket that it gets.
    let config = bare_client(leaf.der(), &cluster, &key);
    let listening = server.server_config(ALPN).unwrap();
    let name = server.node_id().to_string();

    let before = meet_as(listening.clone(), config.clone(), &name).await;
    let (caller, listener) = before.up();
    // What the client reads comes after any ticket.
    say(listener, caller).await;
    server.set_revoked(BTreeSet::from([key.node_id()]));
    assert!(server.is_revoked(key.node_id()));
    meet_as(listening, config, &name)
        .await
        .assert_refused(Refusal::Revoked);
}

#[tokio::test]
async fn a_removed_server_is_refused() {
    let cluster = Cluster::new();
    let (client, removed) = (cluster.member(Role::Worker), cluster.member(Role::Manager));
    client.set_revoked(BTreeSet::from([removed.node_id()]));
    call(&client, &removed, Expect::member())
        .await
        .assert_refused(Refusal::Revoked);
}

#[tokio::test]
async fn another_node_than_the_expected_one_is_refused() {
    let cluster = Cluster::new();
    let (client, server) = (cluster.member(Role::Worker), cluster.member(Role::Manager));
    call(&client, &server, Expect::node(client.node_id()))
        .await
        .assert_refused(Refusal::WrongNode);
}

#[tokio::test]
async fn a_worker_is_refused_where_a_manager_is_expected() {
    let cluster = Cluster::new();
    let (client, server) = (cluster.member(Role::Worker), cluster.member(Role::Worker));
    call(&client, &server, Expect::manager())
        .await
        .assert_refused(Refusal::NotManager);
}

/// A certificate signed by the real CA that names `victim` but is for another key.
fn stolen_name(cluster: &Cluster, victim: &Credentials, key: &NodeKey) -> Vec<u8> {
    let name = victim.node_id().to_string();
    let mut params = CertificateParams::new([name.clone()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in [
        (DnType::OrganizationName, cluster.id.to_string()),
        (DnType::OrganizationalUnitName, "swarm-manager".to_owned()),
        (DnType::CommonName, name),
    ] {
        params.distinguished_name.push(kind, value);
    }
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    cluster.sign_anything(&params, key)
}

#[tokio::test]
async fn a_server_with_the_name_of_another_node_is_refused_whatever_the_ca_signed() {
    let cluster = Cluster::new();
    let (client, victim) = (cluster.member(Role::Worker), cluster.member(Role::Manager));
    let key = NodeKey::generate().unwrap();
    let leaf = stolen_name(&cluster, &victim, &key);
    let config = client.client_config(victim.node_id(), ALPN).unwrap();
    meet_as(bare_server(&leaf, &cluster, &key), config, SERVER_NAME)
        .await
        .assert_refused(Refusal::Invalid);
}

#[tokio::test]
async fn a_client_with_the_name_of_another_node_is_refused_whatever_the_ca_signed() {
    let cluster = Cluster::new();
    let victim = cluster.member(Role::Manager);
    let key = NodeKey::generate().unwrap();
    let leaf = stolen_name(&cluster, &victim, &key);
    call_with_leaf(&leaf, &key, &cluster)
        .await
        .assert_refused(Refusal::Invalid);
}

#[tokio::test]
async fn an_ordinary_tls_client_with_a_good_certificate_gets_in() {
    let cluster = Cluster::new();
    let key = NodeKey::generate().unwrap();
    let leaf = cluster.certificate(&key, Role::Worker);
    let meeting = call_with_leaf(leaf.der(), &key, &cluster).await;
    assert_eq!(peer_of(meeting.up().1).unwrap().id, key.node_id());
}

#[tokio::test]
async fn a_new_certificate_is_used_from_the_next_handshake_and_breaks_no_connection() {
    let cluster = Cluster::new();
    let (server, client) = (cluster.member(Role::Manager), cluster.member(Role::Worker));
    let (listening, calling) = (
        server.server_config(ALPN).unwrap(),
        client.client_config(None, ALPN).unwrap(),
    );
    let before = meet_as(listening.clone(), calling.clone(), SERVER_NAME).await;
    assert_eq!(peer_of(before.up().1).unwrap().role, Role::Worker);

    let promoted = cluster.certificate(client.identity().key(), Role::Manager);
    client.install(promoted.clone()).unwrap();
    let after = meet_as(listening, calling, SERVER_NAME).await;
    let seen = peer_of(after.up().1).unwrap();
    assert_eq!((seen.id, seen.role), (client.node_id(), Role::Manager));
    assert_eq!(client.identity().certificate(), &promoted);

    let (old_client, old_server) = before.up();
    say(old_client, old_server).await;
}

#[tokio::test]
async fn a_certificate_for_another_key_is_not_installed() {
    let cluster = Cluster::new();
    let client = cluster.member(Role::Worker);
    let other = cluster.certificate(&NodeKey::generate().unwrap(), Role::Worker);
    let before = client.identity();
    client.install(other).unwrap_err();
    let foreign = Cluster::new().certificate(before.key(), Role::Manager);
    client.install(foreign).unwrap_err();
    assert_eq!(client.identity().certificate(), before.certificate());
}

#[tokio::test]
async fn a_joining_node_trusts_the_ca_of_its_token_and_finds_its_root() {
    let cluster = Cluster::new();
    let token: JoinToken = JoinToken::generate(cluster.ca.root().digest())
        .unwrap()
        .to_string()
        .parse()
        .unwrap();
    let manager = cluster.member(Role::Manager);
    let config = pinned_client_config(token.ca_digest(), ALPN).unwrap();
    let meeting = meet(&manager, config).await;
    let (client, server) = meeting.up();
    assert_eq!(peer_of(client).unwrap().id, manager.node_id());
    assert_eq!(peer_of(server), None);
    assert_eq!(
        pinned_root_of(client, token.ca_digest()).as_ref(),
        Some(cluster.ca.root())
    );
    assert_eq!(pinned_root_of(client, [0; 32]), None);
}

#[tokio::test]
async fn a_joining_node_refuses_a_ca_that_its_token_does_not_name() {
    let manager = Cluster::new().member(Role::Manager);
    let digest = Cluster::new().ca.root().digest();
    meet(&manager, pinned_client_config(digest, ALPN).unwrap())
        .await
        .assert_refused(Refusal::Untrusted);
}

#[tokio::test]
async fn a_root_that_is_only_shown_is_not_trusted() {
    let (named, theirs) = (Cluster::new(), Cluster::new());
    let key = NodeKey::generate().unwrap();
    let leaf = theirs.certificate(&key, Role::Manager);
    let config = pinned_client_config(named.ca.root().digest(), ALPN).unwrap();
    meet_as(bare_server(leaf.der(), &named, &key), config, SERVER_NAME)
        .await
        .assert_refused(Refusal::Untrusted);
}

#[tokio::test]
async fn a_joining_node_does_not_take_a_worker_for_a_manager() {
    let cluster = Cluster::new();
    let config = pinned_client_config(cluster.ca.root().digest(), ALPN).unwrap();
    meet(&cluster.member(Role::Worker), config)
        .await
        .assert_refused(Refusal::NotManager);
}

#[tokio::test]
async fn a_protocol_that_the_server_does_not_speak_is_refused_for_that() {
    let cluster = Cluster::new();
    let (client, server) = (cluster.member(Role::Worker), cluster.member(Role::Manager));
    let config = client.client_config(None, &[b"other"]).unwrap();
    assert_eq!(meet(&server, config).await.refusals(), (None, None));
}
