//! One task as this node knows it.

use services::object::{TaskState, TaskStatus};
use services::{Assignment, Timestamp};

use crate::worker::endpoints::Stage;
use crate::worker::hold::{Hold, has_come};
use crate::worker::{DRAIN, outcome};

/// A task as it is here.
#[derive(Debug)]
pub(super) struct Local {
    /// How far it got, for `reconcile`. Behind `status` only when a container
    /// that ran must be started again.
    pub state: TaskState,
    pub status: TaskStatus,
    pub container: Option<String>,
    pub busy: Option<Busy>,
    /// Something happened to the container: inspect it before anything else.
    pub look: bool,
    /// Found on the engine and never inspected: nothing is known yet.
    pub found: bool,
    pub trust: Trust,
    /// Its health check failed: it is to be stopped and has failed.
    pub ill: bool,
    /// It is up, but its health check has never passed: it has not run yet.
    pub unproven: bool,
    /// What was assigned last, once it is no more.
    pub left: Option<Assignment>,
    /// When others have heard that it is to stop.
    pub drained: Option<Timestamp>,
    /// After a failure that is not the task's.
    pub hold: Hold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    Prepare,
    Start,
    Stop,
    Remove,
    Inspect,
}

/// What an exited container would mean; see the rule in `worker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It ended by itself.
    Certain,
    /// The engine is out of sight; its return will tell.
    Doubtful,
    /// It fell with its engine.
    Fallen,
}

impl Local {
    pub fn accepted(now: Timestamp) -> Self {
        Self {
            state: TaskState::Accepted,
            status: outcome::accepted(now),
            container: None,
            busy: None,
            look: false,
            found: false,
            trust: Trust::Certain,
            ill: false,
            unproven: false,
            left: None,
            drained: None,
            hold: Hold::default(),
        }
    }

    pub fn found(container: String, trust: Trust, now: Timestamp) -> Self {
        Self {
            container: Some(container),
            look: true,
            found: true,
            trust,
            ..Self::accepted(now)
        }
    }

    pub fn ended(status: TaskStatus) -> Self {
        Self {
            state: status.state,
            container: status.container.as_ref().map(|it| it.id.clone()),
            status,
            ..Self::accepted(Timestamp::default())
        }
    }

    pub fn ran(&self) -> bool {
        matches!(self.state, TaskState::Starting | TaskState::Running)
    }

    /// It runs, well as far as is known.
    pub fn serves(&self) -> bool {
        self.state == TaskState::Running && !self.ill
    }

    /// It is to stop, and others may still send to it.
    pub fn drains(&self, now: Timestamp) -> bool {
        let heard = |at| has_come(at, DRAIN, now);
        self.serves() && !self.drained.is_none_or(heard)
    }

    /// As the overlay sees it; `wanted`: it is to go on.
    pub fn stage(&self, wanted: bool) -> Stage {
        match self.container {
            _ if self.state.is_final() => Stage::Over,
            None => Stage::Bare,
            Some(_) if wanted && self.serves() => Stage::Open,
            Some(_) => Stage::Closed,
        }
    }

    pub fn free(&self, now: Timestamp) -> bool {
        self.busy.is_none() && self.hold.is_over(now)
    }
}
