//! What `init`, `join`, `join-token`, `promote` and `demote` say.

use std::time::Duration;

use services::spec::Role;

use super::human::since;
use crate::api::dto::Time;

/// RFC 3339, in UTC.
pub fn time(time: Time) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.0.0)) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S%.f UTC").to_string(),
        Err(_) => String::new(),
    }
}

/// How long it is since then, as Docker words it.
pub fn ago(then: Time, now: Time) -> String {
    let nanos = now.0.0.saturating_sub(then.0.0);
    format!("{} ago", since(Duration::from_nanos(nanos)))
}

/// How to join as `role`: what to type on the other node.
pub fn join_command(role: Role, token: &str, addr: &str) -> String {
    format!(
        "To add a {} to this swarm, run the following command:\n\n    \
         swarmlet join --token {token} {addr}\n\n",
        role.as_str()
    )
}

pub fn initialized(node: &str, worker_token: &str, addr: &str) -> String {
    format!(
        "Swarm initialized: current node ({node}) is now a manager.\n\n{}\
         To add a manager to this swarm, run 'swarmlet join-token manager' and follow the \
         instructions.\n",
        join_command(Role::Worker, worker_token, addr)
    )
}

/// Where it is not known yet how to join.
pub fn initialized_only(node: &str) -> String {
    format!(
        "Swarm initialized: current node ({node}) is now a manager.\n\n\
         To add a node to this swarm, run 'swarmlet join-token worker' or 'swarmlet join-token \
         manager' and follow the instructions.\n"
    )
}

pub fn joined(as_manager: bool) -> &'static str {
    match as_manager {
        true => "This node joined a swarm as a manager.\n",
        false => "This node joined a swarm as a worker.\n",
    }
}

pub fn rotated(role: Role) -> String {
    format!("Successfully rotated {} join token.\n\n", role.as_str())
}

/// Where it cannot be shown yet.
pub const SEE_UNLOCK_KEY: &str =
    "To see the key that managers are unlocked with, run 'swarmlet unlock-key'.\n";

pub const ROTATED_UNLOCK_KEY: &str = "Successfully rotated manager unlock key.\n\n";

/// What to keep, and what to do with it.
pub fn unlock_command(key: &str) -> String {
    format!(
        "To unlock a swarm manager after it restarts, run the `swarmlet unlock`\n\
         command and provide the following key:\n\n    {key}\n\n\
         Remember to store this key in a password manager, since without it you\n\
         will not be able to restart the manager.\n"
    )
}

pub fn promoted(node: &str, already: bool) -> String {
    match already {
        true => format!("Node {node} is already a manager.\n"),
        false => format!("Node {node} promoted to a manager in the swarm.\n"),
    }
}

pub fn demoted(node: &str, already: bool) -> String {
    match already {
        true => format!("Node {node} is already a worker.\n"),
        false => format!("Manager {node} demoted in the swarm.\n"),
    }
}
