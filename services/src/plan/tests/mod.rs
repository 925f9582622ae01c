//! Claims about the plan, each held against a small swarm.

mod allocating;
mod attaching;
mod jobs;
mod per_node;
mod placing;
mod properties;
mod restarting;
mod scaling;
mod updating;
