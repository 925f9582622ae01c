//! openraft's view of the network: a client for each peer and purpose.

use std::{
    future::Future,
    io::{self, Read},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use certs::NodeId;
use futures::{Stream, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{
    frame,
    message::{Chunk, Reply, Request, vote_response},
    peers::{Connected, Peers, timed_out},
};
use crate::{
    machine::OpenraftSnapshot,
    snapshot::{SnapshotFile, SnapshotReader, Snapshots},
    types::{Addr, Blob, Id, Types, Vote},
};

/// An append that was sent is answered within this time, or its stream ends.
const APPEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Likewise for a chunk of a snapshot, and for installing it at its end.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10);
const INSTALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of state in one frame.
const CHUNK_BYTES: usize = 256 << 10;

/// Makes clients that share the connections.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub peers: Arc<Peers>,
    pub snapshots: Snapshots,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: Id, node: &Addr) -> Client {
        Client {
            network: self.clone(),
            id: target.0,
            addr: node.0,
        }
    }
}

/// Speaks to one peer.
#[derive(Debug)]
pub(crate) struct Client {
    network: Network,
    id: NodeId,
    addr: SocketAddr,
}

type RpcResult<T> = Result<T, RPCError<Types>>;
type AppendResults<'s> = BoxStream<'s, RpcResult<StreamAppendResult<Types>>>;

impl Client {
    async fn call(&self, request: &Request, option: &RPCOption) -> RpcResult<Reply> {
        let deadline = Instant::now() + option.soft_ttl();
        let sent = AtomicBool::new(false);
        let peers = &self.network.peers;
        let call = peers.call(self.id, self.addr, request, deadline, &sent);
        call.await.map_err(|error| match sent.into_inner() {
            true => RPCError::Network(NetworkError::new(&error)),
            false => RPCError::Unreachable(Unreachable::new(&error)),
        })
    }

    /// openraft opens a stream anew the moment that it could not be opened: its own
    /// back-off is between the requests of one.
    async fn connect(&self, limit: Duration) -> io::Result<Connected> {
        let connecting = self.network.peers.connect_when_due(self.id, self.addr);
        timeout(limit, connecting)
            .await
            .map_err(|_| timed_out("connecting"))?
    }

