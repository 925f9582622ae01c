//! Which of the swarm's networks the engine is to have, and when it is asked to
//! agree. Pure.
//!
//! A task's networks are made when its container is; those that users may put
//! containers on are there before anybody asks. What neither needs is removed.
//! Users remove networks as well, so that the engine is asked again with every
//! listing of what it has.

use std::collections::BTreeSet;

use services::directory::Directory;
use services::{Id, Timestamp};

use super::hold::Hold;
use crate::runtime::{NetworkPlan, Networks};

/// `of_tasks`: those that tasks of this node are on. `None` until a manager has
/// said which networks there are.
pub(super) fn wanted(of_tasks: BTreeSet<Id>, directory: &Directory) -> Option<Networks> {
    if directory.data_port == 0 {
        return None;
    }
    let attachable = directory.networks.iter().filter(|(_, it)| it.attachable);
    let make = attachable.map(|(&id, network)| {
        let plan = NetworkPlan {
            id,
            name: network.name.clone(),
            subnets: network.subnets.clone(),
            attachable: true,
            mtu: network.mtu,
        };
        (id, plan)
    });
    Some(Networks {
        make: make.collect(),
        keep: of_tasks,
        evict: false,
    })
}

/// For one who leaves: none, whoever is on them.
pub(super) fn none() -> Networks {
    Networks {
        evict: true,
        ..Networks::default()
    }
}

/// How often one who leaves tries. An engine that has just removed containers may
/// still count their endpoints, and refuses to remove their network until it has
/// counted again.
const LAST_TRIES: u32 = 5;

/// From what is wanted to what the engine has.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    /// `None`: nothing is known, or nobody could be asked.
    wanted: Option<Networks>,
    /// What it is asked for now.
    asked: Option<Networks>,
    /// What it has, as far as is known.
    agreed: Option<Networks>,
    hold: Hold,
    trouble: Option<String>,
}

impl Upkeep {
    pub fn want(&mut self, wanted: Option<Networks>) {
        self.wanted = wanted;
    }

    /// It may have something else by now.
    pub fn doubt(&mut self) {
        self.agreed = None;
    }

    /// There is a reason to try at once what has failed.
    pub fn hurry(&mut self) {
        self.hold.lift();
    }

    /// What failed before is no reason for one who leaves to wait for long.
    pub fn leave(&mut self) {
        self.hold = Hold::default();
    }

    /// What the engine is to be asked for now. It is asked nothing else until
    /// [`Self::answered`].
    pub fn ask(&mut self, now: Timestamp) -> Option<Networks> {
        if !self.is_due() || !self.hold.is_over(now) {
            return None;
        }
        self.asked = self.wanted.clone();
        self.asked.clone()
    }

    /// Whether a failure is news. It is tried again; for one who leaves, not for
    /// ever.
    pub fn answered(&mut self, answer: Result<(), String>, now: Timestamp) -> bool {
        let asked = self.asked.take();
        let before = self.trouble.take();
        match answer {
            Ok(()) => {
                self.agreed = asked;
                self.hold = Hold::default();
                false
            }
            Err(text) => {
                self.hold.begin(now);
                let is_last = self.hold.failures() >= LAST_TRIES;
                self.agreed = asked.filter(|it| it.evict && is_last);
                let news = before.as_ref() != Some(&text);
                self.trouble = Some(text);
                news
            }
        }
    }

    /// Whether the engine has what is wanted, or was asked for the last time.
    pub fn is_settled(&self) -> bool {
        self.wanted.is_some() && self.agreed == self.wanted
    }

