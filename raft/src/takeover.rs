//! Going on alone, when those whose votes are needed are lost for good.
//!
//! A membership of this node alone is written at the end of its log, in a term
//! that is later than all it knows, before the consensus begins. Raft takes the
//! last membership of a log for the present one, so the node elects itself and
//! commits what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use openraft::{
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogReader, RaftLogStorage},
    type_config::TypeConfigExt,
};

use crate::{
    config::Member,
    engine::{Parts, close_log, open_log},
    error::OpenError,
    log::LogStore,
    types::{Addr, Entry, Id, LogId, Membership, Payload, Types, Vote, log_id, term_of},
};

pub(crate) async fn take_over<S>(parts: &Parts<S>) -> Result<(), OpenError> {
    let dir = &parts.config.dir;
    let (mut log, writer) = open_log(parts).await?;
    let state = log.get_log_state().await;
    let written = match state.map(|state| state.last_log_id) {
        Ok(Some(last)) => append(&mut log, last, parts.config.me)
            .await
            .map_err(|error| OpenError::io("write", dir, error)),
        Ok(None) => Err(OpenError::NoLog { path: dir.clone() }),
        Err(error) => Err(OpenError::io("read", dir, error)),
    };
    close_log(&log, writer).await;
    written
}

/// The vote first: an entry must not be of a later term than the vote.
async fn append(log: &mut LogStore, last: LogId, me: Member) -> io::Result<()> {
    let voted = log.get_log_reader().await.read_vote().await?;
    let voted = voted.map_or(0, |vote| vote.leader_id.term);
    let term = voted.max(term_of(&last)) + 1;
    log.save_vote(&Vote::new(term, Id(me.id))).await?;
    let alone = Membership::new(
        vec![BTreeSet::from([Id(me.id)])],
        BTreeMap::from([(Id(me.id), Addr(me.addr))]),
    )
    .map_err(io::Error::other)?;
    let entry = Entry::new(log_id(term, last.index + 1), Payload::Membership(alone));
    let (done, flushed) = Types::oneshot();
    log.append([entry], IOFlushed::signal(done)).await?;
    flushed.await.map_err(io::Error::other)?
}
