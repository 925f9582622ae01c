//! How far a device is on its way into the swarm of its site, in words.

use std::net::SocketAddr;

use certs::{ClusterId, NodeId};

use super::decide::{Moment, Reason, Step};
use super::seen::Seen;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// Nobody asked for a swarm.
    #[default]
    None,
    Waiting,
    Asking,
    Founding,
    Joining,
    /// Several swarms of the site are in reach.
    Conflict,
    Founded,
    Joined,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Waiting => "waiting",
            Self::Asking => "asking",
            Self::Founding => "founding",
            Self::Joining => "joining",
            Self::Conflict => "conflict",
            Self::Founded => "founded",
            Self::Joined => "joined",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    pub stage: Stage,
    /// Other devices of the site that wait as well.
    pub found: usize,
    pub swarm: Option<ClusterId>,
    pub node: Option<NodeId>,
    pub through: Option<Through>,
    pub message: String,
}

/// Who let this device in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    pub hostname: String,
    pub addr: SocketAddr,
}

impl std::fmt::Display for Through {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.hostname.as_str() {
            "" => write!(f, "{}", self.addr),
            name => write!(f, "{name} ({})", self.addr),
        }
    }
}

impl Progress {
    /// Nobody was seen yet.
    pub fn waiting() -> Self {
        Self {
            stage: Stage::Waiting,
            message: waiting(Reason::Settling, 0, None),
            ..Self::default()
        }
    }

    /// `offline` says why this device has no address, if it has none.
    pub fn of(step: &Step, seen: &Seen, offline: Option<&str>, now: Moment) -> Self {
        let found = seen.others(now).len();
        let (stage, message) = match step {
            Step::Wait(Reason::Grants(..)) | Step::Propose => (Stage::Asking, asking(found)),
            Step::Wait(reason) => (Stage::Waiting, waiting(*reason, found, offline)),
            Step::Found => (Stage::Founding, "Founding the swarm".into()),
            Step::Join { at, .. } => {
                let at: Vec<String> = at.iter().map(ToString::to_string).collect();
                (
                    Stage::Joining,
                    format!("Joining the swarm at {}", at.join(", ")),
                )
            }
            Step::Refuse(_) => (Stage::Conflict, conflict(&seen.clusters(now))),
        };
        Self {
            stage,
            found,
            message,
            ..Self::default()
        }
    }

    pub fn founded(swarm: ClusterId, node: NodeId) -> Self {
        Self {
            stage: Stage::Founded,
            swarm: Some(swarm),
            node: Some(node),
            message: format!(
                "Founded swarm {}: this node ({node}) is its first manager",
                short(swarm)
            ),
            ..Self::default()
        }
    }

    pub fn joined(swarm: ClusterId, node: NodeId, through: Through) -> Self {
        Self {
            stage: Stage::Joined,
            swarm: Some(swarm),
            node: Some(node),
            message: format!("Joined swarm {} through {through}", short(swarm)),
            through: Some(through),
            ..Self::default()
        }
    }

    /// What went wrong without ending the waiting.
    pub fn failed(why: &str) -> Self {
        Self {
            stage: Stage::Waiting,
            message: format!("{why}; trying again"),
            ..Self::default()
        }
    }
}

/// How people call a swarm.
pub fn short(cluster: ClusterId) -> String {
    cluster.to_string().chars().take(12).collect()
}

fn asking(found: usize) -> String {
    match found {
        0 => "Founding the swarm".into(),
        1 => "Asking 1 device whether this one may found the swarm".into(),
        found => format!("Asking {found} devices whether this one may found the swarm"),
    }
}

fn waiting(reason: Reason, found: usize, offline: Option<&str>) -> String {
    match reason {
        Reason::Offline => format!("Waiting for an address: {}", offline.unwrap_or("none yet")),
        Reason::Silent(addr) => {
            format!("Waiting for {addr}, which announces this site, to prove that it knows the key")
        }
        Reason::SwarmAway(_) => {
            "Waiting for the swarm of this site, which was in reach and is not now".into()
        }
        Reason::Settling | Reason::Smaller(_) | Reason::Granted(_) | Reason::Grants(..) => {
            let found = match found {
                0 => "none found yet".into(),
                found => format!("{found} found"),
            };
            format!("Waiting for other devices of this site… {found}")
        }
    }
}

/// What to do about swarms of one site that formed apart.
pub fn conflict(swarms: &[(ClusterId, SocketAddr)]) -> String {
    let list: Vec<String> = swarms
        .iter()
        .map(|(cluster, addr)| format!("{} at {addr}", short(*cluster)))
        .collect();
    let count = match swarms.len() {
        2 => "two".to_owned(),
        count => count.to_string(),
    };
    format!(
        "{count} swarms of this site are in reach: {}. They formed apart and are not merged. \
         Choose one; on each device of the others run `swarmlet leave --force`, then `swarmlet up` \
         with the site key",
        list.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_swarms_are_named_with_what_to_do() {
        let addr = |last: u8| SocketAddr::from(([192, 168, 1, last], 2377));
        let swarms = [
            (ClusterId::from(1 << 100), addr(4)),
            (ClusterId::from(1 << 101), addr(9)),
        ];
        insta::assert_snapshot!(conflict(&swarms), @"two swarms of this site are in reach: 000003ewfdnc at 192.168.1.4:2377, 000006tsurao at 192.168.1.9:2377. They formed apart and are not merged. Choose one; on each device of the others run `swarmlet leave --force`, then `swarmlet up` with the site key");
    }

    #[test]
    fn who_let_a_device_in_is_named() {
        let through = Through {
            hostname: "node-a".into(),
            addr: SocketAddr::from(([192, 168, 1, 4], 2377)),
        };
        let joined = Progress::joined(ClusterId::from(1 << 100), NodeId::from(1), through);
        insta::assert_snapshot!(joined.message, @"Joined swarm 000003ewfdnc through node-a (192.168.1.4:2377)");
    }
}
