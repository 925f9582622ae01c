//! The one task that performs the machine: it hands over what was heard, and
//! sends, dials and answers what the machine says. It sleeps until something
//! is heard or the machine wants to be woken.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use certs::NodeId;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::Transport;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::request_response::{self, Message, OutboundRequestId, ResponseChannel};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use quinn::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::exchange::{self, Exchanges};
use super::links::MAX_PER_PEER;
use super::transport::{self, ControlEndpoint, multiaddr, node_of, peer_of};
use super::{Shared, lock};
use crate::facts::MAX_ADDRS;
use crate::machine::{Effect, Event, RequestId};
use crate::wire;

/// Connections, and half as many again that are being made.
const MAX_CONNECTIONS: u32 = 64;
const MAX_PENDING: u32 = 32;
/// Datagrams that wait for a connection to one peer, and peers waited for.
const MAX_WAITING: usize = 16;
const MAX_WAITED_FOR: usize = 64;
/// Of peers, not answered yet.
const MAX_UNANSWERED: usize = 64;
/// Datagrams that are taken in before the clock is looked at again.
const MAX_BATCH: usize = 512;
const SWEEP: Duration = Duration::from_secs(5);
/// libp2p knows of exchanges only; what is idle is decided here.
const NEVER: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: connection_limits::Behaviour,
    exchanges: Exchanges,
}

/// From whom, on which connection, what.
type Heard = (NodeId, usize, Bytes);

pub struct Task {
    shared: Arc<Shared>,
    swarm: Swarm<Behaviour>,
    datagrams: SelectAll<BoxStream<'static, Heard>>,
    /// For those to whom a connection is being made.
    waiting: HashMap<NodeId, VecDeque<Bytes>>,
    asked: HashMap<OutboundRequestId, (NodeId, RequestId)>,
    unanswered: HashMap<RequestId, ResponseChannel<Vec<u8>>>,
    next_unanswered: u64,
    swept: Instant,
}

impl Task {
    pub fn new(shared: Arc<Shared>, endpoint: ControlEndpoint) -> Self {
        let limits = ConnectionLimits::default()
            .with_max_established(Some(MAX_CONNECTIONS))
            // One more than are kept: the oldest ends while the newest begins.
            .with_max_established_per_peer(Some(MAX_PER_PEER as u32 + 1))
            .with_max_pending_incoming(Some(MAX_PENDING))
            .with_max_pending_outgoing(Some(MAX_PENDING));
        let behaviour = Behaviour {
            limits: connection_limits::Behaviour::new(limits),
            exchanges: exchange::exchanges(),
        };
        let transport = endpoint
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
            .boxed();
        let config =
            libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(NEVER);
        let mut swarm = Swarm::new(transport, behaviour, peer_of(shared.me), config);
        if let Err(error) = swarm.listen_on(transport::anywhere()) {
            tracing::error!(%error, "gossip takes no connections");
        }
        Self {
            shared,
            swarm,
            datagrams: SelectAll::new(),
            waiting: HashMap::new(),
            asked: HashMap::new(),
            unanswered: HashMap::new(),
            next_unanswered: 0,
            swept: Instant::now(),
        }
    }