    /// When [`Self::ask`] has something to ask though nothing happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.hold.until().filter(|_| self.is_due())
    }

    fn is_due(&self) -> bool {
        self.asked.is_none() && self.wanted.is_some() && self.agreed != self.wanted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use services::directory::DirectoryNetwork;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn id(number: u128) -> Id {
        Id::from_u128(number)
    }

    fn directory(attachable: &[(u128, bool)]) -> Directory {
        let networks = attachable.iter().map(|&(number, attachable)| {
            let network = DirectoryNetwork {
                name: format!("net{number}"),
                subnets: Vec::new(),
                internal: false,
                ingress: false,
                attachable,
                mtu: None,
            };
            (id(number), network)
        });
        Directory {
            data_port: 4789,
            networks: networks.collect(),
            ..Directory::default()
        }
    }

    #[test]
    fn attachable_networks_are_made_and_those_of_tasks_kept() {
        let known = directory(&[(1, true), (2, false), (3, false)]);
        let wanted = wanted(BTreeSet::from([id(2)]), &known).unwrap();
        assert_eq!(Vec::from_iter(wanted.make.keys()), [&id(1)]);
        assert_eq!(wanted.make[&id(1)].name, "net1");
        assert_eq!(wanted.keep, [id(2)].into());
        assert!(!wanted.evict);
    }

    #[test]
    fn nothing_is_removed_before_a_manager_has_spoken() {
        assert_eq!(wanted(BTreeSet::new(), &Directory::default()), None);
        assert_eq!(Upkeep::default().ask(NOW), None);
    }

    #[test]
    fn the_engine_is_asked_once_until_something_changes_or_is_in_doubt() {
        let mut upkeep = Upkeep::default();
        let first = wanted(BTreeSet::new(), &directory(&[(1, true)]));
        upkeep.want(first.clone());
        assert_eq!(upkeep.ask(NOW), first);
        assert_eq!(upkeep.ask(NOW), None, "it is being asked");
        upkeep.answered(Ok(()), NOW);
        assert!(upkeep.is_settled());
        assert_eq!(upkeep.ask(NOW), None, "it has agreed");
        upkeep.doubt();
        assert_eq!(upkeep.ask(NOW), first);
        let second = wanted(BTreeSet::new(), &directory(&[]));
        upkeep.want(second.clone());
        upkeep.answered(Ok(()), NOW);
        assert!(!upkeep.is_settled(), "to something else");
        assert_eq!(upkeep.ask(NOW), second);
    }

    #[test]
    fn what_fails_is_tried_again_later_and_said_once() {
        let mut upkeep = Upkeep::default();
        upkeep.want(wanted(BTreeSet::new(), &directory(&[(1, true)])));
        upkeep.ask(NOW).unwrap();
        assert!(upkeep.answered(Err("busy".into()), NOW));
        assert_eq!(upkeep.ask(NOW), None);
        let later = upkeep.next_deadline().unwrap();
        assert_eq!(later.since(NOW), Duration::from_millis(500));
        upkeep.ask(later).unwrap();
        assert!(!upkeep.answered(Err("busy".into()), later));
        upkeep.hurry();
        upkeep.ask(later).unwrap();
        assert!(upkeep.answered(Err("gone".into()), later));
    }

    #[test]
    fn who_leaves_tries_for_some_seconds() {
        let mut upkeep = Upkeep::default();
        upkeep.want(Some(none()));
        let mut now = NOW;
        for _ in 1..LAST_TRIES {
            upkeep.ask(now).unwrap();
            upkeep.answered(Err("in use".into()), now);
            assert!(!upkeep.is_settled());
            now = upkeep.next_deadline().unwrap();
        }
        upkeep.ask(now).unwrap();
        upkeep.answered(Err("in use".into()), now);
        assert!(upkeep.is_settled());
        assert_eq!(now.since(NOW), Duration::from_millis(7_500));
    }

    #[test]
    fn who_leaves_begins_anew_whatever_failed_before() {
        let mut upkeep = Upkeep::default();
        upkeep.want(wanted(BTreeSet::new(), &directory(&[(1, true)])));
        let mut now = NOW;
        for _ in 0..2 * LAST_TRIES {
            upkeep.ask(now).unwrap();
            upkeep.answered(Err("busy".into()), now);
            now = upkeep.next_deadline().unwrap();
        }
        upkeep.leave();
        upkeep.want(Some(none()));
        upkeep.ask(NOW).unwrap();
        upkeep.answered(Err("busy".into()), NOW);
        assert!(!upkeep.is_settled());
        let next = upkeep.next_deadline().unwrap();
        assert_eq!(next.since(NOW), Duration::from_millis(500));
    }
}
