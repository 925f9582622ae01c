//! All that a node knows when it decides how its containers reach others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use certs::NodeId;

use crate::directory::{Directory, NetworkId, Port, ServiceId, TaskId};

/// What managers, gossip and the engine have said, together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub me: NodeId,
    /// Where other hosts reach this one: clients on this host that ask for a
    /// published port on `localhost` are seen as these addresses.
    pub host: BTreeSet<IpAddr>,
    /// UDP, of this node itself: nothing is published there, whoever says so, or
    /// nobody could reach the node to take it back.
    pub own_ports: BTreeSet<u16>,
    pub directory: Arc<Directory>,
    /// Of all live nodes, this one's too.
    pub endpoints: BTreeSet<Endpoint>,
    /// The containers that the engine has connected on this node.
    pub locals: BTreeMap<IpAddr, Local>,
    /// Where the data ports of the other live nodes may answer, likeliest first.
    pub peers: BTreeMap<NodeId, Vec<SocketAddr>>,
}

/// Where a task answers on a network; its ticket has been verified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    pub network: NetworkId,
    pub service: ServiceId,
    pub task: TaskId,
    pub addr: IpAddr,
    pub node: NodeId,
    /// Takes new connections. One that does not is starting, unhealthy or
    /// draining; what it has goes on.
    pub ready: bool,
    /// Of a container of no service, on its network; its own name first.
    pub names: Vec<String>,
}

/// One address of a container on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    pub network: NetworkId,
    /// The host's end of its veth pair.
    pub veth: String,
    /// Of the container, as the engine calls its network namespace: what says
    /// which addresses belong to one container.
    pub sandbox: String,
    /// Published on this node alone, by `mode=host`.
    pub ports: BTreeSet<Port>,
}
