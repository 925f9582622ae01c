//! What the agent needs of the overlay: that containers are let in, that others
//! hear where they answer, and a word when neither works.
//!
//! Everything is told as a whole set, whenever it changes; whoever hears it
//! needs no memory of what was said before. The agent decides what is in the
//! sets (`endpoints`), the overlay what becomes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::IpAddr;

use gossip::facts::Endpoint;
use overlay::dns::resolv::Wanted;
use services::Id;
use services::assignment::AssignedNetwork;
use services::object::PublishedPort;

/// Networks and their addresses that containers of this node may be given.
pub type Expected = BTreeSet<(Id, IpAddr)>;

/// By task and network.
pub type Endpoints = BTreeMap<(Id, Id), Endpoint>;

/// By one address of each container that has servers of its own: what its user
/// wrote of them.
pub type Resolvers = BTreeMap<IpAddr, Wanted>;

/// The overlay, as the agent uses it. No call waits for anything but a lock.
pub trait Links: Debug + Send + Sync + 'static {
    /// From now on these addresses, and no others, are let in when the engine
    /// brings a container. In effect when it returns. What is in already stays.
    fn expect(&self, expected: Expected);

    /// Where this node's tasks answer, for everyone. A task that is to stop is
    /// told as not ready some time before.
    fn announce(&self, endpoints: Endpoints);

    /// Whom to ask on behalf of containers for what is not of the overlay.
    fn resolvers(&self, resolvers: Resolvers);

    /// Why no container can be connected to this network now, at these
    /// addresses; for people. `None`: all is well.
    fn fault(&self, network: &AssignedNetwork) -> Option<String>;

    /// The ports of this host that lead to the container at this address.
    fn ports_at(&self, addr: IpAddr) -> Vec<PublishedPort>;

    /// Whether containers of this node can ever be connected.
    fn has_overlay(&self) -> bool {
        true
    }

    /// Whether what the engine asks of the network driver is answered. It waits
    /// for long for one that is not there.
    fn has_driver(&self) -> bool;
}

/// A node without an overlay: its tasks run as long as they are on no network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unlinked;

impl Links for Unlinked {
    fn expect(&self, _: Expected) {}

    fn announce(&self, _: Endpoints) {}

    fn resolvers(&self, _: Resolvers) {}

    fn fault(&self, _: &AssignedNetwork) -> Option<String> {
        Some("this node runs without the overlay".to_owned())
    }

    fn ports_at(&self, _: IpAddr) -> Vec<PublishedPort> {
        Vec::new()
    }

    fn has_overlay(&self) -> bool {
        false
    }

    fn has_driver(&self) -> bool {
        false
    }
}

#[cfg(test)]
pub mod fake {
    //! An overlay that remembers the last it was told.

    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use super::*;

    /// Clones are handles on the same overlay.
    #[derive(Debug, Clone, Default)]
    pub struct FakeLinks(Arc<Mutex<Told>>);

    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Told {
        pub expected: Expected,
        pub endpoints: Endpoints,
        pub resolvers: Resolvers,
        pub fault: Option<String>,
        pub ports: BTreeMap<IpAddr, PublishedPort>,
        /// All that was ever announced.
        pub heard: Vec<Endpoints>,
    }

    impl FakeLinks {
        pub fn told(&self) -> Told {
            self.lock().clone()
        }

        pub fn break_with(&self, fault: &str) {
            self.lock().fault = Some(fault.to_owned());
        }

        pub fn open(&self, addr: IpAddr, port: PublishedPort) {
            self.lock().ports.insert(addr, port);
        }

        pub fn mend(&self) {
            self.lock().fault = None;
        }

        pub fn forget(&self) {
            *self.lock() = Told::default();
        }

        fn lock(&self) -> MutexGuard<'_, Told> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Links for FakeLinks {
        fn expect(&self, expected: Expected) {
            self.lock().expected = expected;
        }

        fn announce(&self, endpoints: Endpoints) {
            let mut told = self.lock();
            told.heard.push(endpoints.clone());
            told.endpoints = endpoints;
        }

        fn resolvers(&self, resolvers: Resolvers) {
            self.lock().resolvers = resolvers;
        }

        fn fault(&self, _: &AssignedNetwork) -> Option<String> {
            self.lock().fault.clone()
        }

        fn ports_at(&self, addr: IpAddr) -> Vec<PublishedPort> {
            let told = self.lock();
            told.ports.get(&addr).cloned().into_iter().collect()
        }

        fn has_driver(&self) -> bool {
            self.lock().fault.is_none()
        }
    }
}
