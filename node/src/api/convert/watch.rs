//! Members and events.

use certs::NodeId;
use gossip::view::Moment;
use gossip::{Liveness, Through};
use services::happened::Happened;

use crate::api::dto::{Actor, EventMessage, Member, SwarmEvent, Time};
use crate::manager::events::Event;

/// `now` is gossip's, `me` the node that believes it.
pub fn member(member: &gossip::Member, me: NodeId, now: Moment) -> Member {
    let facts = member.facts.as_deref();
    let nanos = |time: Moment| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let (state, by) = match &member.liveness {
        Liveness::Alive => ("alive", None),
        Liveness::Suspect => ("suspect", None),
        Liveness::Dead { by, witnesses } => ("dead", Some((by, *witnesses))),
        Liveness::Left => ("left", None),
    };
    Member {
        id: member.id.to_string(),
        hostname: facts
            .map(|facts| facts.hostname.clone())
            .unwrap_or_default(),
        is_self: member.id == me,
        state: state.into(),
        said_by: by.map(|(by, _)| by.to_string()).unwrap_or_default(),
        witnesses: by.map_or(0, |(_, witnesses)| witnesses),
        incarnation: member.incarnation,
        state_for: nanos(now.saturating_sub(member.since)),
        round_trip: member.round_trip.map(nanos),
        last_heard: member
            .last_heard
            .map(|heard| nanos(now.saturating_sub(heard))),
        through: match member.through {
            Through::Me => "self".into(),
            Through::Direct => "direct".into(),
            Through::Peer(peer) => peer.to_string(),
            Through::Watchers => "watchers".into(),
        },
        address: member.addr.map(|addr| addr.to_string()).unwrap_or_default(),
        role: facts
            .map(|facts| facts.role.to_string())
            .unwrap_or_default(),
        version: facts.map(|facts| facts.version.clone()).unwrap_or_default(),
    }
}

pub fn event(event: &Event) -> SwarmEvent {
    SwarmEvent {
        time: Time(event.at),
        kind: event.kind.as_str().into(),
        node_id: event.node.to_string(),
        hostname: event.name.clone(),
        message: event.text.clone(),
    }
}

/// As Docker tells it.
pub fn happened(event: &Happened) -> EventMessage {
    EventMessage {
        kind: event.kind.as_str().into(),
        action: event.action.as_str().into(),
        actor: Actor {
            id: event.id.to_string(),
            attributes: event.attributes.clone(),
        },
        scope: "swarm".into(),
        time: event.at.0 / 1_000_000_000,
        time_nano: event.at.0,
    }
}
