//! What the engine asks of a network driver and how it is answered:
//! libnetwork's remote driver protocol, JSON over HTTP.
//!
//! The engine posts to `/NetworkDriver.Join` and the like. Its keys are Go's, in
//! their exact case; fields that are absent, null or unknown are no error, for
//! engines of all ages ask. Whatever is refused is answered with 200 and
//! `{"Err": "…"}`, or `Error` for an address, and the engine shows the text to
//! whoever asked it.
//!
//! Source: libnetwork `docs/remote.md` and `drivers/remote/api`, Docker 20.10.

use std::net::IpAddr;

use certs::NodeId;
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::Refusal;
use super::ipam::{ReleaseAddress, RequestAddress, RequestPool};
use crate::directory::{NetworkId, Port, Protocol};

/// The option of the engine's network that says which of the swarm's it is.
pub const NETWORK_OPTION: &str = "swarmlet.network";
/// The same, how large its containers' packets are. Docker's own drivers know it.
pub const MTU_OPTION: &str = "com.docker.network.driver.mtu";
/// Where the engine keeps the options that users gave.
const GENERIC: &str = "com.docker.network.generic";
/// Where the engine keeps what `--publish` said.
const PORT_MAP: &str = "com.docker.network.portmap";

/// One question of the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    Activate,
    Capabilities,
    CreateNetwork(CreateNetwork),
    DeleteNetwork(NetworkRef),
    CreateEndpoint(CreateEndpoint),
    DeleteEndpoint(EndpointRef),
    EndpointInfo,
    Join(Join),
    Leave(EndpointRef),
    Publish(Publish),
    Unpublish(EndpointRef),
    /// Other engines came or went; it concerns us not.
    Discovery,
    AddressCapabilities,
    AddressSpaces,
    RequestPool(RequestPool),
    /// Nothing is kept of pools.
    ReleasePool,
    RequestAddress(RequestAddress),
    ReleaseAddress(ReleaseAddress),
}

impl Call {
    /// Reads the question that came to `path`. `None`: the driver does not know
    /// such a question, which the engine takes well when it is answered with 404.
    ///
    /// # Errors
    /// The body is not what the question takes.
    pub fn parse(path: &str, body: &[u8]) -> Option<Result<Self, Refusal>> {
        Some(match path {
            "/Plugin.Activate" => Ok(Self::Activate),
            "/NetworkDriver.GetCapabilities" => Ok(Self::Capabilities),
            "/NetworkDriver.CreateNetwork" => read(body).map(Self::CreateNetwork),
            "/NetworkDriver.DeleteNetwork" => read(body).map(Self::DeleteNetwork),
            "/NetworkDriver.CreateEndpoint" => read(body).map(Self::CreateEndpoint),
            "/NetworkDriver.DeleteEndpoint" => read(body).map(Self::DeleteEndpoint),
            "/NetworkDriver.EndpointOperInfo" => Ok(Self::EndpointInfo),
            "/NetworkDriver.Join" => read(body).map(Self::Join),
            "/NetworkDriver.Leave" => read(body).map(Self::Leave),
            "/NetworkDriver.ProgramExternalConnectivity" => read(body).map(Self::Publish),
            "/NetworkDriver.RevokeExternalConnectivity" => read(body).map(Self::Unpublish),
            "/NetworkDriver.DiscoverNew" | "/NetworkDriver.DiscoverDelete" => Ok(Self::Discovery),
            "/IpamDriver.GetCapabilities" => Ok(Self::AddressCapabilities),
            "/IpamDriver.GetDefaultAddressSpaces" => Ok(Self::AddressSpaces),
            "/IpamDriver.RequestPool" => read(body).map(Self::RequestPool),
            "/IpamDriver.ReleasePool" => Ok(Self::ReleasePool),
            "/IpamDriver.RequestAddress" => read(body).map(Self::RequestAddress),
            "/IpamDriver.ReleaseAddress" => read(body).map(Self::ReleaseAddress),
            _ => return None,
        })
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))
}

