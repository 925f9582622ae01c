//! Flags that say how many tasks there are: which of them a mode has, in
//! Docker's words.

use super::{Invalid, ServiceFlags};
use crate::api::dto::{Extra, ReplicatedJob, ReplicatedService, ServiceMode, ServiceSpec};
use crate::cli::args::{ModeName, RollbackFlags, UpdateFlags};

/// The mode that `service create` asks for.
pub(super) fn of(name: ModeName, flags: &ServiceFlags) -> Result<ServiceMode, Invalid> {
    let mut mode = ServiceMode::default();
    match name {
        ModeName::Replicated => {
            let replicas = flags.replicas;
            mode.replicated = Some(ReplicatedService { replicas });
        }
        // What is not said, the daemon fills in.
        ModeName::ReplicatedJob => {
            mode.replicated_job = Some(ReplicatedJob {
                max_concurrent: flags.max_concurrent.or(flags.replicas),
                total_completions: flags.replicas,
            });
        }
        ModeName::Global => mode.global = Some(Extra::new()),
        ModeName::GlobalJob => mode.global_job = Some(Extra::new()),
    }
    check(&mode, flags)?;
    Ok(mode)
}

/// Lays what the flags of `service update` say over a mode.
pub(super) fn change(mode: &mut ServiceMode, flags: &ServiceFlags) -> Result<(), Invalid> {
    check(mode, flags)?;
    if let (Some(replicas), Some(replicated)) = (flags.replicas, &mut mode.replicated) {
        replicated.replicas = Some(replicas);
    }
    if let Some(job) = &mut mode.replicated_job {
        job.total_completions = flags.replicas.or(job.total_completions);
        job.max_concurrent = flags.max_concurrent.or(job.max_concurrent);
    }
    Ok(())
}

fn check(mode: &ServiceMode, flags: &ServiceFlags) -> Result<(), Invalid> {
    let per_node = mode.global.is_some() || mode.global_job.is_some();
    let job = mode.replicated_job.is_some() || mode.global_job.is_some();
    if per_node && flags.replicas.is_some() {
        return Err(not_replicated("replicas"));
    }
    if per_node && flags.replicas_max_per_node.is_some_and(|max| max > 0) {
        return Err(not_replicated("replicas-max-per-node"));
    }
    if mode.replicated_job.is_none() && flags.max_concurrent.is_some() {
        return Err(Invalid::new(
            "max-concurrent can only be used with replicated-job mode",
        ));
    }
    let paced = flags.update != UpdateFlags::default() || flags.undo != RollbackFlags::default();
    if job && paced {
        return Err(Invalid::new(
            "update and rollback configuration is not supported for jobs",
        ));
    }
    Ok(())
}

/// What `service scale` sends instead of `spec`.
pub fn scale(mut spec: ServiceSpec, replicas: u64) -> Result<ServiceSpec, Invalid> {
    let mode = &mut spec.mode;
    if mode.global.is_some() || mode.global_job.is_some() {
        return Err(not_replicated("scale"));
    }
    match &mut mode.replicated_job {
        Some(job) => job.total_completions = Some(replicas),
        None => mode.replicated.get_or_insert_default().replicas = Some(replicas),
    }
    Ok(spec)
}

fn not_replicated(what: &str) -> Invalid {
    Invalid::new(format!(
        "{what} can only be used with replicated or replicated-job mode"
    ))
}
