//! The overlay of this node, examined while it runs: nothing here changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use certs::NodeId;
use futures::FutureExt;
use futures::future::BoxFuture;
use overlay::host::Host;
use overlay::names::Names;
use overlay::table::Table;
use overlay::tunnel::Tunnel;
use services::Id;

use super::Network;
use crate::control::lock;
use crate::doctor::{self, Diagnose, Diagnosis};

/// What runs, and what it was told, as the keeper says after every look.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub table: Option<Arc<Table>>,
    pub tunnel: Option<Arc<Tunnel>>,
    /// Of each part that does not do what it should.
    pub whys: Vec<String>,
}

impl Diagnose for Network {
    fn diagnose(&self) -> BoxFuture<'_, Diagnosis> {
        async {
            let Seen {
                table,
                tunnel,
                whys,
            } = lock(&self.shared.seen).clone();
            let kernel = async {
                match &table {
                    Some(table) => kernel(&self.config.names, table).await,
                    None => vec!["what managers say of networks has not arrived yet".to_owned()],
                }
            };
            let probed = async {
                match &tunnel {
                    Some(tunnel) => tunnel.probe().await,
                    None => None,
                }
            };
            let (findings, tunnel) = tokio::join!(kernel, probed);
            Diagnosis {
                fault: lock(&self.shared.faults).all.clone(),
                findings: whys.into_iter().chain(findings).collect(),
                networks: table.as_deref().map(networks).unwrap_or_default(),
                mtu: self.config.mtu,
                tunnel: tunnel.unwrap_or_default(),
            }
        }
        .boxed()
    }
}

async fn kernel(names: &Names, table: &Table) -> Vec<String> {
    let examined = match Host::open(names.clone()) {
        Ok(host) => host.diagnose(table).await,
        Err(error) => Err(error),
    };
    match examined {
        Ok(findings) => findings.iter().map(ToString::to_string).collect(),
        Err(error) => vec![format!("cannot examine the kernel: {error}")],
    }
}

/// Those that a container of this node is on, and who else is.
fn networks(table: &Table) -> Vec<doctor::Shared> {
    let here: BTreeSet<_> = table.locals.values().map(|local| local.network).collect();
    let mut others: BTreeMap<u128, BTreeSet<NodeId>> = BTreeMap::new();
    for remote in table.remotes.values() {
        if here.contains(&remote.network) {
            others
                .entry(remote.network)
                .or_default()
                .insert(remote.node);
        }
    }
    let shared = |id| {
        Some(doctor::Shared {
            id: Id::from_u128(id),
            name: table.networks.get(&id)?.name.clone(),
            nodes: others.remove(&id).unwrap_or_default(),
        })
    };
    here.into_iter().filter_map(shared).collect()
}

#[cfg(test)]
mod tests {
    use overlay::directory::{self, Directory};
    use overlay::view::{Endpoint, Local, View};

    use super::*;

    fn network(number: u8) -> directory::Network {
        directory::Network {
            name: format!("net{number}"),
            subnets: vec![format!("10.0.{number}.0/24").parse().unwrap()],
            internal: false,
            ingress: false,
        }
    }

    #[test]
    fn the_networks_of_a_node_are_those_of_its_containers() {
        let (me, other) = (NodeId::from(1), NodeId::from(2));
        let addr = |network, host| [10, 0, network, host].into();
        let endpoint = |network: u8, host: u8, node| Endpoint {
            network: network.into(),
            service: 1,
            task: host.into(),
            addr: addr(network, host),
            node,
            ready: false,
            names: Vec::new(),
        };
        let local = Local {
            network: 5,
            veth: "swv0".into(),
            sandbox: "a".into(),
            ports: BTreeSet::new(),
        };
        let view = View {
            me,
            host: BTreeSet::new(),
            own_ports: BTreeSet::new(),
            directory: Arc::new(Directory {
                networks: [(5, network(5)), (6, network(6))].into(),
                services: BTreeMap::new(),
            }),
            endpoints: [
                endpoint(5, 2, me),
                endpoint(5, 3, other),
                endpoint(6, 4, other),
            ]
            .into(),
            locals: [(addr(5, 2), local)].into(),
            peers: BTreeMap::new(),
        };
        let found = networks(&Table::derive(&view));
        let wanted = doctor::Shared {
            id: Id::from_u128(5),
            name: "net5".into(),
            nodes: BTreeSet::from([other]),
        };
        assert_eq!(found, [wanted]);
    }
}
