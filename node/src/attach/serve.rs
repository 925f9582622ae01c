//! A manager's part: any manager has it agreed on, whoever leads.

use std::io;
use std::net::IpAddr;

use certs::NodeId;
use gossip::endpoints::Grant;
use ipnet::IpNet;
use overlay::directory::NO_SERVICE;
use quinn::SendStream;
use services::{Command, Id};

use super::{Answer, Ask};
use crate::control::frame;
use crate::manager::{Manager, ProposeError, node_key};

/// Answers what `node` asks for itself.
pub async fn serve(
    manager: &Manager,
    node: NodeId,
    ask: Ask,
    mut out: SendStream,
) -> io::Result<()> {
    let answered = match ask {
        Ask::Give {
            id,
            network,
            wanted,
        } => give(manager, node, id, network, &wanted).await,
        Ask::List => list(manager, node).await,
        Ask::Remove { ids } => remove(manager, node, &ids).await,
    };
    let answer = answered.unwrap_or_else(|reason| Answer::Refused { reason });
    frame::send(&mut out, &answer).await?;
    out.finish().map_err(io::Error::other)
}

async fn give(
    manager: &Manager,
    node: NodeId,
    id: Id,
    network: Id,
    wanted: &[IpAddr],
) -> Result<Answer, String> {
    let mut tried = None;
    let addrs = loop {
        current(manager).await?;
        let chosen = manager.read_state(|state| state.choose_addresses(id, network, wanted));
        let addrs = chosen.map_err(|refusal| refusal.message)?;
        let command = Command::CreateAttachment {
            id,
            network,
            node: node_key(node),
            addrs: addrs.clone(),
        };
        match manager.propose(command).await {
            Ok(_) => break addrs,
            // Another container or task was faster, and there is more.
            Err(ProposeError::Refused(_)) if tried.as_ref() != Some(&addrs) => tried = Some(addrs),
            Err(error) => return Err(error.to_string()),
        }
    };
    let ticket = sign(manager, node, id, network, &addrs)?;
    Ok(Answer::Given { addrs, ticket })
}

/// In gossip, an attachment is a task of no service.
fn sign(
    manager: &Manager,
    node: NodeId,
    id: Id,
    network: Id,
    addrs: &[IpNet],
) -> Result<Vec<u8>, String> {
    let addrs: Vec<IpAddr> = addrs.iter().map(IpNet::addr).collect();
    let grant = Grant {
        task: id.as_u128(),
        service: NO_SERVICE,
        network: network.as_u128(),
        addrs: &addrs,
        node,
    };
    let signed = manager.authority()?.sign(&grant.signed_bytes());
    signed.map_err(|error| error.to_string())
}

async fn list(manager: &Manager, node: NodeId) -> Result<Answer, String> {
    current(manager).await?;
    let ids = held(manager, node);
    Ok(Answer::Listed { ids })
}

/// Those of other nodes are left alone, whatever is asked.
async fn remove(manager: &Manager, node: NodeId, ids: &[Id]) -> Result<Answer, String> {
    current(manager).await?;
    let mut own = held(manager, node);
    own.retain(|id| ids.contains(id));
    if !own.is_empty() {
        let removed = manager.propose(Command::RemoveAttachments { ids: own });
        removed.await.map_err(|error| error.to_string())?;
    }
    Ok(Answer::Removed)
}

fn held(manager: &Manager, node: NodeId) -> Vec<Id> {
    manager.read_state(|state| {
        let held = state.attachments_of_node(node_key(node));
        held.map(|attachment| attachment.id).collect()
    })
}

/// Waits until this manager knows all that was agreed on before now.
async fn current(manager: &Manager) -> Result<(), String> {
    let barrier = manager.raft.read_barrier().await;
    barrier.map(drop).map_err(|error| error.to_string())
}
