mod answers;
mod messages;
#[allow(clippy::disallowed_methods, reason = "it tests the shell")]
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use certs::NodeId;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};

use super::resolv::Upstream;
use super::zone::Zone;
use crate::directory::{
    Attachment, Directory, NO_SERVICE, Network, NetworkId, Service, ServiceId, TaskId,
};
use crate::table::Table;
use crate::view::{Endpoint, Local, View};

const FRONT: NetworkId = 1;
const BACK: NetworkId = 2;
const SECRET: NetworkId = 3;
/// Its name is the first of all.
const ANTE: NetworkId = 4;
const INGRESS: NetworkId = 9;

/// On `front` and `back`.
const BOTH: &str = "127.10.1.50";
/// On `front` alone.
const PLAIN: &str = "127.10.1.51";
/// On `front`, with name servers of its own.
const PICKY: &str = "127.10.1.52";
/// On `secret` alone, which is internal.
const ISOLATED: &str = "127.10.3.50";
/// On none but the ingress network.
const PUBLIC: &str = "127.10.0.50";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().copied().map(ip).collect()
}

fn network(name: &str, subnets: &[&str]) -> Network {
    Network {
        name: name.to_owned(),
        subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
        internal: false,
        ingress: false,
    }
}

fn service(name: &str, on: &[(NetworkId, &[&str], &[&str])]) -> Service {
    let attachment = |vips: &[&str], aliases: &[&str]| Attachment {
        vips: ips(vips),
        aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
    };
    Service {
        name: name.to_owned(),
        networks: on
            .iter()
            .map(|(network, vips, aliases)| (*network, attachment(vips, aliases)))
            .collect(),
        ..Service::default()
    }
}

fn endpoint(
    network: NetworkId,
    service: ServiceId,
    task: TaskId,
    addr: &str,
    ready: bool,
) -> Endpoint {
    Endpoint {
        network,
        service,
        task,
        addr: ip(addr),
        node: NodeId::from(7),
        ready,
        names: Vec::new(),
    }
}

fn container(network: NetworkId, id: TaskId, addr: &str, names: &[&str]) -> Endpoint {
    Endpoint {
        names: names.iter().map(ToString::to_string).collect(),
        ..endpoint(network, NO_SERVICE, id, addr, true)
    }
}

fn local(network: NetworkId, sandbox: &str) -> Local {
    Local {
        network,
        veth: format!("swv{sandbox}{network}"),
        sandbox: sandbox.to_owned(),
        ports: BTreeSet::new(),
    }
}

/// What all tests ask about.
fn view() -> View {
    let networks = BTreeMap::from([
        (FRONT, network("Front", &["127.10.1.0/24", "fd00:1::/64"])),
        (BACK, network("back", &["127.10.2.0/24"])),
        (
            SECRET,
            Network {
                internal: true,
                ..network("secret", &["127.10.3.0/24"])
            },
        ),
        (
            INGRESS,
            Network {
                ingress: true,
                ..network("ingress", &["127.10.0.0/24"])
            },
        ),
    ]);
    let services = BTreeMap::from([
        (
            10,
            service(
                "Web",
                &[
                    (FRONT, &["127.10.1.2", "fd00:1::2"], &["www", "shared"]),
                    (INGRESS, &["127.10.0.2"], &[]),
                ],
            ),
        ),
        (11, service("db", &[(BACK, &[], &["data.base"])])),
        (
            12,
            service(
                "shop_cache",
                &[(FRONT, &["127.10.1.3"], &["cache", "shared"])],
            ),
        ),
        (13, service("vault", &[(SECRET, &["127.10.3.2"], &[])])),
        (
            14,
            service(
                "log",
                &[(FRONT, &["127.10.1.4"], &[]), (BACK, &["127.10.2.4"], &[])],
            ),
        ),
    ]);
    View {
        me: NodeId::from(1),
        host: BTreeSet::new(),
        own_ports: BTreeSet::new(),
        directory: Arc::new(Directory { networks, services }),
        endpoints: BTreeSet::from([
            endpoint(FRONT, 10, 101, "127.10.1.11", true),
            endpoint(FRONT, 10, 101, "fd00:1::11", true),
            endpoint(FRONT, 10, 102, "127.10.1.12", true),
            endpoint(FRONT, 10, 103, "127.10.1.13", false),
            endpoint(BACK, 11, 111, "127.10.2.21", true),
            endpoint(BACK, 11, 112, "127.10.2.22", true),
            endpoint(SECRET, 13, 131, "127.10.3.31", true),
            container(
                FRONT,
                201,
                "127.10.1.60",
                &["Probe", "debug", "web", "tasks.www"],
            ),
            container(
                FRONT,
                201,
                "fd00:1::60",
                &["Probe", "debug", "web", "tasks.www"],
            ),
            container(FRONT, 202, "127.10.1.61", &["other", "debug"]),
        ]),
        locals: BTreeMap::from([
            (ip(BOTH), local(FRONT, "a")),
            (ip("127.10.2.50"), local(BACK, "a")),
            (ip(PLAIN), local(FRONT, "b")),
            (ip(PICKY), local(FRONT, "c")),
            (ip(ISOLATED), local(SECRET, "d")),
            (ip(PUBLIC), local(INGRESS, "e")),
        ]),
        peers: BTreeMap::new(),
    }
}

fn zone_of(view: &View, servers: Vec<SocketAddr>) -> Zone {
    let upstreams = BTreeMap::from([(ip(PICKY), Upstream::Servers(servers))]);
    Zone::of(Arc::new(Table::derive(view)), view, &upstreams)
}

/// `db` with as many tasks, at most 200, all ready.
fn crowd(tasks: u8) -> Zone {
    let mut view = view();
    let addr = |number| format!("127.10.2.{}", 51 + number);
    view.endpoints = (0..tasks)
        .map(|n| endpoint(BACK, 11, u128::from(n), &addr(n), true))
        .collect();
    zone_of(&view, Vec::new())
}

fn zone() -> Zone {
    zone_of(&view(), vec!["192.0.2.53:53".parse().unwrap()])
}

fn question(name: &str, wanted: RecordType) -> Query {
    let name = Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).unwrap();
    Query::query(name, wanted)
}

fn message(id: u16, name: &str, wanted: RecordType) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(question(name, wanted));
    message
}
