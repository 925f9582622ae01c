//! Whoever is not a current member reaches nothing: TLS turns it away.

use std::time::Duration;

use crate::common::{Cluster, Device, HOUR, Port};
use gossip::ALPN;

/// What two members believe, and which connections they keep, is the same
/// whatever `happens`.
async fn assert_unmoved<F: Future<Output = ()>>(happens: impl FnOnce(&Cluster, &Device) -> F) {
    let cluster = Cluster::new();
    let one = Device::start(&cluster, &[]);
    let other = Device::start(&cluster, &[&one]);
    one.until_all_live(2).await;
    other.until_all_live(2).await;
    let before = ids(&one);
    happens(&cluster, &one).await;
    assert_eq!(ids(&one), before);
    one.until_all_live(2).await;
    other.until_all_live(2).await;
}

fn ids(device: &Device) -> Vec<certs::NodeId> {
    device
        .gossip
        .members()
        .iter()
        .map(|member| member.id)
        .collect()
}

/// With TLS 1.3 a client may think for a moment that it is in.
async fn assert_refused(port: &Port, device: &Device) {
    let called = port.connect(device.id, device.port.addr()).await;
    if let Ok(connection) = called {
        let ended = tokio::time::timeout(Duration::from_secs(5), connection.closed()).await;
        ended.expect("the connection was ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_cluster_is_refused() {
    assert_unmoved(|_, device| {
        let (port, addr, id) = (
            Port::open(&Cluster::new().credentials(Duration::ZERO)),
            device.port.addr(),
            device.id,
        );
        async move { assert!(port.connect(id, addr).await.is_err()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_or_removed_member_is_refused() {
    let cluster = Cluster::new();
    let device = Device::start(&cluster, &[]);
    let expired = Port::open(&cluster.credentials(2 * HOUR));
    assert_refused(&expired, &device).await;
    let removed = Port::open(&cluster.credentials(Duration::ZERO));
    let revoked = removed.credentials.node_id();
    device.port.credentials.set_revoked([revoked].into());
    assert_refused(&removed, &device).await;
    assert_eq!(ids(&device), [device.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_strangers_at_once_change_nothing() {
    assert_unmoved(|cluster, device| {
        let root = cluster
            .credentials(Duration::ZERO)
            .identity()
            .root()
            .digest();
        let addr = device.port.addr();
        async move {
            let strangers = (0..200).map(|n| async move {
                // Half of them with certificates of a swarm of their own.
                let mut endpoint =
                    quinn::Endpoint::client((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
                let client = if n % 2 == 0 {
                    certs::pinned_client_config(root, &[ALPN]).unwrap()
                } else {
                    let foreign = Cluster::new().credentials(Duration::ZERO);
                    foreign.client_config(None, &[ALPN]).unwrap()
                };
                endpoint.set_default_client_config(client);
                let connecting = endpoint.connect(addr, certs::SERVER_NAME).unwrap();
                if let Ok(connection) = connecting.await {
                    connection.closed().await;
                }
            });
            let all = futures::future::join_all(strangers);
            tokio::time::timeout(Duration::from_secs(30), all)
                .await
                .unwrap();
        }
    })
    .await;
}
