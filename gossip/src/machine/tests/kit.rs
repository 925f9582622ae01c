//! A few machines on a network that can be hurt. Every message is encoded and
//! decoded on its way.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use certs::{NodeId, Role};

use crate::facts::{Facts, Load, Platform, Resources};
use crate::machine::rng::{Rng, mix};
use crate::machine::{Author, Config, Effect, Event, Keys, Machine, Refused, RequestId};
use crate::view::{Liveness, Moment};
use crate::wire;

pub const WALL: u64 = 1_800_000_000_000;

/// Signs with a hash that anyone could make; good enough where nobody lies, and a
/// test that lies uses the wrong key.
#[derive(Debug, Clone)]
pub struct FakeKeys(pub u8);

pub fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut lanes = [1u64, 2, 3, 4];
    for (index, chunk) in bytes.chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        for lane in &mut lanes {
            *lane = mix(*lane ^ u64::from_le_bytes(word) ^ (index as u64) << 48);
        }
    }
    let mut out = [0; 32];
    for (out, lane) in out.chunks_mut(8).zip(lanes) {
        out.copy_from_slice(&lane.to_le_bytes());
    }
    out
}

pub fn id_of(node: u8) -> NodeId {
    FakeKeys(node).node_of(&FakeKeys(node).public_key())
}

fn signature(public_key: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(public_key);
    bytes[32..].copy_from_slice(&hash(&[public_key, message].concat()));
    bytes
}

impl Keys for FakeKeys {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        signature(&self.public_key(), message)
    }

    fn public_key(&self) -> [u8; 32] {
        let mut key = [7; 32];
        key[0] = self.0;
        key
    }

    fn certificate(&self) -> Vec<u8> {
        vec![0xce, self.0]
    }

    fn admit(&self, certificate: &[u8], wall_ms: u64) -> Result<Author, Refused> {
        let [0xce, node] = certificate else {
            return Err(Refused::Certificate);
        };
        let expires_ms = WALL + 90 * 24 * 3_600_000;
        if wall_ms > expires_ms {
            return Err(Refused::Expired);
        }
        Ok(Author {
            id: id_of(*node),
            role: Role::Worker,
            public_key: FakeKeys(*node).public_key(),
            expires_ms,
        })
    }

    fn verify(&self, public_key: &[u8; 32], message: &[u8], bytes: &[u8; 64]) -> bool {
        signature(public_key, message) == *bytes
    }

    fn node_of(&self, public_key: &[u8; 32]) -> NodeId {
        let mut id = [0; 16];
        id.copy_from_slice(&hash(public_key)[..16]);
        NodeId::from(u128::from_le_bytes(id))
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        hash(bytes)
    }
}

pub fn facts(node: u8) -> Facts {
    Facts {
        addrs: vec![SocketAddr::from(([10, 0, 0, node], 2377))],
        hostname: format!("n{node}"),
        role: Role::Worker,
        version: "0.1.0".into(),
        platform: Platform::default(),
        resources: Resources::default(),
        load: Load::default(),
        endpoints: BTreeMap::new(),
    }
}

pub fn machine(node: u8, now: Moment, incarnation: u64) -> Machine {
    let keys = Box::new(FakeKeys(node));
    Machine::new(
        Config::default(),
        keys,
        facts(node),
        incarnation,
        node.into(),
        now,
    )
}

#[derive(Debug)]
enum Arrival {
    Datagram(Vec<u8>),
    Request(RequestId, Vec<u8>),
    Response(RequestId, Vec<u8>),
    Failed(RequestId),
}

/// Ordered by time, the earliest first, then by number.
#[derive(Debug)]
struct Letter {
    at: Moment,
    number: u64,
    from: u8,
    to: u8,
    arrival: Arrival,
}

