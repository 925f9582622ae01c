//! What nodes know of networks, and the tickets that they get.

use services::directory::Directory;
use services::spec::NetworkSpec;

use super::*;

impl Node {
    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.membership().directory.borrow())
    }

    pub(super) async fn create_attachable(&self, name: &str) {
        let spec = NetworkSpec {
            name: name.into(),
            attachable: true,
            ..NetworkSpec::default()
        };
        // The leader makes one by itself, and might take the same subnet.
        until("there is an ingress network", || {
            self.state(|state| state.ingress_network().is_some())
        })
        .await;
        let subnets = self.state(|state| state.choose_subnets(&spec, &[]).unwrap());
        let id = crate::clock::random_id();
        let spec = Arc::new(spec);
        let create = Command::CreateNetwork { id, spec, subnets };
        self.manager().propose(create).await.unwrap();
    }

    fn knows(&self, name: &str) -> bool {
        let directory = self.directory();
        directory.networks.values().any(|it| it.name == name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_follows_changes_and_outlives_a_restart_without_a_manager() {
    let founder = Node::founder(ClusterSpec::default()).await;
    let mut worker = Node::joined(&founder, Role::Worker).await;
    founder.create_attachable("front").await;
    until("it knows the network", || worker.knows("front")).await;
    founder.create_attachable("back").await;
    until("it knows the second one", || worker.knows("back")).await;
    let known = worker.directory();
    assert_eq!(known.data_port, 4789);
    founder.membership().stop().await;
    worker.restart().await;
    assert_eq!(worker.directory(), known);
}
