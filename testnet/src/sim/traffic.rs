//! What each member sends, and how many connections that needs.

use gossip::connections::{self, MANY, MOST};

use super::swarm::Micros;

/// IP, UDP, QUIC's header and tag around what a datagram carries.
const PACKET: u64 = 60;
/// Of a packet that carries a part of an exchange.
const PAYLOAD: u64 = 1_200;
/// What each side sends for a handshake in which both show a certificate.
const HANDSHAKE: u64 = 4_000;
const IDLE: Micros = connections::IDLE.as_micros() as Micros;
const IDLE_IF_MANY: Micros = connections::IDLE_IF_MANY.as_micros() as Micros;

#[derive(Debug, Default, Clone, Copy)]
pub struct Sent {
    /// On the wire, everything included.
    pub bytes: u64,
    pub packets: u64,
}

#[derive(Debug, Default)]
struct Account {
    sent: Sent,
    /// The peers with an open connection, and when it last carried something.
    open: Vec<(u32, Micros)>,
    most_open: usize,
}

#[derive(Debug)]
pub struct Traffic(Vec<Account>);

impl Traffic {
    pub fn new(members: usize) -> Self {
        Self((0..members).map(|_| Account::default()).collect())
    }

    /// A message of so many encoded bytes, which arrives or not.
    pub fn send(&mut self, from: u32, to: u32, bytes: usize, now: Micros) {
        let packets = (bytes as u64).div_ceil(PAYLOAD).max(1);
        let account = &mut self.0[from as usize];
        account.sent.bytes += bytes as u64 + packets * PACKET;
        account.sent.packets += packets;
        self.touch(from, to, now);
    }

    /// It arrives, and is acknowledged: at worst each packet by one of its own.
    pub fn receive(&mut self, from: u32, to: u32, bytes: usize, now: Micros) {
        let packets = (bytes as u64).div_ceil(PAYLOAD).max(1);
        let account = &mut self.0[to as usize];
        account.sent.bytes += packets * PACKET;
        account.sent.packets += packets;
        self.touch(to, from, now);
    }

    pub fn of(&self, member: u32) -> Sent {
        self.0[member as usize].sent
    }

    /// The most connections that a member has had open at once.
    pub fn most_open(&self, member: u32) -> usize {
        self.0[member as usize].most_open
    }

    /// Forgets what was, but not which connections are open.
    pub fn reset(&mut self) {
        for account in &mut self.0 {
            account.sent = Sent::default();
            account.most_open = account.open.len();
        }
    }

    fn touch(&mut self, member: u32, peer: u32, now: Micros) {
        let account = &mut self.0[member as usize];
        if let Some(open) = account.open.iter_mut().find(|(other, _)| *other == peer) {
            if now > open.1 + IDLE {
                account.sent.bytes += HANDSHAKE;
            }
            open.1 = now;
            return;
        }
        let idle = match account.open.len() > MANY {
            true => IDLE_IF_MANY,
            false => IDLE,
        };
        account.open.retain(|(_, used)| now <= used + idle);
        account.open.push((peer, now));
        account.sent.bytes += HANDSHAKE;
        account.most_open = account.most_open.max(account.open.len());
        if account.open.len() > MOST {
            self.make_room(member);
        }
    }

    fn make_room(&mut self, member: u32) {
        let open = &mut self.0[member as usize].open;
        let oldest = (0..open.len()).min_by_key(|at| open[*at].1);
        if let Some(oldest) = oldest {
            let (peer, _) = open.swap_remove(oldest);
            let open = &mut self.0[peer as usize].open;
            open.retain(|(other, _)| *other != member);
        }
    }
}
