//! Claims about the plan, each held against a small swarm.

mod allocating;
mod attaching;
mod devices;
mod fixed;
mod generic;
mod jobs;
mod overlay;
mod per_node;
mod placing;
mod properties;
mod publishing;
mod restarting;
mod scaling;
mod updating;
