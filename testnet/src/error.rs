//! What can go wrong while hosts are raised, driven and removed.
//!
//! Every variant says what it left behind: the harness is run by people who
//! have to decide between trying again, looking inside, and `testnet down`.

use std::path::PathBuf;

use stopwatch::Took;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a testnet did not happen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed; what had been done before it stays until `down`.
    #[error("{what}: {source}")]
    Io {
        what: String,
        source: std::io::Error,
    },

    /// A program ended badly; its own effects are unknown, nothing else changed.
    #[error("{place}: `{command}` {ending}{said}")]
    Command {
        place: String,
        command: String,
        ending: String,
        /// What it printed, each stream under its name; empty when silent.
        said: String,
    },

    /// A condition was not met in time; the testnet is left as it is.
    #[error("waited {waited} for {what}; last seen: {last}")]
    Timeout {
        what: String,
        waited: Took,
        last: String,
    },

    /// No such testnet; nothing was touched.
    #[error("no testnet `{0}` is up; start it with `cargo testnet up --name {0}`")]
    NotUp(String),

    /// The name is in use; the running testnet was not touched.
    #[error("testnet `{0}` is already up; take it down with `cargo testnet down --name {0}`")]
    AlreadyUp(String),

    /// A name that cannot be used; nothing was touched.
    #[error("`{0}` is not a testnet name: 1 to 32 of a-z, 0-9 and `-`, not starting with `-`")]
    BadName(String),

    /// A count outside what one machine carries; nothing was touched.
    #[error("{0} hosts: a testnet has 1 to {max}", max = crate::plan::MAX_HOSTS)]
    BadHostCount(usize),

    /// All 254 subnets are taken; nothing was touched.
    #[error("no free subnet below 10.99.0.0/16: take some testnets down")]
    NoSubnet,

    /// The host does not exist; nothing was touched.
    #[error("testnet `{testnet}` has no host `{host}`, only {known}")]
    NoSuchHost {
        testnet: String,
        host: String,
        known: String,
    },

    /// The host has no power; nothing was touched.
    #[error("{0} is powered off; start it with `cargo testnet boot {0}`")]
    HostOff(String),

    /// The host already runs; nothing was touched.
    #[error("{0} is already running")]
    HostOn(String),

    /// A service of a host refused; its state is as before.
    #[error("{host}: {service}: {reason}")]
    Service {
        host: String,
        service: String,
        reason: String,
    },

    /// A file of the testnet cannot be read; `down` still works.
    #[error("{path} is damaged ({reason}); remove the testnet with `cargo testnet down`")]
    Damaged { path: PathBuf, reason: String },

    /// Not an address that a test can ask; nothing was sent.
    #[error("cannot get `{url}`: {reason}")]
    BadUrl { url: String, reason: String },

    /// There is no such process; nothing was touched.
    #[error("no process {0}")]
    NoProcess(i32),

    /// The machine lacks something; nothing was touched.
    #[error("{0}")]
    Machine(String),
}

/// Adds what was being done to an error of the system.
pub(crate) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io {
            what: what(),
            source: source.into(),
        })
    }
}
