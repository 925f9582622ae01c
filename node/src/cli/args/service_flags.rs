//! The flags that `service create` and `service update` share.
//!
//! Each is optional: what was not said is left to the daemon's defaults by
//! `create`, and left as it is by `update`.

use clap::{Args, ValueEnum};

use services::spec::{GpuRequest, Platform};

use crate::cli::values::{
    Invalid, Nanos, Pair, Words, boolean, bytes, cpus, duration, pair, words,
};

#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct ServiceFlags {
    /// How many replicas there are, or how many tasks of a job complete
    #[arg(long, value_name = "N")]
    pub replicas: Option<u64>,
    /// How many tasks of a job run at a time
    #[arg(long, value_name = "N")]
    pub max_concurrent: Option<u64>,
    /// How many of them a node may have at most (0: any number)
    #[arg(long, value_name = "N")]
    pub replicas_max_per_node: Option<u64>,
    /// How the service's name resolves
    #[arg(long, value_parser = ["vip", "dnsrr"])]
    pub endpoint_mode: Option<String>,
    #[command(flatten)]
    pub container: ContainerFlags,
    #[command(flatten)]
    pub run: RunFlags,
    #[command(flatten)]
    pub health: HealthFlags,
    #[command(flatten)]
    pub resources: ResourceFlags,
    #[command(flatten)]
    pub restart: RestartFlags,
    #[command(flatten)]
    pub update: UpdateFlags,
    #[command(flatten)]
    pub undo: RollbackFlags,
}

#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Options of the container")]
pub struct ContainerFlags {
    /// Replaces the image's entrypoint
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    pub entrypoint: Option<Words>,
    /// The working directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// <name|uid>[:<group|gid>]
    #[arg(short, long)]
    pub user: Option<String>,
    /// The container's hostname
    #[arg(long)]
    pub hostname: Option<String>,
    /// Run an init that forwards signals and reaps processes
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_missing_value = "true", value_parser = boolean)]
    pub init: Option<bool>,
    /// Allocate a pseudo-TTY
    #[arg(short, long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_missing_value = "true", value_parser = boolean)]
    pub tty: Option<bool>,
    /// Mount the container's root read-only
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_missing_value = "true", value_parser = boolean)]
    pub read_only: Option<bool>,
    /// The signal that stops the container
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// How long to wait before it is killed (default 10s)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub stop_grace_period: Option<Nanos>,
    /// Add a Linux capability
    #[arg(long, value_name = "CAP")]
    pub cap_add: Vec<String>,
    /// Drop a Linux capability
    #[arg(long, value_name = "CAP")]
    pub cap_drop: Vec<String>,
    /// Who is killed first when memory runs out (-1000 to 1000)
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(-1000..=1000))]
    pub oom_score_adj: Option<i64>,
    /// The logging driver
    #[arg(long, value_name = "DRIVER")]
    pub log_driver: Option<String>,
    /// An option of the logging driver
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, requires = "log_driver")]
    pub log_opt: Vec<Pair>,
    /// Do not ask a registry for the image's digest; swarmlet never does
    #[arg(long, hide = true)]
    pub no_resolve_image: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Options that Docker has for docker run only")]
pub struct RunFlags {
    /// Give the container every right on its host
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL",
          default_missing_value = "true", value_parser = boolean)]
    pub privileged: Option<bool>,
    /// GPUs of the host, e.g. all, 2 or '"device=0,1"' (empty: none)
    #[arg(long, value_parser = gpus)]
    pub gpus: Option<String>,
    /// The size of /dev/shm, e.g. 256m (0: the engine's default)
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub shm_size: Option<i64>,
    /// The processes that it sees: host (empty: its own)
    #[arg(long, value_name = "MODE", value_parser = ["host", ""])]
    pub pid: Option<String>,
    /// Whose shared memory it has (empty: the engine's default)
    #[arg(long, value_name = "MODE", value_parser = ["host", "shareable", "private", "none", ""])]
    pub ipc: Option<String>,
    /// Which machines it is for, e.g. linux/arm/v7 (empty: all that the image
    /// is there for)
    #[arg(long, value_parser = platform)]
    pub platform: Option<String>,
}

