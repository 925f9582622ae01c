//! What the engine asks of an address driver: libnetwork's remote IPAM
//! protocol, beside the network driver's on the same socket.
//!
//! A pool is a subnet of one of the swarm's networks, and its id says which: so
//! nothing need be kept of pools. The engine asks for an address before it
//! makes an endpoint, without saying whose it will be, and one network after
//! another: that is how the addresses of both families of one container find
//! together.
//!
//! Source: libnetwork `docs/ipam.md` and `ipams/remote/api`, Docker 20.10.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Refusal;
use super::protocol::{NETWORK_OPTION, format_id, or_default, parse_id};
use crate::directory::NetworkId;

/// The engine tells the pools of different spaces apart; ours do not overlap.
const SPACE: &str = "swarmlet";
/// What kind of address is asked for, and what a network's own is called.
const KIND: &str = "RequestAddressType";
const GATEWAY: &str = "com.docker.network.gateway";

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RequestPool {
    #[serde(rename = "Pool", default, deserialize_with = "or_default")]
    pool: String,
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    options: BTreeMap<String, String>,
}

impl RequestPool {
    /// # Errors
    /// It is of no network of the swarm, or names no subnet.
    pub fn pool(&self) -> Result<Pool, Refusal> {
        let text = self.options.get(NETWORK_OPTION);
        let text = text.ok_or(Refusal::NotOfASwarm)?;
        let network =
            parse_id(text).ok_or_else(|| Refusal::BadId(text.chars().take(64).collect()))?;
        let net: Option<IpNet> = self.pool.parse().ok();
        let net = net.ok_or(Refusal::NotOfASwarm)?.trunc();
        Ok(Pool { network, net })
    }
}

/// A subnet of a network of the swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    pub network: NetworkId,
    pub net: IpNet,
}

impl Pool {
    fn id(&self) -> String {
        format!("{}/{}", format_id(self.network), self.net)
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(id, net)| Some((parse_id(id)?, net.parse().ok()?)));
        let (network, net) =
            parts.ok_or_else(|| Refusal::UnknownPool(text.chars().take(64).collect()))?;
        Ok(Self { network, net })
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RequestAddress {
    #[serde(rename = "PoolID")]
    pool: String,
    #[serde(rename = "Address", default, deserialize_with = "or_default")]
    address: String,
    #[serde(rename = "Options", default, deserialize_with = "or_default")]
    options: BTreeMap<String, String>,
}

impl RequestAddress {
    /// # Errors
    /// The pool is none of ours.
    pub fn pool(&self) -> Result<Pool, Refusal> {
        Pool::parse(&self.pool)
    }

    /// The address that is to be given, where somebody said.
    ///
    /// # Errors
    /// It is no address.
    pub fn wanted(&self) -> Result<Option<IpAddr>, Refusal> {
        match self.address.as_str() {
            "" => Ok(None),
            text => address(text).map(Some),
        }
    }

    /// Whether it is for the network itself and not for a container.
    pub fn is_gateway(&self) -> bool {
        self.options.get(KIND).is_some_and(|kind| kind == GATEWAY)
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ReleaseAddress {
    #[serde(rename = "PoolID")]
    pool: String,
    #[serde(rename = "Address")]
    address: String,
}

impl ReleaseAddress {
    /// # Errors
    /// The pool is none of ours.
    pub fn pool(&self) -> Result<Pool, Refusal> {
        Pool::parse(&self.pool)
    }

    /// # Errors
    /// It is no address.
    pub fn address(&self) -> Result<IpAddr, Refusal> {
        address(&self.address)
    }
}

fn address(text: &str) -> Result<IpAddr, Refusal> {
    let bare = text.split('/').next().unwrap_or(text);
    bare.parse()
        .map_err(|_| Refusal::Malformed(format!("address {text:?}")))
}

/// Nothing need be asked again after a restart of the engine: what was given
/// stays given.
pub fn capabilities() -> Value {
    json!({"RequiresMACAddress": false, "RequiresRequestReplay": false})
}

pub fn address_spaces() -> Value {
    json!({"LocalDefaultAddressSpace": SPACE, "GlobalDefaultAddressSpace": SPACE})
}

pub fn pool_given(pool: &Pool) -> Value {
    json!({"PoolID": pool.id(), "Pool": pool.net, "Data": {}})
}

pub fn address_given(address: IpAddr, pool: &Pool) -> Value {
    let text = format!("{address}/{}", pool.net.prefix_len());
    json!({"Address": text, "Data": {}})
}
