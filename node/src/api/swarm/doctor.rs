//! `/swarmlet/doctor`: every device is asked how it reaches the others.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::response::IntoResponse;
use certs::NodeId;
use services::{Id, NodeHealth};

use super::{Reply, look};
use crate::api::backend::{Manager, View};
use crate::api::convert;
use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::doctor::ask::MAX_ASKED;
use crate::doctor::report::{Asked, report};
use crate::manager::{node_id, observer};

/// Whom to ask, and about what.
struct Question {
    /// Of every device, whether or not it is asked.
    names: BTreeMap<NodeId, String>,
    /// By the id of the device.
    data_addrs: BTreeMap<String, String>,
    asked: Vec<Id>,
    /// Those that cannot be asked, and why.
    silent: Vec<Asked>,
    left_out: usize,
    network: Option<String>,
}

pub(super) async fn examine(swarm: &dyn Manager, query: &Query) -> Reply {
    let network = query.text("network");
    let question = look(swarm, |view| Question::of(view, network))?;
    let mut asked = question.silent;
    let answers = swarm.diagnose(question.asked).await;
    asked.extend(answers.into_iter().map(|(id, answer)| Asked {
        id: node_id(id),
        answer,
    }));
    let network = question.network.as_deref();
    let mut shown = convert::doctor(report(&asked, &question.names, network));
    shown.left_out = question.left_out as u64;
    for device in &mut shown.devices {
        let addr = question.data_addrs.get(&device.id).cloned();
        device.data_path_addr = addr.unwrap_or_default();
    }
    Ok(Json(shown).into_response())
}

impl Question {
    fn of(view: View<'_>, network: &str) -> Result<Self, ApiError> {
        let state = view.state;
        let network = match network {
            "" => None,
            text => Some(state.find_network(text).map_err(ApiError::lookup)?.id),
        };
        let on_it: BTreeSet<Id> = state
            .tasks()
            .filter(|task| {
                let mut addresses = task.addresses.iter();
                addresses.any(|address| Some(address.network) == network)
            })
            .filter_map(|task| task.node)
            .collect();
        let mut nodes: Vec<_> = state.nodes().map(|node| node.id).collect();
        nodes.sort_by_key(|id| (!on_it.contains(id), *id));
        let names = nodes.iter().map(|id| node_id(*id));
        let names = names.map(|id| (id, observer::name(state, id))).collect();
        let why_silent = |id: &Id| match &view.observed.nodes.get(id)?.health {
            NodeHealth::Down { reason } => Some(format!("it is down ({reason})")),
            _ => None,
        };
        let (mut asked, mut silent) = (Vec::new(), Vec::new());
        for id in nodes {
            match why_silent(&id) {
                None => asked.push(id),
                Some(reason) => silent.push(Asked {
                    id: node_id(id),
                    answer: Err(reason),
                }),
            }
        }
        let left_out = asked.len().saturating_sub(MAX_ASKED);
        asked.truncate(MAX_ASKED);
        let data_addrs = state.data_addrs().iter();
        Ok(Self {
            names,
            data_addrs: data_addrs
                .map(|(id, addr)| (id.to_string(), addr.to_string()))
                .collect(),
            asked,
            silent,
            left_out,
            network: network.map(|id| id.to_string()),
        })
    }
}