/// Kept as it was written, which is what a label says.
fn gpus(text: &str) -> Result<String, Invalid> {
    if !text.is_empty() {
        text.parse::<GpuRequest>()?;
    }
    Ok(text.to_owned())
}

#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Options of the health check")]
pub struct HealthFlags {
    /// A command that checks health, run by a shell
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// The time between checks
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub health_interval: Option<Nanos>,
    /// How long a check may take
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub health_timeout: Option<Nanos>,
    /// How many failures in a row are unhealthy
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub health_retries: Option<i64>,
    /// How long failures do not count after the start
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub health_start_period: Option<Nanos>,
    /// The time between checks in that period
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub health_start_interval: Option<Nanos>,
    /// Ignore the image's own health check
    #[arg(long)]
    pub no_healthcheck: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Options of resources")]
pub struct ResourceFlags {
    /// How many CPUs a task may use
    #[arg(long, value_name = "CPUS", value_parser = cpus)]
    pub limit_cpu: Option<i64>,
    /// How much memory it may use
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub limit_memory: Option<i64>,
    /// How many processes it may have (0: any number)
    #[arg(long, value_name = "N")]
    pub limit_pids: Option<i64>,
    /// How many CPUs a node must have free for a task
    #[arg(long, value_name = "CPUS", value_parser = cpus)]
    pub reserve_cpu: Option<i64>,
    /// How much memory it must have free
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub reserve_memory: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Options of restarts")]
pub struct RestartFlags {
    /// When a task that ended is replaced (default any)
    #[arg(long, value_name = "WHEN", value_parser = ["none", "on-failure", "any"])]
    pub restart_condition: Option<String>,
    /// How long after (default 5s)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub restart_delay: Option<Nanos>,
    /// How often at most
    #[arg(long, value_name = "N")]
    pub restart_max_attempts: Option<u64>,
    /// In which time these are counted
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub restart_window: Option<Nanos>,
}

#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Options of updates")]
pub struct UpdateFlags {
    /// How many tasks are replaced at a time (0: all; default 1)
    #[arg(long, value_name = "N")]
    pub update_parallelism: Option<u64>,
    /// The time between them (default 0s)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub update_delay: Option<Nanos>,
    /// What to do when too many fail (default pause)
    #[arg(long, value_name = "ACTION", value_parser = ["pause", "continue", "rollback"])]
    pub update_failure_action: Option<String>,
    /// How long a new task is watched (default 5s)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub update_monitor: Option<Nanos>,
    /// Which part of them may fail (default 0)
    #[arg(long, value_name = "RATIO")]
    pub update_max_failure_ratio: Option<f64>,
    /// Whether the old task stops before the new one starts (default stop-first)
    #[arg(long, value_name = "ORDER", value_parser = ["start-first", "stop-first"])]
    pub update_order: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "Options of rollbacks")]
pub struct RollbackFlags {
    /// How many tasks are replaced at a time (0: all; default 1)
    #[arg(long, value_name = "N")]
    pub rollback_parallelism: Option<u64>,
    /// The time between them (default 0s)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub rollback_delay: Option<Nanos>,
    /// What to do when too many fail (default pause)
    #[arg(long, value_name = "ACTION", value_parser = ["pause", "continue"])]
    pub rollback_failure_action: Option<String>,
    /// How long a new task is watched (default 5s)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub rollback_monitor: Option<Nanos>,
    /// Which part of them may fail (default 0)
    #[arg(long, value_name = "RATIO")]
    pub rollback_max_failure_ratio: Option<f64>,
    /// Whether the old task stops before the new one starts (default stop-first)
    #[arg(long, value_name = "ORDER", value_parser = ["start-first", "stop-first"])]
    pub rollback_order: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    Replicated,
    Global,
    ReplicatedJob,
    GlobalJob,
}

fn platform(text: &str) -> Result<String, Invalid> {
    if !text.is_empty() {
        text.parse::<Platform>()?;
    }
    Ok(text.to_owned())
}
