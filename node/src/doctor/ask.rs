//! Asking the nodes, each over the connection of its session with a manager, so
//! that those behind NAT are asked too; and a node's answer.

use std::io;
use std::time::Duration;

use certs::NodeId;
use futures::{StreamExt, stream};
use quinn::SendStream;
use tokio::time::timeout;

use super::{Diagnose, Diagnosis};
use crate::control::frame;
use crate::control::message::Open;
use crate::manager::Manager;

/// For a node to look at its kernel and to probe its peers.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Nodes that are asked by one question, all at once.
pub const MAX_ASKED: usize = 128;
/// Peers that a node tells of. Both bound what an answer costs the one who
/// asks, to some 20 MB.
const MAX_PEERS: usize = 256;

/// What each of `nodes` says, or why it says nothing.
pub async fn all(
    manager: &Manager,
    nodes: Vec<NodeId>,
) -> Vec<(NodeId, Result<Diagnosis, String>)> {
    let asked = nodes.into_iter().take(MAX_ASKED).map(|node| async move {
        if node == manager.me {
            return (node, Ok(bounded(manager.doctor.diagnose().await)));
        }
        let answer = match timeout(ANSWER_WITHIN, one(manager, node)).await {
            Ok(Ok(diagnosis)) => Ok(diagnosis),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
        };
        (node, answer)
    });
    let answers = stream::iter(asked).buffer_unordered(MAX_ASKED);
    answers.collect().await
}

async fn one(manager: &Manager, node: NodeId) -> io::Result<Diagnosis> {
    let connection = manager.way_to(node).await?;
    let (mut out, mut from) = connection.open_bi().await?;
    frame::send(&mut out, &Open::Diagnose { node }).await?;
    out.finish().map_err(io::Error::other)?;
    match frame::recv::<Result<Vec<u8>, String>>(&mut from).await? {
        Some(Ok(json)) => Ok(bounded(serde_json::from_slice(&json)?)),
        Some(Err(reason)) => Err(io::Error::other(reason)),
        None => Err(io::Error::other("it is of a release that cannot be asked")),
    }
}

/// The node's part.
pub async fn answer(own: &dyn Diagnose, mut out: SendStream) -> io::Result<()> {
    let diagnosis = bounded(own.diagnose().await);
    let json = serde_json::to_vec(&diagnosis)?;
    frame::send::<Result<Vec<u8>, String>>(&mut out, &Ok(json)).await?;
    out.finish().map_err(io::Error::other)
}

/// With fewer peers where there are very many: those first that are missed.
fn bounded(mut diagnosis: Diagnosis) -> Diagnosis {
    let peers = &mut diagnosis.tunnel.peers;
    if peers.len() > MAX_PEERS {
        peers.sort_by_key(|peer| (!peer.is_wanted, peer.path.is_some(), peer.node));
        peers.truncate(MAX_PEERS);
    }
    diagnosis
}
