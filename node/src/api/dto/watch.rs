//! What Docker's API does not know: who is here, and what happened lately.

use serde::{Deserialize, Serialize};

use super::{Labels, Time, is_default};

/// A device, as the one that was asked believes it to be:
/// `GET /swarmlet/members`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Member {
    #[serde(rename = "ID")]
    pub id: String,
    /// Empty while its facts are still being fetched.
    pub hostname: String,
    /// The device that was asked.
    #[serde(rename = "Self")]
    pub is_self: bool,
    /// `alive`, `suspect`, `dead` or `left`.
    pub state: String,
    /// Who said that it is dead: an id.
    #[serde(skip_serializing_if = "is_default")]
    pub said_by: String,
    /// How many agreed.
    #[serde(skip_serializing_if = "is_default")]
    pub witnesses: u8,
    pub incarnation: u64,
    /// Nanoseconds since `state` became what it is.
    pub state_for: u64,
    /// Nanoseconds; none where there is no connection to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<u64>,
    /// Nanoseconds since its last word, by whichever way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<u64>,
    /// How its state is known: `self`, `direct`, `watchers`, or the id of the
    /// device that hears it.
    pub through: String,
    /// With the control port.
    pub address: String,
    #[serde(skip_serializing_if = "is_default")]
    pub role: String,
    /// Of swarmlet.
    #[serde(skip_serializing_if = "is_default")]
    pub version: String,
}

/// A line of `GET /swarmlet/events`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SwarmEvent {
    pub time: Time,
    /// `node`, `manager` or `autopilot`.
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(rename = "NodeID")]
    pub node_id: String,
    pub hostname: String,
    pub message: String,
}

/// A line of `GET /events`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventMessage {
    /// `node`, `service`, `network`, `secret` or `config`; others are the
    /// engine's.
    #[serde(rename = "Type")]
    pub kind: String,
    /// `create`, `update` or `remove`.
    #[serde(rename = "Action")]
    pub action: String,
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `swarm`.
    pub scope: String,
    /// Seconds since the epoch.
    pub time: u64,
    #[serde(rename = "timeNano")]
    pub time_nano: u64,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
    pub attributes: Labels,
}
