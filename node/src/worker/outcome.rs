//! Statuses and their words, which are Docker Swarm's: users and tools search
//! for them.

use services::Timestamp;
use services::bound::{MAX_ERROR, truncate};
use services::object::{ContainerStatus, TaskState, TaskStatus};

use crate::runtime::{Container, Exit, Phase, RuntimeError};

pub(super) const REMOVED: &str = "container was removed";

/// The next status of a task: forward of `last` with new words, keeping what is
/// known of the container.
pub(super) fn moved(last: &TaskStatus, state: TaskState, at: Timestamp) -> TaskStatus {
    TaskStatus {
        state,
        at,
        message: message(state).map_or_else(|| last.message.clone(), str::to_owned),
        error: None,
        ..last.clone()
    }
}

/// As [`moved`]; why it has to be tried again is not forgotten.
pub(super) fn begun(last: &TaskStatus, state: TaskState, at: Timestamp) -> TaskStatus {
    TaskStatus {
        error: last.error.clone().filter(|_| last.state == state),
        ..moved(last, state, at)
    }
}

/// The error is bounded here, as hundreds of statuses are sent in one frame.
pub(super) fn failed(
    last: &TaskStatus,
    state: TaskState,
    at: Timestamp,
    mut error: String,
) -> TaskStatus {
    truncate(&mut error, MAX_ERROR);
    TaskStatus {
        error: Some(error),
        ..moved(last, state, at)
    }
}

pub(super) fn accepted(at: Timestamp) -> TaskStatus {
    TaskStatus {
        state: TaskState::Accepted,
        at,
        message: "accepted".to_owned(),
        error: None,
        container: None,
        ports: Vec::new(),
        started: None,
    }
}

/// `None`: a failure keeps the words of the state that it happened in.
fn message(state: TaskState) -> Option<&'static str> {
    match state {
        TaskState::Preparing => Some("preparing"),
        TaskState::Ready => Some("prepared"),
        TaskState::Starting => Some("starting"),
        TaskState::Running => Some("started"),
        TaskState::Complete => Some("finished"),
        TaskState::Shutdown => Some("shutdown"),
        _ => None,
    }
}

/// Copies what the engine says of the container into the status.
pub(super) fn describe(status: &mut TaskStatus, container: &Container) {
    let mut told = ContainerStatus {
        id: container.id.clone(),
        pid: container.pid,
        ..ContainerStatus::default()
    };
    if let Phase::Exited(exit) = &container.phase {
        told.exit_code = exit.code;
        told.oom_killed = exit.oom_killed;
    } else {
        status.ports = container.ports.clone();
    }
    status.container = Some(told);
    if status.state == TaskState::Running {
        status.started = status.started.or(container.started);
    }
}

/// How the process's own end is told: `None` for a success.
pub(super) fn exit_error(exit: &Exit) -> Option<String> {
    let reason = match &exit.error {
        _ if exit.oom_killed => Some("out of memory"),
        error => error.as_deref(),
    };
    (exit.code != 0 || reason.is_some()).then(|| non_zero_exit(exit.code, reason))
}

pub(super) fn unhealthy_error(exit: &Exit) -> String {
    non_zero_exit(exit.code, Some("dockerexec: unhealthy container"))
}

fn non_zero_exit(code: i64, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("task: non-zero exit ({code}): {reason}"),
        None => format!("task: non-zero exit ({code})"),
    }
}

/// Why a container that exists did not start.
pub(super) fn start_error(error: &RuntimeError) -> String {
    match error {
        RuntimeError::PortTaken(text) => text.clone(),
        RuntimeError::ContainerMissing(_) => REMOVED.to_owned(),
        other => format!("starting container failed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_told_in_dockers_words() {
        let exit = |code, oom_killed, error: Option<&str>| Exit {
            code,
            oom_killed,
            error: error.map(str::to_owned),
            at: None,
        };
        let told = |exit: Exit| exit_error(&exit).unwrap_or_default();
        assert_eq!(told(exit(0, false, None)), "");
        assert_eq!(told(exit(1, false, None)), "task: non-zero exit (1)");
        assert_eq!(
            told(exit(137, true, None)),
            "task: non-zero exit (137): out of memory"
        );
        assert_eq!(
            told(exit(127, false, Some("no such file"))),
            "task: non-zero exit (127): no such file"
        );
        assert_eq!(
            unhealthy_error(&exit(137, false, None)),
            "task: non-zero exit (137): dockerexec: unhealthy container"
        );
    }

    #[test]
    fn an_error_without_end_is_cut() {
        let last = accepted(Timestamp::default());
        let error = "é".repeat(4 << 20);
        let status = failed(&last, TaskState::Rejected, last.at, error);
        assert_eq!(status.error, Some("é".repeat(MAX_ERROR / 2)));
    }

    #[test]
    fn a_taken_port_needs_no_introduction() {
        let port = "Bind for 0.0.0.0:8080 failed: port is already allocated";
        assert_eq!(start_error(&RuntimeError::PortTaken(port.into())), port);
        assert_eq!(
            start_error(&RuntimeError::Refused("exec: not found".into())),
            "starting container failed: exec: not found"
        );
    }
}
