//! The networks that every node's engine has by itself.

use serde::{Deserialize, Serialize};

use crate::id::Id;

/// A network of the node alone. A task on it is on no network of the swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnNetwork {
    /// The engine's bridge; where a task is that says nothing.
    Bridge,
    /// The node's own interfaces.
    Host,
    /// Nothing but the loopback interface.
    None,
}

impl OwnNetwork {
    pub const ALL: [Self; 3] = [Self::Bridge, Self::Host, Self::None];

    /// Also the name of its driver, but for that of none, which is `null`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::None => "none",
        }
    }

    pub fn driver(self) -> &'static str {
        match self {
            Self::None => "null",
            other => other.as_str(),
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// What specs call it by. The same in every swarm: it is nowhere kept.
    pub fn id(self) -> Id {
        const LETTERS: u32 = 36;
        let digits = self.as_str().chars().filter_map(|it| it.to_digit(LETTERS));
        Id::from_u128(digits.fold(0, |id, digit| id * u128::from(LETTERS) + u128::from(digit)))
    }

    pub fn with_id(id: Id) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_id_says_its_name() {
        assert_eq!(
            OwnNetwork::Host.id().to_string(),
            "000000000000000000000host"
        );
        for network in OwnNetwork::ALL {
            assert_eq!(OwnNetwork::with_id(network.id()), Some(network));
            assert_eq!(OwnNetwork::named(network.as_str()), Some(network));
        }
        assert_eq!(OwnNetwork::with_id(Id::from_u128(1)), None);
        assert_eq!(OwnNetwork::named("default"), None);
    }
}
