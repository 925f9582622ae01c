//! Answering other managers.
//!
//! The peer of a connection is known from its certificate. What only a certain
//! node may say (a vote for itself, an append as the leader) is taken from that
//! node alone.

use std::{future::Future, io, sync::Arc, time::Duration};

use certs::NodeId;
use futures::{Stream, StreamExt, stream};
use openraft::{Snapshot, raft::AppendEntriesRequest};
use tokio::{task::JoinSet, time::timeout};

use super::{
    frame,
    message::{AppendV1, Chunk, Reply, Request, is_plausible, transfer_request},
};
use crate::{
    codec::{SnapshotMetaV1, VoteV1},
    engine::{Engine, Parts},
    machine::StateMachine,
    snapshot::{Incoming, SnapshotFile},
    types::{SnapshotMeta, Types, Vote},
};

/// Requests of one connection that are worked on at once.
const MAX_STREAMS: usize = 256;
/// A peer that begins a request sends all of it within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers the requests of `peer` until the connection ends. `engine` gives the
/// present run, if there is one.
pub(crate) async fn serve<S, E>(
    parts: Arc<Parts<S>>,
    engine: E,
    peer: NodeId,
    connection: quinn::Connection,
) where
    S: StateMachine,
    E: Fn() -> Option<Arc<Engine<S>>> + Clone + Send + 'static,
{
    let mut streams = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept_bi() => accepted,
            Some(_) = streams.join_next(), if !streams.is_empty() => continue,
        };
        let Ok((sending, receiving)) = accepted else {
            return;
        };
        while streams.len() >= MAX_STREAMS {
            streams.join_next().await;
        }
        let (parts, engine) = (Arc::clone(&parts), engine());
        streams.spawn(async move {
            // Without a run, the dropped stream tells the peer.
            let Some(engine) = engine else { return };
            let stream = Stream2 { sending, receiving };
            if let Err(error) = answer(&parts, &engine, peer, stream).await {
                tracing::debug!(%peer, %error, "a request was not answered");
            }
        });
    }
}

/// Both halves of a stream.
struct Stream2 {
    sending: quinn::SendStream,
    receiving: quinn::RecvStream,
}

async fn answer<S: StateMachine>(
    parts: &Parts<S>,
    engine: &Engine<S>,
    peer: NodeId,
    mut stream: Stream2,
) -> io::Result<()> {
    let request = within(frame::receive(&mut stream.receiving)).await?;
    let Some(request) = request else {
        return Ok(());
    };
    check_sender(&request, peer)?;
    let reply = match request {
        Request::AppendV1(first) => return appends(engine, peer, first, stream).await,
        Request::SnapshotV1 { vote, meta } => {
            snapshot(parts, engine, vote, meta, &mut stream.receiving).await?
        }
        Request::PreVoteV1(ballot) => engine
            .raft
            .pre_vote(ballot.into())
            .await
            .map_err(io::Error::other)?
            .into(),
        Request::VoteV1(ballot) => engine
            .raft
            .vote(ballot.into())
            .await
            .map_err(io::Error::other)?
            .into(),
        Request::TransferLeaderV1 { from, to, last } => {
            let request = transfer_request(from, to, last);
            let taken = engine.raft.handle_transfer_leader(request).await;
            let taken = taken.map_err(io::Error::other)?;
            Reply::TransferLeaderV1(taken.err().map(|error| error.to_string()))
        }
        other => engine
            .lead(&other)
            .await
            .ok_or_else(|| io::Error::other("an unknown request"))?,
    };
    frame::send(&mut stream.sending, &reply).await?;
    // A peer that has gone does not want the end of the stream either.
    let _ = stream.sending.finish();
    Ok(())
}

fn check_sender(request: &Request, peer: NodeId) -> io::Result<()> {
    match request.sender() {
        Some(sender) if sender != peer => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("it speaks for {sender}"),
        )),
        _ => Ok(()),
    }
}

/// Passes the appends of one stream to openraft as they come, and its answers
/// back.
async fn appends<S: StateMachine>(
    engine: &Engine<S>,
    peer: NodeId,
    first: AppendV1,
    stream: Stream2,
) -> io::Result<()> {
    let mut sending = stream.sending;
    let requests = append_requests(peer, first, stream.receiving);
    let mut results = std::pin::pin!(engine.raft.stream_append(requests));
    while let Some(result) = results.next().await {
        let result = result.map_err(io::Error::other)?;
        frame::send(&mut sending, &Reply::AppendV1(result.into())).await?;
    }
    let _ = sending.finish();
    Ok(())
}

/// Ends at the first message that is not an append of this peer.
fn append_requests(
    peer: NodeId,
    first: AppendV1,
    receiving: quinn::RecvStream,
) -> impl Stream<Item = AppendEntriesRequest<Types>> + Send + 'static {
    stream::unfold(
        (Some(first), receiving),
        move |(first, mut receiving)| async move {
            let next = match first {
                Some(first) => Ok(Some(Request::AppendV1(first))),
                None => frame::receive(&mut receiving).await,
            };
            let parsed = next.and_then(|request| parse_append(peer, request));
            match parsed {
                Ok(request) => Some((request?, (None, receiving))),
                Err(error) => {
                    tracing::debug!(%peer, %error, "a stream of appends ended");
                    None
                }
            }
        },
    )
}

fn parse_append(
    peer: NodeId,
    request: Option<Request>,
) -> io::Result<Option<AppendEntriesRequest<Types>>> {
    let Some(request) = request else {
        return Ok(None);
    };
    check_sender(&request, peer)?;
    match request {
        Request::AppendV1(append) => Ok(Some(append.try_into()?)),
        _ => Err(io::Error::other("something else among appends")),
    }
}

/// Takes a snapshot to a temporary file, and has it installed.
async fn snapshot<S: StateMachine>(
    parts: &Parts<S>,
    engine: &Engine<S>,
    vote: VoteV1,
    meta: SnapshotMetaV1,
    receiving: &mut quinn::RecvStream,
) -> io::Result<Reply> {
    let vote = Vote::from(vote);
    let meta = SnapshotMeta::try_from(meta)?;
    let committed = engine.metrics().local_committed;
    if !is_plausible(meta.last_log_id, &vote, committed) {
        return Err(io::Error::other("a snapshot that contradicts the log"));
    }
    let snapshot = receive_snapshot(parts, meta.clone(), receiving).await?;
    let snapshot = Snapshot { meta, snapshot };
    let installed = engine.raft.install_full_snapshot(vote, snapshot).await;
    let response = installed.map_err(io::Error::other)?;
    Ok(Reply::SnapshotV1((&response.vote).into()))
}

async fn receive_snapshot<S: StateMachine>(
    parts: &Parts<S>,
    meta: SnapshotMeta,
    receiving: &mut quinn::RecvStream,
) -> io::Result<SnapshotFile> {
    let snapshots = parts.snapshots.clone();
    let mut incoming = blocking(move || snapshots.begin(meta)).await?;
    loop {
        match within(frame::receive(receiving)).await? {
            Some(Chunk::Data(bytes)) => {
                incoming = blocking(move || {
                    io::Write::write_all(&mut incoming.writer, &bytes.0)?;
                    Ok(incoming)
                })
                .await?;
            }
            Some(Chunk::End) => return blocking(move || Incoming::finish(incoming)).await,
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(REQUEST_TIMEOUT, work)
        .await
        .map_err(|_| super::peers::timed_out("waiting for a request"))?
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
