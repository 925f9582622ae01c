//! Who believes whom dead, beside who is.

use std::collections::HashMap;

use super::swarm::Micros;

/// The beliefs of all members, kept up to date at every change.
#[derive(Debug)]
pub struct Beliefs {
    members: usize,
    /// A bit for each observer and subject: believed dead.
    dead: Vec<u64>,
    /// How many that are up believe a subject dead.
    believers: Vec<u32>,
    /// Since when a subject that is up and in reach is believed dead, by whom.
    wrong: HashMap<(u32, u32), Micros>,
    /// How often that began, and how long it lasted at most.
    pub wrong_ever: u64,
    pub wrong_longest: Micros,
}

impl Beliefs {
    pub fn new(members: usize) -> Self {
        Self {
            members,
            dead: vec![0; (members * members).div_ceil(64)],
            believers: vec![0; members],
            wrong: HashMap::new(),
            wrong_ever: 0,
            wrong_longest: 0,
        }
    }

    fn bit(&self, observer: u32, subject: u32) -> (usize, u64) {
        let index = observer as usize * self.members + subject as usize;
        (index / 64, 1 << (index % 64))
    }

    pub fn is_dead(&self, observer: u32, subject: u32) -> bool {
        let (word, bit) = self.bit(observer, subject);
        self.dead[word] & bit != 0
    }

    /// How many believe it dead.
    pub fn believers(&self, subject: u32) -> usize {
        self.believers[subject as usize] as usize
    }

    /// How many wrong beliefs there are now.
    pub fn wrong(&self) -> usize {
        self.wrong.len()
    }

    /// An observer believes something of a subject; `in_reach`: that is up, and no
    /// cut is between them.
    pub fn note(&mut self, observer: u32, subject: u32, dead: bool, in_reach: bool, now: Micros) {
        if self.is_dead(observer, subject) == dead {
            return;
        }
        let (word, bit) = self.bit(observer, subject);
        self.dead[word] ^= bit;
        let believers = &mut self.believers[subject as usize];
        if dead {
            *believers += 1;
            if in_reach {
                self.wrong.insert((observer, subject), now);
                self.wrong_ever += 1;
            }
        } else {
            *believers -= 1;
            self.right((observer, subject), now);
        }
    }

    /// A member goes, with all that it believes.
    pub fn remove(&mut self, observer: u32) {
        for subject in 0..self.members as u32 {
            if self.is_dead(observer, subject) {
                let (word, bit) = self.bit(observer, subject);
                self.dead[word] ^= bit;
                self.believers[subject as usize] -= 1;
            }
        }
        self.wrong
            .retain(|(o, s), _| *o != observer && *s != observer);
    }

    /// What was right until now is judged anew, after a cut or its healing.
    pub fn judge(&mut self, in_reach: impl Fn(u32, u32) -> bool, now: Micros) {
        self.wrong.clear();
        for observer in 0..self.members as u32 {
            for subject in 0..self.members as u32 {
                if self.is_dead(observer, subject) && in_reach(observer, subject) {
                    self.wrong.insert((observer, subject), now);
                }
            }
        }
    }

    /// Since when the oldest wrong belief lasts.
    pub fn oldest_wrong(&self) -> Option<Micros> {
        self.wrong.values().min().copied()
    }

    fn right(&mut self, pair: (u32, u32), now: Micros) {
        if let Some(since) = self.wrong.remove(&pair) {
            self.wrong_longest = self.wrong_longest.max(now - since);
        }
    }
}