impl PartialEq for Letter {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Letter {}

impl PartialOrd for Letter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Letter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

pub struct Swarm {
    pub now: Moment,
    pub machines: BTreeMap<u8, Machine>,
    letters: BinaryHeap<Letter>,
    number: u64,
    rng: Rng,
    /// Of 100 datagrams.
    pub loss: usize,
    /// Nothing gets from the first to the second.
    pub broken: BTreeSet<(u8, u8)>,
    /// Not running; letters wait for them.
    pub frozen: BTreeSet<u8>,
    inbox: BTreeMap<u8, Vec<Letter>>,
    pub sent: u64,
}

impl Swarm {
    /// Members 1 to `count`, each with a hint about the first, until all agree.
    pub fn formed(count: u8, seed: u64) -> Self {
        let mut swarm = Self::new(seed);
        for node in 1..=count {
            swarm.boot(node);
        }
        swarm.until(20_000, |swarm| swarm.all_alive());
        swarm
    }

    pub fn new(seed: u64) -> Self {
        Self {
            now: Moment::ZERO,
            machines: BTreeMap::new(),
            letters: BinaryHeap::new(),
            number: 0,
            rng: Rng::new(seed),
            loss: 0,
            broken: BTreeSet::new(),
            frozen: BTreeSet::new(),
            inbox: BTreeMap::new(),
            sent: 0,
        }
    }

    /// A fresh process, which knows the first member's address.
    pub fn boot(&mut self, node: u8) {
        let incarnation = WALL + self.now.as_millis() as u64;
        self.boot_as(node, incarnation);
    }

    pub fn boot_as(&mut self, node: u8, incarnation: u64) {
        self.machines
            .insert(node, machine(node, self.now, incarnation));
        let contact = self.machines.keys().copied().find(|other| *other != node);
        if let Some(contact) = contact {
            let addrs = facts(contact).addrs;
            let id = id_of(contact);
            self.event(node, Event::Hint { id, addrs });
        }
    }

    /// Power off.
    pub fn kill(&mut self, node: u8) {
        self.machines.remove(&node);
        self.letters.retain(|letter| letter.to != node);
        self.inbox.remove(&node);
    }

    /// Cuts all paths between two groups, or heals them.
    pub fn split(&mut self, one: &[u8], other: &[u8], cut: bool) {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            for path in [(a, b), (b, a)] {
                match cut {
                    true => self.broken.insert(path),
                    false => self.broken.remove(&path),
                };
            }
        }
    }

    pub fn thaw(&mut self, node: u8) {
        self.frozen.remove(&node);
        for letter in self.inbox.remove(&node).unwrap_or_default() {
            self.deliver(letter);
        }
    }

    pub fn event(&mut self, node: u8, event: Event) {
        let now = self.now;
        if let Some(machine) = self.machines.get_mut(&node) {
            machine.handle(event, now);
            self.perform(node);
        }
    }

    pub fn datagram(&mut self, from: u8, to: u8, message: wire::Datagram) {
        let from = id_of(from);
        self.event(to, Event::Datagram { from, message });
    }

    /// Runs for so many milliseconds.
    pub fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until something is so; panics if it is not within so many milliseconds.
    /// Returns how many it took.
    #[track_caller]
    pub fn until(&mut self, ms: u64, so: impl Fn(&Self) -> bool) -> u64 {
        let start = self.now;
        let end = start + Duration::from_millis(ms);
        while !so(self) {
            if !self.step(end) {
                panic!("not within {ms} ms: {}", self.beliefs());
            }
        }
        (self.now - start).as_millis() as u64
    }

    pub fn liveness(&self, observer: u8, subject: u8) -> Option<Liveness> {
        let member = self.machines.get(&observer)?.member(id_of(subject))?;
        Some(member.liveness)
    }

    pub fn is_dead(&self, observer: u8, subject: u8) -> bool {
        matches!(
            self.liveness(observer, subject),
            Some(Liveness::Dead { .. })
        )
    }

    pub fn all_alive(&self) -> bool {
        let mut observers = self.machines.keys();
        observers.all(|observer| {
            let mut subjects = self.machines.keys();
            subjects.all(|subject| self.liveness(*observer, *subject) == Some(Liveness::Alive))
        })
    }

    pub fn dead_for_all(&self, subject: u8) -> bool {
        let mut observers = self.machines.keys().filter(|node| **node != subject);
        observers.all(|observer| self.is_dead(*observer, subject))
    }