/// Go writes `null` for lists and maps that are empty.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CreateNetwork {
    #[serde(rename = "NetworkID")]
    pub network: String,
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    options: serde_json::Map<String, Value>,
    #[serde(rename = "IPv4Data", default, deserialize_with = "or_default")]
    v4: Vec<IpamData>,
    #[serde(rename = "IPv6Data", default, deserialize_with = "or_default")]
    v6: Vec<IpamData>,
}

/// A subnet as the engine's address management gave it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct IpamData {
    #[serde(rename = "Pool")]
    pool: IpNet,
    /// With the prefix of the pool.
    #[serde(rename = "Gateway", default)]
    gateway: Option<IpNet>,
}

impl CreateNetwork {
    /// Which network of the swarm it is to be.
    ///
    /// # Errors
    /// Nobody said, or not in the digits of an id.
    pub fn swarm_network(&self) -> Result<NetworkId, Refusal> {
        let text = self.option(NETWORK_OPTION).ok_or(Refusal::NotOfASwarm)?;
        parse_id(text).ok_or_else(|| Refusal::BadId(text.chars().take(64).collect()))
    }

    /// In bytes; `None`: nobody said.
    ///
    /// # Errors
    /// It is no number of bytes.
    pub fn mtu(&self) -> Result<Option<u16>, Refusal> {
        let mtu = self.option(MTU_OPTION).map(str::parse).transpose();
        mtu.map_err(|error| Refusal::Malformed(format!("option {MTU_OPTION}: {error}")))
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.get(GENERIC)?.get(name)?.as_str()
    }

