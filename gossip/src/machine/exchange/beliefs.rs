//! What two members show each other, and what follows from it.

use certs::NodeId;

use super::super::roster::Peer;
use super::super::{Machine, Standing};
use super::{FEW, Kind};
use crate::codec;
use crate::record::base_of;
use crate::wire::{
    BUCKETS, Buckets, Claim, Entry, MAX_ENTRIES, MAX_WANTED, Parcel, Request, Summary, Want,
};

/// Entries of this node in one list.
const LIST: usize = 4_000;
/// Bytes of records in one answer.
const PAGE: usize = 256 << 10;

impl Machine {
    pub(super) fn summary(&self, to: NodeId) -> Summary {
        Summary {
            head: self.own.head.clone(),
            you: self.roster.get(to).map(Peer::entry),
            root: self.roster.root(),
            members: u32::try_from(self.roster.len()).unwrap_or(u32::MAX),
        }
    }

    /// Says whether the other believes something else.
    pub(super) fn on_summary(&mut self, from: NodeId, summary: Summary) -> bool {
        let root = self.roster.root();
        if let Some(you) = summary.you
            && you.id == self.me
        {
            self.consider(from, you);
        }
        self.on_head(from, summary.head, |_, _, _| None);
        root != summary.root
    }

    /// Shows this node's entries of the buckets that differ.
    pub(super) fn list(&mut self, to: NodeId, members: u32, theirs: &[u64]) {
        let few = members.max(self.roster.len() as u32) <= FEW;
        let mine = self.roster.bucket_hashes();
        let (mut buckets, mut count, mut more) = (Buckets::NONE, 0, false);
        let first = self.rng.below(BUCKETS);
        for offset in 0..BUCKETS {
            let bucket = (first + offset) % BUCKETS;
            if !few && theirs.get(bucket) == Some(&mine[bucket]) {
                continue;
            }
            // The other may have as many again that are unknown here.
            let size = self
                .roster
                .bucket(bucket as u8)
                .len()
                .max(members as usize / BUCKETS);
            if count > 0 && count + size > LIST {
                more = true;
                break;
            }
            count += size;
            buckets.insert(bucket as u8);
        }
        let entries = self.roster.entries(&buckets, MAX_ENTRIES);
        let request = Request::List { buckets, entries };
        self.request(to, request, Kind::List { more });
    }

    /// What another believes of a member.
    pub(super) fn consider(&mut self, from: NodeId, entry: Entry) {
        let Entry { id, claim, .. } = entry;
        if id == self.me {
            let mine = self.own.head.order();
            let dead = matches!(claim, Claim::Dead(_)) && entry.incarnation == mine.0;
            if (entry.incarnation, entry.version) > mine {
                // Of an earlier life; the head itself shows whether it is true.
                self.want(id, from);
            } else if dead {
                self.refute(entry.incarnation);
            }
            return;
        }
        let Some(peer) = self.roster.get(id) else {
            if !self.revoked.contains(&id) {
                self.want(id, from);
            }
            return;
        };
        let (mine, theirs) = (peer.head.order(), (entry.incarnation, entry.version));
        let (standing, stale, live) = (peer.standing, peer.is_stale(), peer.is_live());
        if theirs > mine || (theirs == mine && stale) {
            self.want(id, from);
        }
        if entry.incarnation != mine.0 {
            return;
        }
        match claim {
            Claim::Dead(verdict) if live => {
                self.accuse(Some(from), id, entry.incarnation, Some(verdict));
            }
            Claim::Dead(verdict) if standing == Standing::Presumed => {
                self.update(id, |peer| {
                    peer.standing = Standing::Dead;
                    peer.by = verdict.by;
                    peer.witnesses = verdict.witnesses;
                });
            }
            Claim::Lives if standing == Standing::Shaken => {
                self.update(id, |peer| peer.standing = Standing::Alive);
            }
            Claim::Dead(_) | Claim::Lives | Claim::Unheard => {}
        }
    }

    pub(super) fn parcels(&self, wanted: &[Want]) -> Vec<Parcel> {
        let mut bytes = 0;
        let mut parcels = Vec::new();
        for want in wanted.iter().take(MAX_WANTED) {
            let Some(peer) = self.roster.get(want.id).filter(|peer| !peer.is_stale()) else {
                continue;
            };
            let has_body = want.have == Some(base_of(&peer.card.digest));
            let parcel = Parcel {
                head: peer.head.clone(),
                body: (!has_body).then(|| peer.card.body.clone()),
                claim: peer.claim(),
            };
            bytes += codec::encoded_len(&parcel);
            if bytes > PAGE && !parcels.is_empty() {
                break;
            }
            parcels.push(parcel);
        }
        parcels
    }
}
