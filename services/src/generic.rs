//! Generic resources: what nodes have beside CPUs and memory, by kinds that
//! users name. A node has a number of a kind, or some with names of their own;
//! a task asks for a number, and where they have names, it is given some.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// By kind.
pub type Generic = BTreeMap<String, Amount>;
/// How many a task asks for, by kind.
pub type Wanted = BTreeMap<String, u64>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    Discrete(u64),
    Named(BTreeSet<String>),
}

impl Amount {
    fn count(&self) -> u64 {
        match self {
            Self::Discrete(number) => *number,
            Self::Named(names) => names.len() as u64,
        }
    }

    /// The first so many of it; there are as many.
    fn first(&self, wanted: u64) -> Self {
        match self {
            Self::Discrete(_) => Self::Discrete(wanted),
            Self::Named(names) => {
                let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
                Self::Named(names.iter().take(wanted).cloned().collect())
            }
        }
    }

    fn contains(&self, part: &Self) -> bool {
        match (self, part) {
            (Self::Named(free), Self::Named(part)) => part.is_subset(free),
            (Self::Discrete(free), Self::Discrete(part)) => part <= free,
            (Self::Named(_), Self::Discrete(_)) | (Self::Discrete(_), Self::Named(_)) => false,
        }
    }
}

/// The first kind that there is too little of.
pub(crate) fn lacking<'a>(free: &Generic, wanted: &'a Wanted) -> Option<&'a str> {
    let has = |kind: &String| free.get(kind).map_or(0, Amount::count);
    let mut wanted = wanted.iter();
    let lacks = wanted.find(|(kind, count)| has(kind) < **count);
    lacks.map(|(kind, _)| kind.as_str())
}

/// What of `free` is given to a task. There is enough of it.
pub(crate) fn choose(free: &Generic, wanted: &Wanted) -> Generic {
    let chosen = wanted.iter().filter_map(|(kind, count)| {
        let free = free.get(kind).filter(|_| *count > 0)?;
        Some((kind.clone(), free.first(*count)))
    });
    chosen.collect()
}

/// Takes what a task was given. What the node does not have any more is not
/// there to be taken.
pub(crate) fn take(free: &mut Generic, given: &Generic) {
    for (kind, given) in given {
        match (free.get_mut(kind), given) {
            (Some(Amount::Named(free)), Amount::Named(given)) => {
                free.retain(|name| !given.contains(name));
            }
            (Some(Amount::Discrete(free)), given) => *free = free.saturating_sub(given.count()),
            (None, _) | (Some(Amount::Named(_)), Amount::Discrete(_)) => {}
        }
    }
}

/// Whether all that a task was given is there.
pub(crate) fn has(free: &Generic, given: &Generic) -> bool {
    given
        .iter()
        .all(|(kind, part)| free.get(kind).is_some_and(|free| free.contains(part)))
}

/// What a container is told of it: `DOCKER_RESOURCE_GPU=uuid1,uuid2`.
pub fn environment(given: &Generic) -> Vec<String> {
    let value = |amount: &Amount| match amount {
        Amount::Discrete(number) => number.to_string(),
        Amount::Named(names) => names
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(","),
    };
    given
        .iter()
        .map(|(kind, amount)| format!("DOCKER_RESOURCE_{}={}", kind.to_uppercase(), value(amount)))
        .collect()
}
