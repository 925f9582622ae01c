//! The transitions of one task: what a step begins with, and what its end or a
//! look at the container means.

use services::object::{ContainerStatus, TaskState, TaskStatus};
use services::reconcile::Op;
use services::{Id, Timestamp};

use super::local::Local;
use super::{Busy, Tasks, Trust};
use crate::runtime::{Container, Exit, Health, Phase, RuntimeError};
use crate::worker::step::Step;
use crate::worker::{DRAIN, outcome};

impl Tasks {
    /// Begins what was decided; `None` if it is done at once.
    pub(super) fn begin(&mut self, op: Op, now: Timestamp) -> Option<(Id, Step)> {
        match op {
            Op::Accept(id) => {
                self.local.insert(id, Local::accepted(now));
                self.changed.insert(id);
                None
            }
            Op::Prepare(id) => {
                let assignment = self.assigned.as_ref()?.get(&id)?.clone();
                let local = self.local.get_mut(&id)?;
                local.state = TaskState::Preparing;
                local.busy = Some(Busy::Prepare);
                let status = outcome::begun(&local.status, TaskState::Preparing, now);
                self.set(id, status);
                Some((id, Step::Prepare(assignment)))
            }
            Op::Start(id) => {
                let assignment = self.assigned.as_ref()?.get(&id)?.clone();
                let local = self.local.get_mut(&id)?;
                let Some(container) = local.container.clone() else {
                    self.end_with(id, TaskState::Failed, outcome::REMOVED.to_owned(), now);
                    return None;
                };
                local.state = TaskState::Starting;
                local.trust = Trust::Certain;
                local.busy = Some(Busy::Start);
                let status = outcome::begun(&local.status, TaskState::Starting, now);
                self.set(id, status);
                Some((id, Step::Start(container, assignment)))
            }
            Op::Stop(id) if self.must_drain(id, now) => None,
            Op::Stop(id) => {
                let assigned = self.assigned.as_ref().and_then(|all| all.get(&id));
                let grace = assigned.map(|it| it.spec.task.stop_grace());
                let local = self.local.get_mut(&id)?;
                let Some(container) = local.container.clone() else {
                    let status = outcome::moved(&local.status, TaskState::Shutdown, now);
                    self.end(id, status);
                    return None;
                };
                local.busy = Some(Busy::Stop);
                Some((id, Step::Stop(container, grace)))
            }
            Op::Remove(id) => {
                let local = self.local.get_mut(&id)?;
                let Some(container) = local.container.clone() else {
                    self.forget(id);
                    return None;
                };
                local.busy = Some(Busy::Remove);
                Some((id, Step::Remove(container)))
            }
        }
    }

    /// Whether the task is still waiting for others to hear that it stops; the
    /// first time, it begins to.
    fn must_drain(&mut self, id: Id, now: Timestamp) -> bool {
        let Some(local) = self.local.get_mut(&id) else {
            return false;
        };
        let assigned = self.assigned.as_ref().and_then(|all| all.get(&id));
        let known = assigned.or(local.left.as_ref());
        if known.is_some_and(|it| !it.networks.is_empty()) && local.serves() {
            local.drained.get_or_insert(now + DRAIN);
        }
        local.drains(now)
    }

    pub(super) fn created(&mut self, id: Id, container: String, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        local.state = TaskState::Ready;
        local.container = Some(container.clone());
        let mut status = outcome::moved(&local.status, TaskState::Ready, now);
        status.container = Some(ContainerStatus {
            id: container,
            ..ContainerStatus::default()
        });
        self.set(id, status);
    }

    /// What inspecting the container showed.
    pub(super) fn observe(&mut self, id: Id, seen: Option<Container>, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        let found = std::mem::take(&mut local.found);
        let Some(seen) = seen.filter(|seen| seen.phase != Phase::Removing) else {
            local.container = None;
            if found {
                self.local.remove(&id);
            } else if !local.state.is_final() {
                self.end_with(id, TaskState::Failed, outcome::REMOVED.to_owned(), now);
            }
            return;
        };
        if local.state.is_final() {
            return;
        }
        match &seen.phase {
            Phase::Created => {
                local.state = TaskState::Ready;
                local.trust = Trust::Certain;
                if local.status.state < TaskState::Ready {
                    let status = outcome::moved(&local.status, TaskState::Ready, now);
                    self.set_seen(id, status, &seen);
                }
            }
            Phase::Running(health) => self.runs(id, *health, &seen, found, now),
            Phase::Exited(_) if local.trust == Trust::Fallen => {
                local.state = TaskState::Ready;
                local.ill = false;
                let status = outcome::moved(&local.status, TaskState::Starting, now);
                self.set_seen(id, status, &seen);
            }
            Phase::Exited(exit) => self.exited(id, exit, &seen, now),
            Phase::Removing => {}
        }
    }

