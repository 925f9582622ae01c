//! Addresses for containers that users attach, from managers over the network.

use std::collections::BTreeSet;

use gossip::endpoints::Grant;
use overlay::plugin::AttachmentId;
use overlay::plugin::attach::{Attach, Wanted};

use super::*;
use crate::attach::Client;

impl Node {
    /// What this node's network driver asks. It ends with the test.
    fn attacher(&self) -> Arc<Client> {
        let membership = self.membership();
        let client = Arc::new(Client::new(
            membership.me,
            Arc::clone(&membership.control),
            membership.gossip.clone(),
            membership.news.subscribe(),
        ));
        tokio::spawn(Arc::clone(&client).run());
        client
    }

    fn network(&self, name: &str) -> u128 {
        self.state(|state| state.find_network(name).unwrap().id.as_u128())
    }

    /// What managers hold for it.
    fn held(&self, by: Id) -> BTreeSet<AttachmentId> {
        self.state(|state| {
            let held = state.attachments_of_node(by);
            held.map(|it| it.id.as_u128()).collect()
        })
    }
}

fn wanted(id: AttachmentId, network: u128, addrs: &[&str]) -> Wanted {
    Wanted {
        id,
        network,
        addrs: addrs.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_container_gets_an_address_with_a_ticket_and_gives_it_back() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let worker = Node::joined(&founder, Role::Worker).await;
    founder.create_attachable("front").await;
    let (network, me) = (founder.network("front"), worker.membership().me);
    let client = worker.attacher();
    client.hold([1, 2].into());
    let first = client.attach(wanted(1, network, &[])).await.unwrap();
    let again = client.attach(wanted(1, network, &[])).await.unwrap();
    assert_eq!(first.addrs, again.addrs);
    let second = client.attach(wanted(2, network, &[])).await.unwrap();
    assert_ne!(first.addrs, second.addrs);
    assert_eq!(founder.held(worker.id()), [1, 2].into());

    let addrs: Vec<_> = first.addrs.iter().map(|addr| addr.addr()).collect();
    let grant = |node| Grant {
        task: 1,
        service: 0,
        network,
        addrs: &addrs,
        node,
    };
    let credentials = &worker.membership().credentials;
    let root = credentials.identity().root().clone();
    let verifies = |node| root.verifies(&grant(node).signed_bytes(), &first.ticket);
    assert!(verifies(me));
    assert!(
        !verifies(founder.membership().me),
        "it is for this node alone"
    );

    // Another daemon's, and one of which the answer was lost.
    client.hold([2].into());
    until("the first is free", || {
        founder.held(worker.id()) == [2].into()
    })
    .await;
    let text = first.addrs[0].addr().to_string();
    client.hold([2, 3].into());
    let third = client.attach(wanted(3, network, &[&text])).await.unwrap();
    assert_eq!(third.addrs, first.addrs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_serves_itself_and_refusals_say_why() {
    let founder = Node::founder(ClusterSpec::default()).await;
    founder.create_attachable("front").await;
    let client = founder.attacher();
    client.hold([1].into());
    let network = founder.network("front");
    client.attach(wanted(1, network, &[])).await.unwrap();
    let refused = client.attach(wanted(2, 77, &[])).await.unwrap_err();
    assert!(refused.ends_with("not found"), "{refused}");
    let ingress = founder.network("ingress");
    let refused = client.attach(wanted(2, ingress, &[])).await.unwrap_err();
    assert_eq!(refused, "network ingress not manually attachable");
    let refused = client.attach(wanted(2, network, &["203.0.113.1"])).await;
    assert_eq!(
        refused.unwrap_err(),
        "address 203.0.113.1 is in no subnet of network front"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_outlives_the_manager_that_signed_it() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let second = Node::joined(&founder, Role::Manager).await;
    until("there are two managers", || founder.voters() == 2).await;
    founder.create_attachable("front").await;
    let network = founder.network("front");
    let client = second.attacher();
    client.hold([1].into());
    // It asks itself first.
    let given = client.attach(wanted(1, network, &[])).await.unwrap();
    founder.set_role(second.id(), Role::Worker).await;
    until("it manages no more", || {
        second.membership().manager().is_none()
    })
    .await;
    let addrs: Vec<_> = given.addrs.iter().map(|addr| addr.addr()).collect();
    let grant = Grant {
        task: 1,
        service: 0,
        network,
        addrs: &addrs,
        node: second.membership().me,
    };
    let credentials = &founder.membership().credentials;
    let root = credentials.identity().root().clone();
    assert!(root.verifies(&grant.signed_bytes(), &given.ticket));
    assert_eq!(
        founder.held(second.id()),
        [1].into(),
        "nor is it taken back"
    );
    let again = client.attach(wanted(1, network, &[])).await.unwrap();
    assert_eq!(again.addrs, given.addrs, "another manager knows it");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_manager_a_user_hears_so() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let worker = Node::joined(&founder, Role::Worker).await;
    founder.create_attachable("front").await;
    let network = founder.network("front");
    let client = worker.attacher();
    founder.membership().stop().await;
    let refused = client.attach(wanted(1, network, &[])).await.unwrap_err();
    assert!(
        refused.starts_with("no manager of the swarm answers"),
        "{refused}"
    );
}
