//! How containers reach each other, are reached, and are kept apart.
//!
//! Who asks whom is said by the test server's answers: which container it is,
//! and whose address it sees. What is in the kernel is read from the kernel.

pub mod attach;
pub mod changes;
pub mod data_path;
pub mod doctor;
pub mod ingress;
pub mod isolation;
pub mod losses;
pub mod mends;
pub mod names;
pub mod plan;
pub mod restarts;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::kit::{Inside, soon};

/// A client that lives long, ends at once and has all of busybox.
pub const CLIENT: &str = "--stop-signal SIGKILL busybox sleep 100000";

/// Waits until `client` has been answered by each of `servers`, and by no
/// other, at a name or an address.
pub fn await_all_answer(client: &Inside, name: &str, servers: &[Inside]) -> Result<()> {
    let wanted: BTreeSet<&str> = servers.iter().map(Inside::hostname).collect();
    let mut seen = BTreeSet::new();
    let what = format!("all of {name} to answer {}", client.host().name());
    soon(&what, || {
        let answer = client.get(name)?;
        let server = answer.server().to_owned();
        ensure!(wanted.contains(&*server), "{server} answered");
        seen.insert(server);
        ensure!(seen.len() == wanted.len(), "only {seen:?} of {wanted:?}");
        Ok(())
    })
}