    fn runs(&mut self, id: Id, health: Health, seen: &Container, found: bool, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        local.trust = Trust::Certain;
        local.hold.succeeded();
        local.ill = health == Health::Unhealthy;
        let well = matches!(health, Health::Unchecked | Health::Healthy);
        local.unproven = !well && local.state != TaskState::Running;
        local.state = match local.unproven {
            true => TaskState::Starting,
            false => TaskState::Running,
        };
        let since = match (found, health) {
            (true, _) | (_, Health::Unchecked) => seen.started.unwrap_or(now),
            _ => now,
        };
        let status = outcome::moved(&local.status, local.state, since);
        self.set_seen(id, status, seen);
    }

    fn exited(&mut self, id: Id, exit: &Exit, seen: &Container, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        let at = exit.at.unwrap_or(now);
        let mut status = match outcome::exit_error(exit) {
            _ if local.ill => {
                let error = outcome::unhealthy_error(exit);
                outcome::failed(&local.status, TaskState::Failed, at, error)
            }
            Some(error) => outcome::failed(&local.status, TaskState::Failed, at, error),
            None => outcome::moved(&local.status, TaskState::Complete, at),
        };
        outcome::describe(&mut status, seen);
        if !local.unproven {
            status.started = status.started.or(seen.started);
        }
        self.end(id, status);
    }

    /// The engine says that it has stopped the container.
    pub(super) fn stopped(&mut self, id: Id, seen: Option<Container>, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        if let Some(seen) = &seen {
            match &seen.phase {
                Phase::Running(_) => {
                    tracing::warn!(task = %id, "the engine stopped a container that still runs");
                    local.hold.begin(now);
                    return;
                }
                Phase::Exited(exit) if local.ill => {
                    let exit = exit.clone();
                    self.exited(id, &exit, seen, now);
                    return;
                }
                _ => {}
            }
        } else {
            local.container = None;
        }
        let mut status = match local.ill {
            true => {
                let error = outcome::REMOVED.to_owned();
                outcome::failed(&local.status, TaskState::Failed, now, error)
            }
            false => outcome::moved(&local.status, TaskState::Shutdown, now),
        };
        if let Some(seen) = &seen {
            outcome::describe(&mut status, seen);
        }
        self.end(id, status);
    }

    pub(super) fn step_failed(&mut self, id: Id, busy: Busy, error: &RuntimeError, now: Timestamp) {
        let Some(local) = self.local.get_mut(&id) else {
            return;
        };
        match busy {
            _ if error.is_unavailable() => {
                local.look = local.container.is_some();
                local.hold.begin(now);
                if matches!(busy, Busy::Prepare | Busy::Start) {
                    let state = local.status.state;
                    let status = outcome::failed(&local.status, state, now, error.to_string());
                    self.set(id, status);
                }
            }
            Busy::Prepare => self.end_with(id, TaskState::Rejected, error.to_string(), now),
            Busy::Start => self.end_with(id, TaskState::Failed, outcome::start_error(error), now),
            Busy::Stop | Busy::Remove | Busy::Inspect => {
                tracing::warn!(task = %id, %error, "will be tried again");
                local.look |= busy == Busy::Inspect;
                local.hold.begin(now);
            }
        }
    }

    fn end_with(&mut self, id: Id, state: TaskState, error: String, now: Timestamp) {
        if let Some(local) = self.local.get(&id) {
            let status = outcome::failed(&local.status, state, now, error);
            self.end(id, status);
        }
    }

    /// The attempt is over; its status is final and goes to disk.
    fn end(&mut self, id: Id, mut status: TaskStatus) {
        if let Some(local) = self.local.get_mut(&id) {
            if let Some(container) = &mut status.container {
                container.pid = 0;
            }
            local.state = status.state;
            local.look = false;
            local.found = false;
            local.status = status;
            self.changed.insert(id);
            self.unsaved |= self
                .assigned
                .as_ref()
                .is_some_and(|all| all.contains_key(&id));
        }
    }

    fn set_seen(&mut self, id: Id, mut status: TaskStatus, seen: &Container) {
        outcome::describe(&mut status, seen);
        self.set(id, status);
    }

    /// Notes a status, if it says anything new but the time.
    fn set(&mut self, id: Id, status: TaskStatus) {
        if let Some(local) = self.local.get_mut(&id) {
            let same = TaskStatus {
                at: local.status.at,
                ..status.clone()
            };
            if same != local.status {
                local.status = status;
                self.changed.insert(id);
            }
        }
    }

    pub(super) fn forget(&mut self, id: Id) {
        self.local.remove(&id);
        self.changed.insert(id);
    }
}
