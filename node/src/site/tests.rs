//! The proof, over real connections.

use std::net::SocketAddr;
use std::sync::Arc;

use certs::{ChannelBinding, NodeKey, Side, SiteSecret};
use quinn::Connection;
use services::spec::{Availability, Labels};

use super::Options;
use super::form::Forming;
use super::port::Port;
use super::proof::{Link, SiteAnswer, SiteRequest};
use super::view::{Says, View};
use crate::control::{ALPN_JOIN, frame};
use crate::join::{self, Answer, Request};

fn secret(byte: u8) -> SiteSecret {
    SiteSecret::from_bytes([byte; 32])
}

/// A device that waits, and where it answers.
async fn waiting(byte: u8) -> (Arc<Forming>, Port, SocketAddr) {
    let options = Options {
        secret: secret(byte),
        managers: 3,
        labels: Labels::new(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        advertise: None,
        availability: Availability::Active,
    };
    let listen = options.listen;
    let forming = Forming::new(options, listen).unwrap();
    let port = Port::open(listen, Arc::clone(&forming)).await.unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], port.number().unwrap()));
    (forming, port, addr)
}

fn exchange(key: &NodeKey) -> SiteRequest {
    SiteRequest::Exchange {
        port: 9,
        view: View {
            id: key.node_id(),
            sequence: 1,
            says: Says::Founding,
            knows: Vec::new(),
        },
    }
}

async fn stranger(addr: SocketAddr) -> Connection {
    let client = certs::stranger_client_config(&[ALPN_JOIN]).unwrap();
    join::connect(client, addr).await.unwrap()
}

/// What is answered to a proof, and to a request that follows all the same.
async fn prove(connection: &Connection, proof: [u8; 32]) -> (Answer, Option<SiteAnswer>) {
    let (mut out, mut back) = connection.open_bi().await.unwrap();
    frame::send(&mut out, &Request::Site { proof })
        .await
        .unwrap();
    let key = NodeKey::generate().unwrap();
    frame::send(&mut out, &exchange(&key)).await.unwrap();
    let answer = frame::recv(&mut back).await.unwrap().unwrap();
    (answer, frame::recv(&mut back).await.unwrap_or_default())
}

#[tokio::test]
async fn who_knows_the_key_is_answered() {
    let (forming, _port, addr) = waiting(1).await;
    let mut link = Link::open(&secret(1), addr).await.unwrap();
    let key = NodeKey::generate().unwrap();
    for _ in 0..2 {
        match link.ask(&exchange(&key)).await.unwrap() {
            SiteAnswer::View(view) => assert_eq!(view.id, forming.key().node_id()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn who_does_not_know_the_key_learns_nothing_and_says_nothing() {
    let (forming, _port, addr) = waiting(1).await;
    let before = forming.view().sequence;
    let Err(error) = Link::open(&secret(2), addr).await else {
        panic!("let in");
    };
    assert_eq!(error.to_string(), "the site key is another one");
    let (answer, after) = prove(&stranger(addr).await, [0; 32]).await;
    assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    assert!(after.is_none(), "{after:?}");
    let view = forming.view();
    assert_eq!(view.sequence, before + 1, "nobody was shown what it says");
    assert!(view.knows.is_empty(), "nobody was believed");
}

#[tokio::test]
async fn a_proof_for_one_connection_is_refused_on_another() {
    let (_forming, _port, addr) = waiting(1).await;
    let first = stranger(addr).await;
    let channel = ChannelBinding::of(&first).unwrap();
    let proof = secret(1).prove(Side::Client, &channel);
    let (answer, _) = prove(&first, proof).await;
    assert!(matches!(answer, Answer::Site { .. }), "{answer:?}");
    let (answer, after) = prove(&stranger(addr).await, proof).await;
    assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    assert!(after.is_none());
}

#[tokio::test]
async fn somebody_in_the_middle_is_refused_by_both() {
    let (_forming, _port, addr) = waiting(1).await;
    // A device that passes proofs on to the real one and back.
    let key = NodeKey::generate().unwrap();
    let server = certs::stranger_server_config(&key, &[ALPN_JOIN]).unwrap();
    let middle = quinn::Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();
    let middle_addr = middle.local_addr().unwrap();
    let relayed = tokio::spawn(async move {
        let victim = middle.accept().await.unwrap().await.unwrap();
        let (mut out, mut from) = victim.accept_bi().await.unwrap();
        let Some(Request::Site { proof }) = frame::recv(&mut from).await.unwrap() else {
            panic!("no proof");
        };
        let (answer, _) = prove(&stranger(addr).await, proof).await;
        let refused = matches!(answer, Answer::Refused { .. });
        // It cannot answer the victim with a proof of its own either.
        let channel = ChannelBinding::of(&victim).unwrap();
        let proof = secret(2).prove(Side::Server, &channel);
        frame::send(&mut out, &Answer::Site { proof })
            .await
            .unwrap();
        victim.closed().await;
        refused
    });
    let victim = Link::open(&secret(1), middle_addr).await;
    assert!(victim.is_err(), "the victim goes on with whoever answered");
    drop(victim);
    assert!(relayed.await.unwrap(), "the device took a passed-on proof");
}

#[tokio::test]
async fn a_device_that_waits_lets_nobody_in() {
    let (_forming, _port, addr) = waiting(1).await;
    let about = join::about(addr).await.unwrap();
    assert_eq!(about.cluster, None);
    let mut link = Link::open(&secret(1), addr).await.unwrap();
    let request = SiteRequest::Admit {
        csr: NodeKey::generate().unwrap().csr().unwrap(),
        addr,
        availability: Availability::Active,
        labels: Labels::new(),
    };
    let answer = link.ask(&request).await.unwrap();
    assert!(matches!(answer, SiteAnswer::Refused { .. }), "{answer:?}");
}