    /// Its subnets with their gateways.
    ///
    /// # Errors
    /// One has no gateway, which its containers need as their next hop.
    pub fn subnets(&self) -> Result<Vec<(IpNet, IpAddr)>, Refusal> {
        let all = self.v4.iter().chain(&self.v6);
        all.map(|data| {
            let gateway = data.gateway.ok_or(Refusal::NoGateway(data.pool))?;
            Ok((data.pool.trunc(), gateway.addr()))
        })
        .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NetworkRef {
    #[serde(rename = "NetworkID")]
    pub network: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EndpointRef {
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CreateEndpoint {
    #[serde(rename = "NetworkID")]
    pub network: String,
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
    #[serde(rename = "Interface", default, deserialize_with = "or_default")]
    interface: Interface,
}

/// Empty strings where the engine has none.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
struct Interface {
    #[serde(rename = "Address", deserialize_with = "or_default")]
    v4: String,
    #[serde(rename = "AddressIPv6", deserialize_with = "or_default")]
    v6: String,
    #[serde(rename = "MacAddress", deserialize_with = "or_default")]
    mac: String,
}

impl CreateEndpoint {
    /// The addresses that the engine gives the container on this network.
    ///
    /// # Errors
    /// One is no address, or there is none at all.
    pub fn addresses(&self) -> Result<Vec<IpAddr>, Refusal> {
        let given = [&self.interface.v4, &self.interface.v6];
        let given: Vec<_> = given.into_iter().filter(|text| !text.is_empty()).collect();
        if given.is_empty() {
            return Err(Refusal::NoAddress);
        }
        let address = |text: &String| text.parse::<IpNet>().map(|net| net.addr());
        given
            .into_iter()
            .map(|text| address(text).map_err(|_| Refusal::Malformed(format!("address {text:?}"))))
            .collect()
    }

    /// Has somebody chosen the hardware address?
    pub fn has_mac(&self) -> bool {
        !self.interface.mac.is_empty()
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Join {
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
    /// The file of the container's network namespace: the same for all of its
    /// endpoints.
    #[serde(rename = "SandboxKey")]
    pub sandbox: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Publish {
    #[serde(rename = "EndpointID")]
    pub endpoint: String,
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    options: serde_json::Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct PortBinding {
    #[serde(rename = "Proto")]
    protocol: u8,
    #[serde(rename = "Port")]
    target: u16,
    #[serde(rename = "HostIP")]
    host_ip: String,
    #[serde(rename = "HostPort")]
    published: u16,
    /// Of a range; zero: there is none.
    #[serde(rename = "HostPortEnd")]
    last: u16,
}

impl Default for PortBinding {
    fn default() -> Self {
        Self {
            protocol: 6,
            target: 0,
            host_ip: String::new(),
            published: 0,
            last: 0,
        }
    }
}

/// A port of this host that is to lead to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRange {
    /// With the first number that it may have.
    pub port: Port,
    /// The last; zero for both is any that is free.
    pub last: u16,
}

impl Publish {
    /// The ports of this host that are to lead to the container.
    ///
    /// # Errors
    /// A binding that cannot be read.
    pub fn ports(&self) -> Result<Vec<PortRange>, Refusal> {
        let bindings = self.options.get(PORT_MAP).filter(|value| !value.is_null());
        let Some(bindings) = bindings else {
            return Ok(Vec::new());
        };
        let bindings = Vec::<PortBinding>::deserialize(bindings)
            .map_err(|error| Refusal::Malformed(error.to_string()))?;
        bindings.iter().map(PortBinding::wanted).collect()
    }
}

impl PortBinding {
    fn wanted(&self) -> Result<PortRange, Refusal> {
        let malformed = || Refusal::Malformed(format!("port binding {self:?}"));
        let port = Port {
            protocol: match self.protocol {
                6 => Protocol::Tcp,
                17 => Protocol::Udp,
                132 => Protocol::Sctp,
                _ => return Err(malformed()),
            },
            published: self.published,
            target: self.target,
            host_ip: match self.host_ip.as_str() {
                "" => None,
                text => {
                    let ip: IpAddr = text.parse().map_err(|_| malformed())?;
                    (!ip.is_unspecified()).then_some(ip)
                }
            },
        };
        let last = self.last.max(port.published);
        Ok(PortRange { port, last })
    }
}

/// What the container's namespace shall get.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JoinAnswer {
    #[serde(rename = "InterfaceName")]
    pub interface: InterfaceName,
    #[serde(rename = "Gateway", skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    #[serde(rename = "GatewayIPv6", skip_serializing_if = "Option::is_none")]
    pub gateway6: Option<IpAddr>,
    #[serde(rename = "StaticRoutes")]
    pub routes: Vec<StaticRoute>,
}

/// The engine moves `source` in and calls it `prefix` and a number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InterfaceName {
    #[serde(rename = "SrcName")]
    pub source: String,
    #[serde(rename = "DstPrefix")]
    pub prefix: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StaticRoute {
    #[serde(rename = "Destination")]
    pub destination: IpNet,
    #[serde(rename = "RouteType")]
    pub kind: RouteKind,
    #[serde(rename = "NextHop", skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    NextHop,
    OnLink,
}

impl Serialize for RouteKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(match self {
            Self::NextHop => 0,
            Self::OnLink => 1,
        })
    }
}

pub fn activated() -> Value {
    json!({"Implements": ["NetworkDriver", "IpamDriver"]})
}

/// Networks are the engine's own: it shares them with no other engine.
pub fn capabilities() -> Value {
    json!({"Scope": "local", "ConnectivityScope": "local"})
}

pub fn done() -> Value {
    json!({})
}

pub fn endpoint_info() -> Value {
    json!({"Value": {}})
}

/// Only what the engine left open may be in the answer.
pub fn endpoint_created(mac: Option<[u8; 6]>) -> Value {
    match mac {
        None => json!({}),
        Some(mac) => {
            let text = mac.map(|byte| format!("{byte:02x}")).join(":");
            json!({"Interface": {"MacAddress": text}})
        }
    }
}

pub fn refused(refusal: &dyn std::fmt::Display) -> Value {
    let text = refusal.to_string();
    json!({"Err": text, "Error": text})
}

/// Reads a network's id as users see it, 25 digits of 0-9 and a-z.
pub fn parse_id(text: &str) -> Option<NetworkId> {
    // Networks and nodes have ids of the same form.
    text.parse().ok().map(NodeId::as_u128)
}

/// A network's id as users see it; [`parse_id`] reads it.
pub fn format_id(id: NetworkId) -> String {
    NodeId::from(id).to_string()
}
