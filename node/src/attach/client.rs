//! A node's part: it asks the managers, one after another, and gives back what
//! it holds no more.
//!
//! What is given back is found by comparing: the managers say what they think
//! this node holds, and what it does not hold is removed. So whatever was lost
//! on the way, an answer or a whole daemon, no address stays taken for ever; and
//! nothing is removed but by its id, which no later container will have.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use certs::NodeId;
use futures::FutureExt;
use futures::future::BoxFuture;
use gossip::{Gossip, Liveness};
use overlay::plugin::attach::{Attach, AttachmentId, Grant, Wanted};
use services::Id;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Answer, Ask};
use crate::control::message::{Open, SwarmNews};
use crate::control::{Control, frame};
use crate::waiting::or_never;

/// For all managers together, while a user waits at his `docker run`.
const GIVE_WITHIN: Duration = Duration::from_secs(14);
/// For one of them, which looks for a leader for 5 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// After managers could not be told what is free.
const TELL_AGAIN: Duration = Duration::from_secs(5);

pub struct Client {
    me: NodeId,
    control: Arc<Control>,
    gossip: Gossip,
    news: watch::Receiver<SwarmNews>,
    /// `None`: it is not known yet.
    held: watch::Sender<Option<BTreeSet<AttachmentId>>>,
}

impl Client {
    pub fn new(
        me: NodeId,
        control: Arc<Control>,
        gossip: Gossip,
        news: watch::Receiver<SwarmNews>,
    ) -> Self {
        Self {
            me,
            control,
            gossip,
            news,
            held: watch::Sender::default(),
        }
    }

    /// Gives back what is not held, until it is dropped. Says nothing while
    /// nothing was given up.
    pub async fn run(self: Arc<Self>) {
        let mut held = self.held.subscribe();
        // What managers may think that this node holds; `None`: anything.
        let mut thought: Option<BTreeSet<AttachmentId>> = None;
        loop {
            let now = held.borrow_and_update().clone();
            let mut again = None;
            if let Some(now) = now {
                match thought.take() {
                    Some(mut before) if before.is_subset(&now) => {
                        before.extend(now);
                        thought = Some(before);
                    }
                    _ => match self.give_back().await {
                        Ok(()) => thought = Some(now),
                        Err(error) => {
                            tracing::debug!(error, "managers do not know yet what is free");
                            again = Some(TELL_AGAIN);
                        }
                    },
                }
            }
            tokio::select! {
                changed = held.changed() => if changed.is_err() { return },
                () = or_never(again.map(sleep)) => {}
            }
        }
    }

    async fn give_back(&self) -> Result<(), String> {
        let deadline = Instant::now() + GIVE_WITHIN;
        let listed = match self.ask(&Ask::List, deadline).await? {
            Answer::Listed { ids } => ids,
            other => return Err(unexpected(other)),
        };
        let ids = strays(listed, self.held.borrow().as_ref());
        if ids.is_empty() {
            return Ok(());
        }
        match self.ask(&Ask::Remove { ids }, deadline).await? {
            Answer::Removed => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    async fn give(&self, wanted: Wanted) -> Result<Grant, String> {
        let ask = Ask::Give {
            id: Id::from_u128(wanted.id),
            network: Id::from_u128(wanted.network),
            wanted: wanted.addrs,
        };
        match self.ask(&ask, Instant::now() + GIVE_WITHIN).await? {
            Answer::Given { addrs, ticket } => Ok(Grant { addrs, ticket }),
            other => Err(unexpected(other)),
        }
    }

    /// Asks the managers one after another until one answers.
    async fn ask(&self, ask: &Ask, deadline: Instant) -> Result<Answer, String> {
        let managers = self.news.borrow().managers.clone();
        let alive = |id: NodeId| {
            let member = self.gossip.member(id);
            member.is_some_and(|member| member.liveness == Liveness::Alive)
        };
        let mut managers: Vec<_> = managers.into_iter().collect();
        // This node itself first, then those that others see.
        managers.sort_by_key(|(id, _)| (*id != self.me, !alive(*id)));
        let mut last = "no manager of the swarm is known".to_owned();
        for (id, addr) in managers {
            let asked = timeout(ANSWER_WITHIN, self.ask_one(id, addr, ask));
            match timeout_at(deadline, asked).await {
                Ok(Ok(Ok(Answer::Unable { reason }))) => last = format!("manager {id}: {reason}"),
                Ok(Ok(Ok(answer))) => return Ok(answer),
                Ok(Ok(Err(error))) => last = format!("manager {id}: {error}"),
                Ok(Err(_)) => last = format!("manager {id} does not answer"),
                Err(_) => break,
            }
        }
        Err(format!(
            "no manager of the swarm answers, and only they give addresses: {last}"
        ))
    }

    async fn ask_one(
        &self,
        manager: NodeId,
        addr: std::net::SocketAddr,
        ask: &Ask,
    ) -> io::Result<Answer> {
        let connection = self.control.node(manager, addr).await?;
        let (mut out, mut from) = connection.open_bi().await?;
        frame::send(&mut out, &Open::Attach(ask.clone())).await?;
        let answer = frame::recv(&mut from).await?;
        answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Attach for Client {
    fn attach(&self, wanted: Wanted) -> BoxFuture<'_, Result<Grant, String>> {
        self.give(wanted).boxed()
    }

    fn hold(&self, held: BTreeSet<AttachmentId>) {
        self.held.send_replace(Some(held));
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

/// Of those that managers list, what this node does not hold. What is held has
/// to be looked at after they answered: who asks for an address holds its
/// attachment already.
fn strays(listed: Vec<Id>, held: Option<&BTreeSet<AttachmentId>>) -> Vec<Id> {
    let is_held = |id: &Id| held.is_none_or(|held| held.contains(&id.as_u128()));
    listed.into_iter().filter(|id| !is_held(id)).collect()
}

fn unexpected(answer: Answer) -> String {
    match answer {
        Answer::Refused { reason } => reason,
        _ => "the manager answers something else".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_or_unknown_is_never_given_back() {
        let id = Id::from_u128;
        let held = BTreeSet::from([1, 2]);
        assert_eq!(strays(vec![id(1), id(3)], Some(&held)), [id(3)]);
        assert_eq!(strays(vec![id(1), id(3)], None), []);
        assert_eq!(strays(vec![id(1)], Some(&BTreeSet::new())), [id(1)]);
    }
}
