//! How many tasks a service has, and how many of them are there.

use std::sync::Arc;

use services::object::{self, Service, Task, TaskState};
use services::spec::{Mode, defaults};
use services::{NodeHealth, State};

use crate::api::backend::View;
use crate::api::dto::{
    Extra, JobStatus, ReplicatedJob, ReplicatedService, ServiceMode, ServiceStatus, Time, Version,
};
use crate::api::error::ApiError;

const DEFAULT_CONCURRENCY: u64 = 1;

pub(super) fn mode(dto: ServiceMode) -> Result<Mode, ApiError> {
    let said = [
        dto.replicated.is_some(),
        dto.global.is_some(),
        dto.replicated_job.is_some(),
        dto.global_job.is_some(),
    ];
    if said.into_iter().filter(|said| *said).count() > 1 {
        return Err(ApiError::bad_request("must specify only one service mode"));
    }
    if dto.global.is_some() {
        return Ok(Mode::Global);
    }
    if dto.global_job.is_some() {
        return Ok(Mode::GlobalJob);
    }
    Ok(match dto.replicated_job {
        Some(job) => {
            let max_concurrent = job.max_concurrent.unwrap_or(DEFAULT_CONCURRENCY);
            Mode::ReplicatedJob {
                max_concurrent,
                total_completions: job.total_completions.unwrap_or(max_concurrent),
            }
        }
        None => Mode::Replicated {
            replicas: dto
                .replicated
                .and_then(|replicated| replicated.replicas)
                .or(Some(defaults::REPLICAS)),
        },
    })
}

/// Clients read both numbers of a job without asking whether they are there.
pub(super) fn show_mode(mode: &Mode) -> ServiceMode {
    let mut shown = ServiceMode::default();
    match *mode {
        Mode::Replicated { .. } => {
            let replicas = mode.slots();
            shown.replicated = Some(ReplicatedService { replicas });
        }
        Mode::Global => shown.global = Some(Extra::new()),
        Mode::ReplicatedJob {
            max_concurrent,
            total_completions,
        } => {
            shown.replicated_job = Some(ReplicatedJob {
                max_concurrent: Some(max_concurrent),
                total_completions: Some(total_completions),
            });
        }
        Mode::GlobalJob => shown.global_job = Some(Extra::new()),
    }
    shown
}

pub(super) fn is_job(mode: &ServiceMode) -> bool {
    mode.replicated_job.is_some() || mode.global_job.is_some()
}

pub(super) fn job_status(job: object::JobStatus) -> JobStatus {
    JobStatus {
        job_iteration: Version {
            index: job.iteration,
        },
        last_execution: Time(job.last_execution),
    }
}

/// As Docker counts: of a job only the tasks of its present run; a replicated
/// job wants as many as may run at a time, a global one those that are not
/// complete.
pub(super) fn status(service: &Service, view: View<'_>) -> ServiceStatus {
    let seen = |task: &Task| State::effective(task, view.observed).state;
    // What a lost node still runs, if it does, is replaced already.
    let is_there = |task: &Task| {
        let node = task.node.and_then(|node| view.observed.nodes.get(&node));
        !node.is_some_and(|node| matches!(node.health, NodeHealth::Down { .. }))
    };
    let job = service.job.map(|job| job.iteration);
    let tasks: Vec<&Arc<Task>> = view
        .state
        .tasks_of_service(service.id)
        .filter(|task| job.is_none() || task.job_iteration == job)
        .collect();
    let count =
        |counts: &dyn Fn(&Task) -> bool| tasks.iter().filter(|task| counts(task)).count() as u64;
    let wanted = |task: &Task| task.desired == TaskState::Running;
    let is_complete = |task: &Task| seen(task) == TaskState::Complete;
    ServiceStatus {
        running_tasks: count(&|task| seen(task) == TaskState::Running && is_there(task)),
        desired_tasks: match service.spec.mode {
            Mode::Replicated { .. } => service.spec.mode.slots().unwrap_or_default(),
            Mode::ReplicatedJob { max_concurrent, .. } => max_concurrent,
            Mode::Global => count(&wanted),
            Mode::GlobalJob => count(&|task| wanted(task) && !is_complete(task)),
        },
        completed_tasks: match job {
            Some(_) => count(&is_complete),
            None => 0,
        },
    }
}
