//! All members that this node knows, and what it believes of each.
//!
//! Beliefs only ever grow: a head with a later (incarnation, version) replaces the
//! one before, and an incarnation that was declared dead stays dead until its owner
//! raises it. So whatever order news come in, all who have heard the same believe
//! the same, and a hash over it shows whether they have.

use std::sync::Arc;

use certs::NodeId;

use super::rng::{mix, mix_id};
use crate::facts::Facts;
use crate::record::{Body, Head};
use crate::wire::{BUCKETS, Buckets, Claim, Entry, Verdict};

/// Members, the dead and the gone included.
pub const MAX_MEMBERS: usize = 20_000;

/// What a member is believed to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Alive,
    /// Its watchers agreed.
    Dead,
    /// It said so.
    Left,
    /// This node, which watches it, hears nothing and finds nobody to ask: perhaps
    /// the others are dead, perhaps this node is cut off. It is nobody else's
    /// business, and anyone who knows better is believed.
    Presumed,
    /// Presumed, but one who was presumed with it has been heard since.
    Shaken,
}

/// A body that was found to be a member's, ready for use.
#[derive(Debug)]
pub(super) struct Card {
    pub body: Arc<Body>,
    pub digest: [u8; 32],
    /// Unix milliseconds of the certificate's end.
    pub expires_ms: u64,
}

/// One member: small, since a simulation has a hundred million.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub id: NodeId,
    pub head: Arc<Head>,
    pub card: Arc<Card>,
    /// Who declared it dead.
    pub by: NodeId,
    /// When `standing` became what it is, in milliseconds of `Moment`.
    pub since_ms: u64,
    pub standing: Standing,
    pub witnesses: u8,
}

const _: () = assert!(size_of::<Peer>() <= 64);

impl Peer {
    pub fn new(id: NodeId, head: Arc<Head>, card: Arc<Card>, since_ms: u64) -> Self {
        let standing = if head.left {
            Standing::Left
        } else {
            Standing::Alive
        };
        Self {
            id,
            head,
            card,
            by: NodeId::default(),
            since_ms,
            standing,
            witnesses: 0,
        }
    }

    pub fn facts(&self) -> &Arc<Facts> {
        &self.card.body.facts
    }

    /// It takes part: it is watched, and news go through it.
    pub fn is_live(&self) -> bool {
        matches!(self.standing, Standing::Alive | Standing::Shaken)
    }

    /// Its head speaks of a body that has not come yet.
    pub fn is_stale(&self) -> bool {
        self.head.digest != self.card.digest
    }

    pub fn claim(&self) -> Claim {
        match self.standing {
            Standing::Alive | Standing::Left => Claim::Lives,
            Standing::Dead => Claim::Dead(Verdict {
                by: self.by,
                witnesses: self.witnesses,
            }),
            Standing::Presumed | Standing::Shaken => Claim::Unheard,
        }
    }

    pub fn entry(&self) -> Entry {
        Entry {
            id: self.id,
            incarnation: self.head.incarnation,
            version: self.head.version,
            claim: self.claim(),
        }
    }

    /// Presuming changes nothing that others could repair; being shaken asks them.
    fn hash(&self) -> u64 {
        let standing = match self.standing {
            Standing::Alive | Standing::Left | Standing::Presumed => 0,
            Standing::Dead => 1,
            Standing::Shaken => 2,
        };
        let stale = u64::from(self.is_stale()) << 2;
        let head = mix(self.head.incarnation ^ mix(self.head.version << 3 | standing | stale));
        mix(mix_id(self.id.as_u128()) ^ head)
    }

    /// The same of its life alone.
    fn life_hash(&self) -> u64 {
        let standing = match self.standing {
            Standing::Alive | Standing::Presumed => 0,
            Standing::Dead => 1,
            Standing::Shaken => 2,
            Standing::Left => 3,
        };
        mix(mix_id(self.id.as_u128()) ^ mix(self.head.incarnation << 2 | standing))
    }
}

