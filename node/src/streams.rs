//! The node protocol's streams as a manager serves them: what each peer may ask
//! for, by its certificate and by the state.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use certs::{Peer, Role};
use quinn::{Connection, RecvStream, SendStream};
use tokio::time::timeout;

use crate::attach;
use crate::control::frame;
use crate::control::message::{Open, Renewal};
use crate::forward;
use crate::manager::{Manager, relay};
use crate::membership::Membership;
use crate::session::server;

/// For the peer to say what its stream is for.
const OPENED_WITHIN: Duration = Duration::from_secs(5);

/// Serves one stream until either side ends it.
pub async fn serve(
    membership: &Membership,
    peer: Peer,
    connection: Connection,
    (out, mut from): (SendStream, RecvStream),
) -> io::Result<()> {
    let opening = timeout(OPENED_WITHIN, frame::recv::<Open>(&mut from)).await;
    let Some(open) = opening.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? else {
        return Ok(());
    };
    let manager = membership
        .manager()
        .ok_or_else(|| io::Error::other("not a manager"))?;
    let from_manager = is_manager(&manager, &peer);
    match open {
        Open::Session(hello) => server::serve(manager, &peer, hello, connection, (out, from)).await,
        Open::Renew { csr } => renew(membership, &manager, &peer, &csr, out).await,
        Open::Attach(ask) => attach::serve::serve(&manager, peer.id, ask, out).await,
        Open::Relay if from_manager => relay::serve(&manager, peer.id, from).await,
        Open::Http if from_manager => forward::serve(&manager, out, from).await,
        Open::Logs(request) | Open::DetailedLogs(request) if from_manager => {
            manager.pass_on(request.node, open, out).await
        }
        Open::Diagnose { node } if from_manager => manager.pass_on(node, open, out).await,
        _ => Err(io::Error::other("a worker asked for what is the managers'")),
    }
}

/// A demoted manager keeps its certificate until it has a new one; the state
/// knows better.
fn is_manager(manager: &Arc<Manager>, peer: &Peer) -> bool {
    let wanted = manager.role_of(peer.id);
    peer.role == Role::Manager && wanted != Some(services::spec::Role::Worker)
}

async fn renew(
    membership: &Membership,
    manager: &Manager,
    peer: &Peer,
    csr: &[u8],
    mut out: SendStream,
) -> io::Result<()> {
    let granted = match certs::node_of_csr(csr) {
        Ok(node) if node == peer.id => manager.grant(csr, membership.addr()),
        _ => Err("the request is for another node".into()),
    };
    let answer = match granted {
        Ok(grant) => Renewal::Granted {
            certificate: grant.certificate,
        },
        Err(reason) => Renewal::Refused { reason },
    };
    frame::send(&mut out, &answer).await?;
    out.finish().map_err(io::Error::other)
}
