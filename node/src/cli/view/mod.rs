//! Answers as text: tables, JSON lines and pages to read.
//!
//! All of it is pure: what is now, and what an id is called, are arguments.
//! Columns, wording and truncation are Docker's.

mod doctor;
mod file;
mod human;
mod image;
mod info;
mod json;
mod network;
mod node;
mod page;
mod ports;
mod rotation;
mod service;
mod service_page;
mod site;
mod stack;
mod swarm;
mod table;
mod task;
mod watch;

#[cfg(test)]
mod tests;

pub use doctor::{doctor_page, verdict};
pub use file::{file_page, file_rows, file_table};
pub use human::{short_id, shorten};
pub use info::info;
pub use json::indent;
pub use network::{PRUNE_WARNING, network_rows, network_table, pruned};
pub use node::{node_page, node_rows, node_table};
pub use rotation::{rotation, waits_for};
pub use service::{service_rows, service_table};
pub use service_page::service_page;
pub use site::{
    UP_DETACHED, UP_GIVEN_UP, UP_INTERRUPTED, conflict, device_table, device_warnings, found_swarm,
};
pub use stack::{stack_rows, stack_table};
pub use swarm::{
    ROTATED_UNLOCK_KEY, SEE_UNLOCK_KEY, demoted, initialized, initialized_only, join_command,
    joined, promoted, rotated, unlock_command,
};
pub use table::json_lines;
pub use task::{Names, TaskView, task_rows, task_table};
pub use watch::{event_line, member_table};