    /// What each believes of each, for a failure's message.
    pub fn beliefs(&self) -> String {
        let mut text = String::new();
        for (node, machine) in &self.machines {
            let peers: Vec<String> = (machine.members())
                .map(|m| {
                    let name = m.facts.map(|facts| facts.hostname.clone());
                    format!("{}:{:?}", name.unwrap_or_default(), m.liveness)
                })
                .collect();
            text += &format!("\n  n{node}: {}", peers.join(" "));
        }
        text
    }

    fn step(&mut self, end: Moment) -> bool {
        let running = self
            .machines
            .iter()
            .filter(|(node, _)| !self.frozen.contains(node));
        let tick = running
            .map(|(node, m)| (m.next_wakeup().max(self.now), *node))
            .min();
        let letter = self.letters.peek().map(|letter| letter.at);
        let next = tick.map(|(at, _)| at).into_iter().chain(letter).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            return false;
        };
        self.now = next;
        if letter == Some(next) {
            if let Some(letter) = self.letters.pop() {
                self.deliver(letter);
            }
        } else if let Some((_, node)) = tick {
            let wall_ms = WALL + self.now.as_millis() as u64;
            self.event(node, Event::Tick { wall_ms });
        }
        true
    }

    fn deliver(&mut self, letter: Letter) {
        let (node, from) = (letter.to, id_of(letter.from));
        if self.frozen.contains(&node) {
            self.inbox.entry(node).or_default().push(letter);
            return;
        }
        let event = match letter.arrival {
            Arrival::Datagram(bytes) => Event::Datagram {
                from,
                message: wire::decode_datagram(&bytes).unwrap(),
            },
            Arrival::Request(id, bytes) => Event::Request {
                from,
                id,
                message: wire::decode_request(&bytes).unwrap(),
            },
            Arrival::Response(id, bytes) => Event::Response {
                from,
                id,
                message: wire::decode_response(&bytes).unwrap(),
            },
            Arrival::Failed(id) => Event::RequestFailed { to: from, id },
        };
        self.event(node, event);
    }

    fn perform(&mut self, node: u8) {
        loop {
            let effect = self.machines.get_mut(&node).and_then(Machine::poll_effect);
            match effect {
                None => return,
                Some(Effect::Datagram { to, message }) => {
                    let bytes = wire::encode(&message);
                    assert!(bytes.len() <= wire::MAX_DATAGRAM, "{message:?}");
                    self.post(node, to, Arrival::Datagram(bytes));
                }
                Some(Effect::Request { to, id, message }) => {
                    self.post(node, to, Arrival::Request(id, wire::encode(&message)));
                }
                Some(Effect::Respond { to, id, message }) => {
                    self.post(node, to, Arrival::Response(id, wire::encode(&message)));
                }
                Some(Effect::Disconnect(_) | Effect::Changed(_)) => {}
            }
        }
    }

    fn post(&mut self, from: u8, to: NodeId, arrival: Arrival) {
        self.sent += 1;
        let target = self
            .machines
            .keys()
            .copied()
            .find(|node| id_of(*node) == to);
        let lost = matches!(arrival, Arrival::Datagram(_)) && self.rng.below(100) < self.loss;
        let delay = Duration::from_micros(200 + self.rng.below(4_800) as u64);
        let passes = target.filter(|to| {
            let answered = self.broken.contains(&(*to, from));
            let datagram = matches!(arrival, Arrival::Datagram(_));
            !self.broken.contains(&(from, *to)) && (datagram || !answered)
        });
        match passes {
            Some(to) if !lost => self.put(delay, from, to, arrival),
            Some(_) => {}
            None => {
                let back = (1..=u8::MAX).find(|node| id_of(*node) == to).unwrap_or(0);
                if let Arrival::Request(id, _) = arrival {
                    self.put(Duration::from_secs(3), back, from, Arrival::Failed(id));
                }
            }
        }
    }

    fn put(&mut self, delay: Duration, from: u8, to: u8, arrival: Arrival) {
        self.number += 1;
        self.letters.push(Letter {
            at: self.now + delay,
            number: self.number,
            from,
            to,
            arrival,
        });
    }
}
