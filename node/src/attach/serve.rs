//! A manager's part: any manager has it agreed on, whoever leads.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use certs::NodeId;
use gossip::endpoints::Grant;
use ipnet::IpNet;
use overlay::directory::NO_SERVICE;
use quinn::SendStream;
use services::object::Attachment;
use services::{Command, Id};
use tokio::time::Instant;

use super::{Answer, Ask};
use crate::control::frame;
use crate::manager::authority::Signer;
use crate::manager::{Manager, ProposeError, node_key};

/// Answers what `node` asks for itself.
pub async fn serve(
    manager: &Manager,
    node: NodeId,
    ask: Ask,
    mut out: SendStream,
) -> io::Result<()> {
    let answered = match ask {
        _ if !manager.attach_pace.allows(node, Instant::now()) => {
            Err(Failure::unable("this node asks for addresses too often"))
        }
        Ask::Give {
            id,
            network,
            wanted,
        } => give(manager, node, id, network, &wanted).await,
        Ask::List => list(manager, node).await,
        Ask::Remove { ids } => remove(manager, node, &ids).await,
    };
    let answer = answered.unwrap_or_else(Into::into);
    frame::send(&mut out, &answer).await?;
    out.finish().map_err(io::Error::other)
}

/// Why there is no answer.
#[derive(Debug)]
enum Failure {
    Refused(String),
    Unable(String),
}

impl Failure {
    fn unable(error: impl ToString) -> Self {
        Self::Unable(error.to_string())
    }
}

impl From<ProposeError> for Failure {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Refused(refusal) => Self::Refused(refusal.message),
            error => Self::unable(error),
        }
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(reason) => Self::Refused { reason },
            Failure::Unable(reason) => Self::Unable { reason },
        }
    }
}

async fn give(
    manager: &Manager,
    node: NodeId,
    id: Id,
    network: Id,
    wanted: &[IpAddr],
) -> Result<Answer, Failure> {
    let mut tried = None;
    let addrs = loop {
        current(manager).await?;
        let chosen = manager.read_state(|state| state.choose_addresses(id, network, wanted));
        let addrs = chosen.map_err(|refusal| Failure::Refused(refusal.message))?;
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
            Err(error) => return Err(error.into()),
        }
    };
    let signer = manager.signer().map_err(Failure::Unable)?;
    let ticket = sign(&signer, node, id, network, &addrs).map_err(Failure::unable)?;
    Ok(Answer::Given { addrs, ticket })
}

/// Tickets for all that `node` holds, by attachment and network.
pub fn tickets(manager: &Manager, node: NodeId) -> Result<Vec<(Id, Id, Vec<u8>)>, String> {
    let held = manager.read_state(|state| {
        let held = state.attachments_of_node(node_key(node));
        held.cloned().collect::<Vec<_>>()
    });
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let signer = manager.signer()?;
    let ticket = |it: &Arc<Attachment>| {
        let ticket = sign(&signer, node, it.id, it.network, &it.addrs)?;
        Ok::<_, certs::Error>((it.id, it.network, ticket))
    };
    let tickets = held.iter().map(ticket).collect::<Result<_, _>>();
    tickets.map_err(|error| error.to_string())
}

/// In gossip, an attachment is a task of no service.
fn sign(
    signer: &Signer,
    node: NodeId,
    id: Id,
    network: Id,
    addrs: &[IpNet],
) -> Result<Vec<u8>, certs::Error> {
    let addrs: Vec<IpAddr> = addrs.iter().map(IpNet::addr).collect();
    let grant = Grant {
        task: id.as_u128(),
        service: NO_SERVICE,
        network: network.as_u128(),
        addrs: &addrs,
        node,
    };
    signer.sign(&grant.signed_bytes())
}

async fn list(manager: &Manager, node: NodeId) -> Result<Answer, Failure> {
    current(manager).await?;
    let ids = held(manager, node);
    Ok(Answer::Listed { ids })
}

/// Those of other nodes are left alone, whatever is asked.
async fn remove(manager: &Manager, node: NodeId, ids: &[Id]) -> Result<Answer, Failure> {
    current(manager).await?;
    let mut own = held(manager, node);
    own.retain(|id| ids.contains(id));
    if !own.is_empty() {
        let removed = manager.propose(Command::RemoveAttachments { ids: own });
        removed.await?;
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
async fn current(manager: &Manager) -> Result<(), Failure> {
    let barrier = manager.raft.read_barrier().await;
    barrier.map(drop).map_err(Failure::unable)
}