    async fn ballot(&self, request: Request, option: RPCOption) -> RpcResult<VoteResponse<Types>> {
        match self.call(&request, &option).await? {
            Reply::VoteV1 {
                vote,
                last,
                granted,
            } => Ok(vote_response(vote, last, granted)),
            _ => Err(unexpected_reply()),
        }
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: OpenraftSnapshot,
    ) -> io::Result<SnapshotResponse<Types>> {
        let connected = self.connect(CHUNK_TIMEOUT).await?;
        let opening = async { Ok(connected.connection.open_bi().await?) };
        let (mut sending, mut receiving) = within(CHUNK_TIMEOUT, opening).await?;
        let request = Request::SnapshotV1 {
            vote: (&vote).into(),
            meta: (&snapshot.meta).into(),
        };
        within(CHUNK_TIMEOUT, frame::send(&mut sending, &request)).await?;
        let mut reader = self.network.snapshots.reader(&snapshot.snapshot)?;
        loop {
            let (chunk, returned) = read_chunk(reader).await?;
            reader = returned;
            let chunk = match chunk.is_empty() {
                true => Chunk::End,
                false => Chunk::Data(Blob::from(chunk)),
            };
            within(CHUNK_TIMEOUT, frame::send(&mut sending, &chunk)).await?;
            if chunk == Chunk::End {
                break;
            }
        }
        match within(INSTALL_TIMEOUT, frame::receive(&mut receiving)).await? {
            Some(Reply::SnapshotV1(vote)) => {
                connected.heard();
                Ok(SnapshotResponse::new(vote.into()))
            }
            _ => Err(io::Error::other("the peer did not confirm the snapshot")),
        }
    }
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<Types>> {
        let request = Request::AppendV1((&request).into());
        match self.call(&request, &option).await? {
            Reply::AppendV1(reply) => Ok(StreamAppendResult::<Types>::from(reply).into()),
            _ => Err(unexpected_reply()),
        }
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        option: RPCOption,
    ) -> BoxFuture<'s, RpcResult<AppendResults<'s>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            let unreachable = |error| RPCError::Unreachable(Unreachable::new(&error));
            let connected = self.connect(option.soft_ttl()).await.map_err(unreachable)?;
            let opening = connected.connection.open_bi();
            let (sending, receiving) = match timeout(option.soft_ttl(), opening).await {
                Ok(opened) => opened.map_err(|e| unreachable(e.into()))?,
                Err(_) => {
                    self.network.peers.timed_out(self.id, &connected);
                    return Err(unreachable(timed_out("opening a stream")));
                }
            };
            let sent = Arc::new(AtomicU64::new(0));
            let sender = tokio::spawn(send_appends(requests, sending, Arc::clone(&sent)));
            let results = Appending {
                peers: Arc::clone(&self.network.peers),
                id: self.id,
                connected,
                receiving,
                sent,
                received: 0,
                _sender: AbortOnDropHandle::new(sender),
            };
            Ok(results.into_stream().boxed())
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<Types>> {
        self.ballot(Request::VoteV1((&request).into()), option)
            .await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<Types>> {
        self.ballot(Request::PreVoteV1((&request).into()), option)
            .await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: OpenraftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            sent = self.send_snapshot(vote, snapshot) => {
                sent.map_err(|error| Unreachable::new(&error).into())
            }
            closed = cancel => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<Types>> {
        match self.call(&Request::from(&request), &option).await? {
            Reply::TransferLeaderV1(None) => Ok(Ok(())),
            Reply::TransferLeaderV1(Some(reason)) => {
                Err(RPCError::Network(NetworkError::from_string(reason)))
            }
            _ => Err(unexpected_reply()),
        }
    }
}

/// Passes appends on as they come, without waiting for their replies.
async fn send_appends<S>(mut requests: S, mut sending: quinn::SendStream, sent: Arc<AtomicU64>)
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
{
    while let Some(request) = requests.next().await {
        sent.fetch_add(1, Ordering::Relaxed);
        let message = Request::AppendV1((&request).into());
        if let Err(error) = frame::send(&mut sending, &message).await {
            tracing::debug!(%error, "an append was not sent");
            return;
        }
    }
    // The peer may be gone, then the replies end too.
    let _ = sending.finish();
}

/// The receiving half of a stream of appends.
struct Appending {
    peers: Arc<Peers>,
    id: NodeId,
    connected: Connected,
    receiving: quinn::RecvStream,
    sent: Arc<AtomicU64>,
    received: u64,
    _sender: AbortOnDropHandle<()>,
}

impl Appending {
    fn into_stream(self) -> impl Stream<Item = RpcResult<StreamAppendResult<Types>>> + Send {
        stream::unfold(Some(self), |state| async move {
            let mut state = state?;
            match state.next().await {
                Ok(None) => None,
                Ok(Some(Reply::AppendV1(reply))) => {
                    let result = StreamAppendResult::<Types>::from(reply);
                    let rest = result.is_ok().then_some(state);
                    Some((Ok(result), rest))
                }
                Ok(Some(_)) => Some((Err(unexpected_reply()), None)),
                Err(error) => Some((Err(RPCError::Network(NetworkError::new(&error))), None)),
            }
        })
    }

    async fn next(&mut self) -> io::Result<Option<Reply>> {
        let received = self.received;
        let mut receive = std::pin::pin!(frame::receive(&mut self.receiving));
        loop {
            match timeout(APPEND_TIMEOUT, &mut receive).await {
                Ok(reply) => {
                    self.connected.heard();
                    self.received += 1;
                    return reply;
                }
                Err(_) if self.sent.load(Ordering::Relaxed) > received => {
                    self.peers.timed_out(self.id, &self.connected);
                    return Err(timed_out("waiting for an append to be confirmed"));
                }
                // Nothing was sent that could be answered.
                Err(_) => {}
            }
        }
    }
}

async fn read_chunk(mut reader: SnapshotReader) -> io::Result<(Vec<u8>, SnapshotReader)> {
    let read = move || {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        reader
            .by_ref()
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut chunk)?;
        Ok((chunk, reader))
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(io::Error::other)?
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work)
        .await
        .map_err(|_| timed_out("sending a snapshot"))?
}

fn unexpected_reply() -> RPCError<Types> {
    RPCError::Network(NetworkError::from_string("the reply is of another kind"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use certs::ClusterId;

    use super::*;
    use crate::Dial;

    /// Connects to nobody.
    #[derive(Default)]
    struct Nobody {
        dialled: AtomicUsize,
    }

    impl Dial for Nobody {
        fn dial(
            &self,
            _: NodeId,
            _: SocketAddr,
        ) -> BoxFuture<'static, io::Result<quinn::Connection>> {
            self.dialled.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Err(io::ErrorKind::HostUnreachable.into()) })
        }
    }

    /// As openraft does: otherwise it would ask without a pause, for as long as the
    /// manager is away.
    #[tokio::test]
    async fn a_stream_that_is_asked_for_at_once_again_is_not_refused_before_it_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        let key = certs::seal::DataKey::generate().unwrap();
        let dial = Arc::new(Nobody::default());
        let mut client = Client {
            network: Network {
                peers: Arc::new(Peers::new(Arc::clone(&dial) as Arc<dyn crate::Dial>)),
                snapshots: Snapshots::open(dir.path().into(), ClusterId::from(1), key).unwrap(),
            },
            id: NodeId::from(2),
            addr: ([127, 0, 0, 1], 1).into(),
        };
        for asked in 1..=4 {
            let option = RPCOption::new(Duration::from_secs(10));
            let opened = client.stream_append(stream::empty(), option).await;
            assert!(opened.is_err());
            assert_eq!(dial.dialled.load(Ordering::Relaxed), asked);
        }
    }
}
