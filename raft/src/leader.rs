//! What a leader does for others, and for itself: commands, read indexes and
//! changes of members.
//!
//! Every function here either does its work or says how certain it is that
//! nothing was done; finding the leader and asking again is up to the caller.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use openraft::{
    ChangeMembers, ReadPolicy,
    errors::{ChangeMembershipError, ClientWriteError, LinearizableReadError, RaftError},
};

use crate::{
    engine::Engine,
    machine::StateMachine,
    net::message::{AppliedV1, ChangeV1, RefusalV1, Reply, Request},
    types::{Addr, Blob, Id, Membership, Types, is_voter},
};

/// A learner this close behind the end of the log may get a vote.
const CAUGHT_UP: u64 = 64;
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(3);
const TRANSFER_PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);

type Answer<T> = Result<T, RefusalV1>;

impl<S: StateMachine> Engine<S> {
    /// Does what any manager may ask of the leader; `None` for other requests.
    pub async fn lead(&self, request: &Request) -> Option<Reply> {
        match request {
            Request::ProposeV1(command) => {
                Some(Reply::ProposeV1(self.propose(command.clone()).await))
            }
            Request::ReadIndexV1 => Some(Reply::ReadIndexV1(self.read_index().await)),
            Request::ChangeV1(change) => Some(Reply::ChangeV1(self.change(*change).await)),
            _ => None,
        }
    }

    /// A leader that its majority does not answer takes nothing: each request would have
    /// it speak to the others, who would believe in it for as long as anyone asks.
    async fn is_answered(&self) -> Answer<()> {
        match self.is_silent().await {
            true => Err(RefusalV1::NotLeader),
            false => Ok(()),
        }
    }

    async fn propose(&self, command: Blob) -> Answer<AppliedV1> {
        self.is_answered().await?;
        let written = self.raft.client_write(command).await;
        let response = written.map_err(|error| self.refusal(error))?;
        Ok(AppliedV1 {
            index: response.log_id.index,
            answer: response.data,
        })
    }

