//! Finding the leader and asking it, again where that is safe.
//!
//! A command must not be applied twice, so it is sent again only if it surely
//! was not taken; what changes nothing when repeated is sent until it is
//! answered.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use certs::NodeId;
use tokio::time::{Instant, timeout_at};

use crate::{
    machine::StateMachine,
    net::message::{RefusalV1, Reply, Request},
    raft::Inner,
    status::Status,
    supervisor::current,
};

/// How long to wait before asking again where nothing says when to.
const RETRY: Duration = Duration::from_millis(25);

/// Why the leader has no answer to a request.
pub(crate) enum Unanswered {
    NoLeader,
    Unknown(String),
    Storage(String),
    ShutDown,
}

impl<S: StateMachine> Inner<S> {
    /// Asks whoever leads until there is an answer that settles the request.
    pub async fn ask_leader(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Reply, Unanswered> {
        let mut status = self.status.clone();
        loop {
            if self.stop.is_cancelled() {
                return Err(Unanswered::ShutDown);
            }
            let now = status.borrow_and_update().clone();
            if let Some(error) = now.storage_error {
                return Err(Unanswered::Storage(error));
            }
            if let Some(leader) = now.leader {
                let replaced = |status: &Status| status.leader.is_some_and(|id| id != leader);
                let sent = AtomicBool::new(false);
                let asked = tokio::select! {
                    biased;
                    asked = self.ask(leader, &now, request, deadline, &sent) => asked,
                    Ok(_) = status.wait_for(replaced) => {
                        Err(io::Error::other("another leader was elected"))
                    }
                };
                if let Some(settled) = settle(request, asked, sent.into_inner()) {
                    return settled;
                }
            }
            let wake = Instant::now() + RETRY;
            if wake > deadline {
                return Err(Unanswered::NoLeader);
            }
            let changed = async {
                if now.leader.is_some() {
                    tokio::time::sleep_until(wake).await;
                } else {
                    // Its end, at shutdown, is seen at the top.
                    let _ = timeout_at(deadline, status.changed()).await;
                }
            };
            tokio::select! {
                () = changed => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// `sent` becomes true when the request may have been taken.
    async fn ask(
        &self,
        leader: NodeId,
        status: &Status,
        request: &Request,
        deadline: Instant,
        sent: &AtomicBool,
    ) -> io::Result<Reply> {
        if leader != self.parts.config.me.id {
            let addr = status.addr(leader);
            let addr = addr.ok_or_else(|| io::Error::other("the leader has no address"))?;
            let peers = &self.parts.peers;
            return peers.call(leader, addr, request, deadline, sent).await;
        }
        let engine = current(&self.current).ok_or(io::ErrorKind::NotConnected)?;
        sent.store(true, Ordering::Relaxed);
        match timeout_at(deadline, engine.lead(request)).await {
            Ok(reply) => reply.ok_or_else(|| io::Error::other("not a request to a leader")),
            Err(_) => {
                let problem = "a majority of the managers did not confirm it in time";
                Err(io::Error::new(io::ErrorKind::TimedOut, problem))
            }
        }
    }
}

/// What an answer, or its absence, means; `None` to ask again.
fn settle(
    request: &Request,
    asked: io::Result<Reply>,
    sent: bool,
) -> Option<Result<Reply, Unanswered>> {
    let repeatable = !matches!(request, Request::ProposeV1(_));
    let reply = match asked {
        Ok(reply) => reply,
        Err(error) if sent && !repeatable => {
            return Some(Err(Unanswered::Unknown(error.to_string())));
        }
        Err(_) => return None,
    };
    let refusal = match &reply {
        Reply::ProposeV1(Err(refusal))
        | Reply::ReadIndexV1(Err(refusal))
        | Reply::ChangeV1(Err(refusal)) => refusal.clone(),
        _ => return Some(Ok(reply)),
    };
    match refusal {
        RefusalV1::NotLeader | RefusalV1::Busy(_) => None,
        RefusalV1::Unknown(_) if repeatable => None,
        RefusalV1::Unknown(why) => Some(Err(Unanswered::Unknown(why))),
        RefusalV1::Storage(why) => Some(Err(Unanswered::Storage(why))),
        RefusalV1::Refused(_) => Some(Ok(reply)),
    }
}