    /// Runs until the gossip is shut down. `flushes`: whoever waits for all
    /// that the machine wants to be under way.
    pub async fn run(mut self, mut flushes: mpsc::Receiver<oneshot::Sender<()>>) {
        let stop = self.shared.stop.clone();
        loop {
            self.take_datagrams();
            self.tick_if_due();
            self.perform();
            let wakeup = self.shared.epoch + lock(&self.shared.machine).next_wakeup();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(heard) = self.datagrams.next() => self.take(heard),
                event = self.swarm.select_next_some() => self.take_event(event),
                () = self.shared.told.notified() => {}
                Some(flushed) = flushes.recv() => {
                    self.perform();
                    let _ = flushed.send(());
                }
                () = tokio::time::sleep_until(wakeup) => {}
            }
        }
        self.shared.links.close_all();
    }

    fn handle(&self, event: Event) {
        let now = self.shared.epoch.elapsed();
        lock(&self.shared.machine).handle(event, now);
    }

    /// All that has arrived, before the machine counts anyone's silence.
    fn take_datagrams(&mut self) {
        for _ in 0..MAX_BATCH {
            match self.datagrams.next().now_or_never() {
                Some(Some(heard)) => self.take(heard),
                _ => return,
            }
        }
    }

    fn take(&mut self, (from, on, bytes): Heard) {
        self.shared.links.heard(from, on);
        match wire::decode_datagram(&bytes) {
            Ok(message) => self.handle(Event::Datagram { from, message }),
            Err(error) => tracing::debug!(%from, %error, "not a datagram of gossip"),
        }
    }

    fn tick_if_due(&mut self) {
        let due = lock(&self.shared.machine).next_wakeup();
        if self.shared.epoch.elapsed() < due {
            return;
        }
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let wall_ms = wall.unwrap_or_default().as_millis();
        let wall_ms = wall_ms.try_into().unwrap_or(u64::MAX);
        self.handle(Event::Tick { wall_ms });
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            self.shared.links.sweep();
        }
    }

    fn perform(&mut self) {
        let mut changed = false;
        loop {
            let effect = lock(&self.shared.machine).poll_effect();
            match effect {
                None => break,
                Some(Effect::Datagram { to, message }) => {
                    self.send(to, wire::encode(&message).into());
                }
                Some(Effect::Request { to, id, message }) => {
                    self.ask(to, id, wire::encode(&message));
                }
                Some(Effect::Respond { id, message, .. }) => {
                    if let Some(channel) = self.unanswered.remove(&id) {
                        let exchanges = &mut self.swarm.behaviour_mut().exchanges;
                        // The asker may have gone.
                        let _ = exchanges.send_response(channel, wire::encode(&message));
                    }
                }
                Some(Effect::Disconnect(id)) => {
                    self.waiting.remove(&id);
                    self.shared.links.close(id);
                }
                Some(Effect::Changed(_)) => changed = true,
            }
        }
        if changed {
            self.shared.changes.send_modify(|changes| *changes += 1);
        }
    }

    fn send(&mut self, to: NodeId, datagram: Bytes) {
        if to == self.shared.me || self.shared.links.send(to, datagram.clone()) {
            return;
        }
        if self.waiting.len() >= MAX_WAITED_FOR && !self.waiting.contains_key(&to) {
            return;
        }
        let waiting = self.waiting.entry(to).or_default();
        if waiting.len() == MAX_WAITING {
            waiting.pop_front();
        }
        waiting.push_back(datagram);
        let opts = DialOpts::peer_id(peer_of(to))
            .condition(PeerCondition::NotDialing)
            .addresses(self.addrs(to))
            .build();
        if let Err(error) = self.swarm.dial(opts)
            && !matches!(error, libp2p::swarm::DialError::DialPeerConditionFalse(_))
        {
            tracing::debug!(%to, %error, "not dialled");
            self.waiting.remove(&to);
        }
    }

    fn ask(&mut self, to: NodeId, id: RequestId, frame: Vec<u8>) {
        let addrs = self.addrs(to);
        self.shared.links.touch(to);
        let exchanges = &mut self.swarm.behaviour_mut().exchanges;
        let asked = exchanges.send_request_with_addresses(&peer_of(to), frame, addrs);
        self.asked.insert(asked, (to, id));
    }

    fn addrs(&self, id: NodeId) -> Vec<Multiaddr> {
        let addrs = lock(&self.shared.machine).addrs(id);
        addrs.into_iter().take(MAX_ADDRS).map(multiaddr).collect()
    }

    fn take_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => self.connected(&peer_id),
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                let Some(to) = node_of(&peer) else { return };
                tracing::debug!(%to, %error, "not reached");
                self.waiting.remove(&to);
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "a connection is not taken");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Exchanges(event)) => self.take_exchange(event),
            _ => {}
        }
    }

    fn connected(&mut self, peer: &PeerId) {
        let Some(id) = node_of(peer) else { return };
        for connection in self.shared.links.unread(id) {
            self.datagrams.push(datagrams(id, connection));
        }
        for datagram in self.waiting.remove(&id).into_iter().flatten() {
            self.shared.links.send(id, datagram);
        }
    }

    fn take_exchange(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        use request_response::Event::{InboundFailure, Message as Said, OutboundFailure};
        match event {
            Said { peer, message, .. } => {
                let Some(from) = node_of(&peer) else { return };
                self.shared.links.touch(from);
                match message {
                    Message::Request {
                        request, channel, ..
                    } => self.take_request(from, &request, channel),
                    Message::Response {
                        request_id,
                        response,
                    } => self.take_response(request_id, &response),
                }
            }
            OutboundFailure {
                request_id, error, ..
            } => {
                if let Some((to, id)) = self.asked.remove(&request_id) {
                    tracing::debug!(%to, %error, "an exchange failed");
                    self.handle(Event::RequestFailed { to, id });
                }
            }
            InboundFailure { error, .. } => tracing::debug!(%error, "an exchange was cut off"),
            request_response::Event::ResponseSent { .. } => {}
        }
    }

    fn take_request(&mut self, from: NodeId, frame: &[u8], channel: ResponseChannel<Vec<u8>>) {
        self.unanswered.retain(|_, channel| channel.is_open());
        if self.unanswered.len() >= MAX_UNANSWERED {
            return;
        }
        match wire::decode_request(frame) {
            Ok(message) => {
                self.next_unanswered += 1;
                let id = RequestId(self.next_unanswered);
                self.unanswered.insert(id, channel);
                self.handle(Event::Request { from, id, message });
            }
            Err(error) => tracing::debug!(%from, %error, "not a request of gossip"),
        }
    }

    fn take_response(&mut self, asked: OutboundRequestId, frame: &[u8]) {
        let Some((from, id)) = self.asked.remove(&asked) else {
            return;
        };
        self.handle(match wire::decode_response(frame) {
            Ok(message) => Event::Response { from, id, message },
            Err(error) => {
                tracing::debug!(%from, %error, "not a response of gossip");
                Event::RequestFailed { to: from, id }
            }
        });
    }
}

/// What comes on a connection, until it ends. QUIC keeps a bounded number of
/// those that are not read in time, and drops the oldest.
fn datagrams(from: NodeId, connection: Connection) -> BoxStream<'static, Heard> {
    futures::stream::unfold(connection, move |connection| async move {
        let bytes = connection.read_datagram().await.ok()?;
        Some(((from, connection.stable_id(), bytes), connection))
    })
    .boxed()
}