#[derive(Debug)]
pub(super) struct Roster {
    /// By id.
    peers: Vec<Peer>,
    live: usize,
    buckets: Box<[u64; BUCKETS]>,
    root: u64,
    living: u64,
}

pub(super) fn bucket_of(id: NodeId) -> u8 {
    (id.as_u128() >> 120) as u8
}

impl Roster {
    pub fn new() -> Self {
        Self {
            peers: Vec::new(),
            live: 0,
            buckets: Box::new([0; BUCKETS]),
            root: 0,
            living: 0,
        }
    }

    /// Of members, by id, that are all live.
    pub fn formed(peers: Vec<Peer>) -> Self {
        let mut roster = Self::new();
        for peer in &peers {
            roster.account(peer, true);
        }
        roster.peers = peers;
        roster
    }

    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// How many take part.
    pub fn live_count(&self) -> usize {
        self.live
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Peer> {
        self.peers.iter()
    }

    pub fn live(&self) -> impl Iterator<Item = NodeId> + Clone {
        self.peers.iter().filter(|p| p.is_live()).map(|p| p.id)
    }

    /// The one at a place in the order of ids.
    pub fn at(&self, index: usize) -> Option<&Peer> {
        self.peers.get(index)
    }

    pub fn get(&self, id: NodeId) -> Option<&Peer> {
        self.find(id).ok().map(|index| &self.peers[index])
    }

    /// Over everything that is believed; equal where beliefs are.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Over who is believed to live, in which incarnation. It rests while loads
    /// and addresses change, so that two who differ in it differ for good.
    pub fn living(&self) -> u64 {
        self.living
    }

    pub fn bucket_hashes(&self) -> &[u64; BUCKETS] {
        &self.buckets
    }

    /// The members of a bucket, by id.
    pub fn bucket(&self, bucket: u8) -> &[Peer] {
        let from = self.peers.partition_point(|p| bucket_of(p.id) < bucket);
        let len = self.peers[from..].partition_point(|p| bucket_of(p.id) == bucket);
        &self.peers[from..from + len]
    }

    pub fn entries(&self, buckets: &Buckets, most: usize) -> Vec<Entry> {
        (0..=u8::MAX)
            .filter(|bucket| buckets.contains(*bucket))
            .flat_map(|bucket| self.bucket(bucket).iter().map(Peer::entry))
            .take(most)
            .collect()
    }

    /// Adds a member that is not there yet.
    pub fn insert(&mut self, peer: Peer) {
        if let Err(index) = self.find(peer.id) {
            self.account(&peer, true);
            self.peers.insert(index, peer);
        }
    }

    pub fn remove(&mut self, id: NodeId) -> Option<Peer> {
        let index = self.find(id).ok()?;
        let peer = self.peers.remove(index);
        self.account(&peer, false);
        Some(peer)
    }

    /// Changes a member; nothing happens if it is unknown.
    pub fn update(&mut self, id: NodeId, change: impl FnOnce(&mut Peer)) {
        let Ok(index) = self.find(id) else { return };
        let mut peer = self.peers[index].clone();
        self.account(&peer, false);
        change(&mut peer);
        self.account(&peer, true);
        self.peers[index] = peer;
    }

    fn find(&self, id: NodeId) -> Result<usize, usize> {
        self.peers.binary_search_by_key(&id, |peer| peer.id)
    }

    fn account(&mut self, peer: &Peer, add: bool) {
        let (hash, life) = (peer.hash(), peer.life_hash());
        let bucket = &mut self.buckets[usize::from(bucket_of(peer.id))];
        let live = usize::from(peer.is_live());
        if add {
            *bucket = bucket.wrapping_add(hash);
            self.root = self.root.wrapping_add(hash);
            self.living = self.living.wrapping_add(life);
            self.live += live;
        } else {
            *bucket = bucket.wrapping_sub(hash);
            self.root = self.root.wrapping_sub(hash);
            self.living = self.living.wrapping_sub(life);
            self.live -= live;
        }
    }
}