    /// Asks a quorum: a lease would be wrong on a device that was suspended,
    /// whose clock stood still meanwhile.
    async fn read_index(&self) -> Answer<u64> {
        self.is_answered().await?;
        match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(read) => Ok(read.read_log_id().index()),
            Err(RaftError::APIError(
                LinearizableReadError::ForwardToLeader(_)
                | LinearizableReadError::QuorumNotEnough(_),
            )) => Err(RefusalV1::NotLeader),
            Err(RaftError::Fatal(error)) => Err(self.stopped(&error.to_string())),
        }
    }

    async fn change(&self, change: ChangeV1) -> Answer<()> {
        if !self.raft.is_leader() {
            return Err(RefusalV1::NotLeader);
        }
        self.is_answered().await?;
        match change {
            ChangeV1::AddLearner { id, addr } => self.add_learner(Id(id), Addr(addr)).await,
            ChangeV1::Promote(id) => self.promote(Id(id)).await,
            ChangeV1::Remove(id) => self.remove(Id(id)).await,
            ChangeV1::TransferLeader(to) => self.transfer(to.map(Id)).await,
        }
    }

    fn membership(&self) -> Membership {
        self.metrics().membership_config.membership().clone()
    }

    async fn add_learner(&self, id: Id, addr: Addr) -> Answer<()> {
        let node = BTreeMap::from([(id, addr)]);
        match self.membership().get_node(&id) {
            Some(known) if *known == addr => Ok(()),
            Some(_) => self.apply(ChangeMembers::SetNodes(node), true).await,
            None => self.apply(ChangeMembers::AddNodes(node), true).await,
        }
    }

    async fn promote(&self, id: Id) -> Answer<()> {
        let membership = self.membership();
        // What a leader began before it was lost is finished.
        if is_voter(&membership, id) {
            return Ok(());
        }
        if membership.get_node(&id).is_none() {
            return Err(RefusalV1::Refused(format!("{id} is not a member")));
        }
        let caught_up = tokio::time::timeout(CATCH_UP_PATIENCE, self.caught_up(id)).await;
        if caught_up.is_err() {
            let reason = format!("{id} has not caught up with the log yet");
            return Err(RefusalV1::Refused(reason));
        }
        self.apply(ChangeMembers::AddVoterIds([id].into()), true)
            .await
    }

    async fn caught_up(&self, id: Id) {
        loop {
            let metrics = self.metrics();
            let matched = metrics.replication.and_then(|all| all.get(&id).copied());
            // One that was never heard would only cost the group its majority.
            if let Some(matched) = matched.flatten()
                && matched.index + CAUGHT_UP >= metrics.last_log_index.unwrap_or(0)
            {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn remove(&self, id: Id) -> Answer<()> {
        let membership = self.membership();
        let voters: BTreeSet<Id> = membership.voter_ids().collect();
        if !voters.contains(&id) {
            return match membership.get_node(&id) {
                None => Ok(()),
                Some(_) => {
                    self.apply(ChangeMembers::RemoveNodes([id].into()), false)
                        .await
                }
            };
        }
        if voters.len() == 1 {
            let reason = "the last manager cannot be removed".to_owned();
            return Err(RefusalV1::Refused(reason));
        }
        if id == *self.raft.node_id() {
            self.transfer(None).await?;
            return Err(RefusalV1::NotLeader);
        }
        self.apply(ChangeMembers::RemoveVoters([id].into()), false)
            .await
    }

    async fn transfer(&self, to: Option<Id>) -> Answer<()> {
        let me = *self.raft.node_id();
        let Some(to) = to.or_else(|| self.successor()) else {
            let reason = "there is no other voter to lead".to_owned();
            return Err(RefusalV1::Refused(reason));
        };
        if to == me {
            return Ok(());
        }
        if !self.raft.voter_ids().any(|voter| voter == to) {
            return Err(RefusalV1::Refused(format!("{to} has no vote")));
        }
        let begun = self.raft.trigger().transfer_leader(to).await;
        begun.map_err(|error| self.stopped(&error.to_string()))?;
        let led_by_another = async {
            while self.metrics().current_leader.is_none_or(|id| id == me) {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(TRANSFER_PATIENCE, led_by_another)
            .await
            .map_err(|_| RefusalV1::Refused(format!("{to} did not take over")))
    }

    /// The voter whose log is the longest, besides this node.
    fn successor(&self) -> Option<Id> {
        let me = *self.raft.node_id();
        let replication = self.metrics().replication.unwrap_or_default();
        let others = self.raft.voter_ids().filter(|id| *id != me);
        others.max_by_key(|id| replication.get(id).copied().flatten())
    }

    async fn apply(&self, change: ChangeMembers<Id, Addr>, retain: bool) -> Answer<()> {
        let changed = self.raft.change_membership(change, retain).await;
        changed.map(|_| ()).map_err(|error| self.refusal(error))
    }

    fn refusal(&self, error: RaftError<Types, ClientWriteError<Types>>) -> RefusalV1 {
        let error = match error {
            RaftError::APIError(error) => error,
            RaftError::Fatal(error) => return self.stopped(&error.to_string()),
        };
        match error {
            ClientWriteError::ForwardToLeader(_) => RefusalV1::NotLeader,
            ClientWriteError::LogEntryDiscarded(_) => {
                RefusalV1::Unknown("another leader was elected".to_owned())
            }
            ClientWriteError::ChangeMembershipError(
                error @ (ChangeMembershipError::InProgress(_)
                | ChangeMembershipError::UncommittedLeaderLog(_)),
            ) => RefusalV1::Busy(error.to_string()),
            other => RefusalV1::Refused(other.to_string()),
        }
    }

    /// The run ended while a request was in it.
    fn stopped(&self, error: &str) -> RefusalV1 {
        match self.log.fault() {
            Some(fault) => RefusalV1::Storage(fault),
            None => RefusalV1::Unknown(error.to_owned()),
        }
    }
}
